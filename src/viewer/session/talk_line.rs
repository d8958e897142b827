//! The m-line on which the viewer sends sound: which one it is, and how the device describes it. Pure.
//!
//! The WebRTC stack does not know of it. An m-line of sound that goes both ways is for the stack one that only sends,
//! and one that only receives is not there. `viewer/receive/` takes the packets.

use crate::{
    protocol::sdp::{
        CodecChoice, Description, MediaKind, MediaSection,
        write::{Purpose, SessionLayout, Slot},
    },
    viewer::{receive::TalkLine, send::twcc::TWCC_URI},
};

/// The RTCP feedback that goes with transport-wide numbers.
const TRANSPORT_CC: &str = "transport-cc";
/// Mid, payload type and parameters of an m-line of the device that only receives.
const OWN_MID: &str = "talk";
const OWN_TYPE: u8 = 111;
const OWN_FMTP: &str = "minptime=10;useinbandfec=1";

/// Where the viewer sends sound: on the m-line of its `sound`, or else on another one that shares the transport of the
/// m-lines that are `used`.
pub(super) fn talk_line(description: &Description, sound: Option<usize>, used: &[usize]) -> Option<TalkLine> {
    let fits = |at: usize| {
        let choice = description.lines[at].talk()?;
        let mut all = used.to_vec();
        all.push(at);
        description.is_bundled(&all).then(|| line_of(at, &description.lines[at], &choice))
    };
    sound.and_then(fits).or_else(|| (0..description.lines.len()).filter(|at| Some(*at) != sound).find_map(fits))
}

fn line_of(at: usize, line: &MediaSection, choice: &CodecChoice) -> TalkLine {
    let twcc = if choice.feedback.contains(&TRANSPORT_CC) { line.extension(TWCC_URI) } else { None };
    TalkLine { line: at, payload_type: choice.payload_type, twcc: twcc.unwrap_or(0) }
}

/// Changes the layout of an answer: sound is received on this m-line.
pub(super) fn apply(layout: &mut SessionLayout, offer: &Description, talk: Option<TalkLine>) {
    let Some(talk) = talk else { return };
    let (Some(slot), Some(line)) = (layout.slots.get_mut(talk.line), offer.lines.get(talk.line)) else { return };
    slot.receives = true;
    if slot.purpose == Purpose::Receive {
        let fmtp = line.talk().map(|choice| choice.fmtp).unwrap_or_default();
        slot.formats = vec![talk.payload_type.to_string()];
        slot.first = attributes(talk, &fmtp);
    }
}

/// The attributes of an m-line that only receives.
fn attributes(talk: TalkLine, fmtp: &str) -> Vec<(String, String)> {
    let TalkLine { payload_type, twcc, .. } = talk;
    let mut attributes = vec![("rtpmap".to_owned(), format!("{payload_type} opus/48000/2"))];
    if !fmtp.is_empty() {
        attributes.push(("fmtp".to_owned(), format!("{payload_type} {fmtp}")));
    }
    if twcc > 0 {
        attributes.push(("rtcp-fb".to_owned(), format!("{payload_type} {TRANSPORT_CC}")));
        attributes.push(("extmap".to_owned(), format!("{twcc} {TWCC_URI}")));
    }
    attributes
}

/// Offers to receive sound: on the m-line of the sound, or on one of its own.
pub(super) fn offer(layout: &mut SessionLayout) {
    if let Some(sound) = layout.slots.iter_mut().find(|slot| slot.kind == MediaKind::Audio) {
        sound.receives = true;
        return;
    }
    let Some(like) = layout.slots.first() else { return };
    let talk = TalkLine { line: layout.slots.len(), payload_type: OWN_TYPE, twcc: 0 };
    layout.slots.push(Slot {
        kind: MediaKind::Audio,
        media: MediaKind::Audio.name().to_owned(),
        protocol: like.protocol.clone(),
        formats: vec![OWN_TYPE.to_string()],
        first: attributes(talk, OWN_FMTP),
        mid: Some(OWN_MID.to_owned()),
        rtcp_rsize: true,
        purpose: Purpose::Receive,
        receives: true,
    });
}

/// Reads the viewer's answer to that: where it sends sound. `used`: the m-lines on which the device sends.
pub(super) fn answered(layout: &mut SessionLayout, answer: &Description, used: &[usize]) -> Option<TalkLine> {
    let offered = layout.slots.iter().position(|slot| slot.receives)?;
    let talk = answer.lines[offered].talk().map(|choice| line_of(offered, &answer.lines[offered], &choice));
    let mut all = used.to_vec();
    all.push(offered);
    let talk = talk.filter(|_| answer.is_bundled(&all));
    let slot = &mut layout.slots[offered];
    match (talk, used.contains(&offered)) {
        (Some(_), true) => {}
        (Some(talk), false) => {
            slot.purpose = Purpose::Receive;
            slot.formats = vec![talk.payload_type.to_string()];
            slot.first = attributes(talk, OWN_FMTP);
        }
        (None, sends) => {
            slot.receives = false;
            if !sends {
                slot.purpose = Purpose::Refuse;
            }
        }
    }
    talk
}

#[cfg(test)]
#[path = "talk_line_tests.rs"]
mod tests;
