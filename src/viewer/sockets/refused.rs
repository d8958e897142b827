//! Counts the packets that the media port refused. They are logged in one line at the end of a session, not one by one.

/// Why a packet was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefusedReason {
    /// Its sender has not proved to be the viewer.
    Stranger,
    /// RTP that was not negotiated.
    Media,
    /// DTLS application data, and no data channel was negotiated.
    Data,
    /// Above a limit.
    TooMuch,
}

/// From this many refused packets on, the session's end logs them.
const NOTABLE: u64 = 100;

/// Refused packets by reason, and connectivity checks that were held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct RefusedPackets {
    pub(crate) strangers: u64,
    pub(crate) media: u64,
    pub(crate) data: u64,
    pub(crate) too_much: u64,
    pub(crate) held_back: u64,
}

impl RefusedPackets {
    /// Counts one refused packet.
    pub(crate) fn count(&mut self, why: RefusedReason) {
        let count = match why {
            RefusedReason::Stranger => &mut self.strangers,
            RefusedReason::Media => &mut self.media,
            RefusedReason::Data => &mut self.data,
            RefusedReason::TooMuch => &mut self.too_much,
        };
        *count += 1;
    }

    /// Whether more was refused than in an honest session, where a few packets arrive before the viewer's address is
    /// known.
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
