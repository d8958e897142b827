//! What the media port refused, counted: a line at the end of a session says it, and no line for each packet.

/// Why a packet is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
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
pub(super) struct Refused {
    pub(super) strangers: u64,
    pub(super) media: u64,
    pub(super) data: u64,
    pub(super) too_much: u64,
    pub(super) held_back: u64,
}

impl Refused {
    pub(super) fn count(&mut self, why: Why) {
        let count = match why {
            Why::Stranger => &mut self.strangers,
            Why::Media => &mut self.media,
            Why::Data => &mut self.data,
            Why::TooMuch => &mut self.too_much,
        };
        *count += 1;
    }

    /// Whether more was refused than an honest session has: a few packets come before the viewer's address is known.
    pub(super) fn is_notable(&self) -> bool {
        self.strangers + self.media + self.data + self.too_much >= NOTABLE
    }
}

impl std::fmt::Display for Refused {
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
        let mut refused = Refused { held_back: 1000, ..Refused::default() };
        for n in 1..=NOTABLE {
            assert!(!refused.is_notable());
            refused.count([Why::Stranger, Why::Media, Why::Data, Why::TooMuch][n as usize % 4]);
        }
        assert!(refused.is_notable());
        assert_eq!(
            refused.to_string(),
            "the media port refused 25 packets of strangers, 25 of media, 25 of data channels and 25 above the limits, \
             and held back 1000 connectivity checks"
        );
    }
}
