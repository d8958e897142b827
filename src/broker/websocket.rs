//! MQTT over WebSocket (RFC 6455). A library makes the handshake; the frames are read here.
//!
//! The libraries return whole frames, and a broker may put a large message into one. Here the bytes of a frame are
//! passed on as they come, so that a message that is skipped needs no memory.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use async_tungstenite::{tokio::client_async, tungstenite::client::IntoClientRequest};
use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes in one frame that is sent.
const PIECE: usize = 16 << 10;
/// Answers to pings may wait behind this many bytes. Further pings are not answered.
const PENDING: usize = 64 << 10;
/// The largest answer to the handshake, in bytes.
const ANSWER: usize = 16 << 10;
/// The largest payload of a control frame, in bytes (section 5.5).
const CONTROL: usize = 125;

/// The opcodes of frames (section 5.2).
const CONTINUATION: u8 = 0;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Asks for MQTT at this URL, over a connected stream. The error is what the other side answered instead.
pub(super) async fn open<S>(url: &str, stream: S) -> Result<Frames<S>, String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut request = url.into_client_request().map_err(|e| e.to_string())?;
    let mqtt = "mqtt".parse().map_err(|_| "no header".to_owned())?;
    request.headers_mut().insert("Sec-WebSocket-Protocol", mqtt);
    let (socket, response) = client_async(request, Careful::new(stream)).await.map_err(|e| e.to_string())?;
    match response.headers().get("Sec-WebSocket-Protocol") {
        Some(name) if name.as_bytes() == b"mqtt" => {}
        _ => return Err("the server does not offer MQTT (no subprotocol mqtt in its answer)".to_owned()),
    }
    Ok(Frames { stream: socket.into_inner().into_inner(), place: START, control: Vec::new(), out: BytesMut::new() })
}

/// Returns the answer to the handshake alone and whole. Bytes after it must not get lost in the library's buffer.
#[derive(Debug)]
struct Careful<S> {
    stream: S,
    /// Bytes that were read and not returned.
    buffer: BytesMut,
    /// How many of them belong to the answer, once it is whole.
    answer: Option<usize>,
}

impl<S> Careful<S> {
    fn new(stream: S) -> Self {
        Self { stream, buffer: BytesMut::new(), answer: None }
    }
}

impl<S: AsyncRead + Unpin> Careful<S> {
    /// Reads until the answer is whole.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            if let Some(answer) = self.answer {
                return Poll::Ready(Ok(answer));
            }
            let mut bytes = [0; 1024];
            let mut read = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut read))?;
            self.buffer.extend_from_slice(read.filled());
            let end = self.buffer.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
            let over = read.filled().is_empty() || self.buffer.len() > ANSWER;
            self.answer = end.or(over.then_some(self.buffer.len()));
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Careful<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let answer = ready!(self.poll_answer(cx))?;
        let most = if answer > 0 { answer } else { self.buffer.len() };
        if most == 0 {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let piece = self.buffer.split_to(most.min(buf.remaining()));
        buf.put_slice(&piece);
        self.answer = Some(answer.saturating_sub(piece.len()));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Careful<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// The parser's state: where the next byte belongs.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// In a frame's header, with its bytes so far.
    Header { bytes: [u8; 10], known: usize },
    /// In the payload of a frame of this kind.
    Payload { kind: u8, left: u64 },
    /// The other side has closed.
    Closed,
}

const START: Place = Place::Header { bytes: [0; 10], known: 0 };

/// The byte stream inside of a WebSocket's binary frames.
#[derive(Debug)]
pub(super) struct Frames<S> {
    stream: Careful<S>,
    place: Place,
    /// The payload of the control frame that is being read.
    control: Vec<u8>,
    /// Frames that are not sent yet.
    out: BytesMut,
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("WebSocket: {what}"))
}

impl<S> Frames<S> {
    /// How many bytes of data can be read directly now.
    fn data_left(&self) -> Option<u64> {
        match self.place {
            Place::Payload { kind: CONTINUATION | BINARY, left } => Some(left),
            _ => None,
        }
    }

    /// Handles one byte that is not data.
    fn take(&mut self, byte: u8) -> io::Result<()> {
        match self.place {
            Place::Header { mut bytes, known } => {
                bytes[known] = byte;
                self.place = self.header(bytes, known + 1)?;
            }
            Place::Payload { kind, left } => {
                self.control.push(byte);
                self.place = Place::Payload { kind, left: left - 1 };
            }
            Place::Closed => {}
        }
        self.finish();
        Ok(())
    }

    fn header(&mut self, bytes: [u8; 10], known: usize) -> io::Result<Place> {
        let size = match (known, bytes[1] & 0x7f) {
            (..2, _) => return Ok(Place::Header { bytes, known }),
            (_, 126) => 4,
            (_, 127) => 10,
            _ => 2,
        };
        let (kind, is_last) = (bytes[0] & 0x0f, bytes[0] & 0x80 != 0);
        let is_control = matches!(kind, CLOSE | PING | PONG);
        if bytes[0] & 0x70 != 0 || bytes[1] & 0x80 != 0 {
            return Err(broken("the server's frames are masked or extended"));
        }
        if !is_control && !matches!(kind, CONTINUATION | BINARY) {
            return Err(broken("a frame that is not binary"));
        }
        if is_control && (!is_last || size != 2) {
            return Err(broken("a control frame in pieces"));
        }
        if known < size {
            return Ok(Place::Header { bytes, known });
        }
        let left = match size {
            2 => u64::from(bytes[1]),
            4 => u64::from(u16::from_be_bytes([bytes[2], bytes[3]])),
            _ => bytes[2..].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        };
        Ok(Place::Payload { kind, left })
    }

    /// Handles a control frame at its end.
    fn finish(&mut self) {
        let Place::Payload { kind, left: 0 } = self.place else { return };
        let control = std::mem::take(&mut self.control);
        self.place = START;
        match kind {
            PING if self.out.len() < PENDING => self.frame(PONG, &control),
            CLOSE => {
                self.frame(CLOSE, &control[..control.len().min(2)]);
                self.place = Place::Closed;
            }
            _ => {}
        }
    }

    /// Adds a frame to those that wait. Clients mask their frames (section 5.3).
    fn frame(&mut self, kind: u8, payload: &[u8]) {
        // Without random numbers the mask is known. This can harm only broken proxies.
        let mask = getrandom::u32().unwrap_or(0x5a5a_5a5a).to_be_bytes();
        let length = payload.len();
        self.out.extend_from_slice(&[0x80 | kind]);
        match u16::try_from(length) {
            Ok(short) if length <= CONTROL => self.out.extend_from_slice(&[0x80 | short.to_be_bytes()[1]]),
            Ok(short) => {
                self.out.extend_from_slice(&[0x80 | 126]);
                self.out.extend_from_slice(&short.to_be_bytes());
            }
            Err(_) => {
                self.out.extend_from_slice(&[0x80 | 127]);
                self.out.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        self.out.extend_from_slice(&mask);
        self.out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    }
}

impl<S: AsyncWrite + Unpin> Frames<S> {
    /// Sends the frames that wait.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.out.is_empty() {
            let n = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.out))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.advance(n);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Frames<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if matches!(self.place, Place::Closed) {
                // The answer to a close. It does not matter whether it arrives.
                drop(self.poll_send(cx));
                return Poll::Ready(Ok(()));
            }
            let Some(left) = self.data_left() else {
                let mut byte = [0];
                let mut one = ReadBuf::new(&mut byte);
                ready!(Pin::new(&mut self.stream).poll_read(cx, &mut one))?;
                let Some(byte) = one.filled().first().copied() else { return Poll::Ready(Ok(())) };
                self.take(byte)?;
                if !self.out.is_empty()
                    && let Poll::Ready(Err(error)) = self.poll_send(cx)
                {
                    return Poll::Ready(Err(error));
                }
                continue;
            };
            if buf.remaining() == 0 {
                return Poll::Ready(Ok(()));
            }
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(buf.remaining());
            let mut part = ReadBuf::new(buf.initialize_unfilled_to(most));
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
            let n = part.filled().len();
            buf.advance(n);
            if n == 0 {
                return Poll::Ready(Ok(()));
            }
            if let Place::Payload { left, .. } = &mut self.place {
                *left -= n as u64;
            }
            self.finish();
            return Poll::Ready(Ok(()));
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Frames<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_send(cx))?;
        let piece = &bytes[..bytes.len().min(PIECE)];
        self.frame(BINARY, piece);
        // The rest is sent with the next write or flush.
        if let Poll::Ready(Err(error)) = self.poll_send(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !matches!(self.place, Place::Closed) {
            self.frame(CLOSE, &1000_u16.to_be_bytes());
            self.place = Place::Closed;
        }
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
#[path = "websocket_tests.rs"]
mod tests;
