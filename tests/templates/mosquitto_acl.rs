//! `package/examples/mosquitto.acl` in a real mosquitto: each login has the rights of its role, and no others.

use std::{collections::BTreeSet, fs, process::Command};

use crate::rig::{Client, Listener, Mosquitto, Version};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const PASSWORD: &str = "hose";
/// Who may do everything: the one who looks what the others could do.
const OWNER: &str = "owner";
/// Two of each role; those of the template are the first ones.
const BOARDS: [&str; 2] = ["garden", "hall"];
const VIEWERS: [&str; 2] = ["anna", "ben"];

/// The template with a second board and a second viewer, as an administrator would write them.
fn access_list() -> String {
    let shipped = fs::read_to_string(format!("{ROOT}/package/examples/mosquitto.acl")).unwrap();
    let block = |login: &str, other: &str| {
        let from = shipped.find(&format!("\nuser {login}\n")).unwrap_or_else(|| panic!("no lines of {login}"));
        let lines = shipped[from..].trim_start().split("\n\n").next().unwrap();
        assert!(lines.len() > 60, "{lines}");
        format!("\n{}\n", lines.replace(login, other))
    };
    let others = block(BOARDS[0], BOARDS[1]) + &block(VIEWERS[0], VIEWERS[1]);
    format!("{shipped}{others}\nuser {OWNER}\ntopic readwrite #\n\npattern readwrite end/%u\n")
}

async fn broker() -> Mosquitto {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("acl"), access_list()).unwrap();
    let logins = BOARDS.iter().chain(&VIEWERS).chain([&OWNER]);
    let passwords: String = logins.map(|login| format!("{login}:{PASSWORD}\n")).collect();
    let file = dir.path().join("passwd");
    fs::write(&file, passwords).unwrap();
    assert!(Command::new("mosquitto_passwd").arg("-U").arg(&file).status().unwrap().success());
    let general = format!(
        "allow_anonymous false\npassword_file {}\nacl_file {}\n",
        file.display(),
        dir.path().join("acl").display()
    );
    Mosquitto::start(dir, &general, [Listener::tcp()]).await
}

/// Every topic that could be meant: those of each name, also where the name is of the other role.
fn topics() -> Vec<String> {
    let names: Vec<_> = BOARDS.iter().chain(&VIEWERS).copied().collect();
    let mut topics = vec!["fanlight/v1".to_owned(), "other".to_owned()];
    for board in &names {
        topics.extend(["status", "info", "evt", "deny"].map(|leaf| format!("fanlight/v1/{board}/{leaf}")));
        for viewer in &names {
            topics.extend(["req", "rsp"].map(|leaf| format!("fanlight/v1/{board}/{leaf}/{viewer}")));
        }
    }
    topics
}

/// What the protocol asks for: section 2 of docs/reference/protocol.md.
fn may(login: &str, topic: &str, writes: bool) -> bool {
    let levels: Vec<_> = topic.split('/').collect();
    let board = BOARDS.contains(&login);
    match levels[..] {
        ["fanlight", "v1", device, leaf] if board => {
            let leaves = if writes { &["status", "info", "evt"][..] } else { &["status"] };
            device == login && leaves.contains(&leaf)
        }
        ["fanlight", "v1", device, leaf, _] if board => device == login && leaf == if writes { "rsp" } else { "req" },
        ["fanlight", "v1", _, "status" | "info"] => !writes,
        ["fanlight", "v1", _, leaf, viewer] => viewer == login && leaf == if writes { "req" } else { "rsp" },
        _ => false,
    }
}

#[tokio::test]
async fn a_login_has_only_the_rights_of_its_role() {
    let broker = broker().await;
    let topics = topics();
    assert!(topics.len() > 45, "{topics:?}");
    for version in [Version::V311, Version::V5] {
        let mut owner = Client::login(broker.port(), version, OWNER, PASSWORD).await;
        owner.subscribe("#").await;
        for login in BOARDS.iter().chain(&VIEWERS) {
            let mut client = Client::login(broker.port(), version, login, PASSWORD).await;
            let expected = |writes: bool| -> BTreeSet<String> {
                topics.iter().filter(|topic| may(login, topic, writes)).cloned().collect()
            };
            let end = format!("end/{login}");

            for topic in &topics {
                client.publish(topic, "x").await;
            }
            client.publish(&end, "x").await;
            let written: BTreeSet<_> = owner.topics_until(&end).await.into_iter().collect();
            assert_eq!(written, expected(true), "what {login} may publish, {version:?}");

            client.subscribe("#").await;
            for topic in &topics {
                owner.publish(topic, "x").await;
            }
            owner.publish(&end, "x").await;
            let read: BTreeSet<_> = client.topics_until(&end).await.into_iter().collect();
            assert_eq!(read, expected(false), "what {login} may read, {version:?}");
            // The owner hears its own words, too.
            owner.topics_until(&end).await;
        }
    }
}
