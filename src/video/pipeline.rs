//! The video pipeline, from a captured frame to the feed: encoder requests, keyframes, rate, encoder, payloads, health.

use std::{sync::Arc, time::Duration};

use tracing::{debug, info};

use crate::{
    clock::Mono,
    config::Video,
    feed::{EncoderRequests, Fault, FeedWriter, Frame, Health},
    meter::{self, Counts, Meter},
    rate::{EncoderPlan, Full, RateLimits, RatePlanner},
    units::{Bitrate, DataSize},
    video::{
        capture::dmabuf::DmabufFrame,
        decode::planes::Planes,
        encode::{Coded, VideoEncoder, budget::Budget, keyframes::KeyframePolicy},
        frame_pace::{FrameDropper, Rate},
        h264::{self, H264Packetizer, Packetized},
        questions::Questions,
        source_health::{Reopening, SourceHealth},
        sources::{Source, clockstrip},
        v4l2::Node,
    },
};

/// How often the viewers' bandwidth estimates are read.
const PLANNING: Duration = Duration::from_millis(50);
/// How often the privacy shutter is checked.
const SHUTTER: Duration = Duration::from_secs(1);
/// The RTP clock rate of video, in Hz (RFC 6184 section 8.2.1).
const CLOCK: u32 = 90_000;

/// The state of one run of a source.
pub(crate) struct VideoPipeline<'a> {
    config: &'a Video,
    /// The source's name in messages, and when it was requested.
    name: String,
    asked: Mono,
    out: &'a FeedWriter,
    rate: Rate,
    thinning: FrameDropper,
    /// What the viewers' networks allow, and when the plan was last made.
    rates: RatePlanner,
    plan: EncoderPlan,
    planned: Mono,
    /// How far the encoder keeps to its bitrate.
    budget: Budget,
    /// When the shutter was last checked, and the health of frames since then: `Ok` or `Privacy`.
    shutter_checked: Mono,
    seen: Health,
    /// The size of the last raw frame, at first the configured one. Coded frames do not change it.
    size: (u32, u32),
    /// The frame scaled down.
    small: Option<Planes>,
    /// Frames left out by the plan since the last encoded one.
    left_out: u32,
    keys: KeyframePolicy,
    questions: Questions,
    coder: VideoEncoder<'a>,
    /// For a source that delivers coded frames.
    packetizer: H264Packetizer,
    /// Whether the next frame must be a keyframe.
    key: bool,
    /// Whether a keyframe was sent. Nothing is sent before the first.
    started: bool,
    ticks: u64,
    condition: SourceHealth,
    /// How many frames were missing in a coded stream at the last check.
    lost: u64,
    pub(crate) meter: Meter,
}

impl<'a> VideoPipeline<'a> {
    /// A pipeline for a source that was requested at `asked` and is open now.
    pub(crate) fn new(config: &'a Video, source: &Source, out: &'a FeedWriter, asked: Mono) -> Self {
        let now = Mono::now();
        let interval = if source.makes_keyframes() { config.key_interval } else { Duration::MAX };
        let wanted = Rate::whole(config.fps);
        // The rate for the encoder. If the source's rate is unknown, the configured one is assumed.
        let rate = source.rate().filter(|rate| rate.fps() <= wanted.fps() * 1.1).unwrap_or(wanted);
        Self {
            config,
            name: source.to_string(),
            asked,
            out,
            rate,
            rates: RatePlanner::default(),
            plan: EncoderPlan { bitrate: config.bitrate, every: 1, shrink: 1 },
            planned: Mono(0),
            budget: Budget::default(),
            shutter_checked: Mono(0),
            seen: Health::Ok,
            size: config.size,
            small: None,
            left_out: 0,
            thinning: FrameDropper::new(source.rate(), config.fps),
            keys: KeyframePolicy::new(interval),
            questions: Questions::default(),
            coder: VideoEncoder::new(config, rate, config.bitrate),
            packetizer: H264Packetizer::default(),
            key: false,
            started: false,
            ticks: 0,
            condition: SourceHealth::new(source, &Counts::default(), now),
            lost: 0,
            meter: Meter::new(now),
        }
    }

    /// Continues after the source was opened again. RTP time does not go back, and counts are not lost.
    pub(crate) fn after(self, before: Self) -> Self {
        let coder = self.coder.after(before.coder);
        let condition = self.condition.after(&before.condition, &before.meter.counts);
        let lost = holes(&before.meter.counts);
        Self {
            condition,
            lost,
            seen: before.seen,
            questions: before.questions,
            ticks: before.ticks,
            meter: before.meter,
            rates: before.rates,
            plan: before.plan,
            coder,
            ..self
        }
    }

    /// Sets up DMABUF import, if camera and hardware encoder can share memory. Call it before the first frame. It is
    /// not possible if the picture clock is drawn into frames.
    pub(crate) fn import_from(&mut self, source: &Source) -> Result<(), Fault> {
        if self.config.clock || !self.coder.may_import_dmabuf() {
            return Ok(());
        }
        match source.dmabuf_export() {
            Some(dmabuf_export) => {
                self.size = dmabuf_export.size;
                self.coder.import_from(Arc::new(dmabuf_export)).map_err(Fault::Failed)
            }
            None => Ok(()),
        }
    }

    /// The encoder's node, if [`VideoPipeline::collect`] may have results from it; waited for together with the source.
    pub(crate) fn waited_for(&self) -> Option<Arc<Node>> {
        self.coder.waited_for()
    }

    /// Applies the encoder requests. Call it once per frame.
    pub(crate) fn steer(&mut self, source: &mut Source) {
        let requests = self.out.requests();
        self.questions.answer(requests.camera(), source);
        // A frame missing in a camera's coded stream is repaired like a loss that a viewer reports.
        let holes = holes(&self.meter.counts);
        let hole = source.is_coded() && holes > std::mem::replace(&mut self.lost, holes);
        let (joined, broken, now) = (requests.take_key(), requests.take_repair() || hole, Mono::now());
        self.condition.reopen.request(joined, broken, now);
        if self.keys.due(joined, broken, now) {
            self.key = true;
            source.force_keyframe();
        }
        if now.since(self.planned) < PLANNING {
            return;
        }
        self.planned = now;
        self.condition.check(source, self.out, now);
        let wanted = wanted(self.config.bitrate, requests);
        let before = self.plan;
        self.plan = plan(&mut self.rates, requests, Full { size: self.size, fps: self.rate.fps() }, wanted, now);
        if (before.every, before.shrink) != (self.plan.every, self.plan.shrink) && !source.is_coded() {
            debug!("video: the viewers' networks allow {}", self.planned_text());
        }
        let aim = self.budget.aim(self.plan.bitrate, now);
        source.set_bitrate(aim);
        self.check_shutter(source);
        self.coder.set_ceiling(wanted.ceiling);
        self.coder.steer(aim, self.rate.fps() / f64::from(self.plan.every));
        source.export_frames(self.exports_frames());
    }

    /// Whether the encoder reads the next frame in the camera's memory. One that a command waits for is copied.
    fn exports_frames(&self) -> bool {
        let is_due = || self.questions.is_picture_due(self.out.requests().camera(), Mono::now());
        self.plan.shrink == 1 && self.coder.imports_dmabuf() && !is_due()
    }

    /// Once a second: a closed shutter explains a black picture, and a camera that sends none.
    fn check_shutter(&mut self, source: &mut Source) {
        if self.planned.since(self.shutter_checked) < SHUTTER {
            return;
        }
        self.shutter_checked = self.planned;
        let covered = source.is_covered();
        let seen = if covered { Health::Privacy } else { Health::Ok };
        if std::mem::replace(&mut self.seen, seen) != seen {
            let news = if covered { "its shutter is closed: privacy" } else { "its shutter is open again" };
            info!("video: {}: {news}", self.name);
        }
    }

    fn planned_text(&self) -> String {
        let EncoderPlan { bitrate, every, shrink } = self.plan;
        let (width, height) = (self.size.0 / shrink, self.size.1 / shrink);
        format!("{bitrate}: {width}x{height}, {:.0}/s", self.rate.fps() / f64::from(every))
    }

    /// Encodes a frame. [`VideoPipeline::collect`] sends it.
    pub(crate) fn code(&mut self, planes: &mut Planes, at: Mono) -> Result<(), Fault> {
        self.condition.shown(&self.meter.counts, Mono::now());
        self.questions.give(self.out.requests().camera(), planes, at);
        if !self.thinning.takes(at) || self.is_left_out() {
            self.meter.counts.thinned += 1;
            return Ok(());
        }
        let (width, height) = planes.size();
        self.size = (width as u32, height as u32);
        if self.plan.shrink > 1 {
            let mut small = self.small.take();
            let made = planes.shrink(self.plan.shrink, &mut small);
            self.small = small;
            made.map_err(Fault::Failed)?;
        } else {
            self.small = None;
        }
        // Taken out of `self`, because `code_planes` borrows `self` too.
        let mut small = self.small.take();
        let planes = small.as_mut().unwrap_or(planes);
        let (width, height) = planes.size();
        self.out.set_size((width as u32, height as u32));
        let coded = self.code_planes(planes, at);
        self.small = small;
        coded
    }

    /// Whether the plan leaves this frame out. A requested keyframe is never left out.
    fn is_left_out(&mut self) -> bool {
        self.left_out += 1;
        if self.left_out < self.plan.every && !self.key {
            return true;
        }
        self.left_out = 0;
        false
    }

    fn code_planes(&mut self, planes: &mut Planes, at: Mono) -> Result<(), Fault> {
        if self.config.clock {
            let width = planes.size().0;
            clockstrip::draw(planes.split_mut(), width, clockstrip::value(at.wall()));
        }
        self.coder.put(planes, self.key, at, &mut self.meter.counts).map_err(Fault::Failed)
    }

    /// Passes a camera's buffer to the encoder without a copy.
    pub(crate) fn encode_dmabuf(&mut self, frame: DmabufFrame) {
        self.condition.shown(&self.meter.counts, Mono::now());
        self.questions.saw_frame(frame.at);
        if !self.thinning.takes(frame.at) || self.is_left_out() {
            self.meter.counts.thinned += 1;
            self.coder.decline(frame);
            return;
        }
        self.out.set_size(self.size);
        self.coder.encode_dmabuf(frame, self.key, &mut self.meter.counts);
    }

    /// Sends the frames that the encoder has finished, and returns the camera's buffers.
    pub(crate) fn collect(&mut self, source: &mut Source) -> Result<(), Fault> {
        while let Some(Coded { cut, at, took }) = self.coder.take() {
            self.meter.coded_in(took);
            self.send(cut, at);
        }
        source.export_frames(self.exports_frames());
        source.requeue(self.coder.back())
    }

    /// Sends a frame that the source has coded.
    pub(crate) fn pass(&mut self, stream: &[u8], at: Mono) {
        let now = Mono::now();
        self.condition.shown(&self.meter.counts, now);
        let nals: Vec<&[u8]> = h264::nals(stream).collect();
        let cut = self.packetizer.packetize(&nals);
        let key = cut.as_ref().is_some_and(|cut| cut.key);
        self.condition.watch.unit(&nals, self.packetizer.sets(), key, now);
        if key {
            self.condition.reopen.key(now);
        }
        if let Some(cut) = cut {
            self.send(cut, at);
        }
    }

    /// No usable frame came.
    pub(crate) fn nothing(&mut self, source: &Source) -> Result<(), Fault> {
        if self.seen == Health::Privacy {
            self.condition.covered(&self.meter.counts, self.out, Mono::now());
            return Ok(());
        }
        self.condition.nothing(source, &self.meter.counts, self.out, Mono::now())
    }

    /// Whether the source must be opened again, for waiting viewers or because of the stream it sends.
    pub(crate) fn reopening(&self, source: &Source) -> Result<Option<Reopening>, Fault> {
        self.condition.reopening(source, Mono::now())
    }

    /// Logs the figures once a period.
    pub(crate) fn report(&mut self) {
        self.coder.name().clone_into(&mut self.meter.coder);
        match self.meter.report(Mono::now(), meter::period()) {
            Some(report) if report.is_noteworthy() => info!("video: {report}"),
            Some(report) => debug!("video: {report}"),
            None => return,
        }
        self.lost = 0;
        self.condition.restart();
    }

    fn send(&mut self, cut: Packetized, at: Mono) {
        let Packetized { unit, key, level } = cut;
        if key {
            self.keys.seen(Mono::now());
            self.key = false;
            if !self.started {
                self.started = true;
                info!("video: {}: on, first picture after {} ms", self.name, Mono::now().since(self.asked).as_millis());
            }
        }
        if !self.started {
            return;
        }
        // Two frames with the same RTP time would be one frame to a receiver.
        self.ticks = at.ticks(CLOCK).max(self.ticks + 1);
        let frame = Frame { unit, key, level, ticks: self.ticks, at };
        let counts = &mut self.meter.counts;
        counts.sent += 1;
        counts.keys += u64::from(key);
        counts.bytes += frame.len() as u64;
        self.budget.sent(DataSize::from_bytes(frame.len()), Mono::now());
        self.out.send(frame);
        self.condition.sent(self.out, self.seen);
    }
}

/// The bitrate limits now. `bitrate` is the one at the start; a reload may have changed it since.
fn wanted(bitrate: Bitrate, requests: &EncoderRequests) -> RateLimits {
    RateLimits { ceiling: requests.bitrate().unwrap_or(bitrate), floor: requests.floor() }
}

/// Frames missing in a coded stream: those that the driver lost, and those that were refused.
fn holes(counts: &Counts) -> u64 {
    counts.lost + counts.flagged + counts.damaged
}

/// Makes the plan from all bandwidth estimates. Viewers whose network is too slow for it get keyframes only.
fn plan(rates: &mut RatePlanner, requests: &EncoderRequests, full: Full, wanted: RateLimits, now: Mono) -> EncoderPlan {
    let networks: Vec<_> = requests.networks().into_iter().filter_map(|n| Some((n.estimate(now)?, n))).collect();
    let estimates: Vec<_> = networks.iter().map(|(estimate, _)| *estimate).collect();
    let (plan, keyframe_only) = rates.plan(&estimates, full, wanted, now);
    for ((_, network), only) in networks.iter().zip(keyframe_only) {
        network.set_keyframe_only(only);
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::{Evidence, NetworkReport, feed};

    const RATE: Bitrate = Bitrate::from_kbps(2_000);
    const FULL: Full = Full { size: (1280, 720), fps: 30.0 };

    #[test]
    fn a_reload_raises_and_lowers_what_the_start_asked_for() {
        let writer = feed(4);
        let requests = writer.requests();
        assert_eq!(wanted(RATE, requests), RateLimits { ceiling: RATE, floor: 0.33 });
        for (kilobits, percent) in [(6_000, 50), (300, 0), (2_000, 100)] {
            let ceiling = Bitrate::from_kbps(kilobits);
            requests.request_bitrate(ceiling);
            requests.set_floor(percent);
            assert_eq!(wanted(RATE, requests), RateLimits { ceiling, floor: f64::from(percent) / 100.0 });
        }
    }

    #[test]
    fn the_plan_follows_the_estimates_and_marks_keyframe_only_viewers() {
        let writer = feed(4);
        let (good, weak, new) = (writer.subscribe(), writer.subscribe(), writer.subscribe());
        let wanted = RateLimits { ceiling: RATE, floor: 0.33 };
        let at = |ms: u64| Mono(ms * 1_000_000);
        let say = |reader: &crate::feed::FeedReader, kilobits| {
            let (bitrate, evidence) = (Bitrate::from_kbps(kilobits), Evidence::Measured);
            reader.network().update(NetworkReport { bitrate, loss: 0.0, evidence, until: at(60_000) });
        };
        let mut rates = RatePlanner::default();
        let mut play = |from: u64, to: u64| {
            let times = (from..=to).step_by(50);
            times.map(|ms| plan(&mut rates, writer.requests(), FULL, wanted, at(ms))).last().unwrap()
        };
        say(&good, 3_000);
        say(&weak, 300);
        let keyframe_only = || [&good, &weak, &new].map(|reader| reader.network().is_keyframe_only());
        assert_eq!(
            (play(0, 3_000).bitrate, keyframe_only()),
            (RATE, [false, true, false]),
            "a viewer without an estimate does not count"
        );
        say(&weak, 1_500);
        assert_eq!((play(3_050, 6_000).bitrate, keyframe_only()), (Bitrate::from_bps(1_325_250), [false; 3]));
        weak.network().set_lost(true);
        assert_eq!(play(6_050, 6_100).bitrate, RATE);
    }
}
