//! Commands: what a viewer asks of the board (board-commands.md). Pure. Every fault is a refusal with a sentence.
//!
//! A command comes in a message of the broker, whose envelope is read before. `read` is for a text without an envelope.

use std::{collections::BTreeMap, ops::RangeInclusive};

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

/// Commands of one session that have no result yet, and of all viewers together outside of sessions.
pub const WAITING_MAX: usize = 8;
/// The most controls in one command.
pub const CONTROLS_MAX: usize = 32;
/// The longest name of a control, in bytes. That of a driver has 31 at most.
pub const CONTROL_NAME_MAX: usize = 64;
/// The width and height that a snapshot may be asked to fit into.
pub const SNAPSHOT_SIDE: RangeInclusive<u64> = 16..=8192;
/// The quality of a JPEG, as libjpeg counts it.
pub const SNAPSHOT_QUALITY: RangeInclusive<u64> = 1..=100;
/// The quality of a snapshot without one.
const USUAL_QUALITY: u8 = 85;
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
    /// Lists cameras, microphone and loudspeaker, and the privacy switch.
    Cameras,
    /// Returns figures of the board, and of the session.
    Stats,
    /// Asks the encoder for a keyframe.
    Keyframe {
        /// Its camera.
        camera: Id,
    },
    /// Takes a JPEG of the newest picture.
    Snapshot(SnapshotArgs),
    /// Lists the controls of a camera.
    ControlsList {
        /// The camera.
        camera: Id,
        /// The last control of the page before. `None`: the first page.
        after: Option<String>,
    },
    /// Reads controls.
    ControlsGet {
        /// The camera.
        camera: Id,
        /// Their names, each once.
        names: Vec<String>,
    },
    /// Sets controls.
    ControlsSet {
        /// The camera.
        camera: Id,
        /// Their new values.
        values: BTreeMap<String, i32>,
        /// Whether they shall be set again each time that the camera is opened.
        save: bool,
    },
    /// Stops camera and microphone for everybody.
    PrivacyOn,
    /// Allows them again.
    PrivacyOff {
        /// The number of the change that is lifted.
        change: u64,
    },
    /// Asks for the turn to talk.
    TalkBegin {
        /// Whether the turn of another viewer ends.
        take: bool,
    },
    /// Gives the turn back.
    TalkEnd,
}

/// What a snapshot shall be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotArgs {
    /// The camera.
    pub camera: Id,
    /// The picture is made smaller until it is not wider than this.
    pub width: Option<u16>,
    /// The picture is made smaller until it is not higher than this.
    pub height: Option<u16>,
    /// The quality of the JPEG.
    pub quality: u8,
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
    pub const NAMES: [&'static str; 10] = [
        "cameras",
        "stats",
        "keyframe",
        "snapshot",
        "controls.list",
        "controls.get",
        "controls.set",
        "privacy.set",
        "talk.begin",
        "talk.end",
    ];

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
            "snapshot" => Self::Snapshot(SnapshotArgs::of(&mut args)?),
            "controls.list" => Self::ControlsList { camera: camera(&mut args)?, after: after(&mut args)? },
            "controls.get" => Self::ControlsGet { camera: camera(&mut args)?, names: names(&mut args)? },
            "controls.set" => {
                Self::ControlsSet { camera: camera(&mut args)?, values: values(&mut args)?, save: args.flag("save")? }
            }
            "privacy.set" => match args.field("on") {
                Some(Value::Bool(true)) => Self::PrivacyOn,
                Some(Value::Bool(false)) => Self::PrivacyOff { change: args.number("change")? },
                _ => return Err(bad("on must be true or false")),
            },
            "talk.begin" => Self::TalkBegin { take: args.flag("take")? },
            "talk.end" => Self::TalkEnd,
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
            Self::Snapshot(_) => "snapshot",
            Self::ControlsList { .. } => "controls.list",
            Self::ControlsGet { .. } => "controls.get",
            Self::ControlsSet { .. } => "controls.set",
            Self::PrivacyOn | Self::PrivacyOff { .. } => "privacy.set",
            Self::TalkBegin { .. } => "talk.begin",
            Self::TalkEnd => "talk.end",
        }
    }

    /// The rights that it needs. None: any viewer may give it, since every viewer has some right.
    pub fn needs(&self) -> Rights {
        match self {
            Self::Cameras | Self::Stats => Rights::default(),
            Self::Keyframe { .. } => Rights::of([Right::View]),
            Self::Snapshot(_) => Rights::of([Right::Snapshot]),
            Self::ControlsList { .. }
            | Self::ControlsGet { .. }
            | Self::ControlsSet { .. }
            | Self::PrivacyOn
            | Self::PrivacyOff { .. } => Rights::of([Right::Control]),
            Self::TalkBegin { take: true } => Rights::of([Right::Talk, Right::Control]),
            Self::TalkBegin { take: false } | Self::TalkEnd => Rights::of([Right::Talk]),
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
        matches!(self, Self::Keyframe { .. } | Self::TalkBegin { .. } | Self::TalkEnd)
    }

    /// Whether it stops something for the sake of people. Such a command is never limited, and never refused for lack
    /// of room.
    pub fn stops(&self) -> bool {
        matches!(self, Self::PrivacyOn)
    }

    /// How often a viewer may give it. `None`: as often as any message.
    pub fn rate(&self) -> Option<CommandRate> {
        let (per_minute, burst) = match self {
            Self::Cameras | Self::Stats | Self::ControlsGet { .. } => (120, 20),
            Self::ControlsList { .. } => (60, 20),
            Self::ControlsSet { .. } => (600, 60),
            Self::Keyframe { .. } => (60, 4),
            Self::Snapshot(_) => (6, 3),
            Self::PrivacyOff { .. } => (12, 2),
            Self::TalkBegin { .. } => (30, 6),
            Self::PrivacyOn | Self::TalkEnd => return None,
        };
        Some(CommandRate { per_minute, burst })
    }
}

impl SnapshotArgs {
    fn of(args: &mut Fields) -> Result<Self, Refusal> {
        let side = |n: u64| u16::try_from(n).unwrap_or(u16::MAX);
        Ok(Self {
            camera: camera(args)?,
            width: within(args, "width", SNAPSHOT_SIDE)?.map(side),
            height: within(args, "height", SNAPSHOT_SIDE)?.map(side),
            quality: within(args, "quality", SNAPSHOT_QUALITY)?
                .map_or(USUAL_QUALITY, |n| u8::try_from(n).unwrap_or(USUAL_QUALITY)),
        })
    }
}

fn out_of_range(message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorName::OutOfRange, message)
}

/// The camera of a command. Without the argument, the only one.
fn camera(args: &mut Fields) -> Result<Id, Refusal> {
    let name = args.text("camera", 64)?;
    Id::new(name.as_deref().unwrap_or(CAMERA)).ok_or_else(|| bad("camera must be the id of a camera"))
}

/// A whole number within a range, if the argument is there.
fn within(args: &mut Fields, name: &str, range: RangeInclusive<u64>) -> Result<Option<u64>, Refusal> {
    let (low, high) = (range.start(), range.end());
    match args.field(name) {
        None => Ok(None),
        Some(Value::Number(number)) => match number.as_u64() {
            Some(n) if range.contains(&n) => Ok(Some(n)),
            _ => Err(out_of_range(format!("{name} {number} is not possible: whole numbers from {low} to {high} are"))),
        },
        Some(_) => Err(bad(format!("{name} must be a whole number from {low} to {high}"))),
    }
}

/// The name of a control, as `fanlight probe` shows it.
fn is_control_name(name: &str) -> bool {
    (1..=CONTROL_NAME_MAX).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

fn control_name(name: String) -> Result<String, Refusal> {
    match is_control_name(&name) {
        true => Ok(name),
        false => Err(bad(format!("{name} is not the name of a control: a-z 0-9 _ are possible"))),
    }
}

fn after(args: &mut Fields) -> Result<Option<String>, Refusal> {
    args.text("after", CONTROL_NAME_MAX)?.map(control_name).transpose()
}

fn check_count(count: usize) -> Result<(), Refusal> {
    match count {
        1..=CONTROLS_MAX => Ok(()),
        _ => Err(bad(format!("{count} controls in one command: 1 to {CONTROLS_MAX} are possible"))),
    }
}

fn names(args: &mut Fields) -> Result<Vec<String>, Refusal> {
    let Some(Value::Array(list)) = args.field("names") else {
        return Err(bad("names must be a list of names of controls"));
    };
    check_count(list.len())?;
    let mut names: Vec<String> = Vec::with_capacity(list.len());
    for name in list {
        let Value::String(name) = name else { return Err(bad("each of names must be a string")) };
        let name = control_name(name)?;
        if names.contains(&name) {
            return Err(bad(format!("{name} occurs twice in names")));
        }
        names.push(name);
    }
    Ok(names)
}

fn values(args: &mut Fields) -> Result<BTreeMap<String, i32>, Refusal> {
    let Some(Value::Object(map)) = args.field("values") else {
        return Err(bad("values must be an object with names of controls and their values"));
    };
    check_count(map.len())?;
    map.into_iter().map(|(name, value)| Ok((control_name(name.clone())?, control_value(&name, &value)?))).collect()
}

/// The value of a control. A switch takes true and false, too, as in the configuration.
fn control_value(name: &str, value: &Value) -> Result<i32, Refusal> {
    match value {
        Value::Bool(on) => Ok(i32::from(*on)),
        Value::Number(number) => number.as_i64().and_then(|n| i32::try_from(n).ok()).ok_or_else(|| {
            let (low, high) = (i32::MIN, i32::MAX);
            out_of_range(format!("set control {name} to {number}: whole numbers from {low} to {high} are possible"))
        }),
        _ => Err(bad(format!("the value of {name} must be a whole number, true or false"))),
    }
}

#[cfg(test)]
#[path = "command_tests.rs"]
mod tests;
