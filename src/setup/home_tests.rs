//! Tests of `home`: a folder stands for the system, and a list for its commands.

use std::{cell::RefCell, collections::BTreeMap, os::unix::fs::PermissionsExt};

use super::*;

/// A system whose commands only get listed; `mosquitto_passwd` is the real one.
#[derive(Default)]
struct Pretended {
    said: RefCell<Vec<String>>,
    used: Vec<u16>,
    without: Option<&'static str>,
}

impl Machine for Pretended {
    fn run(&self, program: &str, arguments: &[&str]) -> Result<String, String> {
        if program.ends_with("mosquitto_passwd") {
            return ThisMachine.run("mosquitto_passwd", arguments);
        }
        let line = format!("{program} {}", arguments.join(" "));
        if self.without.is_some_and(|what| line.contains(what)) {
            return Err(format!("no {line}"));
        }
        if arguments.first() != Some(&"cat") {
            self.said.borrow_mut().push(line);
        }
        Ok(String::new())
    }

    fn has(&self, path: &str) -> bool {
        self.without.is_none_or(|what| !path.contains(what))
    }

    fn is_free(&self, port: u16) -> bool {
        !self.used.contains(&port)
    }

    fn daemon(&self) -> Option<(u32, u32)> {
        None
    }

    fn hosts(&self) -> Vec<String> {
        vec!["garden.local".into(), "192.168.1.5".into()]
    }

    fn wait_for_page(&self, _port: u16) -> Result<(), String> {
        Ok(())
    }
}

fn answers() -> Answers {
    Answers {
        device: "garden".into(),
        name: Some("The \"garden\"".into()),
        video: "[video]\nsource = \"test\"\n".into(),
        audio: "[audio]\nsource = \"off\"\n".into(),
        ..Answers::default()
    }
}

/// Every file below a folder, with its permissions and its text.
fn tree(folder: &Path) -> BTreeMap<PathBuf, (u32, String)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(tree(&path));
        } else {
            let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
            found.insert(path.clone(), (mode, fs::read_to_string(&path).unwrap()));
        }
    }
    found
}

/// A system with a configuration and an announcement of before, and avahi.
fn system() -> (tempfile::TempDir, Places) {
    let root = tempfile::tempdir().unwrap();
    let places = Places::below(root.path());
    fs::create_dir_all(places.announcements()).unwrap();
    fs::create_dir_all(places.configuration().parent().unwrap()).unwrap();
    fs::write(places.configuration(), "# what was there before\n").unwrap();
    fs::write(places.of(HomeFile::Announcement), "<their own/>").unwrap();
    fs::write(places.announcements().join("ssh.service"), "<ssh/>").unwrap();
    (root, places)
}

#[test]
fn what_is_made_can_be_removed_and_what_was_there_is_restored() {
    let (root, places) = system();
    let before = tree(root.path());
    let machine = Pretended::default();
    let report = install(&places, &answers(), None, &machine).unwrap();
    assert_eq!(report.settings.port, PAGE_PORT);
    // The service makes its state.
    for folder in places.state() {
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("certificates.json"), "x").unwrap();
    }
    let made = tree(root.path());
    for file in HomeFile::ALL {
        assert_eq!(made[&places.of(file)].0, file.mode(), "{file:?}");
    }
    assert!(!made.keys().any(|path| path.extension().is_some_and(|it| it == "new")), "{made:?}");
    let started = machine.said.take();
    assert_eq!(started.last().unwrap(), "systemctl restart fanlight.service");
    assert!(started.contains(&"systemctl enable fanlight-home.service".to_owned()), "{started:?}");

    // A second run changes the port, and what was there before stays known.
    let other = Answers { name: None, ..answers() };
    let again = install(&places, &other, Some(8444), &Pretended { used: vec![BROKER_PORT], ..machine }).unwrap();
    assert_eq!((again.settings.port, again.settings.broker_port), (8444, report.settings.broker_port));

    let machine = Pretended::default();
    remove(&places, &machine).unwrap();
    let mut after = tree(root.path());
    let old = after.remove(&beside(&places.configuration(), "old")).unwrap();
    assert!(old.1.contains("[access]"), "the configuration of home mode is kept as .old");
    assert_eq!(after, before);
    assert!(!places.folder().exists() && places.state().iter().all(|folder| !folder.exists()));
    let said = machine.said.take();
    assert!(said.contains(&"systemctl disable --now fanlight-broker.service".to_owned()), "{said:?}");
    let error = remove(&places, &Pretended::default()).unwrap_err();
    assert!(error.contains("not set up"), "{error}");
    assert!(places.configuration().exists(), "a second removal touches nothing");
}

#[test]
fn damaged_settings_are_our_own_and_the_removal_does_not_bring_them_back() {
    let (root, places) = system();
    let before = tree(root.path());
    install(&places, &answers(), None, &Pretended::default()).unwrap();
    fs::write(places.of(HomeFile::Settings), "port = ").unwrap();
    let machine = Pretended::default();
    install(&places, &answers(), None, &machine).unwrap();
    let said = machine.said.take();
    for unit in UNITS {
        assert!(said.contains(&format!("systemctl restart {unit}")), "it runs with the files of before: {said:?}");
    }
    remove(&places, &Pretended::default()).unwrap();
    let mut after = tree(root.path());
    after.remove(&beside(&places.configuration(), "old")).unwrap();
    assert_eq!(after, before);
}

#[test]
fn secrets_are_hashed_for_the_broker_and_never_in_the_configuration() {
    let (_root, places) = system();
    install(&places, &answers(), Some(443), &Pretended::default()).unwrap();
    let read = |file| fs::read_to_string(places.of(file)).unwrap();
    let password = read(HomeFile::BoardPassword).trim().to_owned();
    assert!(password.len() >= 32);
    let logins = read(HomeFile::BrokerLogins);
    assert!(logins.starts_with("board:$") && !logins.contains(&password), "{logins}");
    let toml = fs::read_to_string(places.configuration()).unwrap();
    assert!(!toml.contains(&password));
    let value: toml::Value = toml::from_str(&toml).unwrap();
    let text = |table: &str, key: &str| value[table][key].as_str().unwrap().to_owned();
    assert_eq!(text("access", "mode"), "keys");
    assert_eq!(text("access", "page"), "https://garden.local/");
    assert_eq!(text("access", "viewer_broker"), "wss://garden.local/mqtt");
    assert_eq!(text("broker", "url"), format!("mqtt://127.0.0.1:{BROKER_PORT}"));
    assert_eq!(text("broker", "password_file"), places.of(HomeFile::BoardPassword).to_str().unwrap());
    assert_eq!(value["name"].as_str(), Some("The \"garden\""));
}

#[test]
fn nothing_is_written_if_something_is_missing_or_in_use() {
    for (machine, port, words) in [
        (Pretended { without: Some("mosquitto"), ..Pretended::default() }, None, "sudo apt install mosquitto"),
        (Pretended { without: Some("fanlight-home"), ..Pretended::default() }, None, "the unit fanlight-home.service"),
        (Pretended { without: Some("/run/systemd"), ..Pretended::default() }, None, "needs systemd"),
        (Pretended { used: vec![PAGE_PORT], ..Pretended::default() }, None, "port 8443 is in use"),
        (Pretended { used: vec![9000], ..Pretended::default() }, Some(9000), "--port 9001"),
        (Pretended { used: (BROKER_PORT..BROKER_PORT + TRIES).collect(), ..Pretended::default() }, None, "all in use"),
    ] {
        let (root, places) = system();
        let before = tree(root.path());
        let error = install(&places, &answers(), port, &machine).unwrap_err();
        assert!(error.contains(words), "{error}");
        assert_eq!(tree(root.path()), before, "{words}");
    }
    let (root, places) = system();
    let before = tree(root.path());
    let bad = Answers { video: "[video]\nsource = \"x\"\n".into(), ..answers() };
    let error = install(&places, &bad, None, &Pretended::default()).unwrap_err();
    assert!(error.starts_with("video.source: "), "{error}");
    assert_eq!(tree(root.path()), before);
}

#[test]
fn the_report_says_what_the_browser_asks_and_what_comes_next() {
    let (_root, places) = system();
    let report = install(&places, &answers(), None, &Pretended::default()).unwrap();
    let text = HomeReport { fingerprint: Some("AB:CD".into()), advice: Some("ufw is on".into()), ..report }.text();
    for words in [
        "  https://garden.local:8443/\n  https://192.168.1.5:8443/\n",
        "proceed",
        "AB:CD",
        "ufw is on",
        "sudo fanlight pair\n",
        "sudo fanlight pair --page https://192.168.1.5:8443/ --broker wss://192.168.1.5:8443/mqtt",
    ] {
        assert!(text.contains(words), "{words:?} is not in:\n{text}");
    }
    assert!(text.lines().all(|line| line.chars().count() <= 120), "{text}");
}
