//! Reads a description. The stack's parser (`rtc::sdp`) knows the grammar; this file has the limits and the meaning of
//! attributes. Names and values that RFC 8866 compares without case are compared without case.

use rtc::sdp::description::{common::Attribute, media::MediaDescription, session::SessionDescription};

use super::{
    Codec, Description, Direction, DtlsSetup, LINE_MAX, LINES_MAX, MLINES_MAX, MediaKind, MediaSection, SDP_MAX, bad,
};
use crate::protocol::Refusal;

/// How many characters of a parser's error are passed on. It may quote what it could not read.
const EXCERPT: usize = 120;

pub(super) fn description(text: &str) -> Result<Description, Refusal> {
    bounds(text)?;
    let parsed = SessionDescription::try_from(text.to_owned()).map_err(|e| bad(unreadable(&e)))?;
    // The parser takes some texts for an m-line that the check before it does not.
    if parsed.media_descriptions.len() > MLINES_MAX {
        return Err(bad(too_many(parsed.media_descriptions.len())));
    }
    let lines = parsed.media_descriptions.iter().map(|media| line(media, &parsed.attributes));
    let description = Description {
        lines: lines.collect::<Result<_, _>>()?,
        groups: groups(&parsed.attributes),
        ice_lite: has(&parsed.attributes, "ice-lite"),
    };
    consistent(&description)?;
    Ok(description)
}

/// Checks the limits before anything is parsed.
fn bounds(text: &str) -> Result<(), Refusal> {
    if text.len() > SDP_MAX {
        return Err(bad(format!("the description has {} bytes: {SDP_MAX} are read", text.len())));
    }
    if !text.starts_with("v=0") {
        return Err(bad("the description does not begin with v=0"));
    }
    if text.lines().take(LINES_MAX + 1).count() > LINES_MAX {
        return Err(bad(format!("the description has more than {LINES_MAX} lines")));
    }
    if text.lines().any(|line| line.len() > LINE_MAX) {
        return Err(bad(format!("the description has a line of more than {LINE_MAX} bytes")));
    }
    let is_lone_return = |pair: &[u8]| pair[0] == b'\r' && pair[1] != b'\n';
    if text.contains(|c: char| c.is_control() && !matches!(c, '\r' | '\n' | '\t'))
        || text.as_bytes().windows(2).any(is_lone_return)
    {
        return Err(bad("the description has a control character in it"));
    }
    let mlines = text.lines().filter(|line| line.starts_with("m=")).count();
    if !(1..=MLINES_MAX).contains(&mlines) {
        return Err(bad(too_many(mlines)));
    }
    Ok(())
}

fn too_many(mlines: usize) -> String {
    format!("the description has {mlines} m-lines: 1 to {MLINES_MAX} are read")
}

fn unreadable(error: &impl std::fmt::Display) -> String {
    let said: String = error.to_string().chars().filter(|c| !c.is_control()).take(EXCERPT).collect();
    format!("the description cannot be read: {said}")
}

fn values<'a>(attributes: &'a [Attribute], key: &'a str) -> impl Iterator<Item = &'a str> {
    attributes.iter().filter(move |a| a.key.eq_ignore_ascii_case(key)).filter_map(|a| a.value.as_deref().map(str::trim))
}

fn has(attributes: &[Attribute], key: &str) -> bool {
    attributes.iter().any(|a| a.key.trim().eq_ignore_ascii_case(key))
}

fn groups(session: &[Attribute]) -> Vec<Vec<String>> {
    let mut groups = Vec::new();
    for value in values(session, "group") {
        let mut words = value.split_ascii_whitespace();
        if words.next().is_some_and(|semantics| semantics.eq_ignore_ascii_case("BUNDLE")) {
            groups.push(words.map(str::to_owned).collect());
        }
    }
    groups
}

fn line(media: &MediaDescription, session: &[Attribute]) -> Result<MediaSection, Refusal> {
    let name = &media.media_name;
    let kind = MediaKind::of_word(&name.media);
    let own = &media.attributes;
    // A session-level attribute counts if the m-line does not have its own.
    let either = |key: &'static str| values(own, key).next().or_else(|| values(session, key).next()).map(str::to_owned);
    let fingerprints = match fingerprints(own)? {
        none if none.is_empty() => fingerprints(session)?,
        some => some,
    };
    let mut line = MediaSection {
        kind,
        media: name.media.clone(),
        port: u16::try_from(name.port.value).map_err(|_| bad("the port of an m-line is not 0 to 65535"))?,
        protocol: name.protos.join("/"),
        formats: name.formats.clone(),
        mid: values(own, "mid").next().map(str::to_owned),
        bundle_only: has(own, "bundle-only"),
        direction: direction(own).or_else(|| direction(session)).unwrap_or(Direction::SendRecv),
        rtcp_mux: has(own, "rtcp-mux"),
        rtcp_rsize: has(own, "rtcp-rsize"),
        ufrag: either("ice-ufrag"),
        password: either("ice-pwd"),
        fingerprints,
        setup: either("setup").as_deref().map(setup).transpose()?,
        sdes: has(own, "crypto"),
        codecs: Vec::new(),
        feedback: Vec::new(),
        extensions: extensions(own)?,
        candidates: values(own, "candidate").map(|value| format!("candidate:{value}")).collect(),
        sctp_port: values(own, "sctp-port").next().map(|port| port.parse().unwrap_or(0)),
        max_message: values(own, "max-message-size").next().map(|most| most.parse().unwrap_or(1)),
    };
    if line.extensions.is_empty() {
        line.extensions = extensions(session)?;
    }
    if kind.is_rtp() && line.protocol.to_ascii_uppercase().contains("RTP/") {
        line.codecs = codecs(&line.formats, own)?;
        line.feedback = values(own, "rtcp-fb").filter_map(feedback).collect();
    }
    Ok(line)
}

fn direction(attributes: &[Attribute]) -> Option<Direction> {
    attributes.iter().find_map(|a| match a.key.trim().to_ascii_lowercase().as_str() {
        "sendrecv" => Some(Direction::SendRecv),
        "sendonly" => Some(Direction::SendOnly),
        "recvonly" => Some(Direction::RecvOnly),
        "inactive" => Some(Direction::Inactive),
        _ => None,
    })
}

fn setup(value: &str) -> Result<DtlsSetup, Refusal> {
    let known = [DtlsSetup::Active, DtlsSetup::Passive, DtlsSetup::ActPass, DtlsSetup::HoldConn];
    let found = known.into_iter().find(|setup| value.eq_ignore_ascii_case(setup.word()));
    found.ok_or_else(|| bad("the description has an a=setup that is none of active, passive and actpass"))
}

/// Hash functions and their hexadecimal values are compared without case (RFC 8122 section 5).
fn fingerprints(attributes: &[Attribute]) -> Result<Vec<(String, String)>, Refusal> {
    let one = |value: &str| {
        let words: Vec<&str> = value.split_ascii_whitespace().collect();
        match words[..] {
            [hash, value] => Ok((hash.to_ascii_lowercase(), value.to_ascii_uppercase())),
            _ => Err(bad("the description has an a=fingerprint that is not a hash function and a value")),
        }
    };
    values(attributes, "fingerprint").map(one).collect()
}

/// `a=extmap:3/recvonly URI …` (RFC 8285 section 5). Ids from 4096 on are placeholders in offers.
fn extensions(attributes: &[Attribute]) -> Result<Vec<(u16, String)>, Refusal> {
    let mut found: Vec<(u16, String)> = Vec::new();
    for value in values(attributes, "extmap") {
        let mut words = value.split_ascii_whitespace();
        let id = words.next().and_then(|word| word.split('/').next()).and_then(|id| id.parse().ok());
        let (Some(id), Some(uri)) = (id, words.next()) else {
            return Err(bad("the description has an a=extmap that is not an id and a URI"));
        };
        if !matches!(id, 1..=14 | 16..=255 | 4096..=4351) {
            return Err(bad(format!("a=extmap has the id {id}: 1 to 14 and 16 to 255 can be used (RFC 8285)")));
        }
        if found.iter().any(|(other, is)| *other == id && is != uri) {
            return Err(bad(format!("a=extmap gives the id {id} to two header extensions of one m-line")));
        }
        found.push((id, uri.to_owned()));
    }
    Ok(found)
}

fn codecs(formats: &[String], attributes: &[Attribute]) -> Result<Vec<Codec>, Refusal> {
    let mut codecs: Vec<Codec> = Vec::with_capacity(formats.len());
    for format in formats {
        let Some(payload_type) = format.parse::<u8>().ok().filter(|n| *n <= 127) else {
            return Err(bad("an m-line has a payload type that is not 0 to 127"));
        };
        if codecs.iter().any(|codec| codec.payload_type == payload_type) {
            return Err(bad(format!("an m-line names the payload type {payload_type} twice")));
        }
        let of_this = |key| values(attributes, key).find_map(|value| rest_of(value, payload_type));
        let map = of_this("rtpmap").unwrap_or_default();
        let mut parts = map.split('/');
        codecs.push(Codec {
            payload_type,
            name: parts.next().unwrap_or_default().trim().to_owned(),
            clock: parts.next().and_then(|clock| clock.trim().parse().ok()).unwrap_or(0),
            channels: parts.next().and_then(|channels| channels.trim().parse().ok()).unwrap_or(0),
            fmtp: of_this("fmtp").unwrap_or_default().to_owned(),
        });
    }
    Ok(codecs)
}

/// The part of an `rtpmap` or `fmtp` value after the payload type.
fn rest_of(value: &str, payload_type: u8) -> Option<&str> {
    let (number, rest) = value.split_once(|c: char| c.is_ascii_whitespace())?;
    (number.parse() == Ok(payload_type)).then(|| rest.trim())
}

fn feedback(value: &str) -> Option<(Option<u8>, String)> {
    let (which, rest) = value.split_once(|c: char| c.is_ascii_whitespace())?;
    let words: Vec<&str> = rest.split_ascii_whitespace().collect();
    let which = if which == "*" { None } else { Some(which.parse().ok()?) };
    Some((which, words.join(" ").to_ascii_lowercase()))
}

/// Checks the rules between the m-lines of any description.
fn consistent(description: &Description) -> Result<(), Refusal> {
    let mut mids: Vec<&str> = Vec::new();
    for mid in description.lines.iter().filter_map(|line| line.mid.as_deref()) {
        if mid.is_empty() || mid.len() > 64 || mid.contains(|c: char| !c.is_ascii_graphic()) {
            return Err(bad("the description has an a=mid that is not 1 to 64 printable characters"));
        }
        if mids.contains(&mid) {
            return Err(bad(format!("two m-lines have the mid {mid}")));
        }
        mids.push(mid);
    }
    let mut grouped: Vec<&String> = description.groups.iter().flatten().collect();
    grouped.sort_unstable();
    if grouped.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(bad("an m-line is named twice in BUNDLE groups"));
    }
    Ok(())
}
