//! The path of a packet, from the feed of coded frames to the socket. Read the modules in this order:
//!
//! 1. `rtp_stream`: one access unit or Opus packet becomes the RTP packets of one viewer.
//! 2. `pump`: a task per viewer takes frames from the feed and writes their packets into the peer connection.
//! 3. `burst`: the packets of one picture pass the connection's driver together.
//! 4. `interceptor`: the last stop before SRTP. It reads RTCP (NACK, PLI, TWCC, REMB, receiver reports) and writes
//!    sender reports.
//! 5. `send_path`: decides what leaves next: estimator, pacer, retransmissions and probes of one viewer, without I/O.
//! 6. `pacer`: when each packet leaves, and what is dropped.
//! 7. `twcc`: transport-wide sequence numbers, and the reports about them.
//! 8. `rtx`: the packets that can be sent again.
//!
//! A viewer has several outgoing streams, which their SSRCs name. `shared_streams` is what the pumps share with the
//! interceptor for each stream, and `stream_state` is what the send path keeps for each.
//! `sender_report` relates RTP time to capture time. `start_rate` remembers where a viewer's estimate should begin.
//! `rtcp_senders` remembers who sent authentic RTCP.

pub(crate) mod burst;
pub(crate) mod interceptor;
pub mod pacer;
pub(crate) mod pump;
pub(crate) mod rtcp_senders;
pub(crate) mod rtp_stream;
pub(crate) mod rtx;
pub mod send_path;
pub(crate) mod sender_report;
pub(crate) mod shared_streams;
pub(crate) mod start_rate;
pub mod stream_state;
pub(crate) mod twcc;
