//! What a viewer may do (protocol section 5). Pure.

use std::fmt;

use serde::{Serialize, Serializer};

/// One thing that a viewer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Right {
    /// Get the picture.
    View,
    /// Get the sound.
    Listen,
    /// Send sound to the board.
    Talk,
    /// Stop camera and microphone for everybody, and change the controls of the camera.
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

    /// The right of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|right| right.name() == name)
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

    /// Reads names that are separated by commas: `view,listen`. The error is the first name that is no right.
    pub fn parse(names: &str) -> Result<Self, &str> {
        let mut rights = Self::default();
        for name in names.split(',').map(str::trim) {
            rights.0 |= Self::bit(Right::of_name(name).ok_or(name)?);
        }
        Ok(rights)
    }

    /// Whether this right is among them.
    pub fn has(self, right: Right) -> bool {
        self.0 & Self::bit(right) != 0
    }

    /// Whether all of `others` are among them.
    pub fn has_all(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Each of them, in the order in which they are written.
    pub fn iter(self) -> impl Iterator<Item = Right> {
        Right::ALL.into_iter().filter(move |right| self.has(*right))
    }

    fn bit(right: Right) -> u8 {
        1 << right as u8
    }
}

/// A list of names: `["view","listen"]`.
impl Serialize for Rights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter().map(Right::name))
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Right::name).collect();
        f.write_str(&names.join(","))
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rights({self})")
    }
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

    #[test]
    fn names_read_back_and_a_wrong_one_is_returned() {
        for rights in [Rights::of(Right::ALL), Rights::of([Right::View]), Rights::of([Right::Talk, Right::Events])] {
            assert_eq!(Rights::parse(&rights.to_string()), Ok(rights));
        }
        assert_eq!(Rights::parse(" view , listen"), Ok(Rights::of([Right::View, Right::Listen])));
        for (names, wrong) in [("", ""), ("view,", ""), ("view,fly,x", "fly"), ("View", "View")] {
            assert_eq!(Rights::parse(names), Err(wrong), "{names:?}");
        }
    }

    #[test]
    fn a_set_has_all_of_its_parts_and_of_itself() {
        let both = Rights::of([Right::View, Right::Listen]);
        for (others, expected) in [
            (both, true),
            (Rights::default(), true),
            (Rights::of([Right::View]), true),
            (Rights::of(Right::ALL), false),
        ] {
            assert_eq!(both.has_all(others), expected, "{others:?}");
        }
        assert!(Rights::default().is_empty() && !both.is_empty());
        assert_eq!(both.iter().collect::<Vec<_>>(), [Right::View, Right::Listen]);
    }
}
