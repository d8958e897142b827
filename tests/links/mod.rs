//! Simulates a camera, a link and a viewer around the daemon's real send path (`viewer::send`): estimator, pacer,
//! sequence numbers and RTX buffer are the real ones. The simulation is deterministic.

pub mod link;
pub mod scenarios;
pub mod viewer;

use std::time::{Duration, Instant};

use fanlight::{
    units::Bitrate,
    viewer::send::{
        send_path::{OutgoingPacket, RateBounds, SendPath},
        stream_state::NegotiatedIds,
    },
};
use rtc::rtp;

use self::{
    link::{Chance, Link},
    scenarios::Scenario,
    viewer::{Part, Report, Viewer},
};

/// Bits per second that the sound takes on the wire.
const SOUND: f64 = 62_000.0;
/// Bytes of a packet of sound on the wire, each 20 ms.
const SOUND_BYTES: usize = 155;
/// Bytes of a full packet of picture on the wire.
const FULL: usize = 1_260;
/// What a packet has around its payload: IP, UDP, RTP with extensions, the tag of SRTP.
const AROUND: usize = 68;
/// A keyframe is this many times a picture.
const KEY: f64 = 5.0;
/// The header extension that numbers packets, the streams, and the payload type of what is sent again.
pub const NUMBER: u8 = 3;
pub const PICTURE: u32 = 1;
pub const AGAIN: u32 = 2;
const HEARD: u32 = 3;
const AGAIN_TYPE: u8 = 109;

/// What happened in a tenth of a second.
#[derive(Debug, Clone, Copy, Default)]
pub struct Moment {
    /// Seconds since the start.
    pub at: f64,
    /// Bits per second that the link carries.
    pub capacity: f64,
    /// The estimate.
    pub estimate: f64,
    /// Bits per second that arrived.
    pub arrived: f64,
    /// How long a packet waits in the link's buffer, ms.
    pub queue: f64,
    /// The fraction that got lost.
    pub lost: f64,
}

/// What a run came to.
#[derive(Debug)]
pub struct Run {
    /// Each tenth of a second.
    pub moments: Vec<Moment>,
    /// When pictures were shown, and how old they were, in seconds.
    pub shown: Vec<(f64, f64)>,
    /// Pictures that were made.
    pub made: usize,
}

/// A camera and its encoder, which follow one estimate.
struct Camera {
    next_picture: f64,
    wanted_key: bool,
    last_key: f64,
    sequence: u16,
}

impl Camera {
    /// The packets of a picture, where it is time for one, and whether it is a keyframe.
    fn picture(
        &mut self,
        ms: u64,
        path: &SendPath,
        most: f64,
        chance: &mut Chance,
    ) -> Option<(Vec<rtp::Packet>, bool)> {
        if (ms as f64) < self.next_picture {
            return None;
        }
        let share = (path.estimate().as_bps_f64() - SOUND) * (0.93 - path.loss().min(0.1));
        let video = share.clamp(30_000.0, most);
        let fps = if video < 150_000.0 {
            8.0
        } else if video < 600_000.0 {
            15.0
        } else {
            30.0
        };
        self.next_picture += 1_000.0 / fps;
        let key = self.wanted_key && ms as f64 - self.last_key >= 1_000.0;
        if key {
            (self.wanted_key, self.last_key) = (false, ms as f64);
        }
        let scale = if key { KEY } else { chance.between(0.7, 1.3) };
        let bytes = ((video / fps / 8.0 * scale) as usize).max(60);
        let parts = bytes.div_ceil(FULL - AROUND);
        let packet = |part| {
            self.sequence = self.sequence.wrapping_add(1);
            let payload = Part { part, parts, key, made: ms }.payload(bytes / parts);
            rtp::Packet { header: header(PICTURE, self.sequence), payload }
        };
        Some(((0..parts).map(packet).collect(), key))
    }
}

fn header(ssrc: u32, sequence_number: u16) -> rtp::Header {
    rtp::Header { version: 2, ssrc, sequence_number, ..Default::default() }
}

/// Plays a scenario.
pub fn play(scenario: &Scenario) -> Run {
    let epoch = Instant::now();
    let at = |ms: u64| epoch + Duration::from_millis(ms);
    let mut chance = Chance::new(scenario.seed);
    let mut link = Link::new(scenario);
    let mut viewer = Viewer::new(scenario);
    let rate = |bits: u32| Bitrate::from_bps(bits.into());
    let bounds = RateBounds { start: rate(scenario.start), ceiling: rate(scenario.ceiling), known: false };
    let mut path = SendPath::new(bounds, epoch);
    for (ssrc, again) in [(PICTURE, Some(AGAIN)), (HEARD, None)] {
        path.add_stream(ssrc, again);
        path.set_negotiated(ssrc, NegotiatedIds { twcc: NUMBER, rtx: AGAIN_TYPE });
    }
    let mut camera = Camera { next_picture: 0.0, wanted_key: true, last_key: -10_000.0, sequence: 0 };
    let mut run = Run { moments: Vec::new(), shown: Vec::new(), made: 0 };
    let (mut sounds, mut arrived_bytes, mut lost, mut count) = (0_u16, 0, 0, 0);
    for ms in 0..(scenario.seconds * 1_000.0) as u64 {
        let (now, seconds) = (at(ms), ms as f64 / 1_000.0);
        if let Some((packets, key)) = camera.picture(ms, &path, (scenario.video)(seconds), &mut chance) {
            run.made += 1;
            camera.wanted_key |= path.enqueue_access_unit(packets, key, now).breaks;
        }
        while let Some((_, dropped)) = path.expire(now) {
            camera.wanted_key |= dropped.breaks;
        }
        let mut leave = Vec::new();
        if ms % 20 == 0 {
            sounds = sounds.wrapping_add(1);
            let payload = vec![0; SOUND_BYTES - AROUND].into();
            let mut packet = rtp::Packet { header: header(HEARD, sounds), payload };
            path.send_audio(&mut packet, now);
            leave.push(packet);
        }
        leave.extend(std::iter::from_fn(|| path.pop(now)).map(|OutgoingPacket { packet, .. }| packet));
        camera.wanted_key |= path.take_feedback_lost();
        for packet in leave {
            count += 1;
            let bytes = packet.payload.len() + AROUND;
            lost += u32::from(!link.take(packet, bytes, ms, &mut chance));
        }
        // The viewer's end, and what it says back.
        for (packet, bytes) in link.give(ms) {
            arrived_bytes += bytes;
            viewer.take(&packet, ms);
        }
        for report in viewer.says(ms) {
            match report {
                Report::Feedback(said) => path.handle_twcc(&said, now),
                Report::Receiver(lost, highest) => path.handle_receiver_report(PICTURE, lost, highest, now),
                Report::Lost(sequences) => sequences.into_iter().for_each(|sequence| {
                    path.retransmit(PICTURE, sequence, now);
                }),
                Report::Key => camera.wanted_key = true,
            }
        }
        if ms % 100 == 99 {
            run.moments.push(Moment {
                at: seconds,
                capacity: (scenario.capacity)(seconds),
                estimate: path.estimate().as_bps_f64(),
                arrived: arrived_bytes as f64 * 80.0,
                queue: link.queue(ms),
                lost: f64::from(lost) / f64::from(count.max(1)),
            });
            (arrived_bytes, lost, count) = (0, 0, 0);
        }
    }
    run.shown = viewer.shown;
    run
}

impl Run {
    /// The moments between two times, in seconds.
    pub fn between(&self, from: f64, to: f64) -> impl Iterator<Item = &Moment> {
        self.moments.iter().filter(move |m| (from..to).contains(&m.at))
    }

    /// The mean of something between two times.
    pub fn mean(&self, from: f64, to: f64, of: impl Fn(&Moment) -> f64) -> f64 {
        let values: Vec<f64> = self.between(from, to).map(of).collect();
        values.iter().sum::<f64>() / values.len().max(1) as f64
    }

    /// The quantile of the queue in ms.
    pub fn queue(&self, from: f64, to: f64, quantile: f64) -> f64 {
        let mut values: Vec<f64> = self.between(from, to).map(|m| m.queue).collect();
        values.sort_by(f64::total_cmp);
        values.get((values.len() as f64 * quantile) as usize).or(values.last()).copied().unwrap_or(0.0)
    }

    /// The longest time without a new picture, in seconds.
    pub fn freeze(&self, from: f64, to: f64) -> f64 {
        let times = self.shown.iter().map(|s| s.0).filter(|t| (from..to).contains(t));
        let times: Vec<f64> = std::iter::once(from).chain(times).chain([to]).collect();
        times.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max)
    }

    /// Pictures shown in a second.
    pub fn fps(&self, from: f64, to: f64) -> f64 {
        self.shown.iter().filter(|s| (from..to).contains(&s.0)).count() as f64 / (to - from)
    }
}
