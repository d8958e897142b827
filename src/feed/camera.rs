//! What commands ask of the thread of a camera: single pictures, and its controls.
//!
//! A question waits until the thread takes it, which it does while it runs. Whoever asked waits as long as it likes; a
//! question that nobody waits for any more is removed. Nothing here blocks.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;
use tokio::sync::oneshot;

use crate::{clock::Mono, picture::RawPicture};

/// Questions of each kind that wait. When it is full, the next one is refused.
pub const CAMERA_QUESTIONS: usize = 8;
/// The most controls of a camera that are saved.
pub const SAVED_CONTROLS: usize = 64;

/// A picture, and when it was captured.
#[derive(Debug, Clone)]
pub struct TakenPicture {
    /// The picture. Those who asked at the same time share it.
    pub picture: Arc<RawPicture>,
    /// When it was captured.
    pub at: Mono,
}

/// Why a camera does not do something. The text is a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CameraRefusal {
    /// This camera cannot do it.
    Unsupported(String),
    /// It has no such control.
    NotFound(String),
    /// Its control does not take this value.
    OutOfRange(String),
    /// Its driver refused.
    Failed(String),
}

impl CameraRefusal {
    /// The sentence.
    pub fn text(&self) -> &str {
        match self {
            Self::Unsupported(text) | Self::NotFound(text) | Self::OutOfRange(text) | Self::Failed(text) => text,
        }
    }
}

/// The way back to whoever asked.
pub type CameraAnswer<T> = oneshot::Sender<Result<T, CameraRefusal>>;
/// Gets the answer.
pub type CameraQuestion<T> = oneshot::Receiver<Result<T, CameraRefusal>>;

/// Asks for controls of a camera.
#[derive(Debug)]
pub enum ControlsQuestion {
    /// All that can be set, in the driver's order.
    List(CameraAnswer<Vec<ControlDescription>>),
    /// Sets controls, and returns the values that they have then.
    Set(BTreeMap<String, i32>, CameraAnswer<BTreeMap<String, i64>>),
}

impl ControlsQuestion {
    fn is_over(&self) -> bool {
        match self {
            Self::List(answer) => answer.is_closed(),
            Self::Set(_, answer) => answer.is_closed(),
        }
    }
}

/// The questions to one camera.
#[derive(Debug, Default)]
pub struct CameraRequests {
    pictures: Mutex<Vec<CameraAnswer<TakenPicture>>>,
    controls: Mutex<Vec<ControlsQuestion>>,
    saved: Mutex<BTreeMap<String, i32>>,
}

impl CameraRequests {
    /// Asks for the newest picture. `None`: too many wait for one.
    pub fn ask_picture(&self) -> Option<CameraQuestion<TakenPicture>> {
        let (answer, question) = oneshot::channel();
        let mut waiting = lock(&self.pictures);
        waiting.retain(|answer| !answer.is_closed());
        push(&mut waiting, answer).then_some(question)
    }

    /// Asks for the controls. `None`: too many questions wait.
    pub fn ask_controls(&self) -> Option<CameraQuestion<Vec<ControlDescription>>> {
        let (answer, question) = oneshot::channel();
        self.ask(ControlsQuestion::List(answer)).then_some(question)
    }

    /// Asks to set controls. `None`: too many questions wait.
    pub fn set_controls(&self, values: BTreeMap<String, i32>) -> Option<CameraQuestion<BTreeMap<String, i64>>> {
        let (answer, question) = oneshot::channel();
        self.ask(ControlsQuestion::Set(values, answer)).then_some(question)
    }

    /// Whether somebody waits for a picture.
    pub fn wants_picture(&self) -> bool {
        lock(&self.pictures).iter().any(|answer| !answer.is_closed())
    }

    /// Takes all who wait for a picture.
    pub fn take_pictures(&self) -> Vec<CameraAnswer<TakenPicture>> {
        std::mem::take(&mut *lock(&self.pictures))
    }

    /// Takes the questions about controls, in their order.
    pub fn take_controls(&self) -> Vec<ControlsQuestion> {
        let mut taken = std::mem::take(&mut *lock(&self.controls));
        taken.retain(|question| !question.is_over());
        taken
    }

    /// The controls that are set each time that the camera is opened.
    pub fn saved(&self) -> BTreeMap<String, i32> {
        self.saved.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on, these are among the saved controls. Returns false, and saves none, if they would be too many.
    pub fn save(&self, values: BTreeMap<String, i32>) -> bool {
        let mut saved = self.saved.lock().unwrap_or_else(PoisonError::into_inner);
        let more = values.keys().filter(|name| !saved.contains_key(*name)).count();
        let has_room = saved.len() + more <= SAVED_CONTROLS;
        if has_room {
            saved.extend(values);
        }
        has_room
    }

    fn ask(&self, question: ControlsQuestion) -> bool {
        let mut waiting = lock(&self.controls);
        waiting.retain(|question| !question.is_over());
        push(&mut waiting, question)
    }
}

fn lock<T>(list: &Mutex<Vec<T>>) -> MutexGuard<'_, Vec<T>> {
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

fn push<T>(waiting: &mut Vec<T>, one: T) -> bool {
    let has_room = waiting.len() < CAMERA_QUESTIONS;
    if has_room {
        waiting.push(one);
    }
    has_room
}

/// The kind of a control, as V4L2 has it (`V4L2_CTRL_TYPE_…`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum ControlKind {
    Integer,
    Boolean,
    Menu,
    IntegerMenu,
    Bitmask,
    Button,
}

/// What a control counts, where the kernel defines it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum ControlUnit {
    /// `pan_absolute`, `tilt_absolute`: 1/3600 of a degree.
    #[serde(rename = "arcsec")]
    Arcsec,
    /// `exposure_time_absolute`: 100 µs.
    #[serde(rename = "100us")]
    HundredMicroseconds,
    /// `white_balance_temperature`.
    #[serde(rename = "kelvin")]
    Kelvin,
}

impl ControlUnit {
    /// The unit of the control of this name.
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "pan_absolute" | "tilt_absolute" => Some(Self::Arcsec),
            "exposure_time_absolute" => Some(Self::HundredMicroseconds),
            "white_balance_temperature" => Some(Self::Kelvin),
            _ => None,
        }
    }
}

/// A control of a camera that can be set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ControlDescription {
    /// Its name.
    pub name: String,
    /// Its kind.
    #[serde(rename = "type")]
    pub kind: ControlKind,
    /// The lowest value.
    pub min: i64,
    /// The highest value.
    pub max: i64,
    /// The step between values.
    pub step: u64,
    /// The driver's default.
    pub default: i64,
    /// The value that it has, if it can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<i64>,
    /// What it counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<ControlUnit>,
    /// The items of a menu. Others than these are refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub items: Vec<MenuItem>,
    /// Whether another control makes it useless now, such as an automatic mode.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub inactive: bool,
}

/// An item of a menu.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MenuItem {
    /// Its value.
    pub value: i64,
    /// Its name, or its number as text.
    pub name: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saved_controls_have_a_bound() {
        let requests = CameraRequests::default();
        let values = |from: usize, to: usize, value: i32| -> BTreeMap<String, i32> {
            (from..to).map(|n| (format!("control_{n}"), value)).collect()
        };
        assert!(requests.save(values(0, SAVED_CONTROLS, 1)));
        assert!(requests.save(values(0, 2, 5)), "known ones are replaced");
        assert!(!requests.save(values(1, SAVED_CONTROLS + 1, 9)));
        let saved = requests.saved();
        assert_eq!((saved.len(), saved["control_1"], saved["control_2"]), (SAVED_CONTROLS, 5, 1));
    }

    #[test]
    fn questions_have_a_bound_and_those_that_nobody_waits_for_make_room() {
        let requests = CameraRequests::default();
        assert!(!requests.wants_picture());
        let mut waiting: Vec<_> = (0..CAMERA_QUESTIONS).map(|_| requests.ask_picture().unwrap()).collect();
        assert!(requests.ask_picture().is_none() && requests.wants_picture());
        waiting.pop();
        assert!(requests.ask_picture().is_some(), "one gave up");
        assert_eq!(requests.take_pictures().len(), CAMERA_QUESTIONS);
        assert!(!requests.wants_picture() && requests.take_pictures().is_empty());

        let lists: Vec<_> = (0..CAMERA_QUESTIONS).map(|_| requests.ask_controls().unwrap()).collect();
        assert!(requests.set_controls(BTreeMap::new()).is_none());
        drop(lists);
        let _set = requests.set_controls(BTreeMap::new()).unwrap();
        assert!(matches!(requests.take_controls()[..], [ControlsQuestion::Set(..)]));
        drop(requests.ask_controls());
        assert!(requests.take_controls().is_empty());
    }
}
