//! The audit records of one session: that it began, and that it ended. One that began always gets its end, also if its
//! task panics or is dropped.

use tokio::sync::watch;

use super::session::lifecycle::EndReason;
use crate::{
    audit::{AuditLog, AuditRecord},
    clock::Mono,
    protocol::ErrorName,
};

/// What of a session was reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reported {
    /// Nothing yet.
    Nothing,
    /// Its start.
    Start,
    /// Its end, or that it was refused.
    All,
}

/// Reports one session.
#[derive(Debug)]
pub struct SessionAudit {
    audit: AuditLog,
    start: AuditRecord,
    began: Mono,
    /// Why the owner of the sessions ends it.
    stop: watch::Receiver<Option<EndReason>>,
    /// The newest route of its media.
    route: Option<String>,
    reported: Reported,
}

impl SessionAudit {
    /// `start`: the record for its start, which is written later. The session lasts from now on.
    pub fn new(audit: AuditLog, start: AuditRecord, stop: watch::Receiver<Option<EndReason>>, now: Mono) -> Self {
        Self { audit, start, began: now, stop, route: None, reported: Reported::Nothing }
    }

    /// Its answer or offer was sent.
    pub(crate) fn started(&mut self) {
        if self.reported == Reported::Nothing {
            self.reported = Reported::Start;
            self.audit.record(self.start.clone());
        }
    }

    /// Its opening was refused.
    pub(crate) fn refused(&mut self, why: ErrorName) {
        if self.reported == Reported::Nothing {
            self.reported = Reported::All;
            self.audit.record(self.start.never_began(&why.to_string()));
        }
    }

    /// Its viewer got a snapshot.
    pub(crate) fn gave_snapshot(&self) {
        self.audit.record(self.start.with_snapshot());
    }

    /// Its media take this route.
    pub(crate) fn routed(&mut self, route: &str) {
        self.route = Some(route.to_owned());
    }

    /// It ended. `route`: the last one, if the connection still knows it. `bytes`: of RTP.
    pub(crate) fn ended(&mut self, route: &str, bytes: u64, reason: EndReason, now: Mono) {
        let route = Some(route).filter(|route| !route.is_empty()).or(self.route.as_deref());
        let record = match self.reported {
            Reported::Nothing => self.start.never_began(reason.word()),
            Reported::Start => self.start.ended(route, bytes, now.since(self.began).as_secs(), reason.word()),
            Reported::All => return,
        };
        self.reported = Reported::All;
        self.audit.record(record);
    }
}

impl Drop for SessionAudit {
    fn drop(&mut self) {
        let reason = self.stop.borrow().unwrap_or(EndReason::Internal);
        self.ended("", 0, reason, Mono::now());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        config::Id,
        protocol::{Rights, SessionId},
    };

    /// A session that `work` reports, and what was recorded of it: the kind and the reason.
    fn records(work: impl FnOnce(SessionAudit, &watch::Sender<Option<EndReason>>)) -> Vec<String> {
        let (audit, _news) = AuditLog::kept();
        let session = SessionId::new(&"A".repeat(22)).unwrap();
        let start = AuditRecord::started(Id::new("anna").unwrap(), None, session, Rights::default());
        let (stop, stopped) = watch::channel(None);
        work(SessionAudit::new(audit.clone(), start, stopped, Mono(0)), &stop);
        let told = |record: AuditRecord| format!("{} {}", record.kind.word(), record.reason.unwrap_or_default());
        audit.taken().into_iter().map(told).collect()
    }

    #[test]
    fn each_start_has_one_end_and_a_session_that_never_began_is_a_refusal() {
        let end = |mut it: SessionAudit, reason| it.ended("", 0, reason, Mono(0));
        let rows: [(Vec<String>, &[&str]); 6] = [
            (
                records(|mut it, _| {
                    (0..2).for_each(|_| it.started());
                    end(it, EndReason::Bye);
                }),
                &["start ", "end bye"],
            ),
            (
                records(|mut it, _| {
                    it.started();
                    it.refused(ErrorName::Conflict);
                }),
                &["start ", "end internal"],
            ),
            (
                records(|mut it, stop| {
                    it.started();
                    stop.send_replace(Some(EndReason::Shutdown));
                }),
                &["start ", "end shutdown"],
            ),
            (
                records(|mut it, _| {
                    it.refused(ErrorName::NoCommonCodec);
                    end(it, EndReason::Refused);
                }),
                &["refuse no_common_codec"],
            ),
            (records(|it, _| end(it, EndReason::Forbidden)), &["refuse forbidden"]),
            (records(|it, _| drop(it)), &["refuse internal"]),
        ];
        for (told, expected) in rows {
            assert_eq!(told, expected);
        }
    }

    #[test]
    fn the_end_has_the_time_the_bytes_and_the_last_route() {
        let (audit, _news) = AuditLog::kept();
        let session = SessionId::new(&"A".repeat(22)).unwrap();
        let start = AuditRecord::started(Id::new("anna").unwrap(), Some("Anna".into()), session, Rights::default());
        for (last, expected) in [("relay-host udp by turn:192.0.2.7:3478", "relay-host udp"), ("", "host-srflx udp")] {
            let mut it = SessionAudit::new(audit.clone(), start.clone(), watch::channel(None).1, Mono(0));
            it.started();
            it.routed("host-srflx udp");
            it.ended(last, 1234, EndReason::Bye, Mono(0) + Duration::from_millis(61_900));
            let [_, end] = audit.taken().try_into().unwrap();
            assert_eq!((end.route.as_deref(), end.bytes, end.seconds), (Some(expected), Some(1234), Some(61)));
            assert_eq!((end.name, end.session), (start.name.clone(), start.session.clone()));
        }
    }
}
