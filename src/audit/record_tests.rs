use super::*;
use crate::protocol::Right;

fn id() -> Id {
    Id::new("axfR8uEsQkf4vOblY6RA8n").unwrap()
}

fn rights() -> Rights {
    Rights::of([Right::View, Right::Listen])
}

fn start() -> AuditRecord {
    let session = SessionId::new("q83vEjRWeJCrze8SNFZ4kA").unwrap();
    AuditRecord::started(id(), Some("Anna's phone".into()), session, rights())
}

/// Each kind of record, the end of its sentence, and its fields in the log.
fn rows() -> Vec<(AuditRecord, &'static str, &'static str)> {
    let name = || Some("Anna's phone".to_owned());
    let listed = |rights, change| AuditRecord::listed(id(), name(), rights, change);
    vec![
        (
            AuditRecord::refused(id(), name(), ErrorName::RateLimited),
            "was refused: rate_limited",
            "AUDIT=refuse {who} FANLIGHT_REASON=rate_limited",
        ),
        (
            AuditRecord { left_out: Some(5), ..AuditRecord::refused(id(), name(), ErrorName::Busy) },
            "was refused: busy",
            "AUDIT=refuse {who} FANLIGHT_REASON=busy FANLIGHT_LEFT_OUT=5",
        ),
        (
            start(),
            "began to watch, and may view,listen",
            "AUDIT=start {who} FANLIGHT_SESSION=q83vEjRW FANLIGHT_RIGHTS=view,listen",
        ),
        (
            start().ended(Some("host-srflx udp"), 1_234_567, 61, "bye"),
            "no longer watches, after 61 s: bye; host-srflx udp, 1234567 bytes sent",
            "AUDIT=end {who} FANLIGHT_SESSION=q83vEjRW FANLIGHT_RIGHTS=view,listen FANLIGHT_ROUTE=\"host-srflx udp\" \
             FANLIGHT_BYTES=1234567 FANLIGHT_SECONDS=61 FANLIGHT_REASON=bye",
        ),
        (start().never_began("flood"), "was refused: flood", "AUDIT=refuse {who} FANLIGHT_REASON=flood"),
        (
            AuditRecord::paired(id(), "Anna's phone".into(), rights()),
            "was paired, and may view,listen",
            "AUDIT=pair {who} FANLIGHT_RIGHTS=view,listen",
        ),
        (
            listed(Some(rights()), AuditChange::Add),
            "was added to the list, and may view,listen",
            "AUDIT=list {who} FANLIGHT_RIGHTS=view,listen FANLIGHT_CHANGE=add",
        ),
        (AuditRecord::snapshot(id(), name()), "took a snapshot", "AUDIT=snapshot {who}"),
        (start().with_snapshot(), "took a snapshot", "AUDIT=snapshot {who} FANLIGHT_SESSION=q83vEjRW"),
        (
            AuditRecord::privacy(Some(id()), name(), true, "viewer"),
            "stopped camera and microphone for privacy",
            "AUDIT=privacy {who} FANLIGHT_REASON=viewer FANLIGHT_CHANGE=on",
        ),
        (listed(None, AuditChange::Remove), "was removed from the list", "AUDIT=list {who} FANLIGHT_CHANGE=remove"),
        (
            listed(Some(rights()), AuditChange::Rename),
            "has a new name on the list",
            "AUDIT=list {who} FANLIGHT_RIGHTS=view,listen FANLIGHT_CHANGE=rename",
        ),
        (
            listed(Some(rights()), AuditChange::Rights),
            "may view,listen now",
            "AUDIT=list {who} FANLIGHT_RIGHTS=view,listen FANLIGHT_CHANGE=rights",
        ),
        (
            listed(Some(rights()), AuditChange::Configured),
            "may view,listen by the configuration",
            "AUDIT=list {who} FANLIGHT_RIGHTS=view,listen FANLIGHT_CHANGE=configured",
        ),
        (
            listed(None, AuditChange::Configured),
            "was removed from the configuration",
            "AUDIT=list {who} FANLIGHT_CHANGE=configured",
        ),
    ]
}

#[test]
fn the_button_and_the_doorbell_have_no_viewer() {
    for (record, line) in [
        (AuditRecord::doorbell(), "audit: somebody rang the doorbell; FANLIGHT_AUDIT=doorbell"),
        (
            AuditRecord::privacy(None, None, true, "button"),
            "audit: the button at the board stopped camera and microphone for privacy; FANLIGHT_AUDIT=privacy \
             FANLIGHT_REASON=button FANLIGHT_CHANGE=on",
        ),
        (
            AuditRecord::privacy(None, None, false, "owner"),
            "audit: the owner lifted the privacy switch; FANLIGHT_AUDIT=privacy FANLIGHT_REASON=owner \
             FANLIGHT_CHANGE=off",
        ),
    ] {
        assert_eq!(record.log_line(), line);
    }
}

#[test]
fn each_record_has_its_sentence_and_its_fields_in_every_form() {
    for (record, sentence, fields) in rows() {
        let who = "FANLIGHT_VIEWER=axfR8uEsQkf4vOblY6RA8n FANLIGHT_NAME=\"Anna's phone\"";
        let message = format!("viewer axfR8uEsQkf4vOblY6RA8n, \"Anna's phone\", {sentence}");
        assert_eq!(record.message(), message);
        assert_eq!(record.log_line(), format!("audit: {message}; FANLIGHT_{}", fields.replace("{who}", who)));
        let entry = String::from_utf8(record.journal_entry()).unwrap();
        let mut lines = entry.lines();
        assert_eq!(lines.next(), Some(format!("MESSAGE={message}").as_str()));
        assert_eq!(lines.next(), Some("PRIORITY=6"));
        assert_eq!(lines.next(), Some("SYSLOG_IDENTIFIER=fanlight"));
        let fields: Vec<_> =
            record.fields().into_iter().map(|(name, value)| format!("FANLIGHT_{name}={value}")).collect();
        assert_eq!(lines.collect::<Vec<_>>(), fields);
        assert!(entry.ends_with('\n'));
        let event = serde_json::to_value(record.event(7, None)).unwrap();
        assert_eq!((&event["n"], &event["kind"]), (&7.into(), &record.kind.word().into()));
        let of = |name: &str| event[name].as_str().map(str::to_owned);
        for (field, text) in [("VIEWER", "viewer"), ("NAME", "name"), ("ROUTE", "route"), ("CHANGE", "change")] {
            let value = record.fields().into_iter().find(|(name, _)| *name == field).map(|(_, value)| value);
            assert_eq!(of(text), value, "{field}");
        }
        assert!(event.get("at").is_none() && event.get("session").is_none());
    }
}

#[test]
fn a_pairing_without_a_viewer_and_a_viewer_without_a_name_are_told_too() {
    for (record, expected) in [
        (AuditRecord::unpaired(None, rights(), "expired"), "a pairing ended without a viewer: expired"),
        (
            AuditRecord::unpaired(Some("hall".into()), rights(), "wrong_secret"),
            "a pairing for \"hall\" ended without a viewer: wrong_secret",
        ),
        (
            AuditRecord::listed(id(), None, None, AuditChange::Deny),
            "the issuer axfR8uEsQkf4vOblY6RA8n has a new deny list",
        ),
        (AuditRecord::refused(id(), None, ErrorName::Busy), "viewer axfR8uEsQkf4vOblY6RA8n was refused: busy"),
    ] {
        assert_eq!(record.message(), expected);
    }
}

#[test]
fn a_route_has_no_server() {
    for (route, expected) in [
        (Some("relay-prflx tls by turns:turn.example.org:5349?transport=tcp"), Some("relay-prflx tls")),
        (Some("host-host udp"), Some("host-host udp")),
        (Some(""), None),
        (None, None),
    ] {
        assert_eq!(start().ended(route, 0, 0, "bye").route.as_deref(), expected);
    }
}

/// A name cannot add a field to an entry, a line to the log, or change how the text around it looks.
#[test]
fn a_hostile_name_stays_within_its_field() {
    let evil = "x\nFANLIGHT_AUDIT=end\r\u{202e}\u{2028}\" FANLIGHT_REASON=bye \\";
    let record = AuditRecord { name: Some(evil.repeat(20)), ..start() };
    let entry = String::from_utf8(record.journal_entry()).unwrap();
    assert_eq!(entry.lines().filter(|line| line.starts_with("FANLIGHT_AUDIT=")).count(), 1, "{entry}");
    for text in [entry.replace('\n', ""), record.log_line()] {
        assert!(!text.contains(['\n', '\r', '\u{202e}', '\u{2028}']) && text.len() < 1000, "{text:?}");
    }
    let line = record.log_line();
    assert_eq!(line.matches("FANLIGHT_").count(), record.fields().len(), "{line}");
}

#[test]
fn the_time_and_the_token_are_in_the_event() {
    let record = AuditRecord { token: Some("4mJc1fXgQYk".into()), ..start() };
    let event = serde_json::to_value(record.event(0, Some(1_767_225_600))).unwrap();
    assert_eq!((&event["at"], &event["token"]), (&1_767_225_600.into(), &"4mJc1fXgQYk".into()));
}
