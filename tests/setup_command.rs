//! `fanlight setup` with a real broker that has its own authority, logins and the packaged access list. It asks again
//! for an answer that does not work, or ends without writing anything.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use tempfile::TempDir;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::rig::{Authority, FANLIGHT, Listener, Mosquitto, Watcher, free_port, mosquitto_pub};

const PASSWORD: &str = "hose";

/// Options of the command line with their values.
type Options = Vec<(&'static str, String)>;

/// A broker as the templates make it; the board `garden` and the viewer `anna` may log in.
async fn broker() -> (Mosquitto, Authority) {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::new(dir.path());
    let identity = authority.issue("localhost", 2099);
    let passwords = dir.path().join("passwd");
    fs::write(&passwords, format!("garden:{PASSWORD}\nanna:{PASSWORD}\n")).unwrap();
    assert!(Command::new("mosquitto_passwd").arg("-U").arg(&passwords).status().unwrap().success());
    let acl = concat!(env!("CARGO_MANIFEST_DIR"), "/package/examples/mosquitto.acl");
    let general = format!("allow_anonymous false\npassword_file {}\nacl_file {acl}\n", passwords.display());
    let broker = Mosquitto::start(dir, &general, [Listener::tcp().with_tls(&identity, None)]).await;
    (broker, authority)
}

/// Runs `setup` with these options, and types the lines; gives the exit code and what was said.
fn setup(place: &TempDir, options: &[(&str, &str)], typed: &str) -> (Option<i32>, String) {
    let config = place.path().join("fanlight.toml");
    let mut command = Command::new(FANLIGHT);
    command.args(["setup", "--no-reload", "--the-broker-can-watch", "--config"]).arg(&config);
    for (option, value) in options {
        command.args([option, value]);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It may have ended before it read everything.
    let _ = child.stdin.take().unwrap().write_all(typed.as_bytes());
    let done = child.wait_with_output().unwrap();
    (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
}

fn written(place: &TempDir) -> Vec<String> {
    let names = fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

/// The answers that are right, as options.
fn right<'a>(url: &'a str, ca: &'a str, password: &'a str) -> Vec<(&'static str, &'a str)> {
    vec![
        ("--device", "garden"),
        ("--broker", url),
        ("--ca-file", ca),
        ("--user", "garden"),
        ("--password-file", password),
        ("--camera", "test"),
        ("--microphone", "off"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn setup_asks_again_for_wrong_answers_and_never_writes_them() {
    let (broker, authority) = broker().await;
    let given = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &[u8]| {
        let path = given.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (good, wrong) = (file("good", b"\xef\xbb\xbfhose\r\n"), file("wrong", b"spade\n"));
    let other = tempfile::tempdir().unwrap();
    let stranger = Authority::new(other.path()).ca();
    let url = format!("mqtts://localhost:{}", broker.port());
    let closed = format!("mqtts://localhost:{}", free_port());
    let (ca, stranger) = (authority.ca(), stranger.to_str().unwrap().to_owned());
    let ca = ca.to_str().unwrap();

    let with = |changed: &[(&'static str, &'static str, String)]| -> Options {
        let mut options: Vec<_> = right(&url, ca, &good).into_iter().map(|(o, v)| (o, v.to_owned())).collect();
        for (option, _, value) in changed {
            options.retain(|(known, _)| known != option);
            options.push((option, value.clone()));
        }
        options
    };
    let lines = |words: &[&str]| words.iter().map(|word| format!("{word}\n")).collect::<String>();
    // What is wrong, what is said of it, and what has to be typed to mend it.
    let rows: [(&str, Options, &str, String); 7] = [
        ("password", with(&[("--password-file", "", wrong)]), "log in with user garden", lines(&["", PASSWORD])),
        ("user", with(&[("--user", "", "nobody".into())]), "log in with user nobody", lines(&["garden", PASSWORD])),
        ("port", with(&[("--broker", "", closed)]), "connection refused", lines(&[&url])),
        (
            "host",
            with(&[("--broker", "", "mqtts://no-such-host.invalid".into())]),
            "look up no-such-host.invalid",
            lines(&[&url]),
        ),
        ("authority", with(&[("--ca-file", "", stranger)]), "an authority this board does not know", lines(&[ca])),
        ("id", with(&[("--device", "", "hall".into())]), "broker's ACL", lines(&["garden"])),
        (
            "name",
            with(&[("--broker", "", url.replace("localhost", "127.0.0.1"))]),
            "is not for 127.0.0.1",
            lines(&[&url]),
        ),
    ];
    for (what, options, words, typed) in rows {
        let options: Vec<(&str, &str)> = options.iter().map(|(option, value)| (*option, value.as_str())).collect();
        // Without a terminal: an error, and no file is written.
        let place = tempfile::tempdir().unwrap();
        let (code, said) = setup(&place, &options, "");
        assert_eq!(code, Some(1), "{what}: {said}");
        assert!(said.contains(words) && said.contains("nothing was written"), "{what}: {said}");
        assert!(written(&place).is_empty(), "{what}: {:?}", written(&place));
        // A person is asked again: without one of the options it is one.
        let asked: Vec<_> = options.iter().copied().filter(|(option, _)| *option != "--microphone").collect();
        let (code, said) = setup(&place, &asked, &format!("off\n{typed}"));
        assert_eq!(code, Some(0), "{what}: {said}");
        assert!(
            said.contains(words) && said.contains("works: name, TCP, TLS, login, subscribe, publish"),
            "{what}: {said}"
        );
        assert_eq!(written(&place), ["broker-ca.pem", "broker-password", "fanlight.toml"], "{what}");
        assert!(!said.contains(PASSWORD) && !said.contains("spade"), "{what}: a password is shown: {said}");
        let told = check_network(&place.path().join("fanlight.toml"));
        assert!(told.contains("login, subscribe, publish"), "{what}: {told}");
    }
}

fn check_network(file: &Path) -> String {
    let done = Command::new(FANLIGHT).args(["check", "--network", "--config"]).arg(file).output().unwrap();
    String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn setup_asks_for_the_authority_of_a_private_broker() {
    let (broker, authority) = broker().await;
    let place = tempfile::tempdir().unwrap();
    let url = format!("mqtts://localhost:{}", broker.port());
    let none = place.path().join("../none.pem");
    let none = none.to_str().unwrap();
    let typed = format!(
        "garden\n{url}\ngarden\n{PASSWORD}\ntest\noff\n{none}\n/dev/zero\n{}\n",
        authority.ca().to_str().unwrap()
    );
    let (code, said) = setup(&place, &[], &typed);
    assert_eq!(code, Some(0), "{said}");
    for words in ["an authority this board does not know", "No such file", "not a regular file", "works: name"] {
        assert!(said.contains(words), "{words} is not in: {said}");
    }
    assert!(place.path().join("broker-ca.pem").exists());
}

/// Brokers that refuse MQTT 5, and MQTT 3.1.1 in the same words. Returns the port.
async fn broker_of_neither_version() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut packet = [0; 4096];
            if stream.read(&mut packet).await.is_ok() {
                let _ = stream.write_all(&[0x20, 3, 0, 0x84, 0]).await;
            }
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn the_version_of_a_wrong_address_is_not_written_for_the_right_one() {
    let (broker, authority) = broker().await;
    let given = tempfile::tempdir().unwrap();
    let password = given.path().join("password");
    fs::write(&password, PASSWORD).unwrap();
    let wrong = format!("mqtt://127.0.0.1:{}", broker_of_neither_version().await);
    let (url, ca) = (format!("mqtts://localhost:{}", broker.port()), authority.ca());
    let place = tempfile::tempdir().unwrap();
    let options = [
        ("--device", "garden"),
        ("--broker", &wrong),
        ("--user", "garden"),
        ("--password-file", password.to_str().unwrap()),
        ("--camera", "test"),
    ];
    let (code, said) = setup(&place, &options, &format!("off\n{url}\n{}\n", ca.to_str().unwrap()));
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("this broker supports only"), "{said}");
    let text = fs::read_to_string(place.path().join("fanlight.toml")).unwrap();
    assert!(text.contains(&url) && !text.contains("version"), "{text}");
}

/// What the daemon leaves as the board's `status`.
const OFFLINE: &str = r#"{"v":1,"state":"offline","reason":"shutdown","epoch":"e","conn":1}"#;
const ONLINE: &str = r#"{"v":1,"state":"online","epoch":"e","conn":1}"#;
/// Options for `mosquitto_pub` and `mosquitto_sub` with a login that may do everything.
const DAEMON: [&str; 4] = ["-u", "daemon", "-P", PASSWORD];

/// A broker with a login for each of these boards. Its lines are those of the packaged list, but for the one that ends
/// like this.
async fn broker_of_boards(boards: &[(&str, &str)]) -> Mosquitto {
    let dir = tempfile::tempdir().unwrap();
    let packaged = include_str!("../package/examples/mosquitto.acl");
    let rights = packaged.split("user garden\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let mut acl = "user daemon\ntopic readwrite #\n".to_owned();
    let mut logins = format!("daemon:{PASSWORD}\n");
    for (id, without) in boards {
        let kept = rights.lines().filter(|line| without.is_empty() || !line.ends_with(without));
        acl += &format!("user {id}\n");
        kept.for_each(|line| acl += &format!("{}\n", line.replace("garden", id)));
        logins += &format!("{id}:{PASSWORD}\n");
    }
    let (list, passwords) = (dir.path().join("acl"), dir.path().join("passwd"));
    fs::write(&list, acl).unwrap();
    fs::write(&passwords, logins).unwrap();
    assert!(Command::new("mosquitto_passwd").arg("-U").arg(&passwords).status().unwrap().success());
    let (passwords, list) = (passwords.display(), list.display());
    let general = format!("allow_anonymous false\npassword_file {passwords}\nacl_file {list}\n");
    Mosquitto::start(dir, &general, [Listener::tcp()]).await
}

/// What `setup` says of this board at this broker, with its exit code, and then `check --network`.
fn tried(broker: &Mosquitto, id: &str) -> (Option<i32>, String, String) {
    let (place, given) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let password = given.path().join("password");
    fs::write(&password, PASSWORD).unwrap();
    let url = format!("mqtt://127.0.0.1:{}", broker.port());
    let mut options = right(&url, "", password.to_str().unwrap());
    options.retain(|(option, _)| !["--device", "--user", "--ca-file"].contains(option));
    options.extend([("--device", id), ("--user", id)]);
    let (code, said) = setup(&place, &options, "");
    (code, said, check_network(&place.path().join("fanlight.toml")))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_may_not_write_a_topic_of_the_board_does_not_work() {
    // The board, the end of the line that its login lacks, and the topic in the error.
    let rows = [
        ("no-evt", "write fanlight/v1/garden/evt", "no-evt/evt: "),
        ("no-rsp", "write fanlight/v1/garden/rsp/+", "no-rsp/rsp/no-rsp-check: "),
        ("no-status", "write fanlight/v1/garden/status", "no-status/status: "),
        ("no-info", "write fanlight/v1/garden/info", "no-info/info: "),
    ];
    let broker = broker_of_boards(&rows.map(|(id, without, _)| (id, without))).await;
    for (id, _, topic) in rows {
        // The board was never there, or it was online once.
        for standing in ["", OFFLINE] {
            let topic_of_status = format!("fanlight/v1/{id}/status");
            mosquitto_pub(broker.port(), &topic_of_status, standing, &[&DAEMON[..], &["-r"]].concat()).await;
            let (code, said, _) = tried(&broker, id);
            assert_eq!(code, Some(1), "{id}: {said}");
            let words = format!("publish to fanlight/v1/{topic}NotAuthorized; let user {id} write it");
            assert!(said.contains(&words) && said.contains("nothing was written"), "{id}: {said}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_learn_nothing_from_a_test_of_the_broker() {
    const CHECK: &str = r#"{"v":1,"type":"check"}"#;
    let broker = broker_of_boards(&[("garden", "")]).await;
    let (quiet, read_by_viewers) = ([("evt", CHECK), ("rsp/garden-check", CHECK)], r#"{"v":0,"type":"check"}"#);
    for standing in ["", OFFLINE, ONLINE] {
        let retained = [&DAEMON[..], &["-r"]].concat();
        mosquitto_pub(broker.port(), "fanlight/v1/garden/status", standing, &retained).await;
        let mut viewer = Watcher::on(broker.port(), "fanlight/v1/garden/#", &DAEMON).await;
        if !standing.is_empty() {
            assert!(viewer.next().await.retained);
        }
        let (code, said, checked) = tried(&broker, "garden");
        assert_eq!(code, Some(0), "{said}");
        let untried = "; not tried: publish to status and info: the board is online";
        let works = format!("name, TCP, login, subscribe, publish{}\n", if standing == ONLINE { untried } else { "" });
        assert!(said.contains(&works) && checked.contains(&works), "{said}{checked}");
        let same = if standing.is_empty() { read_by_viewers } else { standing };
        let others = [("status", same), ("info", read_by_viewers)];
        let others = if standing == ONLINE { &others[..0] } else { &others[..] };
        for _ in ["setup", "check"] {
            for (topic, payload) in quiet.iter().chain(others) {
                let seen = viewer.next().await;
                let expected = (format!("fanlight/v1/garden/{topic}"), (*payload).to_owned(), false);
                assert_eq!((seen.topic, seen.payload, seen.retained), expected, "{standing}");
            }
        }
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_reported_before_the_first_question() {
    let place = tempfile::tempdir().unwrap();
    let config = place.path().join("no-such-folder/fanlight.toml");
    let done = Command::new(FANLIGHT).args(["setup", "--config"]).arg(&config).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(1), "{said}");
    assert!(said.contains("does the folder exist?") && !said.contains("What is this board called"), "{said}");
}
