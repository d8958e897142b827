//! The m-line of the data channel for commands: which one it is, and whether it stays. Pure.

use crate::protocol::sdp::{
    Description,
    write::{Purpose, SessionLayout},
};

/// The m-line of an offer on which the viewer can open its channel. It shares the transport of the m-lines that are
/// `used`, and comes behind the one that has this transport (`tagged`) in the BUNDLE group.
pub(super) fn offered(offer: &Description, used: &[usize], tagged: usize) -> Option<usize> {
    let place = |at: usize| {
        let mid = offer.lines[at].mid.as_ref()?;
        offer.group_of(tagged)?.iter().position(|other| other == mid)
    };
    let fits = |at: &usize| {
        let comes_behind = place(tagged).zip(place(*at)).is_some_and(|(first, own)| first < own);
        offer.lines[*at].has_channels() && comes_behind && shares(offer, used, *at)
    };
    (0..offer.lines.len()).find(fits)
}

/// Reads the viewer's answer to an offer with such an m-line: `None` if it has none or refuses it.
pub(super) fn answered(layout: &mut SessionLayout, answer: &Description, used: &[usize]) -> Option<usize> {
    let at = layout.slots.iter().position(|slot| slot.purpose == Purpose::Channel)?;
    let is_taken = answer.lines[at].has_channels() && shares(answer, used, at);
    if !is_taken {
        layout.slots[at].purpose = Purpose::Refuse;
    }
    is_taken.then_some(at)
}

/// Refuses a later description that no longer has the channel.
pub(super) fn stays(channel: Option<usize>, description: &Description, which: &str) -> Result<(), String> {
    match channel {
        Some(at) if !description.lines[at].has_channels() => Err(format!("the {which} no longer has the data channel")),
        _ => Ok(()),
    }
}

fn shares(description: &Description, used: &[usize], at: usize) -> bool {
    let mut all = used.to_vec();
    all.push(at);
    description.is_bundled(&all)
}

#[cfg(test)]
#[path = "channel_line_tests.rs"]
mod tests;
