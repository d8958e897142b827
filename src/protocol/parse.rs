//! Text of an authorised viewer → request (section 3). Pure. Every fault is a refusal with a sentence.

use serde_json::{Map, Value};

use crate::log::sentence;

use super::{
    Candidate, ErrorName, Refusal, Request, RequestHead, SessionId, VERSION, Wanted, command::CommandMessage,
    envelope::Rejected, json, sdp::SDP_MAX,
};

/// The most candidates in one message. An honest viewer sends 8.
pub const CANDIDATES_MAX: usize = 24;
/// The longest candidate line, in bytes.
pub const CANDIDATE_MAX: usize = 512;
/// The longest ICE user fragment, in bytes (RFC 8839 section 5.4).
const UFRAG_MAX: usize = 256;
/// The longest reason, media identification or hash, in bytes.
const WORD_MAX: usize = 64;
/// The longest token, in bytes (section 5).
const TOKEN_MAX: usize = 2048;
/// The largest number that every JSON reader keeps exact.
const NUMBER_MAX: u64 = (1 << 53) - 1;

/// Reads one message. Order of checks: JSON, version, type, session, sequence, then the fields of the type.
pub fn parse(text: &str) -> Result<(RequestHead, Request), Rejected> {
    let mut fields = Fields(json::object(text).map_err(|message| Refusal::new(ErrorName::BadRequest, message))?);
    let session = fields.0.get("session").and_then(Value::as_str).and_then(SessionId::new);
    read(&mut fields, session.as_ref()).map_err(|refusal| Rejected { session, refusal })
}

fn read(fields: &mut Fields, session: Option<&SessionId>) -> Result<(RequestHead, Request), Refusal> {
    version(fields.0.get("v"))?;
    let kind = Kind::of(&fields.required_text("type", WORD_MAX)?)?;
    let session = session.cloned().ok_or_else(|| bad("session must be 22 base64url characters"))?;
    let seq = fields.number("seq")?;
    Ok((RequestHead { session, seq }, fields.request(kind)?))
}

fn version(v: Option<&Value>) -> Result<(), Refusal> {
    match v {
        Some(v) if v.as_u64() == Some(u64::from(VERSION)) => Ok(()),
        Some(Value::Number(v)) => Err(Refusal {
            supported: Some(vec![VERSION]),
            ..Refusal::new(ErrorName::Version, format!("version {v} is not supported: {VERSION} is"))
        }),
        _ => Err(bad("v must be the number of the protocol version")),
    }
}

/// The types a viewer may send.
#[derive(Clone, Copy)]
enum Kind {
    Hello,
    Offer,
    Request,
    Answer,
    Candidates,
    Renew,
    Bye,
    Ping,
    Pong,
    Command,
}

impl Kind {
    fn of(name: &str) -> Result<Self, Refusal> {
        Ok(match name {
            "hello" => Self::Hello,
            "offer" => Self::Offer,
            "request" => Self::Request,
            "answer" => Self::Answer,
            "candidates" => Self::Candidates,
            "renew" => Self::Renew,
            "bye" => Self::Bye,
            "ping" => Self::Ping,
            "pong" => Self::Pong,
            "command" => Self::Command,
            "pair" => {
                return Err(bad("this device pairs with no viewer now: its owner begins that with `fanlight pair`"));
            }
            "welcome" | "paired" | "renewed" | "media" | "goaway" | "event" | "result" | "part" | "error" => {
                return Err(bad(format!("{name} is said by a device, not to it")));
            }
            _ => {
                return Err(bad("type is not known: hello, offer, request, answer, candidates, renew, bye, ping, \
                                pong and command are"));
            }
        })
    }
}

pub(super) fn bad(message: impl Into<String>) -> Refusal {
    Refusal::new(ErrorName::BadRequest, message)
}

/// The fields of an object. A field that is `null` counts as missing.
pub(super) struct Fields(pub(super) Map<String, Value>);

impl Fields {
    fn request(&mut self, kind: Kind) -> Result<Request, Refusal> {
        Ok(match kind {
            Kind::Hello => Request::Hello { events: self.flag("events")? },
            Kind::Offer => {
                self.credentials()?;
                Request::Offer { sdp: self.sdp()?, restart: self.flag("restart")? }
            }
            Kind::Request => {
                self.credentials()?;
                Request::Request { media: self.media()? }
            }
            Kind::Answer => Request::Answer { sdp: self.sdp()?, offer_hash: self.text("offer_hash", WORD_MAX)? },
            Kind::Candidates => self.candidates()?,
            Kind::Renew => {
                self.credentials()?;
                Request::Renew
            }
            Kind::Bye => Request::Bye { reason: sentence(&self.text("reason", WORD_MAX)?.unwrap_or_default()) },
            Kind::Ping => Request::Ping { n: self.number("n")? },
            Kind::Pong => Request::Pong { n: self.number("n")? },
            Kind::Command => Request::Command(CommandMessage::of(self)),
        })
    }

    /// Removes a field and returns it.
    pub(super) fn field(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !value.is_null())
    }

    pub(super) fn text(&mut self, name: &str, max: usize) -> Result<Option<String>, Refusal> {
        match self.field(name) {
            None => Ok(None),
            Some(Value::String(text)) if text.len() <= max => Ok(Some(text)),
            Some(Value::String(text)) => Err(bad(format!("{name} has {} bytes: at most {max} are read", text.len()))),
            Some(_) => Err(bad(format!("{name} must be a string"))),
        }
    }

    pub(super) fn required_text(&mut self, name: &str, max: usize) -> Result<String, Refusal> {
        self.text(name, max)?.ok_or_else(|| bad(format!("{name} is missing")))
    }

    pub(super) fn flag(&mut self, name: &str) -> Result<bool, Refusal> {
        match self.field(name) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(flag),
            Some(_) => Err(bad(format!("{name} must be true or false"))),
        }
    }

    pub(super) fn number(&mut self, name: &str) -> Result<u64, Refusal> {
        let number = self.field(name).ok_or_else(|| bad(format!("{name} is missing")))?;
        let fits = number.as_u64().filter(|n| *n <= NUMBER_MAX);
        fits.ok_or_else(|| bad(format!("{name} must be a whole number from 0 to {NUMBER_MAX}")))
    }

    /// Checks `token` and `key`. They count only in the signed modes, and their size is limited in all modes.
    fn credentials(&mut self) -> Result<(), Refusal> {
        self.text("token", TOKEN_MAX).map(drop)
    }

    fn sdp(&mut self) -> Result<String, Refusal> {
        match self.field("sdp") {
            Some(Value::String(sdp)) if sdp.len() > SDP_MAX => Err(Refusal::new(
                ErrorName::TooLarge,
                format!("sdp has {} bytes: at most {SDP_MAX} are read", sdp.len()),
            )),
            Some(Value::String(sdp)) => Ok(sdp),
            Some(_) => Err(bad("sdp must be a string")),
            None => Err(bad("sdp is missing")),
        }
    }

    fn media(&mut self) -> Result<Wanted, Refusal> {
        let Some(Value::Object(media)) = self.field("media") else {
            return Err(bad("media must be an object with video, audio, talk and commands"));
        };
        let mut media = Self(media);
        let wanted = Wanted {
            video: media.flag("video")?,
            audio: media.flag("audio")?,
            talk: media.flag("talk")?,
            commands: media.flag("commands")?,
        };
        if !wanted.video && !wanted.audio {
            return Err(bad("media asks for neither video nor audio"));
        }
        Ok(wanted)
    }

    fn candidates(&mut self) -> Result<Request, Refusal> {
        let end = self.flag("end")?;
        let ufrag = self.text("ufrag", UFRAG_MAX)?;
        let list = match self.field("candidates") {
            Some(Value::Array(list)) if list.len() <= CANDIDATES_MAX => list,
            Some(Value::Array(list)) => {
                return Err(bad(format!("{} candidates in one message: at most {CANDIDATES_MAX}", list.len())));
            }
            Some(_) => return Err(bad("candidates must be a list")),
            None if end => Vec::new(),
            None => return Err(bad("candidates is missing")),
        };
        let candidates = list.into_iter().map(candidate).collect::<Result<_, _>>()?;
        Ok(Request::Candidates { ufrag, candidates, end })
    }
}

fn candidate(value: Value) -> Result<Candidate, Refusal> {
    let Value::Object(fields) = value else {
        return Err(bad("each of candidates must be an object with candidate, mid and mline"));
    };
    let mut fields = Fields(fields);
    let mline = match fields.field("mline") {
        None => None,
        Some(n) => Some(n.as_u64().and_then(|n| u16::try_from(n).ok()).ok_or_else(|| bad("mline must be 0 to 65535"))?),
    };
    Ok(Candidate {
        candidate: fields.required_text("candidate", CANDIDATE_MAX)?,
        mid: fields.text("mid", WORD_MAX)?,
        mline,
    })
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
