//! What goes into the jitter buffer and what comes out of it. Pure.

use std::fmt;

/// A packet from the network.
#[derive(Clone, Copy)]
pub struct IncomingOpus<'a> {
    /// The SSRC.
    pub ssrc: u32,
    /// The sequence number.
    pub sequence: u16,
    /// The time stamp, in samples.
    pub timestamp: u32,
    /// The Opus packet. It is copied, so that no large receive buffer stays allocated.
    pub payload: &'a [u8],
}

impl fmt::Debug for IncomingOpus<'_> {
    /// Without the sound.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ssrc, sequence, timestamp, payload } = self;
        write!(f, "packet {sequence} of {ssrc:#x} at {timestamp}, {} bytes", payload.len())
    }
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It waits for its turn.
    Queued,
    /// Its turn is over.
    Late,
    /// It was here before.
    Duplicate,
    /// It breaks a bound.
    Discarded,
}

/// What to play next. `samples` is how long, in samples at 48 kHz.
#[derive(Clone, PartialEq, Eq)]
pub enum Playout {
    /// Decode this packet.
    Decode {
        /// The packet.
        payload: Vec<u8>,
        /// How long.
        samples: u32,
    },
    /// The packet before this one is lost: decode the copy of it that this one contains. This one comes next.
    DecodeFec {
        /// The packet after the lost one.
        payload: Vec<u8>,
        /// How long.
        samples: u32,
    },
    /// A packet is lost or late: let the decoder conceal it.
    Conceal {
        /// How long: a multiple of 2.5 ms.
        samples: u32,
    },
    /// The sender is silent, has not begun, or is gone. Fade to it, since the decoder may stop within a wave.
    Silence {
        /// How long.
        samples: u32,
    },
}

impl fmt::Debug for Playout {
    /// Without the sound.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decode { payload, samples } => write!(f, "decode {} bytes, {samples} samples", payload.len()),
            Self::DecodeFec { payload, samples } => {
                write!(f, "restore from {} bytes, {samples} samples", payload.len())
            }
            Self::Conceal { samples } => write!(f, "conceal {samples} samples"),
            Self::Silence { samples } => write!(f, "silence, {samples} samples"),
        }
    }
}

impl Playout {
    /// How long the step is, in samples. It is never zero.
    pub fn samples(&self) -> u32 {
        match self {
            Self::Decode { samples, .. } | Self::DecodeFec { samples, .. } => *samples,
            Self::Conceal { samples } | Self::Silence { samples } => *samples,
        }
    }
}

/// What happened so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JitterCounters {
    /// Packets that arrived.
    pub received: u64,
    /// Packets that came after their turn.
    pub late: u64,
    /// Packets that were not there at their turn. Late ones are among them.
    pub lost: u64,
    /// Packets that came again.
    pub duplicate: u64,
    /// Packets that came in time, but after a later one.
    pub reordered: u64,
    /// Samples that were concealed.
    pub concealed: u64,
    /// Lost packets for which the next one may have had a copy.
    pub restored: u64,
    /// Packets that broke a bound.
    pub discarded: u64,
}
