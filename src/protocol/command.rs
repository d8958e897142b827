//! Commands: what a viewer asks of the board (board-commands.md). Pure. Every fault is a refusal with a sentence.
//!
//! A command comes in a message of the broker, whose envelope is read before. `read` is for a text without an envelope.

use serde_json::Value;

use super::{
    ErrorName, Refusal, envelope,
    info::CAMERA,
    json,
    parse::{Fields, bad},
};
use crate::{
    config::Id,
    rights::{Right, Rights},
};

/// The longest name of a command, in bytes.
const NAME_MAX: usize = 64;

/// A command, and the number that its result carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandMessage {
    /// The number, chosen by the viewer.
    pub id: u64,
    /// The command.
    pub command: BoardCommand,
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BoardCommand {
    /// Lists cameras and microphone, and the privacy switch.
    Cameras,
    /// Returns figures of the board, and of the session.
    Stats,
    /// Asks the encoder for a key frame.
    Keyframe {
        /// Its camera.
        camera: Id,
    },
    /// Stops camera and microphone for everybody.
    PrivacyOn,
    /// Allows them again.
    PrivacyOff {
        /// The number of the change that is lifted.
        change: u64,
    },
}

/// How often a viewer may give a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandRate {
    /// So many in a minute.
    pub per_minute: u32,
    /// So many at once.
    pub burst: u32,
}

/// A command that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedCommand {
    /// The number of the command, if it could be read.
    pub id: Option<u64>,
    /// The refusal.
    pub refusal: Refusal,
}

/// A command that was read, or why it is refused.
pub type ReadCommand = Result<CommandMessage, RejectedCommand>;

/// The number of a command, if it could be read.
pub fn id_of(read: &ReadCommand) -> Option<u64> {
    match read {
        Ok(message) => Some(message.id),
        Err(rejected) => rejected.id,
    }
}

impl RejectedCommand {
    fn without_id(refusal: Refusal) -> Self {
        Self { id: None, refusal }
    }
}

impl CommandMessage {
    /// Reads a text that is a command alone. Order of checks: size, JSON, number, name, arguments.
    pub fn read(text: &str) -> Result<Self, RejectedCommand> {
        if text.len() > envelope::MESSAGE_MAX {
            return Err(RejectedCommand::without_id(envelope::too_large(text.len())));
        }
        let map = json::object(text).map_err(|message| RejectedCommand::without_id(bad(message)))?;
        Self::of(&mut Fields(map))
    }

    /// Reads the fields of a command in a message.
    pub(super) fn of(fields: &mut Fields) -> Result<Self, RejectedCommand> {
        let id = fields.number("id").map_err(RejectedCommand::without_id)?;
        let command = BoardCommand::of(fields).map_err(|refusal| RejectedCommand { id: Some(id), refusal })?;
        Ok(Self { id, command })
    }
}

impl BoardCommand {
    /// The names of all commands.
    pub const NAMES: [&'static str; 4] = ["cameras", "stats", "keyframe", "privacy.set"];

    fn of(fields: &mut Fields) -> Result<Self, Refusal> {
        let name = fields.required_text("name", NAME_MAX)?;
        let mut args = match fields.field("args") {
            None => Fields(serde_json::Map::new()),
            Some(Value::Object(args)) => Fields(args),
            Some(_) => return Err(bad("args must be an object")),
        };
        Ok(match name.as_str() {
            "cameras" => Self::Cameras,
            "stats" => Self::Stats,
            "keyframe" => Self::Keyframe { camera: camera(&mut args)? },
            "privacy.set" => match args.field("on") {
                Some(Value::Bool(true)) => Self::PrivacyOn,
                Some(Value::Bool(false)) => Self::PrivacyOff { change: args.number("change")? },
                _ => return Err(bad("on must be true or false")),
            },
            _ => {
                let message = format!("command {name} is not known: {} are", Self::NAMES.join(", "));
                return Err(Refusal::new(ErrorName::UnknownCommand, message));
            }
        })
    }

    /// Its name in messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Cameras => "cameras",
            Self::Stats => "stats",
            Self::Keyframe { .. } => "keyframe",
            Self::PrivacyOn | Self::PrivacyOff { .. } => "privacy.set",
        }
    }

    /// The rights that it needs. None: any viewer may give it, since every viewer has some right.
    pub fn needs(&self) -> Rights {
        match self {
            Self::Cameras | Self::Stats => Rights::default(),
            Self::Keyframe { .. } => Rights::of([Right::View]),
            Self::PrivacyOn | Self::PrivacyOff { .. } => Rights::of([Right::Control]),
        }
    }

    /// Refuses a viewer that may not give it.
    pub fn check_rights(&self, rights: Rights) -> Result<(), Refusal> {
        if rights.has_all(self.needs()) {
            return Ok(());
        }
        let message = format!("{}: this viewer needs the rights {}", self.name(), self.needs());
        Err(Refusal::new(ErrorName::Forbidden, message))
    }

    /// Whether it is about a running session, and means nothing without one.
    pub fn needs_session(&self) -> bool {
        matches!(self, Self::Keyframe { .. })
    }

    /// Whether it stops something for the sake of people. Such a command is never limited, and never refused for lack of
    /// room.
    pub fn stops(&self) -> bool {
        matches!(self, Self::PrivacyOn)
    }

    /// How often a viewer may give it. `None`: as often as any message.
    pub fn rate(&self) -> Option<CommandRate> {
        let (per_minute, burst) = match self {
            Self::Cameras | Self::Stats => (120, 20),
            Self::Keyframe { .. } => (60, 4),
            Self::PrivacyOff { .. } => (12, 2),
            Self::PrivacyOn => return None,
        };
        Some(CommandRate { per_minute, burst })
    }
}

/// The camera of a command. Without the argument, the only one.
fn camera(args: &mut Fields) -> Result<Id, Refusal> {
    let name = args.text("camera", 64)?;
    Id::new(name.as_deref().unwrap_or(CAMERA)).ok_or_else(|| bad("camera must be the id of a camera"))
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
