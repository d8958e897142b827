//! Does the commands of viewers (board-commands.md): checks right and rate, and asks the part that has the answer.
//!
//! It does not know how a command travels. Who carries one says who gives it, what this viewer may do, and in which
//! session, and gets the result. None of these commands waits for anything.

mod rates;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tracing::debug;

use self::rates::CommandRates;
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandPlace {
    /// In no session.
    Alone,
    /// In a session that runs. The figures of the session are there if the command needs them.
    Session(Option<SessionStats>),
}

/// Does commands. Clones share the rates.
#[derive(Debug, Clone)]
pub struct Commands {
    sources: MediaSources,
    privacy: PrivacyHandle,
    presence: watch::Receiver<Presence>,
    started: Mono,
    rates: Arc<Mutex<CommandRates>>,
}

impl Commands {
    /// Commands for these devices. `presence`: what `status` tells. The daemon started now.
    pub fn new(sources: MediaSources, privacy: PrivacyHandle, presence: watch::Receiver<Presence>, now: Mono) -> Self {
        Self { sources, privacy, presence, started: now, rates: Arc::default() }
    }

    /// Whether the command needs the figures of its session.
    pub fn needs_figures(read: &ReadCommand) -> bool {
        matches!(read, Ok(CommandMessage { command: BoardCommand::Stats, .. }))
    }

    /// Does a command, or says why it is not done. Order of checks: what is wrong with the message, the right, the rate,
    /// the session, then the state of the board.
    pub fn run(&self, caller: Caller<'_>, place: CommandPlace, read: ReadCommand, now: Mono) -> CommandResult {
        let viewer = caller.viewer;
        let CommandMessage { id, command } = match read {
            Ok(message) => message,
            Err(RejectedCommand { id, refusal }) => {
                debug!("viewer {viewer}: a command was refused: {}", refusal.message);
                return CommandResult::refused(id, refusal);
            }
        };
        match self.admit(caller, &place, &command, now).and_then(|()| self.execute(caller, place, &command, now)) {
            Ok(ok) => CommandResult { id: Some(id), outcome: CommandOutcome::Ok(ok) },
            Err(refusal) => {
                debug!("viewer {viewer}: {} was refused: {}", command.name(), refusal.message);
                CommandResult::refused(Some(id), refusal)
            }
        }
    }

    fn admit(
        &self,
        caller: Caller<'_>,
        place: &CommandPlace,
        command: &BoardCommand,
        now: Mono,
    ) -> Result<(), Refusal> {
        command.check_rights(caller.rights)?;
        self.rates().take(caller.viewer, command, now)?;
        if command.needs_session() && *place == CommandPlace::Alone {
            let message = format!("{} is about a session, and there is none", command.name());
            return Err(Refusal::new(ErrorName::NoSession, message));
        }
        Ok(())
    }

    fn execute(
        &self,
        caller: Caller<'_>,
        place: CommandPlace,
        command: &BoardCommand,
        now: Mono,
    ) -> Result<CommandOk, Refusal> {
        match command {
            BoardCommand::Cameras => Ok(self.cameras(now)),
            BoardCommand::Stats => Ok(CommandOk::Stats(Box::new(self.stats(place, now)))),
            BoardCommand::Keyframe { camera } => {
                self.camera(camera)?.request_repair();
                Ok(CommandOk::Done {})
            }
            BoardCommand::PrivacyOn => self.privacy(caller, PrivacyRequest::Set, now),
            BoardCommand::PrivacyOff { change } => {
                self.privacy(caller, PrivacyRequest::Lift { change: Some(*change) }, now)
            }
        }
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
            privacy: view(self.privacy.state(now)),
        }
    }

    fn stats(&self, place: CommandPlace, now: Mono) -> BoardStats {
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
                CommandPlace::Session(figures) => figures,
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
