//! A camera, a link and a viewer, simulated: the test bench of estimator and pacer. Deterministic: the same figures each time.

pub mod link;
pub mod scenarios;
pub mod viewer;

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use fanlight::viewer::{
    bandwidth::{Estimator, Seen},
    pacer::{Pace, Pacer},
};

use self::{
    link::{Chance, Link, Packet},
    scenarios::Scenario,
    viewer::{Report, Viewer},
};

/// Bits per second that the sound takes on the wire.
const SOUND: f64 = 62_000.0;
/// Bytes of a packet of sound on the wire, each 20 ms.
const SOUND_BYTES: usize = 155;
/// Bytes of a full packet of picture on the wire.
const FULL: usize = 1_260;
/// A key frame is this many times a picture.
const KEY: f64 = 5.0;

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

/// Plays a scenario.
pub fn play(scenario: &Scenario) -> Run {
    let epoch = Instant::now();
    let at = |ms: u64| epoch + Duration::from_millis(ms);
    let mut chance = Chance::new(scenario.seed);
    let mut link = Link::new(scenario);
    let mut viewer = Viewer::new(scenario);
    let mut estimator = Estimator::new(scenario.start, scenario.ceiling, false, epoch);
    let mut pacer: Pacer<Packet> = Pacer::new(epoch);
    let mut log: VecDeque<(u64, Instant, usize, u32)> = VecDeque::new();
    // What was sent of pictures, for those who miss it.
    let mut history: Vec<Packet> = Vec::new();
    let (mut number, mut train) = (0_u64, 0_u32);
    let mut next_picture = 0.0;
    let mut wanted_key = true;
    let mut last_key = -10_000.0_f64;
    let mut run = Run { moments: Vec::new(), shown: Vec::new(), made: 0 };
    let (mut arrived_bytes, mut lost, mut count) = (0, 0, 0);
    for ms in 0..(scenario.seconds * 1_000.0) as u64 {
        let (now, seconds) = (at(ms), ms as f64 / 1_000.0);
        // The camera and its encoder.
        let share = (f64::from(estimator.estimate()) - SOUND) * (0.93 - estimator.loss().min(0.1));
        let video = share.clamp(30_000.0, (scenario.video)(seconds));
        let fps = if video < 150_000.0 {
            8.0
        } else if video < 600_000.0 {
            15.0
        } else {
            30.0
        };
        if ms as f64 >= next_picture {
            next_picture += 1_000.0 / fps;
            let key = wanted_key && ms as f64 - last_key >= 1_000.0;
            let scale = if key { KEY } else { chance.between(0.7, 1.3) };
            let bytes = ((video / fps / 8.0 * scale) as usize).max(60);
            train += 1;
            let parts = bytes.div_ceil(FULL - 64);
            let part =
                |n| Packet { part: n, parts, key, train, bytes: bytes / parts + 64, made: ms, ..Packet::default() };
            let packets = (0..parts).map(|n| (part(n), bytes / parts + 64)).collect();
            let dropped = pacer.picture(now, key, packets);
            run.made += 1;
            if key {
                (wanted_key, last_key) = (false, ms as f64);
            }
            wanted_key |= dropped.breaks;
        }
        wanted_key |= pacer.expire(now).breaks;
        let mut leave: Vec<Packet> = Vec::new();
        if ms % 20 == 0 {
            pacer.sent_beside(now, SOUND_BYTES);
            leave.push(Packet { bytes: SOUND_BYTES, sound: true, made: ms, ..Packet::default() });
        }
        if let Some(probe) = estimator.probe(now) {
            train += 1;
            // Pictures sent again, as long as that makes no queue to speak of.
            let bytes = (estimator.estimate() as usize / 8 / 50).clamp(300, FULL);
            let count = probe.bytes.div_ceil(bytes).max(5);
            if count * bytes <= estimator.estimate() as usize / 80 {
                (0..count).for_each(|_| {
                    pacer.at_once(now, Packet { train, bytes, sound: true, made: ms, ..Packet::default() }, bytes)
                });
            }
        }
        while let Some(mut packet) = pacer.pop(now) {
            if packet.sequence == 0 && !packet.sound {
                packet.sequence = history.len() as u64 + 1;
                history.push(packet);
            }
            leave.push(packet);
        }
        for mut packet in leave {
            packet.number = number;
            log.push_back((number, now, packet.bytes, packet.train));
            number += 1;
            count += 1;
            lost += u32::from(!link.take(packet, ms, &mut chance));
        }
        // The viewer's end, and what it says back.
        for packet in link.give(ms) {
            arrived_bytes += packet.bytes;
            viewer.take(packet, ms);
        }
        for report in viewer.says(ms) {
            match report {
                Report::Feedback(first, arrivals) => {
                    let mut seen = Vec::new();
                    let end = first + arrivals.len() as u64;
                    while let Some((n, sent, bytes, train)) = log.pop_front_if(|sent| sent.0 < end) {
                        let Some(index) = n.checked_sub(first) else { continue };
                        seen.push(Seen { sent, bytes, train, arrived: arrivals[index as usize] });
                    }
                    estimator.feedback(now, &seen);
                    pacer.set_pace(pace(&estimator, now));
                }
                Report::Lost(packets) => {
                    for sequence in packets {
                        let packet = history[sequence as usize - 1];
                        pacer.again(now, packet, packet.bytes);
                    }
                }
                Report::Key => wanted_key = true,
            }
        }
        estimator.tick(now, log.front().map(|sent| sent.1));
        pacer.set_pace(pace(&estimator, now));
        if ms % 100 == 99 {
            run.moments.push(Moment {
                at: seconds,
                capacity: (scenario.capacity)(seconds),
                estimate: f64::from(estimator.estimate()),
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

fn pace(estimator: &Estimator, now: Instant) -> Pace {
    Pace { estimate: estimator.estimate(), haste: estimator.haste(now), spread: 0.5, free: estimator.is_free(now) }
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
