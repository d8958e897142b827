//! Bandwidth estimation for one viewer's network. Pure: feedback in, an estimate out; time is an argument.
//!
//! It follows Google congestion control (draft-ietf-rmcat-gcc-02) and its successors, in six parts:
//! - `delay`: a growing queue on the path, before anything is lost;
//! - `loss`: loss, if a queue is too short to be seen, unless the radio link loses as much at any rate;
//! - `train`: the spacing of packets that left together shows the capacity, without a long test;
//! - `acked`: the rate that arrives limits what may be believed;
//! - `sources`: which feedback is used, and when its absence is a silence;
//! - `crosscheck`: whether two kinds of feedback of one viewer can both be true.

mod acked;
mod crosscheck;
mod delay;
mod loss;
mod probe;
mod reports;
mod sources;
#[cfg(test)]
mod tests;
mod train;

use std::time::{Duration, Instant};

pub use self::probe::Probe;
use self::{
    acked::AckedBitrate,
    crosscheck::Crosscheck,
    delay::{DelayEstimator, Usage},
    loss::{Advice, LossEstimator},
    sources::{FeedbackSources, Missed},
    train::{PacketTrains, TrainRate},
};
use crate::units::{Bitrate, DataSize};

/// The lowest useful bitrate of a picture.
pub const FLOOR: Bitrate = Bitrate::from_kbps(60);
/// The share of the arriving rate that is left when a queue grows (draft, section 5.5).
const BACK_OFF: f64 = 0.85;
/// Growth per second while nothing speaks against it (draft, section 5.5).
const GROWTH: f64 = 1.08;
/// The estimate may exceed the arriving rate by this factor at most: a rate that was not tried is not known.
const TRIED: f64 = 1.5;
/// For this long after the first feedback, trains may lower the estimate, too.
const OPENING: Duration = Duration::from_secs(2);
/// A standing queue of this length is emptied even if it does not grow: it was there first, or the buffer is full.
const FULL: Duration = Duration::from_millis(100);
/// How long it may stand.
const FULL_TIME: Duration = Duration::from_millis(800);
/// After this many useless attempts it is not a queue: the path has become longer.
const FULL_TRIES: u32 = 3;
/// A shorter queue than this comes from the frames themselves and is not emptied.
const NO_QUEUE: Duration = Duration::from_millis(40);
/// A longer queue lowers the rate in proportion: this much extra length would take all of it. But it takes at most the
/// share `DRAIN_MOST`.
const DRAIN: Duration = Duration::from_millis(500);
const DRAIN_MOST: f64 = 0.4;
/// Probes and train results count only while the queue is shorter than this.
const QUIET: Duration = Duration::from_millis(20);
/// The share of the earlier estimate that is tried after a silence.
const RESUME: f64 = 0.5;
/// The time between probes while the path may carry more; it grows if the results did not last.
const PROBE_PAUSE: Duration = Duration::from_secs(4);
const PROBE_PAUSE_MOST: Duration = Duration::from_secs(32);
/// How long a result has to last.
const LASTING: Duration = Duration::from_secs(3);
/// The first probe after congestion.
const PROBE_CALM: Duration = Duration::from_secs(2);
/// How long a loss or a cut limits the pacing factor.
const CAREFUL: Duration = Duration::from_secs(10);
/// What a probe tries, as a multiple of the estimate.
const PROBE_FACTOR: f64 = 2.0;
/// What a growing estimate gains in one response time near the limit of the path: a full packet per second.
const STEP: Bitrate = Bitrate::from_bps(9_600);
/// The estimate may exceed the arriving rate by this much more, so that it can leave a rate near zero.
const TRIED_MORE: Bitrate = Bitrate::from_kbps(10);

/// What feedback says about one packet.
#[derive(Debug, Clone, Copy)]
pub struct PacketResult {
    /// When it was given to the socket.
    pub sent: Instant,
    /// Its size on the wire, with all headers.
    pub size: DataSize,
    /// The number of its packet train; 0: it left alone.
    pub train: u32,
    /// When it arrived, on the receiver's clock; `None` if it was lost.
    pub arrived: Option<Duration>,
}

/// What last changed the estimate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cause {
    /// Nothing spoke against more.
    #[default]
    Calm,
    /// A queue that grows.
    DelayEstimator,
    /// A queue that stands.
    Queue,
    /// Lost packets.
    LossEstimator,
    /// A packet train.
    PacketTrain,
    /// No feedback.
    Silence,
    /// The receiver's own estimate (REMB), or its receiver report.
    Receiver,
}

/// The bandwidth estimate for one viewer's network.
#[derive(Debug)]
pub struct BandwidthEstimator {
    estimate: Bitrate,
    ceiling: Bitrate,
    known: bool,
    delay: DelayEstimator,
    loss: LossEstimator,
    trains: PacketTrains,
    acked: AckedBitrate,
    round_trip: Duration,
    sources: FeedbackSources,
    crosscheck: Crosscheck,
    /// The first feedback, and the first one after a silence.
    first: Option<Instant>,
    opened: Option<Instant>,
    /// The estimate when the viewer's reports last agreed with each other.
    agreed: Bitrate,
    /// The receiver's own estimate (REMB), while it is used; otherwise `Bitrate::MAX`.
    most: Bitrate,
    /// Whether the limit of the path was met.
    limited: bool,
    /// When the estimate last could grow.
    grown: Instant,
    /// The last cut.
    cut: Option<Instant>,
    /// The arriving rate when the limit of the path was met, smoothed.
    capacity: Option<Bitrate>,
    /// Since when a queue has stood, or when it was last emptied.
    full: Option<Instant>,
    /// How often the standing queue was to be emptied, and its length at the last time.
    full_tries: (u32, Duration),
    /// The last probe, whether the next one is due soon, and the time between two otherwise.
    probed: Option<Instant>,
    probing: bool,
    pause: Duration,
    /// When a train last found more.
    raised: Option<Instant>,
    /// When packets were last lost.
    lossy: Option<Instant>,
    cause: Cause,
}

impl BandwidthEstimator {
    /// An estimator that begins at `start` and looks for no more than `ceiling`, both with all headers; `known` if the
    /// start comes from an earlier session.
    pub fn new(start: Bitrate, ceiling: Bitrate, known: bool, now: Instant) -> Self {
        let ceiling = ceiling.max(FLOOR);
        Self {
            estimate: start.clamp(FLOOR, ceiling),
            ceiling,
            known,
            delay: DelayEstimator::new(now),
            loss: LossEstimator::default(),
            trains: PacketTrains::default(),
            acked: AckedBitrate::default(),
            round_trip: Duration::from_millis(100),
            sources: FeedbackSources::default(),
            crosscheck: Crosscheck::default(),
            first: None,
            opened: None,
            agreed: start.clamp(FLOOR, ceiling),
            most: Bitrate::MAX,
            limited: false,
            grown: now,
            cut: None,
            capacity: None,
            full: None,
            full_tries: (0, Duration::ZERO),
            probed: None,
            probing: false,
            pause: PROBE_PAUSE,
            raised: None,
            lossy: None,
            cause: Cause::Calm,
        }
    }

    /// The rate at which data may leave, with all headers, in whole bits per second. While a queue has to empty, this
    /// is less than the path carries.
    pub fn estimate(&self) -> Bitrate {
        let extra = self.delay.standing().saturating_sub(NO_QUEUE);
        let drain = extra.div_duration_f64(DRAIN).min(DRAIN_MOST);
        (self.estimate * (1.0 - drain)).max(FLOOR).floor()
    }

    /// What last changed the estimate.
    pub fn cause(&self) -> Cause {
        self.cause
    }

    /// The length of the queue on the path, as the time that a packet waits there.
    pub fn queue(&self) -> Duration {
        self.delay.standing()
    }

    /// The recent loss fraction, 0 to 1.
    pub fn loss(&self) -> f64 {
        self.loss.fraction()
    }

    /// The round-trip time, with the delay of the feedback itself.
    pub fn round_trip(&self) -> Duration {
        self.round_trip
    }

    /// The pacing factor: how much faster than the estimate a frame may leave. It is near 1 if the buffer on the path
    /// is so short that it overflows.
    pub fn pacing_factor(&self, now: Instant) -> f64 {
        if self.is_lossy(now) { 1.2 } else { 2.5 }
    }

    /// Whether packets were lost recently: more than one in a hundred, within a second.
    pub fn is_lossy(&self, now: Instant) -> bool {
        self.lossy.is_some_and(|at| now.saturating_duration_since(at) < CAREFUL)
    }

    /// Whether the path has shown no limit, so far or recently. Then frames need not be spread. The first picture is
    /// the first packet train.
    pub fn is_unconstrained(&self, now: Instant) -> bool {
        let unheard = self.first.is_none() && !self.known;
        (unheard || self.estimate >= self.ceiling)
            && self.cut.is_none_or(|cut| now.saturating_duration_since(cut) > CAREFUL)
    }

    /// Reads what the receiver says about packets, in the order in which they left.
    pub fn feedback(&mut self, now: Instant, packets: &[PacketResult]) {
        let lost = packets.iter().filter(|p| p.arrived.is_none()).count();
        self.crosscheck.transport(count(packets.len()), count(lost));
        if self.crosscheck.is_contradicted() {
            return;
        }
        let Some(newest) = packets.iter().rev().find(|p| p.arrived.is_some()) else {
            self.count_loss(now, packets);
            return;
        };
        let before = self.sources.transport(now);
        self.first.get_or_insert(now);
        let opened = *self.opened.get_or_insert(now);
        self.most = Bitrate::MAX;
        self.round_trip = (self.round_trip * 7 + now.saturating_duration_since(newest.sent)) / 8;
        if let Some(before) = before {
            self.opened = Some(now);
            self.set(self.estimate.max(before * RESUME), Cause::Silence);
        }
        let opening = before.is_some() || now.saturating_duration_since(opened) < OPENING;
        for packet in packets {
            if let Some(arrived) = packet.arrived {
                self.delay.packet(packet.sent, arrived);
                self.acked.packet(arrived, packet.size);
            }
            let found = self.trains.packet(packet.train, packet.sent, packet.arrived, packet.size);
            if let Some(found) = found.filter(|_| before.is_none()) {
                self.take_train(found, opening, now);
            }
        }
        if opening
            && before.is_none()
            && let Some(found) = self.trains.so_far()
        {
            self.take_train(found, opening, now);
        }
        if before.is_some() {
            // What piled up in the silence says nothing about the path: start again, and soon.
            self.grown = now;
            (self.cut, self.pause, self.probing) = (None, PROBE_PAUSE, true);
            return;
        }
        self.follow_delay(now);
        self.count_loss(now, packets);
    }

    /// Uses the result of a packet train, or of the part that has arrived so far.
    fn take_train(&mut self, found: TrainRate, opening: bool, now: Instant) {
        let goes = found.arrived.min(found.sent) * 0.9;
        if opening && found.met_the_end() && goes < self.estimate {
            // The first guess was too high; there is no need to wait for a queue.
            self.set(goes, Cause::PacketTrain);
            (self.capacity, self.limited) = (Some(found.arrived), true);
            self.grown = now;
            return;
        }
        let quiet = self.delay.usage() == Usage::Normal && self.delay.standing() < QUIET && found.lost == 0;
        let rested = self.cut.is_none_or(|cut| now.saturating_duration_since(cut) > PROBE_CALM / 2);
        if goes > self.estimate && quiet && rested {
            // Probe again soon, as long as there is more.
            self.probing = !found.met_the_end();
            let most = if opening { Bitrate::MAX } else { self.estimate * PROBE_FACTOR };
            self.set(goes.min(most), Cause::PacketTrain);
            (self.raised, self.limited) = (Some(now), found.met_the_end());
        }
    }

    /// Lowers the estimate if a queue grows or stands; otherwise lets it grow.
    fn follow_delay(&mut self, now: Instant) {
        let past = now.saturating_duration_since(self.grown).min(Duration::from_secs(1));
        self.grown = now;
        let arriving = self.acked.rate();
        let may_cut = self.may_cut(now);
        let full = self.is_full(now);
        if full || (self.delay.usage() == Usage::Over && may_cut) {
            let arriving = self.acked.rate_now().unwrap_or(self.estimate);
            let rate = (arriving * BACK_OFF).min(self.estimate);
            self.capacity = Some(self.capacity.map_or(arriving, |c| c * 0.9 + arriving * 0.1));
            self.set(rate, if full { Cause::Queue } else { Cause::DelayEstimator });
            self.was_cut(now);
            return;
        }
        if self.delay.usage() != Usage::Normal || !may_cut || !self.loss.may_grow() {
            return;
        }
        let most = arriving.map_or(self.estimate, |rate| rate * TRIED + TRIED_MORE);
        let near = self.capacity.is_some_and(|c| (c * 0.8..c * 1.2).contains(&self.estimate));
        let grown = if near {
            self.estimate + STEP * past.as_secs_f64() / self.response().as_secs_f64()
        } else {
            self.capacity = self.capacity.filter(|c| self.estimate < *c);
            self.estimate * GROWTH.powf(past.as_secs_f64())
        };
        if grown <= most {
            self.set(grown, Cause::Calm);
        }
    }

    /// Notes a cut. If a probe raised the estimate just before, the next probes are further apart.
    fn was_cut(&mut self, now: Instant) {
        (self.cut, self.limited) = (Some(now), true);
        if self.raised.take().is_some_and(|at| now.saturating_duration_since(at) < LASTING) {
            self.pause = (2 * self.pause).min(PROBE_PAUSE_MOST);
        }
    }

    /// How long a change takes to be seen.
    fn response(&self) -> Duration {
        self.round_trip + Duration::from_millis(100)
    }

    /// Whether the last cut has had time to show.
    fn may_cut(&self, now: Instant) -> bool {
        self.cut.is_none_or(|cut| now.saturating_duration_since(cut) > self.response())
    }

    /// Whether a queue stands and does not empty: time to send less for a while.
    fn is_full(&mut self, now: Instant) -> bool {
        let standing = self.delay.standing();
        if standing < FULL {
            self.full = None;
            self.full_tries.0 = 0;
            return false;
        }
        let since = *self.full.get_or_insert(now);
        if now.saturating_duration_since(since) < FULL_TIME {
            return false;
        }
        self.full = Some(now);
        let (tries, before) = self.full_tries;
        self.full_tries = if tries > 0 && standing < before * 4 / 5 { (1, standing) } else { (tries + 1, standing) };
        if self.full_tries.0 > FULL_TRIES {
            self.delay.forget_base();
            self.full_tries.0 = 0;
            return false;
        }
        true
    }

    /// Counts lost packets, and lowers the estimate if that is due.
    fn count_loss(&mut self, now: Instant, packets: &[PacketResult]) {
        let lost = packets.iter().filter(|p| p.arrived.is_none()).count();
        if self.loss.fraction() > 0.01 {
            self.lossy = Some(now);
        }
        match self.loss.count(count(packets.len()), count(lost), self.acked.rate().unwrap_or_default(), now) {
            // A queue that was met just now explains the loss.
            Some(Advice::Cut(factor)) if self.may_cut(now) => {
                // Based on the rate that was sent, which may be below the estimate: a cut that changes nothing shows
                // nothing.
                let sent = self.acked.rate().map_or(self.estimate, |rate| rate / (1.0 - self.loss.fraction()).max(0.1));
                self.set(self.estimate.min(sent) * factor, Cause::LossEstimator);
                self.was_cut(now);
            }
            Some(_) | None => {}
        }
    }

    /// Sets the estimate, within its bounds.
    fn set(&mut self, rate: Bitrate, cause: Cause) {
        self.estimate = rate.clamp(FLOOR, self.ceiling);
        self.cause = cause;
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
