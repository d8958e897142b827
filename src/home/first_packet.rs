//! The first packet of a viewer, CONNECT, in MQTT 3.1.1 (section 3.1) and 5 (section 3.1). Pure.
//!
//! The broker of home mode has one login, the board's. Everybody in the network may connect without a login. Three
//! things must not come through the HTTPS server: guesses of the board's password, a client with the board's client id
//! (the broker would close the board's connection), and sessions that outlive their connection for long.

/// The largest CONNECT, in bytes.
pub const CONNECT_MAX: usize = 4096;
/// How long a session may outlive its connection, in seconds. The viewer page asks for 30.
const SESSION_MAX: u32 = 120;
/// The bits of the connect flags.
const USER: u8 = 0x80;
const PASSWORD: u8 = 0x40;
const CLEAN: u8 = 0x02;

/// What the bytes so far are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstPacket {
    /// The packet is not whole yet.
    More,
    /// A viewer that may connect.
    Accepted,
    /// Not a viewer; the reason is for the log.
    Refused(&'static str),
}

/// Reads the first packet. `board` is the board's client id.
pub fn read(bytes: &[u8], board: &str) -> FirstPacket {
    let Some(&kind) = bytes.first() else { return FirstPacket::More };
    if kind != 0x10 {
        return FirstPacket::Refused("the first packet is not CONNECT");
    }
    let (length, header) = match remaining_length(bytes.get(1..).unwrap_or_default()) {
        Ok(Some((length, used))) => (length, 1 + used),
        Ok(None) => return FirstPacket::More,
        Err(()) => return FirstPacket::Refused("the length is not one of MQTT"),
    };
    if length > CONNECT_MAX - 5 {
        return FirstPacket::Refused("the first packet is too long");
    }
    let Some(packet) = bytes.get(header..header + length) else { return FirstPacket::More };
    match connect(&mut Fields(packet), board) {
        Some(Ok(())) => FirstPacket::Accepted,
        Some(Err(why)) => FirstPacket::Refused(why),
        None => FirstPacket::Refused("CONNECT is damaged"),
    }
}

/// The fields that matter. `None`: the packet ends too early.
fn connect(fields: &mut Fields<'_>, board: &str) -> Option<Result<(), &'static str>> {
    if fields.text()? != b"MQTT" {
        return Some(Err("another protocol than MQTT"));
    }
    let (version, flags) = (fields.byte()?, fields.byte()?);
    let _keep_alive = fields.take(2)?;
    let kept = match version {
        4 if flags & CLEAN != 0 => 0,
        4 => u32::MAX,
        5 => session_expiry(fields)?,
        _ => return Some(Err("another version than MQTT 3.1.1 and 5")),
    };
    if flags & (USER | PASSWORD) != 0 {
        return Some(Err("viewers have no login here"));
    }
    if kept > SESSION_MAX {
        return Some(Err("its session would be kept for too long"));
    }
    Some(if fields.text()? == board.as_bytes() { Err("it has the client id of the board") } else { Ok(()) })
}

/// The session expiry interval of the properties (MQTT 5 section 3.1.2.11).
fn session_expiry(fields: &mut Fields<'_>) -> Option<u32> {
    let (length, used) = remaining_length(fields.0).ok()??;
    fields.take(used)?;
    let mut properties = Fields(fields.take(length)?);
    let mut expiry = 0;
    while let Some(id) = properties.byte() {
        match id {
            0x11 => expiry = u32::from_be_bytes(properties.take(4)?.try_into().ok()?),
            0x27 => drop(properties.take(4)?),
            0x21 | 0x22 => drop(properties.take(2)?),
            0x17 | 0x19 => drop(properties.take(1)?),
            0x26 => {
                properties.text()?;
                properties.text()?;
            }
            0x15 | 0x16 => drop(properties.text()?),
            _ => return None,
        }
    }
    Some(expiry)
}

/// A variable byte integer (MQTT 5 section 1.5.5), and how many bytes it has. `None`: it is not whole.
fn remaining_length(bytes: &[u8]) -> Result<Option<(usize, usize)>, ()> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((value, at + 1)));
        }
    }
    if bytes.len() < 4 { Ok(None) } else { Err(()) }
}

/// The rest of a packet.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    /// Two bytes of length, and so many bytes.
    fn text(&mut self) -> Option<&'a [u8]> {
        let length = u16::from_be_bytes(self.take(2)?.try_into().ok()?);
        self.take(length.into())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    fn text(text: &str) -> Vec<u8> {
        let mut bytes = u16::try_from(text.len()).unwrap().to_be_bytes().to_vec();
        bytes.extend(text.bytes());
        bytes
    }

    /// CONNECT with these flags, properties (MQTT 5) and client id.
    fn packet(version: u8, flags: u8, properties: &[u8], client: &str) -> Vec<u8> {
        let mut body = text("MQTT");
        body.extend([version, flags, 0, 60]);
        if version == 5 {
            body.push(u8::try_from(properties.len()).unwrap());
            body.extend(properties);
        }
        body.extend(text(client));
        if flags & USER != 0 {
            body.extend(text("board"));
        }
        [vec![0x10, u8::try_from(body.len()).unwrap()], body].concat()
    }

    #[test]
    fn viewers_connect_and_nobody_connects_as_the_board() {
        use FirstPacket::{Accepted, Refused};
        let expiry = |seconds: u32| [&[0x11][..], &seconds.to_be_bytes()].concat();
        let user_property = [&[0x26][..], &text("a"), &text("b"), &[0x21, 0, 9]].concat();
        let rows = [
            (packet(4, CLEAN, &[], "tab"), Accepted),
            (packet(5, CLEAN, &[], "tab"), Accepted),
            (packet(5, 0, &expiry(30), "tab"), Accepted),
            (packet(5, CLEAN, &user_property, ""), Accepted),
            (packet(4, 0, &[], "tab"), Refused("its session would be kept for too long")),
            (packet(5, CLEAN, &expiry(u32::MAX), "tab"), Refused("its session would be kept for too long")),
            (packet(4, CLEAN | USER, &[], "tab"), Refused("viewers have no login here")),
            (packet(5, CLEAN | PASSWORD, &[], "tab"), Refused("viewers have no login here")),
            (packet(4, CLEAN, &[], "garden"), Refused("it has the client id of the board")),
            (packet(5, CLEAN, &[], "garden"), Refused("it has the client id of the board")),
            (packet(3, CLEAN, &[], "tab"), Refused("another version than MQTT 3.1.1 and 5")),
            (packet(5, CLEAN, &[0x99], "tab"), Refused("CONNECT is damaged")),
            (vec![0x10, 2, 0, 9], Refused("CONNECT is damaged")),
            (vec![0x30, 0], Refused("the first packet is not CONNECT")),
            (vec![0x10, 0xff, 0xff, 0xff, 0xff], Refused("the length is not one of MQTT")),
            (vec![0x10, 0xff, 0xff, 0x7f], Refused("the first packet is too long")),
            (b"\x10\x0cx".to_vec(), FirstPacket::More),
        ];
        for (bytes, expected) in rows {
            assert_eq!(read(&bytes, "garden"), expected, "{bytes:02x?}");
        }
    }

    #[test]
    fn a_packet_in_pieces_is_waited_for_and_what_follows_it_does_not_matter() {
        let whole = packet(5, CLEAN, &[0x22, 0, 1], "tab");
        for length in 0..whole.len() {
            assert_eq!(read(&whole[..length], "garden"), FirstPacket::More, "{length}");
        }
        let more = [whole, vec![0xff; 10]].concat();
        assert_eq!(read(&more, "garden"), FirstPacket::Accepted);
    }
}
