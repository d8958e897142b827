//! The health of a running source, for viewers and the log.

use std::time::Duration;

use tracing::{info, warn};

use crate::{
    clock::Mono,
    feed::{Fault, FeedWriter, Health},
    meter::Counts,
    video::{capture::reopen::Reopen, decode::intake::Intake, h264::StreamInspector, sources::Source},
};

/// A source that delivers no frame for this many times its `patience` is opened again.
const GIVE_UP: u32 = 5;
/// The time until the first frame may be this long, since some cameras take two seconds to start.
const STARTING: Duration = Duration::from_secs(4);
/// A coded stream without a usable keyframe fails after this long.
const NO_BEGINNING: Duration = Duration::from_secs(10);

/// Why a source must be opened again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reopening {
    /// To get the keyframe with which it begins.
    Key,
    /// To get another format than H.264.
    Raw,
}

/// The state of a source since it was opened.
pub(crate) struct SourceHealth {
    /// The source's name in messages.
    name: String,
    /// When it last delivered a usable frame.
    alive: Mono,
    started: bool,
    intake: Intake,
    /// For a source that delivers coded frames.
    pub(crate) watch: StreamInspector,
    pub(crate) reopen: Reopen,
    /// The fault that was reported last.
    trouble: Option<String>,
}

impl SourceHealth {
    pub(crate) fn new(source: &Source, counts: &Counts, now: Mono) -> Self {
        Self {
            name: source.to_string(),
            alive: now,
            started: false,
            intake: Intake::new(counts, now),
            watch: StreamInspector::default(),
            reopen: Reopen::new(now),
            trouble: None,
        }
    }

    /// Continues after the source was opened again.
    pub(crate) fn after(self, before: &Self, counts: &Counts) -> Self {
        let reopen = before.reopen.opened_again(self.alive);
        Self { reopen, intake: Intake::new(counts, self.alive), ..self }
    }

    /// A usable frame came.
    pub(crate) fn shown(&mut self, counts: &Counts, now: Mono) {
        self.alive = now;
        self.intake.look(counts, true, now);
    }

    /// A frame was sent.
    pub(crate) fn sent(&mut self, out: &FeedWriter, seen: Health) {
        self.started = true;
        if self.trouble.is_none() {
            out.set_health(seen);
        }
    }

    /// The meter's counts start again from 0.
    pub(crate) fn restart(&mut self) {
        self.intake.restart();
    }

    /// No frame came, and the shutter is closed. Some cameras then send nothing.
    pub(crate) fn covered(&mut self, counts: &Counts, out: &FeedWriter, now: Mono) {
        self.shown(counts, now);
        self.trouble = None;
        out.set_health(Health::Privacy);
    }

    /// No usable frame came; an error if that lasts too long.
    pub(crate) fn nothing(
        &mut self,
        source: &Source,
        counts: &Counts,
        out: &FeedWriter,
        now: Mono,
    ) -> Result<(), Fault> {
        self.intake.look(counts, false, now);
        let silent = now.since(self.alive);
        let patience = source.patience();
        let why = |intake: &Intake| match source {
            Source::Clip(_) => intake.silence_of_file(silent),
            _ => intake.silence(silent),
        };
        if silent >= patience * GIVE_UP {
            return Err(Fault::Failed(format!("{}: {}", self.name, why(&self.intake))));
        }
        let wait = if self.started { patience } else { patience.max(STARTING) };
        if silent >= wait && self.trouble.is_none() {
            self.log_and_report(out, why(&self.intake));
        }
        Ok(())
    }

    /// Checks whether viewers see what they should. Called every 50 ms.
    pub(crate) fn check(&mut self, source: &Source, out: &FeedWriter, now: Mono) {
        if let Some(news) = self.watch.news() {
            warn!("video: {}: {news}", self.name);
        }
        if now.since(self.alive) >= source.patience() {
            return;
        }
        match self.watch.trouble(now).or_else(|| self.intake.trouble().map(str::to_owned)) {
            // A fault that was just logged as news is not logged again.
            Some(text) if self.trouble.is_none() && self.watch.has_logged(&text) => self.report(out, text),
            Some(text) if self.trouble.is_none() => self.log_and_report(out, text),
            None if self.trouble.take().is_some() => info!("video: {}: frames arrive again", self.name),
            _ => {}
        }
    }

    fn log_and_report(&mut self, out: &FeedWriter, text: String) {
        warn!("video: {}: {text}", self.name);
        self.report(out, text);
    }

    fn report(&mut self, out: &FeedWriter, text: String) {
        out.set_trouble(Health::Stalled, &text);
        self.trouble = Some(text);
    }

    /// Whether the source must be opened again for its viewers. An error if it has no usable stream.
    pub(crate) fn reopening(&self, source: &Source, now: Mono) -> Result<Option<Reopening>, Fault> {
        if !source.is_coded() || !source.is_camera() {
            return Ok(None);
        }
        let lost = self.watch.without_beginning(now) >= NO_BEGINNING;
        match (lost || self.watch.is_out_of_order(), source.has_raw()) {
            (true, true) => Ok(Some(Reopening::Raw)),
            _ if lost => Err(Fault::Failed(format!("{}: {}", self.name, self.watch.no_beginning()))),
            _ => Ok(self.reopen.is_due(now).then_some(Reopening::Key)),
        }
    }
}
