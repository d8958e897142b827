//! A message on its way to a viewer, and the Correlation Data that ties it to a request (MQTT 5, section 4.10).

use bytes::Bytes;

use crate::config::Id;

/// Longest Correlation Data that is echoed, in bytes; longer data is ignored.
pub const CORRELATION_MAX: usize = 64;

/// The Correlation Data of a request, as the viewer sent it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Correlation(Bytes);

impl Correlation {
    /// Copies the data, so that the packet it came in can be freed. `None` where it is longer than [`CORRELATION_MAX`].
    pub fn new(data: &[u8]) -> Option<Self> {
        (data.len() <= CORRELATION_MAX).then(|| Self(Bytes::copy_from_slice(data)))
    }

    /// The bytes.
    pub fn bytes(&self) -> Bytes {
        self.0.clone()
    }
}

/// A message to one viewer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addressed {
    /// Who gets it.
    pub viewer: Id,
    /// The message.
    pub payload: Bytes,
    /// The Correlation Data of the request that it answers; `None` where that had none, or where nobody asked.
    pub correlation: Option<Correlation>,
}

impl From<(Id, Bytes)> for Addressed {
    fn from((viewer, payload): (Id, Bytes)) -> Self {
        Self { viewer, payload, correlation: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn correlation_data_of_up_to_64_bytes_is_kept() {
        for (length, kept) in [(0, true), (1, true), (64, true), (65, false), (60_000, false)] {
            let data = vec![0xff; length];
            let correlation = Correlation::new(&data);
            assert_eq!(correlation.is_some(), kept, "{length}");
            assert!(correlation.is_none_or(|correlation| correlation.bytes() == data));
        }
    }
}
