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

    /// Whether anything was refused that a viewer or a stranger sent.
    pub(super) fn is_some(&self) -> bool {
        Self { held_back: 0, ..*self } != Self::default()
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { strangers, media, data, too_much, held_back } = self;
        write!(
            f,
            "{strangers} packets of strangers, {media} of media, {data} of data channels and {too_much} above the "
        )?;
        write!(f, "limits were not let in, {held_back} connectivity checks were held back")
    }
}
