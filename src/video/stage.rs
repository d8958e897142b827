//! From a picture at hand to a frame in the feed: wishes, key frames, rate, encoder, payloads, health.

use std::time::Duration;

use tracing::{debug, info};

use crate::{
    clock::Mono,
    config::Video,
    feed::{Fault, Frame, Health, Writer},
    meter::Meter,
    video::{
        clockstrip,
        encoder::Encoder,
        h264::{self, Cut, Cutter},
        keys::KeyPolicy,
        pace::{Rate, Thinning},
        planes::Planes,
        source::Source,
    },
};

/// How often the meter speaks.
const PERIOD: Duration = Duration::from_secs(10);
/// A source without a picture for this many times its patience is opened anew.
const GIVE_UP: u32 = 5;
/// The media clock of video.
const CLOCK: u32 = 90_000;

/// What one run of a source needs.
pub(super) struct Stage<'a> {
    config: &'a Video,
    /// The source as a person calls it, and when it was asked for.
    name: String,
    asked: Mono,
    out: &'a Writer,
    rate: Rate,
    thinning: Thinning,
    keys: KeyPolicy,
    encoder: Option<Encoder>,
    /// For a source that codes itself.
    cutter: Cutter,
    /// Whether the next picture has to be a key frame.
    key: bool,
    /// Whether a key frame was sent: before one, nothing is.
    started: bool,
    ticks: u64,
    /// When the source last gave a picture.
    alive: Mono,
    /// Pictures the driver had lost when that was last looked at.
    lost: u64,
    pub(super) meter: Meter,
}

impl<'a> Stage<'a> {
    /// For a source that was asked for at `asked`, and is open now.
    pub(super) fn new(config: &'a Video, source: &Source, out: &'a Writer, asked: Mono) -> Self {
        let now = Mono::now();
        let interval = if source.makes_keys() { config.key_interval } else { Duration::MAX };
        let wished = Rate::whole(config.fps);
        // What the encoder will be given; a rate that is not known is hoped to be the wished one.
        let rate = source.rate().filter(|rate| rate.fps() <= wished.fps() * 1.1).unwrap_or(wished);
        Self {
            config,
            name: source.to_string(),
            asked,
            out,
            rate,
            thinning: Thinning::new(source.rate(), config.fps),
            keys: KeyPolicy::new(interval),
            encoder: None,
            cutter: Cutter::default(),
            key: false,
            started: false,
            ticks: 0,
            alive: now,
            lost: 0,
            meter: Meter::new(PERIOD, now),
        }
    }

    /// Goes on from a stage whose source was opened anew: time never runs backwards, and counts are not lost.
    pub(super) fn after(self, before: Self) -> Self {
        Self { ticks: before.ticks, meter: before.meter, ..self }
    }

    /// Reads the wishes, once for each picture.
    pub(super) fn steer(&mut self, source: &mut Source) {
        let wishes = self.out.wishes();
        // A hole in what a camera has coded is mended like one that a viewer saw.
        let lost = std::mem::replace(&mut self.lost, self.meter.counts.lost);
        let hole = source.is_coded() && self.meter.counts.lost > lost;
        if self.keys.due(wishes.take_key(), wishes.take_repair() || hole, Mono::now()) {
            self.key = true;
            source.make_key();
        }
        let bitrate = match wishes.bitrate() {
            0 => self.config.bitrate,
            bits => bits.min(self.config.bitrate),
        };
        source.set_bitrate(bitrate);
        if let Some(encoder) = &mut self.encoder {
            encoder.set_bitrate(bitrate);
        }
    }

    /// Codes a picture and sends it.
    pub(super) fn code(&mut self, planes: &mut Planes, at: Mono) -> Result<(), Fault> {
        self.alive = Mono::now();
        if !self.thinning.takes(at) {
            self.meter.counts.thinned += 1;
            return Ok(());
        }
        if self.config.clock {
            let width = planes.size().0;
            clockstrip::draw(planes.split_mut(), width, clockstrip::value(at.wall()));
        }
        let begin = Mono::now();
        let key = self.key;
        let cut = self.encoder(planes)?.encode(planes, key, at).map_err(Fault::Failed)?;
        self.meter.coded_in(Mono::now().since(begin));
        if let Some(cut) = cut {
            self.send(cut, at);
        }
        Ok(())
    }

    /// Sends a picture that the source has coded.
    pub(super) fn pass(&mut self, stream: &[u8], at: Mono) {
        self.alive = Mono::now();
        let nals: Vec<&[u8]> = h264::nals(stream).collect();
        if let Some(cut) = self.cutter.cut(&nals) {
            self.send(cut, at);
        }
    }

    /// No picture came.
    pub(super) fn nothing(&mut self, source: &Source) -> Result<(), Fault> {
        let (silent, patience) = (Mono::now().since(self.alive), source.patience());
        if silent >= patience && self.out.health() == Health::Ok {
            self.out.set_health(Health::Stalled);
        }
        if silent >= patience * GIVE_UP {
            return Err(Fault::Failed(format!("{source}: no picture for {} s", silent.as_secs())));
        }
        Ok(())
    }

    /// Says what happened, once a period.
    pub(super) fn tell(&mut self) {
        match self.meter.report(Mono::now()) {
            Some(report) if report.is_noteworthy() => info!("video: {report}"),
            Some(report) => debug!("video: {report}"),
            None => return,
        }
        self.lost = 0;
    }

    /// The encoder, made anew where the picture has become another.
    fn encoder(&mut self, planes: &Planes) -> Result<&mut Encoder, Fault> {
        let wished = self.out.wishes().bitrate();
        let (rate, ceiling) = (self.rate, self.config.bitrate);
        let encoder = match self.encoder.take() {
            Some(encoder) if encoder.fits(planes) => encoder,
            _ => {
                let bitrate = if wished == 0 { ceiling } else { wished };
                Encoder::new(planes, rate, bitrate, ceiling).map_err(Fault::Failed)?
            }
        };
        Ok(self.encoder.insert(encoder))
    }

    fn send(&mut self, cut: Cut, at: Mono) {
        let Cut { payloads, key } = cut;
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
        // Two pictures of one moment would be one picture to a receiver.
        self.ticks = at.ticks(CLOCK).max(self.ticks + 1);
        let frame = Frame { payloads, key, ticks: self.ticks, at };
        let counts = &mut self.meter.counts;
        counts.sent += 1;
        counts.keys += u64::from(key);
        counts.bytes += frame.len() as u64;
        self.out.send(frame);
        self.out.set_health(Health::Ok);
    }
}
