//! Which data channel of a viewer is used. Pure.

/// The label of the channel for commands.
pub(crate) const LABEL: &str = "fanlight";
/// With so many channels that are not used, the session ends.
const UNUSED: u32 = 8;

/// What happens to a channel that the viewer opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChannelVerdict {
    /// It carries commands.
    Use,
    /// It is closed.
    Close,
    /// There were too many: the session ends.
    Flood,
}

/// The channels of one session.
#[derive(Debug, Default)]
pub(crate) struct ChannelDoor {
    /// Whether the session has or had its channel.
    is_taken: bool,
    unused: u32,
}

impl ChannelDoor {
    /// The viewer opened a channel. A session has one, and only once.
    pub(crate) fn opened(&mut self, label: &str, protocol: &str, is_ordered: bool) -> ChannelVerdict {
        let fits = label == LABEL && protocol.is_empty() && is_ordered;
        if fits && !self.is_taken {
            self.is_taken = true;
            return ChannelVerdict::Use;
        }
        self.unused += 1;
        if self.unused < UNUSED { ChannelVerdict::Close } else { ChannelVerdict::Flood }
    }
}

#[cfg(test)]
mod tests {
    use super::{ChannelVerdict::*, *};

    #[test]
    fn one_channel_is_used_and_the_others_are_closed() {
        let mut door = ChannelDoor::default();
        for (label, protocol, is_ordered, expected) in [
            ("chat", "", true, Close),
            ("fanlight", "json", true, Close),
            ("fanlight", "", false, Close),
            ("Fanlight", "", true, Close),
            ("fanlight", "", true, Use),
            ("fanlight", "", true, Close),
            ("", "", true, Close),
            ("fanlight", "", true, Close),
            ("fanlight", "", true, Flood),
            ("fanlight", "", true, Flood),
        ] {
            assert_eq!(door.opened(label, protocol, is_ordered), expected, "{label:?} {protocol:?} {is_ordered}");
        }
    }
}
