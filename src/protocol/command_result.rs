//! The results of commands (board-commands.md). Pure.

use serde::Serialize;

use super::{Clock, Refusal};
use crate::feed::Health;

/// The result of a command, as it travels.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CommandResult {
    /// The number of the command. `None`: it could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: CommandOutcome,
}

impl CommandResult {
    /// The result as a text without an envelope.
    pub fn text(&self) -> String {
        // A result has only strings, numbers, lists and objects with text keys, so this does not fail.
        serde_json::to_string(self).expect("a result is always JSON")
    }

    /// The command was refused.
    pub fn refused(id: Option<u64>, refusal: Refusal) -> Self {
        Self { id, outcome: CommandOutcome::Error(refusal) }
    }
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CommandOutcome {
    /// It was done.
    Ok(CommandOk),
    /// It was not.
    Error(Refusal),
}

/// What a command returns.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum CommandOk {
    /// Nothing but that it is done.
    Done {},
    /// `cameras`
    Cameras {
        /// The cameras.
        cameras: Vec<CameraCondition>,
        /// The microphone.
        microphone: Health,
        /// The privacy switch.
        privacy: PrivacyView,
    },
    /// `stats`
    Stats(Box<BoardStats>),
    /// `privacy.set`
    Privacy {
        /// The switch as it is now.
        privacy: PrivacyView,
    },
}

/// A camera, and how it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CameraCondition {
    /// Its id: the argument `camera`.
    pub id: String,
    /// Its health.
    pub health: Health,
    /// Its pictures: width and height. `None`: it is not open.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<[u32; 2]>,
}

/// The privacy switch, as viewers see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PrivacyView {
    /// Whether camera and microphone are stopped.
    pub on: bool,
    /// The number of the last change.
    pub change: u64,
    /// Who made it: `PrivacySource::name`.
    pub by: &'static str,
    /// The viewer's name for people, if a viewer made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How long ago it was. `None`: before the daemon started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
}

/// Figures of the board, and of the session that asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)] // board-commands.md explains each field
pub struct BoardStats {
    pub uptime_s: u64,
    pub viewers: usize,
    pub max_viewers: usize,
    pub clock: Clock,
    pub video: MediumStats,
    pub audio: MediumStats,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionStats>,
}

/// Figures of the picture or the sound.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct MediumStats {
    pub health: Health,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<[u32; 2]>,
    pub frames_per_s: u32,
    pub bitrate_bps: u64,
    pub frames: u64,
}

/// Figures of one session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[allow(missing_docs)]
pub struct SessionStats {
    pub seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub estimate_bps: Option<u64>,
    pub bytes: u64,
    pub retransmitted: u64,
}

#[cfg(test)]
#[path = "command_result_tests.rs"]
mod tests;
