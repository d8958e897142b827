//! The result of a search for the next frame in a byte stream.

/// What follows at the first byte that was not used yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// A frame of this length begins here.
    Unit(usize),
    /// This many bytes, at least one, belong to no frame.
    Rubbish(usize),
    /// More bytes are needed to decide.
    Nothing,
}
