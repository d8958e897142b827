use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;

fn frames(room: usize) -> (Frames<DuplexStream>, DuplexStream) {
    let (near, far) = duplex(room);
    let near = Careful { answer: Some(0), ..Careful::new(near) };
    (Frames { stream: near, place: START, control: Vec::new(), out: BytesMut::new() }, far)
}

/// A frame of a server.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = match payload.len() {
        n @ 0..126 => vec![u8::try_from(n).unwrap()],
        n @ 126..65_536 => [&[126][..], &u16::try_from(n).unwrap().to_be_bytes()].concat(),
        n => [&[127][..], &(n as u64).to_be_bytes()].concat(),
    };
    [&[first][..], &length, payload].concat()
}

/// What the client is given of what a server says before it hangs up, and how that ends.
async fn heard(said: &[u8]) -> (Vec<u8>, Result<(), String>) {
    let (mut frames, mut far) = frames(said.len().max(1));
    far.write_all(said).await.unwrap();
    far.shutdown().await.unwrap();
    let mut all = Vec::new();
    let ended = frames.read_to_end(&mut all).await.map(drop).map_err(|e| e.to_string());
    (all, ended)
}

#[tokio::test]
async fn data_is_handed_on_whatever_frames_it_comes_in() {
    let long = vec![b'x'; 70_000];
    for (said, expected) in [
        (frame(0x82, b"abc"), b"abc".to_vec()),
        ([frame(0x02, b"a"), frame(0x00, b""), frame(0x80, b"bc")].concat(), b"abc".to_vec()),
        ([frame(0x02, b"a"), frame(0x89, b"ping"), frame(0x80, b"bc")].concat(), b"abc".to_vec()),
        ([frame(0x82, b""), frame(0x8a, b"pong"), frame(0x82, &[7; 200])].concat(), vec![7; 200]),
        (frame(0x82, &long), long.clone()),
        ([frame(0x82, b"a"), frame(0x88, &[3, 232]), frame(0x82, b"after the end")].concat(), b"a".to_vec()),
    ] {
        assert_eq!(heard(&said).await, (expected, Ok(())));
    }
}

#[tokio::test]
async fn what_breaks_the_rules_ends_the_connection() {
    for (said, words) in [
        (frame(0x81, b"text"), "not binary"),
        (frame(0x83, b"reserved"), "not binary"),
        (frame(0xc2, b"extended"), "masked or extended"),
        (vec![0x82, 0x81, 1, 2, 3, 4, 5], "masked or extended"),
        (frame(0x09, b"a part of a ping"), "control frame in pieces"),
        (frame(0x89, &[0; 126]), "control frame in pieces"),
    ] {
        let (all, ended) = heard(&said).await;
        assert!(all.is_empty() && ended.as_ref().is_err_and(|e| e.contains(words)), "{said:x?}: {ended:?}");
    }
}

/// A server may send data together with its handshake response. That data is not lost.
#[tokio::test]
async fn what_comes_with_the_answer_is_read() {
    let (near, mut far) = duplex(4096);
    let server = async {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(far.read_u8().await.unwrap());
        }
        let request = String::from_utf8(request).unwrap();
        assert!(
            request.contains("Host: mq.example:9001") && request.to_lowercase().contains("protocol: mqtt"),
            "{request}"
        );
        let key =
            request.lines().find_map(|line| line.to_lowercase().starts_with("sec-websocket-key:").then(|| &line[18..]));
        let accept = async_tungstenite::tungstenite::handshake::derive_accept_key(key.unwrap().trim().as_bytes());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n"
        );
        far.write_all(&[answer.into_bytes(), frame(0x89, b"early"), frame(0x82, b"data")].concat()).await.unwrap();
        far
    };
    let (mut far, opened) = tokio::join!(server, open("ws://mq.example:9001/mqtt", near));
    let mut data = [0; 4];
    opened.unwrap().read_exact(&mut data).await.unwrap();
    assert_eq!((&data, said(&mut far).await), (b"data", (0x8a, b"early".to_vec())));
}

/// A frame of ours, unmasked: its first byte and its payload.
async fn said(far: &mut DuplexStream) -> (u8, Vec<u8>) {
    let (first, length) = (far.read_u8().await.unwrap(), far.read_u8().await.unwrap());
    assert!(length & 0x80 != 0, "clients mask");
    let length = match length & 0x7f {
        126 => usize::from(far.read_u16().await.unwrap()),
        127 => usize::try_from(far.read_u64().await.unwrap()).unwrap(),
        n => usize::from(n),
    };
    let mut mask = [0; 4];
    far.read_exact(&mut mask).await.unwrap();
    let mut payload = vec![0; length];
    far.read_exact(&mut payload).await.unwrap();
    payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    (first, payload)
}

#[tokio::test]
async fn what_is_written_comes_in_masked_frames() {
    let (mut frames, mut far) = frames(1 << 20);
    let long: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    frames.write_all(b"short").await.unwrap();
    frames.write_all(&long).await.unwrap();
    frames.flush().await.unwrap();
    assert_eq!(said(&mut far).await, (0x82, b"short".to_vec()));
    let mut all = Vec::new();
    while all.len() < long.len() {
        let (first, payload) = said(&mut far).await;
        assert!(first == 0x82 && payload.len() <= PIECE);
        all.extend(payload);
    }
    assert_eq!(all, long);
    frames.shutdown().await.unwrap();
    assert_eq!(said(&mut far).await, (0x88, vec![3, 232]));
}

#[tokio::test]
async fn pings_and_the_end_are_answered_without_a_word_of_ours() {
    let (mut frames, mut far) = frames(1 << 20);
    far.write_all(&[frame(0x89, b"are you there"), frame(0x88, &[3, 233, b'x'])].concat()).await.unwrap();
    assert_eq!(frames.read(&mut [0; 10]).await.unwrap(), 0);
    assert_eq!(said(&mut far).await, (0x8a, b"are you there".to_vec()));
    assert_eq!(said(&mut far).await, (0x88, vec![3, 233]));
}

#[tokio::test]
async fn pings_that_nobody_takes_answers_to_cost_no_memory() {
    let (mut frames, mut far) = frames(1000);
    let flood = async {
        for _ in 0..20_000 {
            far.write_all(&frame(0x89, &[1; 125])).await.unwrap();
        }
        far.write_all(&frame(0x82, b"x")).await.unwrap();
        far
    };
    let mut byte = [0];
    let (_far, read) = tokio::join!(flood, frames.read_exact(&mut byte));
    assert!(read.is_ok() && frames.out.len() <= PENDING + 200, "{}", frames.out.len());
}
