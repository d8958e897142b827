//! Whether a camera's lens is covered (`V4L2_CID_PRIVACY`), for webcams that report their shutter or switch.
//!
//! Drivers report changes by control events. A camera whose driver sends none is polled. An answer may take seconds and
//! delays the video. So polling stops after a slow answer, an error, or an event that reports a change. Without events
//! of changes, nothing is known then, and the shutter counts as open: a picture that may be seen is not hidden.

use std::{io, time::Duration};

use tracing::debug;

use crate::{
    clock::Mono,
    video::v4l2::{self, Node},
};

/// A USB camera answers within a few milliseconds; slower ones are not polled again.
const SLOW: Duration = Duration::from_millis(100);

/// The state of a camera's privacy control.
#[derive(Debug, Default)]
pub(crate) struct PrivacySwitch {
    closed: bool,
    /// Whether the camera is polled.
    polls: bool,
    /// Whether an event came. The first one reports the state at the subscription (`V4L2_EVENT_SUB_FL_SEND_INITIAL`).
    heard: bool,
}

impl PrivacySwitch {
    /// Subscribes to the events of a camera that has the control.
    pub(crate) fn new(node: &Node) -> Self {
        let has = node.has_control(v4l2::PRIVACY);
        if has {
            node.subscribe_to(v4l2::PRIVACY);
        }
        Self { closed: false, polls: has, heard: false }
    }

    /// Handles an event.
    pub(crate) fn on_event(&mut self, value: i64) {
        self.closed = value == 1;
        // A second event reports a change, so this driver sends them and polling can stop.
        self.polls &= !std::mem::replace(&mut self.heard, true);
    }

    /// Whether the shutter is closed. Polls the camera if that is quick.
    pub(crate) fn is_closed(&mut self, node: &Node) -> bool {
        if self.polls {
            let begin = Mono::now();
            let answer = node.read_control(v4l2::PRIVACY);
            if let Some(why) = self.answered(answer, Mono::now().since(begin)) {
                debug!("camera {}: its shutter is no longer polled: {why}", node.path.display());
            }
        }
        self.closed
    }

    /// Handles an answer. Returns the reason if polling stops.
    fn answered(&mut self, answer: io::Result<i64>, took: Duration) -> Option<String> {
        let why = match &answer {
            Err(e) => Some(e.to_string()),
            Ok(_) if took > SLOW => Some(format!("the answer took {} ms", took.as_millis())),
            Ok(_) => None,
        };
        if let Ok(value) = answer {
            self.closed = value == 1;
        }
        if why.is_some() {
            (self.polls, self.closed) = (false, false);
        }
        why
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_that_is_slow_or_fails_is_not_asked_again_and_is_still_heard() {
        let quick = Duration::from_millis(3);
        for (answer, took, polls, closed) in [
            (Ok(1), quick, true, true),
            (Ok(0), quick, true, false),
            // The last answers: what comes after them is not known.
            (Ok(1), Duration::from_secs(5), false, false),
            (Err(io::Error::from_raw_os_error(libc::EIO)), quick, false, false),
        ] {
            let mut shutter = PrivacySwitch { polls: true, closed: true, ..PrivacySwitch::default() };
            assert_eq!(shutter.answered(answer, took).is_none(), polls);
            assert_eq!((shutter.polls, shutter.closed), (polls, closed));
            for value in [1, 0] {
                shutter.on_event(value);
                assert_eq!(shutter.closed, value == 1, "events count whatever was asked");
            }
        }
    }

    #[test]
    fn a_camera_that_reports_a_change_is_not_asked_again() {
        let mut shutter = PrivacySwitch { polls: true, ..PrivacySwitch::default() };
        shutter.on_event(1);
        assert!(
            shutter.polls && shutter.closed,
            "the first event is the state at subscription, which every driver sends"
        );
        for (value, closed) in [(0, false), (1, true)] {
            shutter.on_event(value);
            assert_eq!((shutter.polls, shutter.closed), (false, closed));
        }
    }

    #[test]
    fn what_has_no_shutter_is_never_asked() {
        let node = Node::open(std::path::Path::new("/dev/null")).unwrap();
        let mut shutter = PrivacySwitch::new(&node);
        assert!(!shutter.polls && !shutter.is_closed(&node));
        shutter.polls = true;
        assert!(!shutter.is_closed(&node) && !shutter.polls, "an error is the last answer");
    }
}
