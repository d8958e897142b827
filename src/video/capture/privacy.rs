//! Whether a camera's lens is covered, as far as it tells (`V4L2_CID_PRIVACY`: webcams with a shutter or a switch have it).
//!
//! The driver reports changes by events. Cameras whose driver has none, or never sent one, are asked. An answer may take
//! seconds, and the picture waits for it: after one that was slow, after an error, and once a change was reported, this
//! camera is not asked again.

use std::{io, time::Duration};

use tracing::debug;

use crate::{
    clock::Mono,
    video::v4l2::{self, Node},
};

/// A USB camera answers within a few milliseconds.
const SLOW: Duration = Duration::from_millis(100);

/// What is known of a shutter.
#[derive(Debug, Default)]
pub(crate) struct PrivacySwitch {
    closed: bool,
    /// Whether the camera is asked.
    asks: bool,
    /// Whether an event came: the first one tells how it was when we asked for events (`V4L2_EVENT_SUB_FL_SEND_INITIAL`).
    heard: bool,
}

impl PrivacySwitch {
    /// Asks for events of a camera that has a shutter.
    pub(crate) fn new(node: &Node) -> Self {
        let has = node.has_control(v4l2::PRIVACY);
        if has {
            node.subscribe_to(v4l2::PRIVACY);
        }
        Self { closed: false, asks: has, heard: false }
    }

    /// Takes in an event.
    pub(crate) fn told(&mut self, value: i64) {
        self.closed = value == 1;
        // The second one is a change: this driver reports them.
        self.asks &= !std::mem::replace(&mut self.heard, true);
    }

    /// Whether it is closed; asks the camera where that is quick.
    pub(crate) fn is_closed(&mut self, node: &Node) -> bool {
        if self.asks {
            let begin = Mono::now();
            let answer = node.read_control(v4l2::PRIVACY);
            if let Some(why) = self.answered(answer, Mono::now().since(begin)) {
                debug!("camera {}: its shutter is not asked again: {why}", node.path.display());
            }
        }
        self.closed
    }

    /// Takes in an answer; gives the reason where it was the last question.
    fn answered(&mut self, answer: io::Result<i64>, took: Duration) -> Option<String> {
        let why = match &answer {
            Err(e) => Some(e.to_string()),
            Ok(_) if took > SLOW => Some(format!("the answer took {} ms", took.as_millis())),
            Ok(_) => None,
        };
        if let Ok(value) = answer {
            self.closed = value == 1;
        }
        self.asks &= why.is_none();
        why
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_that_is_slow_or_fails_is_not_asked_again_and_is_still_heard() {
        let quick = Duration::from_millis(3);
        for (answer, took, asks, closed) in [
            (Ok(1), quick, true, true),
            (Ok(0), quick, true, false),
            (Ok(1), Duration::from_secs(5), false, true),
            (Err(io::Error::from_raw_os_error(libc::EIO)), quick, false, false),
        ] {
            let mut shutter = PrivacySwitch { asks: true, ..PrivacySwitch::default() };
            assert_eq!(shutter.answered(answer, took).is_none(), asks);
            assert_eq!((shutter.asks, shutter.closed), (asks, closed));
            for value in [1, 0] {
                shutter.told(value);
                assert_eq!(shutter.closed, value == 1, "events count whatever was asked");
            }
        }
    }

    #[test]
    fn a_camera_that_reports_a_change_is_not_asked_again() {
        let mut shutter = PrivacySwitch { asks: true, ..PrivacySwitch::default() };
        shutter.told(1);
        assert!(shutter.asks && shutter.closed, "how it was when we began to listen: every driver tells that");
        for (value, closed) in [(0, false), (1, true)] {
            shutter.told(value);
            assert_eq!((shutter.asks, shutter.closed), (false, closed));
        }
    }

    #[test]
    fn what_has_no_shutter_is_never_asked() {
        let node = Node::open(std::path::Path::new("/dev/null")).unwrap();
        let mut shutter = PrivacySwitch::new(&node);
        assert!(!shutter.asks && !shutter.is_closed(&node));
        shutter.asks = true;
        assert!(!shutter.is_closed(&node) && !shutter.asks, "an error is the last answer");
    }
}
