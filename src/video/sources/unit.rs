//! What a search for the next picture in a stream of bytes finds.

/// Seen from the first byte that was not taken yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// A picture begins here, and this long it is.
    Unit(usize),
    /// So many bytes, at least one, belong to no picture.
    Rubbish(usize),
    /// More bytes are needed to tell.
    Nothing,
}
