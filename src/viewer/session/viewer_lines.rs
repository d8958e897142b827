//! What the session keeps of an m-line of the viewer. Pure.

use crate::{
    protocol::sdp::{
        MediaSection,
        write::{Purpose, Slot},
    },
    viewer::{peer::media_engine::PLAYOUT_DELAY, send::twcc::TWCC_URI},
};

/// An m-line of the viewer, in the layout of the session.
pub(super) fn slot(line: &MediaSection, purpose: Purpose) -> Slot {
    Slot {
        kind: line.kind,
        media: line.media.clone(),
        protocol: line.protocol.clone(),
        formats: line.formats.clone(),
        first: first(line),
        mid: line.mid.clone(),
        rtcp_rsize: line.rtcp_rsize,
        purpose,
        receives: false,
    }
}

/// The attributes of an m-line's first format, for an m-line that only carries the transport.
pub(super) fn first(line: &MediaSection) -> Vec<(String, String)> {
    let Some(codec) = line.codecs.first().filter(|codec| !codec.name.is_empty()) else { return Vec::new() };
    let channels = if codec.channels > 0 { format!("/{}", codec.channels) } else { String::new() };
    let map = format!("{} {}/{}{channels}", codec.payload_type, codec.name, codec.clock);
    let mut attributes = vec![("rtpmap".to_owned(), map)];
    if !codec.fmtp.is_empty() {
        attributes.push(("fmtp".to_owned(), format!("{} {}", codec.payload_type, codec.fmtp)));
    }
    attributes
}

/// The header extensions that this device sends, with the viewer's ids.
pub(super) fn extensions(line: &MediaSection) -> Vec<(u8, String)> {
    let known = [PLAYOUT_DELAY, TWCC_URI];
    known.into_iter().filter_map(|uri| line.extension(uri).map(|id| (id, uri.to_owned()))).collect()
}
