//! Message of the broker → request, or the refusal of it. Pure: time is an argument.

use std::sync::Arc;

use tracing::debug;

use crate::{
    audit::{AuditLog, AuditRecord},
    broker::LinkEvent,
    clock::Mono,
    config::Id,
    grant::{Grant, MessageTag, Opened, OpeningVerdict, Unanswered, WallClock},
    message_limits::{Admitted, MessageLimits},
    protocol::{
        Addressee, Authorised, Correlation, IncomingRequest, OutgoingReply, Refusal, Reply, Request, RequestHead,
        SessionId,
        command::id_of,
        command_result::CommandResult,
        envelope::{self, Envelope, Rejected},
        parse::parse,
    },
    trust::TrustRequest,
};

/// What becomes of a message.
#[derive(Debug, PartialEq)]
pub enum Received {
    /// The sessions get this request.
    Request(IncomingRequest),
    /// The viewer gets this refusal.
    Refusal(OutgoingReply),
    /// The owner of the lists gets this: a viewer that knows the secret of the pairing, or a deny list.
    Trust(TrustRequest),
    /// Nobody gets anything: the message is no request, or its viewer sends too much.
    Nothing,
}

/// Reads messages of viewers.
#[derive(Debug)]
pub struct Inbound {
    grant: Arc<Grant>,
    limits: MessageLimits,
    audit: AuditLog,
}

/// Why a message is not passed on.
enum Unread {
    Refused(Rejected),
    /// Dropped without an answer.
    Dropped,
}

impl Inbound {
    /// `grant` decides who may watch. `limits` are the same that the sessions use. `audit` takes refusals.
    pub fn new(grant: Arc<Grant>, limits: MessageLimits, audit: AuditLog) -> Self {
        Self { grant, limits, audit }
    }

    /// Checks one message, the cheapest first: rate, size, envelope, permission, shape. The first fault decides.
    pub fn receive(&self, event: LinkEvent, now: Mono) -> Received {
        let (viewer, payload, correlation) = match event {
            LinkEvent::Message { viewer, payload, correlation } => (viewer, Ok(payload), correlation),
            LinkEvent::Oversize { viewer, len, correlation } => (viewer, Err(len), correlation),
            // Media outlives signalling: sessions continue while the link is down.
            LinkEvent::Up { .. } | LinkEvent::Down => return Received::Nothing,
        };
        if self.grant.is_sealed() {
            return match payload {
                Ok(payload) => self.receive_sealed(viewer, &payload, correlation, now),
                Err(_) => Received::Nothing,
            };
        }
        let to = Addressee { viewer, reply_key: None, correlation };
        match self.limits.message(&to.viewer, now) {
            Admitted::Yes => {}
            // This one does not count among the refusals. Otherwise a flood would use them up, and not learn why.
            Admitted::Refused(refusal) => return self.refused(to, refusal.into()),
            Admitted::Dropped => return Received::Nothing,
        }
        let read = match &payload {
            Ok(payload) => self.read(&to.viewer, payload, now),
            Err(len) => Err(Unread::Refused(envelope::too_large(*len).into())),
        };
        match read {
            Ok((from, head, request)) => {
                self.pass(IncomingRequest { from, head, request, correlation: to.correlation }, None, now)
            }
            Err(Unread::Dropped) => Received::Nothing,
            Err(Unread::Refused(rejected)) => self.refuse(to, rejected, now),
        }
    }

    /// The modes `keys` and `token`. What fails before the sender is known gets no answer.
    fn receive_sealed(&self, topic: Id, payload: &[u8], correlation: Option<Correlation>, now: Mono) -> Received {
        if self.grant.is_issuer(&topic) {
            return self.receive_denials(&topic, payload, now);
        }
        let Some(acquaintance) = self.grant.reads(&topic, now) else { return Received::Nothing };
        if !self.limits.sealed(&topic, acquaintance, now) {
            return Received::Nothing;
        }
        let Ok(Envelope::Sealed(sealed)) = envelope::open(payload) else {
            return unanswered(&topic, Unanswered::Seal);
        };
        let (from, text, tag) = match self.grant.open(&topic, sealed, now, WallClock::now()) {
            Ok(Opened::Message { from, text, tag }) => (from, text, tag),
            Ok(Opened::Pair(mut request)) => {
                request.to.correlation = correlation;
                return Received::Trust(TrustRequest::Pair(request));
            }
            Ok(Opened::Refused { to, refusal, text }) => {
                let rejected = Rejected { session: session_of(&text), refusal };
                return self.refuse(Addressee { correlation, ..to }, rejected, now);
            }
            Err(why) => return unanswered(&topic, why),
        };
        let to = Addressee { correlation, ..Addressee::of(&from) };
        match self.limits.message(&from.who, now) {
            Admitted::Yes => {}
            Admitted::Refused(refusal) => return self.refused(to, refusal.into()),
            Admitted::Dropped => return Received::Nothing,
        }
        if text.len() > envelope::MESSAGE_MAX {
            return self.refuse(to, envelope::too_large(text.len()).into(), now);
        }
        let (head, request) = match parse(&text) {
            Ok(read) => read,
            Err(rejected) => return self.refuse(to, rejected, now),
        };
        if matches!(request, Request::Offer { restart: false, .. } | Request::Request { .. }) {
            match self.grant.remember_opening(&from.who, tag, now) {
                OpeningVerdict::New => {}
                OpeningVerdict::Replayed => return Received::Nothing,
                OpeningVerdict::Refused(refusal) => {
                    return self.refuse(to, Rejected { session: Some(head.session), refusal }, now);
                }
            }
        }
        self.pass(IncomingRequest { from, head, request, correlation: to.correlation }, Some(tag), now)
    }

    /// Passes a request on. A command that stands alone has the number 0. It is done once, and not too often; what
    /// stops something is done even if there is no room to remember it, since another "stop" harms nobody. `tag`: of
    /// the message, in the signed modes.
    fn pass(&self, request: IncomingRequest, tag: Option<MessageTag>, now: Mono) -> Received {
        let Request::Command(read) = &request.request else { return Received::Request(request) };
        if request.head.seq != 0 {
            return Received::Request(request);
        }
        if tag.is_some_and(|tag| self.grant.is_replayed(tag, now)) {
            return Received::Nothing;
        }
        let who = &request.from.who;
        let verdict = match (self.limits.command_alone(who, now), tag) {
            (Err(refusal), _) => OpeningVerdict::Refused(refusal),
            (Ok(()), Some(tag)) => self.grant.remember_opening(who, tag, now),
            (Ok(()), None) => OpeningVerdict::New,
        };
        let (id, stops) = (id_of(read), read.as_ref().is_ok_and(|message| message.command.stops()));
        match verdict {
            OpeningVerdict::Replayed => Received::Nothing,
            OpeningVerdict::Refused(refusal) if !stops => {
                self.record(who, &refusal);
                let (to, session) = (request.addressee(), Some(request.head.session));
                let reply = Reply::Result(CommandResult::refused(id, refusal));
                Received::Refusal(OutgoingReply { to, session, seq: None, reply })
            }
            OpeningVerdict::New | OpeningVerdict::Refused(_) => Received::Request(request),
        }
    }

    /// A message of an issuer. Only its deny list is expected, which gets no answer.
    fn receive_denials(&self, topic: &Id, payload: &[u8], now: Mono) -> Received {
        if !self.limits.deny_list(now) {
            return Received::Nothing;
        }
        match self.grant.read_denials(topic, payload) {
            Ok(list) => Received::Trust(TrustRequest::Deny(list)),
            Err(why) => {
                debug!("issuer {topic}: a message is no deny list that counts: {why}");
                Received::Nothing
            }
        }
    }

    fn refuse(&self, to: Addressee, rejected: Rejected, now: Mono) -> Received {
        debug!("viewer {}: refused: {}", to.viewer, rejected.refusal.message);
        self.record(&to.viewer, &rejected.refusal);
        match self.limits.refusal(&to.viewer, now) {
            true => refused(to, rejected),
            false => Received::Nothing,
        }
    }

    /// A refusal that has a limit of its own.
    fn refused(&self, to: Addressee, rejected: Rejected) -> Received {
        self.record(&to.viewer, &rejected.refusal);
        refused(to, rejected)
    }

    fn record(&self, viewer: &Id, refusal: &Refusal) {
        self.audit.record(AuditRecord::refused(viewer.clone(), self.grant.listed_name(viewer), refusal.name));
    }

    fn read(&self, viewer: &Id, payload: &[u8], now: Mono) -> Result<(Authorised, RequestHead, Request), Unread> {
        let opened = envelope::open(payload).map_err(Unread::Refused)?;
        let (from, text) = match self.grant.authorise(viewer, opened) {
            Ok(authorised) => authorised,
            Err(refusal) if self.limits.unauthorised(viewer, now) => return Err(Unread::Refused(refusal.into())),
            Err(Refusal { .. }) => return Err(Unread::Dropped),
        };
        let (head, request) = parse(text).map_err(Unread::Refused)?;
        Ok((from, head, request))
    }
}

/// The session that a message names, if it can be read.
fn session_of(text: &str) -> Option<SessionId> {
    if text.len() > envelope::MESSAGE_MAX {
        return None;
    }
    parse(text).map_or_else(|rejected| rejected.session, |(head, _)| Some(head.session))
}

fn unanswered(topic: &Id, why: Unanswered) -> Received {
    debug!("viewer {topic}: a message was ignored: {why:?}");
    Received::Nothing
}

fn refused(to: Addressee, Rejected { session, refusal }: Rejected) -> Received {
    Received::Refusal(OutgoingReply { to, session, seq: None, reply: Reply::Error(refusal) })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{
        config::Limits,
        protocol::{ErrorName, PermittedBy, Right, Rights, Wanted},
    };

    const SESSION: &str = "AAAAAAAAAAAAAAAAAAAAAA";
    const NOW: Mono = Mono(1_000_000_000);

    fn inbound() -> Inbound {
        let grant = Arc::new(Grant::by_broker(&[7; 32]));
        Inbound::new(grant, MessageLimits::new(Limits::default().messages_per_second, NOW), AuditLog::kept().0)
    }

    fn anna() -> Id {
        Id::new("anna").unwrap()
    }

    fn message(payload: impl Into<Bytes>) -> LinkEvent {
        LinkEvent::Message { viewer: anna(), payload: payload.into(), correlation: Correlation::new(b"tag") }
    }

    fn text(fields: &str) -> String {
        format!(r#"{{"v":1,"session":"{SESSION}","seq":4,{fields}}}"#)
    }

    #[test]
    fn each_message_becomes_its_request() {
        let wanted = Wanted { video: true, audio: false, talk: false, commands: false };
        let sdp = || "v=0\r\n".to_owned();
        for (fields, request) in [
            (r#""type":"hello""#, Request::Hello { events: false }),
            (r#""type":"offer","sdp":"v=0\r\n""#, Request::Offer { sdp: sdp(), restart: false }),
            (r#""type":"offer","sdp":"v=0\r\n","restart":true"#, Request::Offer { sdp: sdp(), restart: true }),
            (r#""type":"request","media":{"video":true}"#, Request::Request { media: wanted }),
            (r#""type":"answer","sdp":"v=0\r\n""#, Request::Answer { sdp: sdp(), offer_hash: None }),
            (r#""type":"candidates","end":true"#, Request::Candidates { ufrag: None, candidates: vec![], end: true }),
            (r#""type":"renew""#, Request::Renew),
            (r#""type":"bye","reason":"closed""#, Request::Bye { reason: "closed".into() }),
            (r#""type":"ping","n":7"#, Request::Ping { n: 7 }),
            (r#""type":"pong","n":8"#, Request::Pong { n: 8 }),
        ] {
            let Received::Request(read) = inbound().receive(message(text(fields)), NOW) else { panic!("{fields}") };
            let head = RequestHead { session: SessionId::new(SESSION).unwrap(), seq: 4 };
            let rights = Rights::of([Right::View, Right::Listen]);
            let by = PermittedBy::Broker;
            let from = Authorised { who: anna(), rights, until: None, reply_key: None, by };
            let expected = IncomingRequest { from, head, request, correlation: Correlation::new(b"tag") };
            assert_eq!(read, expected);
        }
    }

    #[test]
    fn each_fault_becomes_its_refusal_to_the_sender() {
        let oversize = LinkEvent::Oversize { viewer: anna(), len: 70_000, correlation: Correlation::new(b"tag") };
        for (event, name, session) in [
            (oversize, ErrorName::TooLarge, None),
            (message(vec![b'x'; envelope::MESSAGE_MAX + 1]), ErrorName::TooLarge, None),
            (message(&b"\xff\xfe"[..]), ErrorName::BadRequest, None),
            (message("not JSON"), ErrorName::BadRequest, None),
            (message("eyJhbGciOiJFUzI1NiJ9.e30.c2ln"), ErrorName::Unauthorized, None),
            (message(r#"{"v":2,"type":"offer"}"#), ErrorName::Version, None),
            (message(text(r#""type":"dance""#)), ErrorName::BadRequest, Some(SESSION)),
            (message(text(r#""type":"offer""#)), ErrorName::BadRequest, Some(SESSION)),
        ] {
            let shown = format!("{event:?}").chars().take(200).collect::<String>();
            let Received::Refusal(refusal) = inbound().receive(event, NOW) else { panic!("{shown}") };
            let Reply::Error(error) = &refusal.reply else { panic!("{shown}: {refusal:?}") };
            assert_eq!((error.name, refusal.seq), (name, None), "{shown}");
            assert_eq!(refusal.session.as_ref().map(SessionId::as_str), session, "{shown}");
            assert_eq!(
                refusal.to,
                Addressee { viewer: anna(), reply_key: None, correlation: Correlation::new(b"tag") },
                "{shown}"
            );
        }
    }

    #[test]
    fn the_state_of_the_link_is_no_request() {
        for event in [LinkEvent::Up { conn: 1 }, LinkEvent::Down] {
            assert_eq!(inbound().receive(event, NOW), Received::Nothing);
        }
    }

    #[test]
    fn a_flood_gets_a_few_refusals_then_one_word_and_then_nothing() {
        let inbound = inbound();
        let mut names = Vec::new();
        for _ in 0..200 {
            if let Received::Refusal(OutgoingReply { reply: Reply::Error(error), .. }) =
                inbound.receive(message("not JSON"), NOW)
            {
                names.push(error.name);
            }
        }
        let mut expected = vec![ErrorName::BadRequest; 10];
        expected.push(ErrorName::RateLimited);
        assert_eq!(names, expected);
    }

    #[test]
    fn unauthorised_messages_get_one_answer_a_second_and_then_are_not_read() {
        let inbound = inbound();
        let signed = || message("eyJhbGciOiJFUzI1NiJ9.e30.c2ln");
        let answers = (0..50).filter(|_| inbound.receive(signed(), NOW) != Received::Nothing).count();
        assert_eq!(answers, 1);
        let hello = || message(text(r#""type":"hello""#));
        assert_eq!(inbound.receive(hello(), NOW), Received::Nothing, "nothing of this viewer is read now");
        let other = LinkEvent::Message {
            viewer: Id::new("bert").unwrap(),
            payload: text(r#""type":"hello""#).into(),
            correlation: None,
        };
        assert!(matches!(inbound.receive(other, NOW), Received::Request(_)), "others are");
        // A viewer with a session is read, whatever it sent before.
        inbound.limits.session_started(&anna());
        assert!(matches!(inbound.receive(hello(), NOW), Received::Request(_)));
    }
}
