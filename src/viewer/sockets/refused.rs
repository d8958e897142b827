//! What the media port refused, counted: a line at the end of a session says it, and no line for each packet.

/// Why a packet is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefusedReason {
    /// Its sender proved nothing.
    Stranger,
    /// RTP: nobody asked for media.
    Media,
    /// DTLS application data: nobody asked for data channels.
    Data,
    /// More than anybody needs.
    TooMuch,
}

/// Packets that are worth a line in the log.
const NOTABLE: u64 = 100;

/// Packets that were not let in, by reason, and checks that were held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct RefusedPackets {
    pub(crate) strangers: u64,
    pub(crate) media: u64,
    pub(crate) data: u64,
    pub(crate) too_much: u64,
    pub(crate) held_back: u64,
}

impl RefusedPackets {
    pub(crate) fn count(&mut self, why: RefusedReason) {
        let count = match why {
            RefusedReason::Stranger => &mut self.strangers,
            RefusedReason::Media => &mut self.media,
            RefusedReason::Data => &mut self.data,
            RefusedReason::TooMuch => &mut self.too_much,
        };
        *count += 1;
    }

    /// Whether more was refused than an honest session has: a few packets come before the viewer's address is known.
    pub(crate) fn is_notable(&self) -> bool {
        self.strangers + self.media + self.data + self.too_much >= NOTABLE
    }
}

impl std::fmt::Display for RefusedPackets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { strangers, media, data, too_much, held_back } = self;
        write!(
            f,
            "the media port refused {strangers} packets of strangers, {media} of media, {data} of data channels "
        )?;
        write!(f, "and {too_much} above the limits, and held back {held_back} connectivity checks")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_honest_session_has_no_line() {
        let mut refused = RefusedPackets { held_back: 1000, ..RefusedPackets::default() };
        for n in 1..=NOTABLE {
            assert!(!refused.is_notable());
            refused.count(
                [RefusedReason::Stranger, RefusedReason::Media, RefusedReason::Data, RefusedReason::TooMuch]
                    [n as usize % 4],
            );
        }
        assert!(refused.is_notable());
        assert_eq!(
            refused.to_string(),
            "the media port refused 25 packets of strangers, 25 of media, 25 of data channels and 25 above the limits, \
             and held back 1000 connectivity checks"
        );
    }
}
