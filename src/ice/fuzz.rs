//! The body of a fuzz target: a stream that should be TURN over TCP (RFC 8656 section 12.5).

use super::framing::{StreamFramer, error_code, is_request, opens, put, refusal};

/// Reads the stream in pieces; its first byte chooses their size. Each message that is read can be written again.
pub(crate) fn turn_stream(data: &[u8]) {
    let Some((size, mut stream)) = data.split_first() else { return };
    let size = usize::from(*size) + 1;
    let mut framer = StreamFramer::default();
    while !stream.is_empty() {
        let room = framer.room();
        let count = room.len().min(stream.len()).min(size);
        assert!(count > 0, "there is always room to read to");
        room[..count].copy_from_slice(&stream[..count]);
        framer.read(count);
        stream = &stream[count..];
        loop {
            match framer.next() {
                Ok(Some(message)) => {
                    let mut again = Vec::new();
                    assert!(put(message, &mut again) && again.starts_with(message));
                    let _ = (opens(message), error_code(message));
                    assert!(!is_request(message) || refusal(message).is_some());
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}
