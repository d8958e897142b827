//! The results of commands (board-commands.md). Pure.

use std::collections::BTreeMap;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Serialize;

use super::{Clock, ErrorName, Refusal};
use crate::feed::{ControlDescription, Health};

/// The most controls in one page of `controls.list`.
pub const PAGE_CONTROLS: usize = 64;
/// The most bytes of one page. So a result fits into a message.
const PAGE_BYTES: usize = 24 * 1024;
/// The most items of a menu that are listed.
pub const MENU_ITEMS: usize = 64;
/// The largest snapshot, in bytes. A board seals and signs each part.
pub const SNAPSHOT_MAX: usize = 256 * 1024;
/// The most bytes of a snapshot in one part.
pub const SNAPSHOT_PART: usize = 16 * 1024;

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
        /// The loudspeaker.
        speaker: Health,
        /// The privacy switch.
        privacy: PrivacyView,
    },
    /// `stats`
    Stats(Box<BoardStats>),
    /// `controls.list`
    Controls(ControlsPage),
    /// `controls.get` and `controls.set`: the values that the controls have now.
    Values {
        /// The values by name.
        values: BTreeMap<String, i64>,
    },
    /// `snapshot`. The parts follow.
    Snapshot(SnapshotHead),
    /// `privacy.set`
    Privacy {
        /// The switch as it is now.
        privacy: PrivacyView,
    },
    /// `talk.begin`
    Talk {
        /// The turn ends after so many seconds without sound.
        silence_s: u64,
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

/// One page of controls, in the driver's order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ControlsPage {
    /// The controls.
    pub controls: Vec<ControlDescription>,
    /// Whether there are more, after the last of these.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub more: bool,
}

impl ControlsPage {
    /// The page of `all` that begins after the control of this name. It has at least one control, so that a viewer that
    /// asks for page after page comes to the end.
    pub fn after(after: Option<&str>, all: Vec<ControlDescription>) -> Result<Self, Refusal> {
        let start = match after {
            None => 0,
            Some(name) => {
                let unknown = || format!("list controls after {name}: the camera has no such control");
                let position = all.iter().position(|control| control.name == name);
                1 + position.ok_or_else(|| Refusal::new(ErrorName::NotFound, unknown()))?
            }
        };
        let (mut page, mut bytes) = (Self { controls: Vec::new(), more: false }, 0);
        for mut control in all.into_iter().skip(start) {
            control.items.truncate(MENU_ITEMS);
            // Strings, numbers and lists are always JSON.
            bytes += serde_json::to_vec(&control).map_or(0, |text| text.len() + 1);
            let is_full = page.controls.len() >= PAGE_CONTROLS || bytes > PAGE_BYTES;
            if is_full && !page.controls.is_empty() {
                page.more = true;
                break;
            }
            page.controls.push(control);
        }
        Ok(page)
    }
}

/// What is known of a snapshot before its parts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SnapshotHead {
    /// The camera.
    pub camera: String,
    /// The width of the JPEG.
    pub width: u32,
    /// Its height.
    pub height: u32,
    /// Its size.
    pub bytes: usize,
    /// The number of parts that follow.
    pub parts: usize,
    /// How old the picture is, in milliseconds.
    pub age_ms: u64,
    /// When it was taken, in seconds since 1970, while the clock is right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<u64>,
}

/// A part of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SnapshotPart {
    /// The number of the command.
    pub id: u64,
    /// The number of the part, from 0.
    pub part: usize,
    /// Its bytes, in base64url without padding.
    pub data: String,
}

impl SnapshotPart {
    /// The parts of a JPEG, for the command with this number.
    pub fn all(id: u64, jpeg: &[u8]) -> impl Iterator<Item = Self> {
        let pieces = jpeg.chunks(SNAPSHOT_PART).enumerate();
        pieces.map(move |(part, bytes)| Self { id, part, data: URL_SAFE_NO_PAD.encode(bytes) })
    }
}

#[cfg(test)]
#[path = "command_result_tests.rs"]
mod tests;
