//! Does the commands of viewers (board-commands.md): checks right and rate, and asks the part that has the answer.
//!
//! It does not know how a command travels. The caller passes viewer, rights and session. It gets the result or a
//! [`LateCommand`], which [`WaitingCommands`] runs in the background.

mod camera;
mod late;
mod rates;
mod saved_controls;
mod talk;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tracing::debug;

use self::{camera::Snapshots, late::Work, rates::CommandRates, saved_controls::SavedControls};
pub use self::{
    late::{FinishedCommand, LateCommand, WaitingCommands},
    saved_controls::restore_controls,
};
use crate::{
    clock::Mono,
    config::Id,
    feed::{FeedFigures, Health},
    media_source::{MediaSource, MediaSources, SourceId},
    privacy::{PrivacyFault, PrivacyHandle, PrivacyRequest, PrivacySource, PrivacyState},
    protocol::{
        ErrorName, Presence, Refusal, Rights,
        command::{BoardCommand, CommandMessage, ReadCommand, RejectedCommand},
        command_result::{
            BoardStats, CameraCondition, CommandOk, CommandOutcome, CommandResult, MediumStats, PrivacyView,
            SessionStats,
        },
    },
    state_folder::StateFolder,
    talk::turns::Talker,
};

/// Who gives a command.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    /// The viewer.
    pub viewer: &'a Id,
    /// Its name for people.
    pub name: Option<&'a str>,
    /// What it may do now.
    pub rights: Rights,
}

/// Where a command is given.
#[derive(Debug)]
pub enum CommandPlace<'a> {
    /// In no session.
    Alone,
    /// In a session that runs.
    Session {
        /// The figures of the session, if the command needs them.
        figures: Option<SessionStats>,
        /// The viewer as a talker. `None`: the session was not opened to talk.
        talker: Option<&'a Talker>,
    },
}

impl<'a> CommandPlace<'a> {
    fn talker(&self) -> Option<&'a Talker> {
        match self {
            Self::Alone => None,
            Self::Session { talker, .. } => *talker,
        }
    }
}

/// A command that was begun.
#[derive(Debug)]
pub enum BegunCommand {
    /// It was done or refused.
    Done(CommandResult),
    /// It takes time.
    Later(LateCommand),
}

/// What a command does.
enum Execution {
    Now(CommandOk),
    Later(Work),
}

/// Does commands. Clones share the rates.
#[derive(Debug, Clone)]
pub struct Commands {
    sources: MediaSources,
    privacy: PrivacyHandle,
    presence: watch::Receiver<Presence>,
    started: Mono,
    rates: Arc<Mutex<CommandRates>>,
    snapshots: Snapshots,
    saved: SavedControls,
}

impl Commands {
    /// Commands for these devices. `presence`: what `status` tells. The daemon started now.
    pub fn new(sources: MediaSources, privacy: PrivacyHandle, presence: watch::Receiver<Presence>, now: Mono) -> Self {
        let (rates, snapshots) = (Arc::default(), Snapshots::default());
        let saved = SavedControls::new(sources.clone(), None);
        Self { sources, privacy, presence, started: now, rates, snapshots, saved }
    }

    /// The same, with a folder for controls that are saved.
    pub fn with_folder(self, folder: Option<StateFolder>) -> Self {
        Self { saved: SavedControls::new(self.sources.clone(), folder), ..self }
    }

    /// Whether the command needs the figures of its session.
    pub fn needs_figures(read: &ReadCommand) -> bool {
        matches!(read, Ok(CommandMessage { command: BoardCommand::Stats, .. }))
    }

    /// Does a command, or returns the work that it takes, or says why it is not done. Order of checks: what is wrong
    /// with the message, the right, the rate, the session, then the state of the board.
    pub fn begin(&self, caller: Caller<'_>, place: CommandPlace<'_>, read: ReadCommand, now: Mono) -> BegunCommand {
        let viewer = caller.viewer;
        let CommandMessage { id, command } = match read {
            Ok(message) => message,
            Err(RejectedCommand { id, refusal }) => {
                debug!("viewer {viewer}: a command was refused: {}", refusal.message);
                return BegunCommand::Done(CommandResult::refused(id, refusal));
            }
        };
        let name = command.name();
        match self.admit(caller, &place, &command, now).and_then(|()| self.execute(caller, place, command, now)) {
            Ok(Execution::Now(ok)) => {
                BegunCommand::Done(CommandResult { id: Some(id), outcome: CommandOutcome::Ok(ok) })
            }
            Ok(Execution::Later(work)) => BegunCommand::Later(LateCommand::new(id, viewer.clone(), name, work)),
            Err(refusal) => {
                debug!("viewer {viewer}: {name} was refused: {}", refusal.message);
                BegunCommand::Done(CommandResult::refused(Some(id), refusal))
            }
        }
    }

    fn admit(
        &self,
        caller: Caller<'_>,
        place: &CommandPlace<'_>,
        command: &BoardCommand,
        now: Mono,
    ) -> Result<(), Refusal> {
        command.check_rights(caller.rights)?;
        self.rates().take(caller.viewer, command, now)?;
        if command.needs_session() && matches!(place, CommandPlace::Alone) {
            let message = format!("{} is about a session, and there is none", command.name());
            return Err(Refusal::new(ErrorName::NoSession, message));
        }
        Ok(())
    }

    fn execute(
        &self,
        caller: Caller<'_>,
        place: CommandPlace<'_>,
        command: BoardCommand,
        now: Mono,
    ) -> Result<Execution, Refusal> {
        let done = |ok| Ok(Execution::Now(ok));
        let work: Work = match command {
            BoardCommand::Cameras => return done(self.cameras(now)),
            BoardCommand::Stats => return done(CommandOk::Stats(Box::new(self.stats(place, now)))),
            BoardCommand::Keyframe { camera } => {
                self.camera(&camera)?.request_repair();
                return done(CommandOk::Done {});
            }
            BoardCommand::PrivacyOn => return done(self.privacy(caller, PrivacyRequest::Set, now)?),
            BoardCommand::PrivacyOff { change } => {
                return done(self.privacy(caller, PrivacyRequest::Lift { change: Some(change) }, now)?);
            }
            BoardCommand::TalkBegin { take } => {
                let has_speaker = self.sources.speaker().is_some();
                return done(talk::begin(place.talker(), has_speaker, take, now)?);
            }
            BoardCommand::TalkEnd => return done(talk::end(place.talker())),
            BoardCommand::Snapshot(args) => {
                let source = self.camera(&args.camera)?.clone();
                let entered = self.snapshots.enter()?;
                Box::pin(self.snapshots.clone().take(entered, source, args))
            }
            BoardCommand::ControlsList { camera, after } => {
                Box::pin(camera::list(self.camera(&camera)?.clone(), after))
            }
            BoardCommand::ControlsGet { camera, names } => Box::pin(camera::get(self.camera(&camera)?.clone(), names)),
            BoardCommand::ControlsSet { camera, values, save } => {
                let source = self.camera(&camera)?.clone();
                let saved = save.then(|| self.saved.check().map(|()| self.saved.clone())).transpose()?;
                Box::pin(camera::set(source, values, saved))
            }
        };
        Ok(Execution::Later(work))
    }

    fn camera(&self, id: &Id) -> Result<&MediaSource, Refusal> {
        self.sources.get(&SourceId::Camera(id.clone())).ok_or_else(|| {
            let known: Vec<_> = self.sources.cameras_by_id().map(|(id, _)| id.as_str()).collect();
            let message = match known.is_empty() {
                true => format!("this board has no camera {id}: none is configured"),
                false => format!("this board has no camera {id}: {} is possible", known.join(", ")),
            };
            Refusal::new(ErrorName::NotFound, message)
        })
    }

    fn cameras(&self, now: Mono) -> CommandOk {
        let of = |(id, source): (&Id, &MediaSource)| CameraCondition {
            id: id.to_string(),
            health: *source.health().borrow(),
            size: size(source.is_on(), &source.figures(now)),
        };
        CommandOk::Cameras {
            cameras: self.sources.cameras_by_id().map(of).collect(),
            microphone: self.sources.microphone().map_or(Health::Absent, |source| *source.health().borrow()),
            speaker: self.sources.speaker().map_or(Health::Absent, |speaker| *speaker.source.health().borrow()),
            privacy: view(self.privacy.state(now)),
        }
    }

    fn stats(&self, place: CommandPlace<'_>, now: Mono) -> BoardStats {
        let presence = self.presence.borrow();
        BoardStats {
            uptime_s: now.since(self.started).as_secs(),
            viewers: presence.viewers,
            max_viewers: presence.max_viewers,
            clock: presence.clock,
            video: medium(self.sources.camera(), now),
            audio: medium(self.sources.microphone(), now),
            session: match place {
                CommandPlace::Alone => None,
                CommandPlace::Session { figures, .. } => figures,
            },
        }
    }

    fn privacy(&self, caller: Caller<'_>, request: PrivacyRequest, now: Mono) -> Result<CommandOk, Refusal> {
        let by = PrivacySource::Viewer(caller.viewer.clone());
        // `admit` has checked the right.
        match self.privacy.ask(&request, by, caller.name, true, now) {
            Ok(state) => Ok(CommandOk::Privacy { privacy: view(state) }),
            Err(fault) => Err(refusal(fault)),
        }
    }

    /// The privacy switch that it uses.
    #[cfg(test)]
    pub(crate) fn privacy_handle(&self) -> &PrivacyHandle {
        &self.privacy
    }

    fn rates(&self) -> MutexGuard<'_, CommandRates> {
        self.rates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn size(is_on: bool, figures: &FeedFigures) -> Option<[u32; 2]> {
    figures.size.filter(|_| is_on).map(|(width, height)| [width, height])
}

fn medium(source: Option<&MediaSource>, now: Mono) -> MediumStats {
    let Some(source) = source else {
        return MediumStats { health: Health::Absent, size: None, frames_per_s: 0, bitrate_bps: 0, frames: 0 };
    };
    let figures = source.figures(now);
    MediumStats {
        health: *source.health().borrow(),
        size: size(source.is_on(), &figures),
        frames_per_s: figures.frames_per_s,
        bitrate_bps: figures.bits_per_s,
        frames: figures.frames,
    }
}

/// The privacy switch as viewers see it.
fn view(state: PrivacyState) -> PrivacyView {
    let by = state.by.name();
    PrivacyView {
        on: state.is_on,
        change: state.change,
        by,
        name: state.name,
        seconds: state.age.map(|age| age.as_secs()),
    }
}

fn refusal(fault: PrivacyFault) -> Refusal {
    match fault {
        PrivacyFault::NotAllowed => Refusal::new(ErrorName::Forbidden, "privacy.set: this viewer may not do this"),
        PrivacyFault::Changed(change) => {
            let message = format!("privacy.set: the switch was changed since: its last change is {change}");
            Refusal::new(ErrorName::Conflict, message)
        }
        PrivacyFault::TooSoon(pause) => {
            let message = "privacy.set: the switch was lifted a moment ago";
            Refusal::new(ErrorName::RateLimited, message).retry_after(pause)
        }
    }
}

#[cfg(test)]
mod tests;
