//! The media port: the sockets of one peer connection, and which packets may pass. Pure decision code, and the I/O
//! around it.
//!
//! - `bind`: which addresses and ports a connection binds.
//! - `runtime`: the stack's UDP sockets; each packet passes `filter` and `rebind` first.
//! - `tcp`: the same for ICE-TCP streams (RFC 6544).
//! - `stun`: reads packet classes (RFC 7983), and STUN and TURN messages.
//! - `filter`: which packets come in; `rtcp_budget`, `rtp_budget` and `channel_budget` limit RTCP, sound and the data
//!   channel, `refused` counts refused packets.
//! - `answers`: requests to STUN and TURN servers, and which of their answers come in.
//! - `checks`: how fast connectivity checks leave.
//! - `rebind`: follows a viewer whose NAT changed its port.

mod answers;
pub(crate) mod bind;
mod channel_budget;
pub(crate) mod checks;
pub(crate) mod filter;
mod new_senders;
pub(crate) mod rebind;
pub(crate) mod refused;
mod rtcp_budget;
mod rtp_budget;
pub(crate) mod runtime;
pub(crate) mod stun;
pub(crate) mod tcp;
