//! How a running source is doing: what viewers and the log are told.

use std::time::Duration;

use tracing::{info, warn};

use crate::{
    clock::Mono,
    feed::{Fault, FeedWriter, Health},
    meter::Counts,
    video::{capture::reopen::Reopen, decode::intake::Intake, h264::StreamInspector, sources::Source},
};

/// A source without a picture for this many times its patience is opened again.
const GIVE_UP: u32 = 5;
/// Before its first picture a source has more time: some cameras take two seconds to start.
const STARTING: Duration = Duration::from_secs(4);
/// A coded stream that nobody can begin with is given up after so long.
const NO_BEGINNING: Duration = Duration::from_secs(10);

/// Why a source has to be opened again now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reopening {
    /// For the keyframe it begins with.
    Key,
    /// In another format than H.264.
    Raw,
}

/// What is known of a source since it was opened.
pub(crate) struct SourceHealth {
    /// The source, as a person calls it.
    name: String,
    /// When it last gave a picture that could be used.
    alive: Mono,
    started: bool,
    intake: Intake,
    /// For a source that codes itself.
    pub(crate) watch: StreamInspector,
    pub(crate) reopen: Reopen,
    /// What was said last.
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

    /// Goes on after the source was opened again.
    pub(crate) fn after(self, before: &Self, counts: &Counts) -> Self {
        let reopen = before.reopen.again(self.alive);
        Self { reopen, intake: Intake::new(counts, self.alive), ..self }
    }

    /// A picture came that can be used.
    pub(crate) fn shown(&mut self, counts: &Counts, now: Mono) {
        self.alive = now;
        self.intake.look(counts, true, now);
    }

    /// A picture was sent.
    pub(crate) fn sent(&mut self, out: &FeedWriter, seen: Health) {
        self.started = true;
        if self.trouble.is_none() {
            out.set_health(seen);
        }
    }

    /// The meter's counts began again.
    pub(crate) fn restart(&mut self) {
        self.intake.restart();
    }

    /// Nothing came, and the shutter is closed: some cameras stop then.
    pub(crate) fn covered(&mut self, counts: &Counts, out: &FeedWriter, now: Mono) {
        self.shown(counts, now);
        self.trouble = None;
        out.set_health(Health::Privacy);
    }

    /// Nothing came that can be used; an error where that has lasted too long.
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
        if silent >= patience * GIVE_UP {
            return Err(Fault::Failed(format!("{}: {}", self.name, self.intake.silence(silent))));
        }
        let wait = if self.started { patience } else { patience.max(STARTING) };
        if silent >= wait && self.trouble.is_none() {
            self.say(out, self.intake.silence(silent));
        }
        Ok(())
    }

    /// Looks, now and then, whether viewers see what they should.
    pub(crate) fn look(&mut self, source: &Source, out: &FeedWriter, now: Mono) {
        if let Some(news) = self.watch.news() {
            warn!("video: {}: {news}", self.name);
        }
        if now.since(self.alive) >= source.patience() {
            return;
        }
        match self.watch.trouble(now).or_else(|| self.intake.trouble().map(str::to_owned)) {
            // What was news a moment ago needs no second line.
            Some(text) if self.trouble.is_none() && self.watch.has_logged(&text) => self.tell(out, text),
            Some(text) if self.trouble.is_none() => self.say(out, text),
            None if self.trouble.take().is_some() => info!("video: {}: pictures come again", self.name),
            _ => {}
        }
    }

    fn say(&mut self, out: &FeedWriter, text: String) {
        warn!("video: {}: {text}", self.name);
        self.tell(out, text);
    }

    fn tell(&mut self, out: &FeedWriter, text: String) {
        out.set_trouble(Health::Stalled, &text);
        self.trouble = Some(text);
    }

    /// Whether the source has to be opened again for its viewers, or given up.
    pub(crate) fn again(&self, source: &Source, now: Mono) -> Result<Option<Reopening>, Fault> {
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
