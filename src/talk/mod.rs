//! Talk-back: the sound of a viewer on the board. These parts decide. All of them are pure, but for the lock of
//! [`turns`].
//!
//! ```text
//! RTP ─► turns ─► jitter_buffer ─► decoder ─► resampler ─► playback device
//!                    │  ▲ delay_target            ▲ ppm        │
//!                    └──┴── DelayFill ──────► clock_drift ◄────┘ delay of the device
//! ```
//! [`turn`] decides whose sound it is. Decoder, resampler and device are in `audio/speaker/`.

pub mod clock_drift;
pub mod delay_fill;
mod delay_target;
pub mod jitter_buffer;
pub mod opus_toc;
pub mod playout;
mod rtp_order;
pub mod turn;
pub mod turns;

#[cfg(test)]
mod simulation_tests;
#[cfg(test)]
mod turns_tests;
