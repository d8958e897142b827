//! The framing of STUN and TURN messages in a byte stream (RFC 8656 section 12.5, RFC 8489 section 6.2.2). Pure.
//!
//! A UDP datagram is one message. In a stream, the header of each message gives its length, and ChannelData is padded
//! to a multiple of four bytes.

/// The longest message that is forwarded, in bytes. RTP packets have less than half of it.
pub(super) const MESSAGE_MAX: usize = 4096;
/// The bytes of a header that contain the length.
const HEAD: usize = 4;
/// The length of a STUN header.
const STUN_HEAD: usize = 20;
/// The class bits of a STUN message type (RFC 8489 section 5). In a request they are all zero.
const CLASS: u16 = 0x0110;
/// The message types of Binding and Allocate requests.
const BINDING: u16 = 0x0001;
const ALLOCATE: u16 = 0x0003;

/// The stream carries neither STUN nor ChannelData.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it does not speak TURN")]
pub(super) struct NotTurn;

/// The length of the message that begins with these bytes: alone, and with its padding in a stream.
fn length(head: [u8; HEAD]) -> Result<(usize, usize), NotTurn> {
    let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
    match head[0] >> 6 {
        0 if length.is_multiple_of(4) => Ok((STUN_HEAD + length, STUN_HEAD + length)),
        1 => Ok((HEAD + length, HEAD + length.next_multiple_of(4))),
        _ => Err(NotTurn),
    }
}

fn head(bytes: &[u8]) -> Option<[u8; HEAD]> {
    bytes.first_chunk().copied()
}

/// The message type of a datagram that is exactly one STUN message.
fn stun(message: &[u8]) -> Option<u16> {
    let head = head(message)?;
    let whole = head[0] >> 6 == 0 && length(head).is_ok_and(|(length, _)| length == message.len());
    whole.then(|| u16::from_be_bytes([head[0], head[1]]))
}

/// Appends a datagram's message to the stream's output. Returns `false` if it does not begin with one.
pub(super) fn put(message: &[u8], out: &mut Vec<u8>) -> bool {
    let Some(Ok((length, filled))) = head(message).map(length) else { return false };
    if length > message.len() {
        return false;
    }
    out.extend_from_slice(&message[..length]);
    out.resize(out.len() + filled - length, 0);
    true
}

/// Whether this is a STUN request. Requests set up the path for everything else, so they are never dropped.
pub(super) fn is_request(message: &[u8]) -> bool {
    stun(message).is_some_and(|kind| kind & CLASS == 0)
}

/// Whether a stream may begin with this message. Other messages belong to an allocation that ended with its stream.
pub(super) fn opens(message: &[u8]) -> bool {
    matches!(stun(message), Some(BINDING | ALLOCATE))
}

/// An error response (500) to a request that cannot be forwarded, so that the client does not wait for an answer.
pub(super) fn refusal(request: &[u8]) -> Option<[u8; STUN_HEAD + 8]> {
    let kind = stun(request)?;
    let mut answer = [0; STUN_HEAD + 8];
    answer[..2].copy_from_slice(&(kind | CLASS).to_be_bytes());
    answer[3] = 8;
    answer[4..STUN_HEAD].copy_from_slice(&request[4..STUN_HEAD]);
    // ERROR-CODE with class 5, number 0 and no reason phrase.
    answer[STUN_HEAD..].copy_from_slice(&[0, 9, 0, 4, 0, 0, 5, 0]);
    Some(answer)
}

/// The code of a STUN error response.
pub(super) fn error_code(message: &[u8]) -> Option<u16> {
    let kind = stun(message)?;
    if kind & CLASS != CLASS {
        return None;
    }
    let mut rest = message.get(STUN_HEAD..)?;
    while let Some(at) = head(rest) {
        let (kind, length) = (u16::from_be_bytes([at[0], at[1]]), usize::from(u16::from_be_bytes([at[2], at[3]])));
        let value = rest.get(HEAD..HEAD + length)?;
        if kind == 9 {
            return value.get(2..4).map(|code| u16::from(code[0] & 7) * 100 + u16::from(code[1]));
        }
        rest = rest.get(HEAD + length.next_multiple_of(4)..)?;
    }
    None
}

/// Cuts a byte stream into messages in a buffer of fixed size. Messages that are too long are skipped.
#[derive(Debug)]
pub(super) struct StreamFramer {
    space: Box<[u8; MESSAGE_MAX * 2]>,
    from: usize,
    to: usize,
    skip: usize,
    /// Whether a first STUN message arrived, which shows that this is TURN. Without it, the `H` of an HTTP answer would
    /// pass as ChannelData.
    begun: bool,
}

impl Default for StreamFramer {
    fn default() -> Self {
        Self { space: Box::new([0; MESSAGE_MAX * 2]), from: 0, to: 0, skip: 0, begun: false }
    }
}

impl StreamFramer {
    /// The free part of the buffer, to read into. It is never empty.
    pub(super) fn room(&mut self) -> &mut [u8] {
        self.space.copy_within(self.from..self.to, 0);
        (self.from, self.to) = (0, self.to - self.from);
        &mut self.space[self.to..]
    }

    /// `count` bytes were read into `room`.
    pub(super) fn read(&mut self, count: usize) {
        self.to = (self.to + count).min(self.space.len());
    }

    /// The next complete message.
    pub(super) fn next(&mut self) -> Result<Option<&[u8]>, NotTurn> {
        let passed = self.skip.min(self.to - self.from);
        self.from += passed;
        self.skip -= passed;
        let Some(head) = head(&self.space[self.from..self.to]) else { return Ok(None) };
        let (length, filled) = length(head)?;
        if !std::mem::replace(&mut self.begun, true) && head[0] >> 6 != 0 {
            return Err(NotTurn);
        }
        if filled > MESSAGE_MAX {
            self.skip = filled;
            return self.next();
        }
        if self.to - self.from < filled {
            return Ok(None);
        }
        let at = self.from;
        self.from += filled;
        Ok(Some(&self.space[at..at + length]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, attributes: &[u8]) -> Vec<u8> {
        let mut message = kind.to_be_bytes().to_vec();
        message.extend((attributes.len() as u16).to_be_bytes());
        message.extend([0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        message.extend(attributes);
        message
    }

    fn channel(data: &[u8]) -> Vec<u8> {
        let mut message = vec![0x40, 1];
        message.extend((data.len() as u16).to_be_bytes());
        message.extend(data);
        message
    }

    /// All messages of a stream that comes in pieces of this size.
    fn cut(stream: &[u8], size: usize) -> Result<Vec<Vec<u8>>, NotTurn> {
        let (mut framer, mut found) = (StreamFramer::default(), Vec::new());
        for piece in stream.chunks(size) {
            let mut piece = piece;
            while !piece.is_empty() {
                let room = framer.room();
                let count = room.len().min(piece.len());
                assert!(count > 0);
                room[..count].copy_from_slice(&piece[..count]);
                framer.read(count);
                piece = &piece[count..];
                while let Some(message) = framer.next()? {
                    found.push(message.to_vec());
                }
            }
        }
        Ok(found)
    }

    #[test]
    fn what_is_put_into_a_stream_comes_out_of_it_in_pieces_of_any_size() {
        let messages = [message(3, &[]), channel(b"12345"), channel(b""), message(0x17, &[0; 8]), channel(&[7; 1200])];
        let mut stream = Vec::new();
        assert!(messages.iter().all(|message| put(message, &mut stream)));
        assert_eq!(stream.len() % 4, 0);
        for size in [1, 2, 3, 5, 7, 64, 1000, 100_000] {
            assert_eq!(cut(&stream, size).unwrap(), messages, "pieces of {size}");
        }
    }

    #[test]
    fn what_is_too_long_is_passed_over_and_what_is_not_turn_ends_the_stream() {
        let mut stream = Vec::new();
        for message in
            [message(0x0113, &[]), channel(&[1; 60_001]), channel(b"after"), message(1, &[0; 8000]), channel(b"that")]
        {
            put(&message, &mut stream);
        }
        for size in [1, 999, 100_000] {
            let expected = [message(0x0113, &[]), channel(b"after"), channel(b"that")];
            assert_eq!(cut(&stream, size).unwrap(), expected);
        }
        for other in [b"HTTP/1.1 400 Bad Request\r\n\r\n".as_slice(), &[0x80; 20], &[0, 1, 0, 3, 0, 0]] {
            assert_eq!(cut(other, 7), Err(NotTurn), "{other:?}");
        }
    }

    #[test]
    fn only_whole_messages_are_put_into_a_stream() {
        let mut short = message(3, &[0; 8]);
        short.pop();
        for other in [b"".as_slice(), b"\x00\x01\x00", &short, b"\xff\xff\x00\x00data"] {
            let mut out = Vec::new();
            assert!(!put(other, &mut out) && out.is_empty(), "{other:?}");
        }
    }

    #[test]
    fn requests_are_known_and_refused_in_their_own_name() {
        let allocate = message(3, &[0, 6, 0, 0]);
        for (message, request, opening) in [
            (allocate.clone(), true, true),
            (message(1, &[]), true, true),
            (message(4, &[]), true, false),
            (message(0x16, &[]), false, false),
            (message(0x0113, &[]), false, false),
            (channel(b"data"), false, false),
        ] {
            assert_eq!((is_request(&message), opens(&message)), (request, opening), "{message:?}");
        }
        let refused = refusal(&allocate).unwrap();
        assert_eq!((&refused[..4], &refused[4..20]), (&[1, 0x13, 0, 8][..], &allocate[4..20]));
        assert_eq!(error_code(&refused), Some(500));
        assert_eq!(error_code(&message(0x0113, &[0, 0x20, 0, 1, 9, 0, 0, 0, 0, 9, 0, 4, 0, 0, 4, 1])), Some(401));
        for other in [message(0x0113, &[]), message(0x0103, &[0, 9, 0, 4, 0, 0, 4, 1]), message(0x0113, &[0, 9, 0, 9])]
        {
            assert_eq!(error_code(&other), None);
        }
    }
}
