//! Descriptions that are written: those for the stack, from what was understood of a viewer's, and those for the viewer, from
//! the stack's. The stack is never given a viewer's text, and the viewer is never given the stack's as it is.

use rtc::sdp::description::{
    common::Attribute,
    media::{MediaDescription, RangedPort},
    session::SessionDescription,
};

use super::{Choice, Kind, Setup, Transport};

/// One m-line for the stack: of a viewer that receives.
#[derive(Debug, Clone)]
pub struct Received {
    /// Picture or sound.
    pub kind: Kind,
    /// The mid by which the stack knows it.
    pub mid: String,
    /// What is sent on it.
    pub choice: Choice,
    /// Header extensions: id and URI.
    pub extensions: Vec<(u8, String)>,
}

/// A viewer's description for the stack: only lines that media is sent on, bundled, in the stack's own words.
pub fn for_stack(
    transport: &Transport,
    setup: Setup,
    ice_lite: bool,
    lines: &[Received],
    candidates: &[String],
) -> String {
    let mut text = vec!["v=0".to_owned(), "o=- 1 1 IN IP4 127.0.0.1".into(), "s=-".into(), "t=0 0".into()];
    let mids: Vec<&str> = lines.iter().map(|line| line.mid.as_str()).collect();
    text.push(format!("a=group:BUNDLE {}", mids.join(" ")));
    if ice_lite {
        text.push("a=ice-lite".into());
    }
    for (at, line) in lines.iter().enumerate() {
        let Received { kind, mid, choice, extensions } = line;
        let pt = choice.payload_type;
        let rtx = choice.rtx.map(|rtx| format!(" {rtx}")).unwrap_or_default();
        text.push(format!("m={} 9 UDP/TLS/RTP/SAVPF {pt}{rtx}", kind.name()));
        text.push("c=IN IP4 0.0.0.0".into());
        text.push(format!("a=ice-ufrag:{}", transport.ufrag));
        text.push(format!("a=ice-pwd:{}", transport.password));
        text.push(format!("a=fingerprint:sha-256 {}", transport.fingerprint));
        text.push(format!("a=setup:{}", setup.word()));
        text.push(format!("a=mid:{mid}"));
        text.extend(["a=rtcp-mux", "a=rtcp-rsize", "a=recvonly"].map(str::to_owned));
        match kind {
            // The profile that the stack knows; what the viewer wrote goes into its answer.
            Kind::Video => {
                text.push(format!("a=rtpmap:{pt} H264/90000"));
                let fmtp = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f";
                text.push(format!("a=fmtp:{pt} {fmtp}"));
            }
            _ => {
                text.push(format!("a=rtpmap:{pt} opus/48000/2"));
                if !choice.fmtp.is_empty() {
                    text.push(format!("a=fmtp:{pt} {}", choice.fmtp));
                }
            }
        }
        text.extend(choice.feedback.iter().map(|what| format!("a=rtcp-fb:{pt} {what}")));
        if let Some(rtx) = choice.rtx {
            text.push(format!("a=rtpmap:{rtx} rtx/90000"));
            text.push(format!("a=fmtp:{rtx} apt={pt}"));
        }
        text.extend(extensions.iter().map(|(id, uri)| format!("a=extmap:{id} {uri}")));
        if at == 0 {
            text.extend(candidates.iter().map(|candidate| format!("a={candidate}")));
        }
    }
    text.join("\r\n") + "\r\n"
}

/// What an m-line of an own description is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// Media is sent on it. In answers the picture has format parameters of its own: payload type and text.
    Send(Option<(u8, String)>),
    /// Nothing is sent on it, but its transport is the one that the other lines share. Refusing it would take the
    /// transport away from them (RFC 8843 section 7.3.3); Chromium cannot do without it.
    Carry,
    /// It is refused: port 0.
    Refuse,
}

/// One m-line of an own description.
#[derive(Debug, Clone)]
pub struct Slot {
    /// Its kind.
    pub kind: Kind,
    /// The media word.
    pub media: String,
    /// Transport protocol, as offered.
    pub protocol: String,
    /// Formats, as offered.
    pub formats: Vec<String>,
    /// `rtpmap` and `fmtp` of the first format, for a line that only carries.
    pub first: Vec<(String, String)>,
    /// Its mid; viewers without BUNDLE may have none.
    pub mid: Option<String>,
    /// Whether the viewer takes reduced-size RTCP.
    pub rtcp_rsize: bool,
    /// What it is for.
    pub purpose: Purpose,
}

/// The m-lines of a session, which stay what they are for all of its descriptions.
#[derive(Debug, Clone)]
pub struct Layout {
    /// In order.
    pub slots: Vec<Slot>,
    /// The one whose transport all share.
    pub tagged: usize,
    /// Whether there is a BUNDLE group.
    pub bundled: bool,
}

impl Layout {
    /// The layout of an own first offer: what the stack made.
    pub fn of_stack(stack: &str) -> Result<Self, String> {
        let parsed = parse(stack)?;
        let slots = parsed.media_descriptions.iter().map(|media| Slot {
            kind: kind(media),
            media: media.media_name.media.clone(),
            protocol: media.media_name.protos.join("/"),
            formats: media.media_name.formats.clone(),
            first: Vec::new(),
            mid: media.attribute("mid").flatten().map(str::to_owned),
            rtcp_rsize: true,
            purpose: Purpose::Send(None),
        });
        Ok(Self { slots: slots.collect(), tagged: 0, bundled: true })
    }
}

fn parse(stack: &str) -> Result<SessionDescription, String> {
    SessionDescription::try_from(stack.to_owned()).map_err(|e| format!("read the stack's description: {e}"))
}

fn kind(media: &MediaDescription) -> Kind {
    match media.media_name.media.as_str() {
        "video" => Kind::Video,
        "audio" => Kind::Audio,
        _ => Kind::Other,
    }
}

/// The mid by which the stack knows each kind.
pub fn stack_mids(stack: &str) -> Result<Vec<(Kind, String)>, String> {
    let parsed = parse(stack)?;
    let mids = parsed.media_descriptions.iter().map(|media| {
        let mid = media.attribute("mid").flatten().unwrap_or_default();
        (kind(media), mid.to_owned())
    });
    Ok(mids.collect())
}

/// An own description for the viewer: the stack's, with the m-lines, mids, directions and roles that are ours to write.
/// `candidates` says what becomes of each candidate line.
pub fn for_viewer(
    stack: &str,
    layout: &Layout,
    setup: Setup,
    candidates: impl Fn(&str) -> Vec<String>,
) -> Result<String, String> {
    let mut parsed = parse(stack)?;
    let made = std::mem::take(&mut parsed.media_descriptions);
    let is_candidate = |a: &&Attribute| matches!(a.key.as_str(), "candidate" | "end-of-candidates");
    let gathered: Vec<Attribute> =
        made.iter().flat_map(|m| m.attributes.iter().filter(is_candidate)).cloned().collect();
    let any = made.first().ok_or("the stack's description has no m-line")?;
    for (at, slot) in layout.slots.iter().enumerate() {
        let mut media = match &slot.purpose {
            Purpose::Send(fmtp) => {
                let found = made.iter().find(|media| kind(media) == slot.kind);
                sending(found.ok_or_else(|| format!("the stack's description has no {}", slot.media))?, slot, fmtp)?
            }
            Purpose::Carry => carrying(any, slot),
            Purpose::Refuse => refusing(any, slot),
        };
        for attribute in &mut media.attributes {
            if attribute.key == "setup" {
                attribute.value = Some(setup.word().to_owned());
            }
        }
        if at == layout.tagged {
            for attribute in &gathered {
                match attribute.value.as_deref() {
                    Some(value) => {
                        let lines = candidates(&format!("candidate:{value}"));
                        let rest = lines.iter().filter_map(|line| line.strip_prefix("candidate:"));
                        media.attributes.extend(rest.map(|rest| attribute_of("candidate", Some(rest))));
                    }
                    None => media.attributes.push(attribute.clone()),
                }
            }
        }
        parsed.media_descriptions.push(media);
    }
    parsed.attributes.retain(|a| a.key != "group");
    if layout.bundled {
        let open = |slot: &&Slot| slot.purpose != Purpose::Refuse;
        let tagged = layout.slots.get(layout.tagged);
        let others = layout.slots.iter().enumerate().filter(|(at, _)| *at != layout.tagged).map(|(_, slot)| slot);
        let mids: Vec<&str> =
            tagged.into_iter().chain(others).filter(open).filter_map(|slot| slot.mid.as_deref()).collect();
        parsed.attributes.push(attribute_of("group", Some(&format!("BUNDLE {}", mids.join(" ")))));
    }
    Ok(parsed.marshal())
}

fn attribute_of(key: &str, value: Option<&str>) -> Attribute {
    Attribute::new(key.to_owned(), value.map(str::to_owned))
}

fn sending(made: &MediaDescription, slot: &Slot, fmtp: &Option<(u8, String)>) -> Result<MediaDescription, String> {
    if made.media_name.port.value == 0 {
        return Err(format!("the stack refuses its own {}", slot.media));
    }
    let mut media = made.clone();
    media.media_name.protos = protocol(slot);
    media.attributes.retain(|a| {
        let key = a.key.as_str();
        let written_here = ["candidate", "end-of-candidates", "sendrecv", "sendonly", "recvonly", "inactive", "mid"];
        !written_here.contains(&key) && (key != "rtcp-rsize" || slot.rtcp_rsize)
    });
    if let Some((payload_type, parameters)) = fmtp {
        let own = format!("{payload_type} ");
        for a in media.attributes.iter_mut().filter(|a| a.key == "fmtp") {
            if a.value.as_ref().is_some_and(|value| value.starts_with(&own)) {
                a.value = Some(format!("{own}{parameters}"));
            }
        }
    }
    media.attributes.extend(slot.mid.as_deref().map(|mid| attribute_of("mid", Some(mid))));
    media.attributes.push(attribute_of("sendonly", None));
    Ok(media)
}

/// A line with the transport of `like`, on which nothing is sent.
fn carrying(like: &MediaDescription, slot: &Slot) -> MediaDescription {
    let mut media = refusing(like, slot);
    media.media_name.port = RangedPort { value: 9, range: None };
    media.media_name.formats.truncate(1);
    let transport = ["ice-ufrag", "ice-pwd", "fingerprint", "setup", "rtcp-mux"];
    media.attributes.extend(like.attributes.iter().filter(|a| transport.contains(&a.key.as_str())).cloned());
    media.attributes.extend(slot.first.iter().map(|(key, value)| attribute_of(key, Some(value))));
    media
}

fn refusing(like: &MediaDescription, slot: &Slot) -> MediaDescription {
    let mut media = MediaDescription {
        media_name: like.media_name.clone(),
        connection_information: like.connection_information.clone(),
        ..MediaDescription::default()
    };
    media.media_name.media.clone_from(&slot.media);
    media.media_name.port = RangedPort { value: 0, range: None };
    media.media_name.protos = protocol(slot);
    media.media_name.formats.clone_from(&slot.formats);
    media.attributes.extend(slot.mid.as_deref().map(|mid| attribute_of("mid", Some(mid))));
    media.attributes.push(attribute_of("inactive", None));
    media
}

fn protocol(slot: &Slot) -> Vec<String> {
    slot.protocol.split('/').map(str::to_owned).collect()
}
