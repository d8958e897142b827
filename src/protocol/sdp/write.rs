//! Writes descriptions: for the stack, from what was understood of a viewer's, and for the viewer, from the stack's.
//! The stack never gets a viewer's text, and the viewer never gets the stack's text unchanged.

use rtc::sdp::description::{
    common::Attribute,
    media::{MediaDescription, RangedPort},
    session::SessionDescription,
};

use super::{
    CodecChoice, DtlsSetup, MediaKind, TransportParameters,
    channel::{CHANNEL_MESSAGE_MAX, SCTP_PORT, STACK_MESSAGE_MAX},
};

/// One m-line for the stack, of a viewer that receives.
#[derive(Debug, Clone)]
pub struct ViewerSection {
    /// Video or audio.
    pub kind: MediaKind,
    /// The stack's mid for it.
    pub mid: String,
    /// The codec that is sent on it.
    pub choice: CodecChoice,
    /// Header extensions: id and URI.
    pub extensions: Vec<(u8, String)>,
}

/// A viewer's description for the stack: only m-lines on which media is sent, and that of the data channels if it has a
/// mid here; bundled, with the stack's own words.
pub fn for_stack(
    transport: &TransportParameters,
    setup: DtlsSetup,
    ice_lite: bool,
    lines: &[ViewerSection],
    channel: Option<&str>,
    candidates: &[String],
) -> String {
    let mut text = vec!["v=0".to_owned(), "o=- 1 1 IN IP4 127.0.0.1".into(), "s=-".into(), "t=0 0".into()];
    let mids: Vec<&str> = lines.iter().map(|line| line.mid.as_str()).chain(channel).collect();
    text.push(format!("a=group:BUNDLE {}", mids.join(" ")));
    if ice_lite {
        text.push("a=ice-lite".into());
    }
    for (at, line) in lines.iter().enumerate() {
        let ViewerSection { kind, mid, choice, extensions } = line;
        let pt = choice.payload_type;
        let rtx = choice.rtx.map(|rtx| format!(" {rtx}")).unwrap_or_default();
        text.push(format!("m={} 9 UDP/TLS/RTP/SAVPF {pt}{rtx}", kind.name()));
        text.extend(transport_lines(transport, setup, mid));
        text.extend(["a=rtcp-mux", "a=rtcp-rsize", "a=recvonly"].map(str::to_owned));
        match kind {
            // The profile that the stack knows. The viewer's own goes into its answer.
            MediaKind::Video => {
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
    if let Some(mid) = channel {
        text.push("m=application 9 UDP/DTLS/SCTP webrtc-datachannel".into());
        text.extend(transport_lines(transport, setup, mid));
        text.push(format!("a=sctp-port:{SCTP_PORT}"));
        text.push(format!("a=max-message-size:{STACK_MESSAGE_MAX}"));
    }
    text.join("\r\n") + "\r\n"
}

/// The lines that each m-line for the stack begins with.
fn transport_lines(transport: &TransportParameters, setup: DtlsSetup, mid: &str) -> [String; 6] {
    [
        "c=IN IP4 0.0.0.0".to_owned(),
        format!("a=ice-ufrag:{}", transport.ufrag),
        format!("a=ice-pwd:{}", transport.password),
        format!("a=fingerprint:sha-256 {}", transport.fingerprint),
        format!("a=setup:{}", setup.word()),
        format!("a=mid:{mid}"),
    ]
}

/// The purpose of an m-line in a description of the device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// Media is sent on it. In answers, video has its own format parameters: payload type and text.
    Send(Option<(u8, String)>),
    /// Nothing is sent on it, and the sound of the viewer is received.
    Receive,
    /// Data channels are opened on it.
    Channel,
    /// Nothing is sent on it, but the other m-lines share its transport. Refusing it would remove that transport (RFC
    /// 8843 section 7.3.3), and Chromium needs it.
    Carry,
    /// It is refused: port 0.
    Refuse,
}

/// One m-line in a description of the device.
#[derive(Debug, Clone)]
pub struct Slot {
    /// Its kind.
    pub kind: MediaKind,
    /// The media word of the m-line.
    pub media: String,
    /// Transport protocol, as offered.
    pub protocol: String,
    /// Formats, as offered.
    pub formats: Vec<String>,
    /// `rtpmap` and `fmtp` of the first format, for an m-line that only carries the transport; of an m-line that only
    /// receives, all attributes of its format.
    pub first: Vec<(String, String)>,
    /// Its mid. Viewers without BUNDLE may have none.
    pub mid: Option<String>,
    /// Whether the viewer accepts reduced-size RTCP.
    pub rtcp_rsize: bool,
    /// Its purpose.
    pub purpose: Purpose,
    /// Whether the sound of the viewer is received on it.
    pub receives: bool,
}

/// The m-lines of a session. They stay the same in all of its descriptions.
#[derive(Debug, Clone)]
pub struct SessionLayout {
    /// The m-lines in order.
    pub slots: Vec<Slot>,
    /// The index of the m-line whose transport all share.
    pub tagged: usize,
    /// Whether there is a BUNDLE group.
    pub bundled: bool,
}

impl SessionLayout {
    /// The layout of the device's first offer, from the stack's.
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
            purpose: if kind(media) == MediaKind::Data { Purpose::Channel } else { Purpose::Send(None) },
            receives: false,
        });
        Ok(Self { slots: slots.collect(), tagged: 0, bundled: true })
    }
}

fn parse(stack: &str) -> Result<SessionDescription, String> {
    SessionDescription::try_from(stack.to_owned()).map_err(|e| format!("read the stack's description: {e}"))
}

fn kind(media: &MediaDescription) -> MediaKind {
    MediaKind::of_word(&media.media_name.media)
}

/// The stack's mid for each kind.
pub fn stack_mids(stack: &str) -> Result<Vec<(MediaKind, String)>, String> {
    let parsed = parse(stack)?;
    let mids = parsed.media_descriptions.iter().map(|media| {
        let mid = media.attribute("mid").flatten().unwrap_or_default();
        (kind(media), mid.to_owned())
    });
    Ok(mids.collect())
}

/// A description for the viewer: the stack's, with the session's m-lines, mids, directions and roles. `candidates`
/// returns the lines that replace each candidate line.
pub fn for_viewer(
    stack: &str,
    layout: &SessionLayout,
    setup: DtlsSetup,
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
            Purpose::Receive => receiving(any, slot),
            Purpose::Channel => {
                let is_open = |media: &MediaDescription| kind(media) == slot.kind && media.media_name.port.value != 0;
                if !made.iter().any(is_open) {
                    return Err("the stack's description has no data channels".to_owned());
                }
                with_channels(any, slot)
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
    media.attributes.push(attribute_of(if slot.receives { "sendrecv" } else { "sendonly" }, None));
    Ok(media)
}

/// An m-line with the transport of `like`, on which sound is received.
fn receiving(like: &MediaDescription, slot: &Slot) -> MediaDescription {
    let mut media = carrying(like, slot);
    media.attributes.retain(|a| a.key != "inactive");
    let rsize = slot.rtcp_rsize.then(|| attribute_of("rtcp-rsize", None));
    media.attributes.extend(rsize.into_iter().chain([attribute_of("recvonly", None)]));
    media
}

/// An m-line with the transport of `like`, on which data channels are opened.
fn with_channels(like: &MediaDescription, slot: &Slot) -> MediaDescription {
    let mut media = carrying(like, slot);
    media.attributes.retain(|a| !matches!(a.key.as_str(), "inactive" | "rtcp-mux"));
    media.attributes.push(attribute_of("sctp-port", Some(&SCTP_PORT.to_string())));
    media.attributes.push(attribute_of("max-message-size", Some(&CHANNEL_MESSAGE_MAX.to_string())));
    media
}

/// An m-line with the transport of `like`, on which nothing is sent.
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
