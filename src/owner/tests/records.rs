//! The audit records of the owner's task.

use super::*;
use crate::audit::AuditRecord;

/// The records since the last call: kind, name, rights, and what changed or why.
fn told(rig: &Rig) -> Vec<String> {
    let told = |record: AuditRecord| {
        let rights = record.rights.map(|rights| rights.to_string()).unwrap_or_default();
        let why = record.change.map(|change| change.word().to_owned()).or(record.reason).unwrap_or_default();
        format!("{} {} {rights} {why}", record.kind.word(), record.name.unwrap_or_default())
    };
    rig.audit.taken().into_iter().map(told).collect()
}

/// Waits for this record, and returns those before it.
async fn until(rig: &Rig, last: &str) -> Vec<String> {
    let mut seen = Vec::new();
    let wait = async {
        loop {
            seen.extend(told(rig));
            if seen.iter().any(|record| record == last) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(LONG, wait).await.unwrap_or_else(|_| panic!("never {last:?}"));
    seen.pop_if(|record| record == last);
    seen
}

#[tokio::test]
async fn each_change_of_the_list_has_a_record_and_the_start_has_none() {
    let rig = Rig::new();
    rig.done(add("anna")).await;
    let id = rig.list().await.0[0].id.clone();
    assert_eq!(told(&rig), ["list anna view add"]);
    rig.done(ControlRequest::ViewersRename { viewer: id.clone(), name: "Anna's phone".into() }).await;
    let rights = Some(vec!["view".into(), "listen".into()]);
    rig.done(ControlRequest::ViewersRights { viewer: id.clone(), rights, until: None }).await;
    let until_2096 = Some(PermissionEnd::At(4_000_000_000));
    rig.done(ControlRequest::ViewersRights { viewer: id, rights: None, until: until_2096 }).await;
    rig.fails(add("Anna's phone")).await;
    rig.done(remove("Anna's phone")).await;
    let expected = [
        "list Anna's phone view rename",
        "list Anna's phone view,listen rights",
        "list Anna's phone view,listen rights",
        "list Anna's phone  remove",
    ];
    assert_eq!(told(&rig), expected);
    rig.done(add("bert")).await;
    let dir = tempfile::tempdir().unwrap();
    fs::copy(rig.file(), dir.path().join("viewers.json")).unwrap();
    let again = Rig::in_folder(dir);
    assert_eq!(again.names().await, ["bert"]);
    assert_eq!(told(&again), Vec::<String>::new());
}

#[tokio::test]
async fn viewers_of_the_configuration_have_records_when_a_reload_changes_them() {
    let rig = Rig::new();
    rig.done(add("anna")).await;
    told(&rig);
    let rights = Rights::of([Right::View]);
    let (key, origin) = (*key().public(), EntryOrigin::Configured);
    let entry = ViewerEntry { key, name: "kiosk".into(), rights, until: None, since: 0, origin };
    rig.settings.send_replace(OwnerSettings { configured: vec![entry.clone()], ..settings() });
    assert!(until(&rig, "list kiosk view configured").await.is_empty());
    let more = ViewerEntry { rights: Rights::of([Right::View, Right::Events]), ..entry };
    rig.settings.send_replace(OwnerSettings { configured: vec![more], ..settings() });
    assert!(until(&rig, "list kiosk view,events configured").await.is_empty());
    rig.settings.send_replace(settings());
    assert!(until(&rig, "list kiosk  configured").await.is_empty());
}

#[tokio::test]
async fn a_removal_that_cannot_be_written_has_its_record_at_once() {
    let rig = Rig::new();
    rig.done(add("anna")).await;
    told(&rig);
    block(rig.dir.path());
    rig.fails(remove("anna")).await;
    rig.fails(add("bert")).await;
    assert_eq!(told(&rig), ["list anna  remove"], "and what was not granted has none");
}

/// Also: nothing that belongs to the pairing gets into a record.
#[tokio::test]
async fn each_pairing_has_one_record_of_how_it_ended() {
    let rig = Rig::new();
    let (anna, mallory) = (key(), key());
    let secret = rig.open(None).await;
    assert!(rig.request(&anna, "Anna's phone", &secret).await);
    assert!(rig.request(&anna, "Anna's phone", &secret).await, "its answer is sent again");
    assert_eq!(until(&rig, "pair Anna's phone view ").await, ["list Anna's phone view add"]);

    rig.open(Some("hall")).await;
    for wrong in 1..=5 {
        assert!(!rig.request(&mallory, "phone", &PairingSecret(vec![wrong; 16])).await);
    }
    assert!(until(&rig, "pair hall view wrong_secret").await.is_empty());

    rig.open(Some("hall")).await;
    rig.handles.pairing.with(|pairing| pairing.expire(Mono::now() + crate::trust::pairing::PAIRING));
    assert!(until(&rig, "pair hall view expired").await.is_empty());

    rig.open(Some("hall")).await;
    rig.open(None).await;
    assert!(until(&rig, "pair hall view replaced").await.is_empty());
    let number = rig.handles.pairing.with(|pairing| pairing.progress().unwrap().number);
    rig.handles.pairing.with(|pairing| pairing.end(number, PairEnd::Cancelled));
    assert!(until(&rig, "pair  view cancelled").await.is_empty());

    block(rig.dir.path());
    let secret = rig.open(None).await;
    assert!(rig.request(&mallory, "phone", &secret).await);
    assert!(until(&rig, "pair  view failed").await.is_empty());

    rig.open(Some("garden")).await;
    rig.task.abort();
    assert!(until(&rig, "pair garden view shutdown").await.is_empty());
}

#[tokio::test]
async fn no_secret_mac_or_key_of_a_pairing_gets_into_a_record() {
    let rig = Rig::new();
    let anna = key();
    let ControlReply::PairingOpen { link, .. } = rig.ask(pair(None)).await else { panic!() };
    let secret = PairingSecret::of(&link);
    assert!(rig.request(&anna, "Anna's phone", &secret).await);
    rig.stage().await;
    let records = rig.audit.taken();
    assert_eq!(records.len(), 2);
    let (thumbprint, point) = (anna.public().thumbprint(), anna.public().to_string());
    let mac = secret.mac(&rig.board, &thumbprint, "Anna's phone");
    let thumbprint = thumbprint.to_string();
    let hidden = [point.as_str(), &mac, &thumbprint[22..], link.split_once("#p=").unwrap().1];
    for record in records {
        let texts = [
            String::from_utf8(record.journal_entry()).unwrap(),
            record.log_line(),
            format!("{:?}", record.event(0, None)),
            format!("{record:?}"),
        ];
        for text in texts {
            assert!(text.contains(&thumbprint[..22]), "{text}");
            for secret in hidden {
                assert!(!text.contains(secret), "{text}");
            }
        }
    }
}
