//! Carries the feeds into one peer connection. One task a viewer; a slow one loses frames of its own only.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rtc::rtp;
use tokio::{sync::watch, time::timeout};
use webrtc::media_stream::track_local::{TrackLocal, static_rtp::TrackLocalStaticRTP};

use super::{feedback::Said, track::Track};
use crate::{
    feed::{Frame, Next},
    stage::Lease,
};

/// How far the connection is; the pumps follow it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Stage {
    /// ICE is looking for a pair.
    #[default]
    Connecting,
    /// ICE has a pair, DTLS shakes hands: time to have a key frame made.
    Securing,
    /// Media flows.
    Live,
}

/// What the pumps counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Pictures handed to the transport.
    pub frames: AtomicU64,
    /// Pictures left out because this viewer was late.
    pub skipped: AtomicU64,
    /// Packets of sound handed to the transport.
    pub packets: AtomicU64,
    /// Bytes of payload.
    pub bytes: AtomicU64,
}

/// Frames held while DTLS finishes, from a key frame on; more would be a burst of old pictures.
const HELD: usize = 6;
/// The driver takes packets in microseconds. One that does not for so long is stuck; the frame is given up.
const STUCK: Duration = Duration::from_millis(500);

/// One outgoing stream and where its packets go.
pub(super) struct Line {
    /// The RTP state.
    pub track: Track,
    /// The connection's end.
    pub out: Arc<TrackLocalStaticRTP>,
}

impl Line {
    async fn send(&mut self, frame: &Frame, picture: bool, counts: &Counts) -> bool {
        for packet in self.track.packets(frame, picture) {
            counts.bytes.fetch_add(packet.payload.len() as u64, Ordering::Relaxed);
            if !write(&self.out, packet).await {
                return false;
            }
        }
        true
    }
}

async fn write(out: &TrackLocalStaticRTP, packet: rtp::Packet) -> bool {
    matches!(timeout(STUCK, out.write_rtp(packet)).await, Ok(Ok(())))
}

/// Sends the picture until the feed or the connection ends.
pub(super) async fn video(
    mut line: Line,
    mut lease: Lease,
    mut stage: watch::Receiver<Stage>,
    said: Arc<Said>,
    counts: Arc<Counts>,
) {
    let wishes = Arc::clone(lease.reader.wishes());
    let _ = said.picture.set(Arc::clone(&wishes));
    if stage.wait_for(|s| *s >= Stage::Securing).await.is_err() {
        return;
    }
    lease.reader.skip_to_now();
    wishes.wish_key();
    let mut held: Vec<Arc<Frame>> = Vec::new();
    let mut broken = true;
    loop {
        let next = tokio::select! {
            next = lease.reader.next() => next,
            changed = stage.changed() => match changed {
                Ok(()) => {
                    for frame in held.drain(..) {
                        broken |= !send_picture(&mut line, &frame, &said, &counts).await;
                    }
                    continue;
                }
                Err(_) => return,
            },
        };
        let live = *stage.borrow() == Stage::Live;
        match next {
            None => return,
            Some(Next::Missed(n)) => {
                counts.skipped.fetch_add(n, Ordering::Relaxed);
                broken = true;
                wishes.wish_repair();
            }
            Some(Next::Frame(frame)) if broken && !frame.key => {
                if live {
                    counts.skipped.fetch_add(1, Ordering::Relaxed);
                }
            }
            Some(Next::Frame(frame)) if live => {
                broken = !send_picture(&mut line, &frame, &said, &counts).await;
                if broken {
                    wishes.wish_repair();
                }
            }
            Some(Next::Frame(frame)) => {
                if frame.key {
                    held.clear();
                }
                broken = held.len() == HELD;
                if broken {
                    held.clear();
                    wishes.wish_repair();
                } else {
                    held.push(frame);
                }
            }
        }
    }
}

async fn send_picture(line: &mut Line, frame: &Frame, said: &Said, counts: &Counts) -> bool {
    said.video.set(line.track.timestamp(frame.ticks), frame.at);
    let whole = line.send(frame, true, counts).await;
    let count = if whole { &counts.frames } else { &counts.skipped };
    count.fetch_add(1, Ordering::Relaxed);
    whole
}

/// Sends the sound until the feed or the connection ends.
pub(super) async fn audio(
    mut line: Line,
    mut lease: Lease,
    mut stage: watch::Receiver<Stage>,
    said: Arc<Said>,
    counts: Arc<Counts>,
) {
    if stage.wait_for(|s| *s == Stage::Live).await.is_err() {
        return;
    }
    lease.reader.skip_to_now();
    loop {
        let next = tokio::select! {
            next = lease.reader.next() => next,
            gone = stage.changed() => if gone.is_err() { return } else { continue },
        };
        match next {
            None => return,
            // The gap is in the time stamps; the viewer's jitter buffer conceals it.
            Some(Next::Missed(_)) => {}
            Some(Next::Frame(packet)) => {
                said.audio.set(line.track.timestamp(packet.ticks), packet.at);
                line.send(&packet, false, &counts).await;
                counts.packets.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}
