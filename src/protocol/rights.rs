//! Who sent a message, and what this viewer may do (protocol section 5). Pure.

use std::fmt;

use crate::{clock::Mono, config::Id};

/// One thing that a viewer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Get the picture.
    View,
    /// Get the sound.
    Listen,
    /// Send sound to the board.
    Talk,
    /// Change the controls of the camera.
    Control,
    /// Get single pictures.
    Snapshot,
    /// Get recordings.
    Record,
    /// Get events.
    Events,
}

impl Right {
    /// All rights, in the order in which they are written.
    pub const ALL: [Self; 7] =
        [Self::View, Self::Listen, Self::Talk, Self::Control, Self::Snapshot, Self::Record, Self::Events];

    /// Its name in messages and in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Listen => "listen",
            Self::Talk => "talk",
            Self::Control => "control",
            Self::Snapshot => "snapshot",
            Self::Record => "record",
            Self::Events => "events",
        }
    }
}

/// A set of rights.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Rights(u8);

impl Rights {
    /// These rights.
    pub fn of(rights: impl IntoIterator<Item = Right>) -> Self {
        Self(rights.into_iter().fold(0, |set, right| set | Self::bit(right)))
    }

    /// Whether this right is among them.
    pub fn has(self, right: Right) -> bool {
        self.0 & Self::bit(right) != 0
    }

    fn bit(right: Right) -> u8 {
        1 << right as u8
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = Right::ALL.into_iter().filter(|right| self.has(*right)).map(Right::name).collect();
        f.write_str(&names.join(","))
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rights({self})")
    }
}

/// A viewer that was authorised. It goes with each request, and with the session that the request opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorised {
    /// The viewer.
    pub who: Id,
    /// What it may do.
    pub rights: Rights,
    /// When the permission ends. `None`: never.
    pub until: Option<Mono>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_into_it_and_nothing_else() {
        let none = Rights::default();
        assert!(Right::ALL.into_iter().all(|right| !none.has(right)));
        for right in Right::ALL {
            let one = Rights::of([right]);
            assert!(Right::ALL.into_iter().all(|other| one.has(other) == (other == right)), "{right:?}");
        }
        let all = Rights::of(Right::ALL);
        assert!(Right::ALL.into_iter().all(|right| all.has(right)));
        assert_eq!(Rights::of([Right::View, Right::View]), Rights::of([Right::View]));
    }

    #[test]
    fn rights_are_written_by_name_in_one_order() {
        assert_eq!(Rights::of(Right::ALL).to_string(), "view,listen,talk,control,snapshot,record,events");
        assert_eq!(Rights::of([Right::Listen, Right::View]).to_string(), "view,listen");
        assert_eq!(Rights::default().to_string(), "");
    }
}
