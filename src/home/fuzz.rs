//! The bodies of fuzz targets: what a stranger sends to the HTTPS server before it is known.

use super::{
    first_packet::{self, FirstPacket},
    plain,
};

/// A request in clear, and the first packet of MQTT, from the same bytes.
pub(crate) fn strangers(data: &[u8]) {
    let answer = plain::answer(data);
    let head = answer.windows(4).filter(|four| *four == b"\r\n\r\n").count();
    assert_eq!(head, 1, "the answer is one response");
    assert!(answer.len() < 2 * plain::REQUEST_MAX + data.len());
    let whole = first_packet::read(data, "garden");
    // More bytes never turn a decision into another one.
    if whole != FirstPacket::More {
        let longer = [data, b"\x00\xff"].concat();
        assert_eq!(first_packet::read(&longer, "garden"), whole);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_body_accepts_any_bytes() {
        for data in
            [&b""[..], b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n\r\n", &[0x10; 300], &[0xff; 9], b"\x10\x0c\x00\x04MQTT"]
        {
            super::strangers(data);
        }
    }
}
