//! What `fanlight check` reports about home mode.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use super::{
    files::{HomeFile, Places, UNITS},
    firewall::{FirewallState, advice},
    hosts, is_announced, links,
    settings::HomeSettings,
};
use crate::config::{Config, MqttTransport};

/// Where Debian's mosquitto is.
const MOSQUITTO: &str = "/usr/sbin/mosquitto";
/// How long the page may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is wrong with home mode, one sentence each. Empty if it is not set up for this configuration file.
pub fn faults(config_file: &Path, config: &Config) -> Vec<String> {
    let Some(file) = settings_file(config_file) else { return Vec::new() };
    let settings = match super::read_settings(&file) {
        Ok(settings) => settings,
        Err(error) => return vec![format!("home: {error}")],
    };
    let mut wrong = differences(&settings, config);
    if !Path::new(MOSQUITTO).exists() {
        wrong.push(format!("{MOSQUITTO} is missing: sudo apt install mosquitto"));
    }
    let places = Places::default();
    if config_file == places.configuration() {
        wrong.extend(missing(&places));
    }
    wrong.into_iter().map(|text| format!("home: {text}")).collect()
}

/// The settings file beside the configuration, if there is one.
fn settings_file(config_file: &Path) -> Option<PathBuf> {
    let file = config_file.with_file_name("home").join("home.toml");
    file.exists().then_some(file)
}

/// Where the daemon's configuration does not fit the broker and the page.
fn differences(settings: &HomeSettings, config: &Config) -> Vec<String> {
    let broker = &config.broker;
    let mut wrong = Vec::new();
    let mut fits = |good: bool, what: &str| {
        if !good {
            wrong.push(format!("{what}; sudo fanlight setup --home --replace makes both anew"));
        }
    };
    let is_own = broker.transport == MqttTransport::Tcp && broker.port == settings.broker_port;
    fits(is_own, &format!("broker.url is not that of the own broker, mqtt://127.0.0.1:{}", settings.broker_port));
    fits(
        config.device.as_str() == settings.device,
        &format!("device is not {}, for which the page is", settings.device),
    );
    fits(broker.root == settings.root, &format!("broker.root is not {}, for which the page is", settings.root));
    wrong
}

/// Files and links that are gone.
fn missing(places: &Places) -> Vec<String> {
    let needed = HomeFile::ALL.into_iter().filter(|file| *file != HomeFile::Announcement);
    let files = needed.map(|file| places.of(file)).filter(|path| fs::symlink_metadata(path).is_err());
    let files = files.map(|path| format!("{} is missing; sudo fanlight setup --home --replace", path.display()));
    let links = UNITS.iter().zip(places.links()).filter(|(_, link)| fs::symlink_metadata(link).is_err());
    let units =
        links.map(|(unit, _)| format!("{unit} does not start with the system: sudo systemctl enable --now {unit}"));
    files.chain(units).collect()
}

/// Tries the page, and looks for what keeps browsers out. Each line: whether it is good, and a sentence.
pub async fn network(config_file: &Path) -> Vec<(bool, String)> {
    let Some(file) = settings_file(config_file) else { return Vec::new() };
    let settings = match super::read_settings(&file) {
        Ok(settings) => settings,
        Err(error) => return vec![(false, format!("home: {error}"))],
    };
    let port = settings.port;
    let at = hosts().first().map_or_else(|| "127.0.0.1".to_owned(), String::clone);
    let page = links::page(&at, port);
    let mut lines = vec![match answers(port).await {
        Ok(()) => (true, format!("home: the page {page} answers")),
        Err(why) => (false, format!("home: the page {page}: {why}; see systemctl status fanlight-home")),
    }];
    if !is_announced() {
        let text =
            "home: avahi does not run, so browsers find this board by its address only: sudo apt install avahi-daemon";
        lines.push((true, text.to_owned()));
    }
    lines.extend(advice(&firewall(), port).map(|text| (false, format!("home: {text}"))));
    lines
}

/// Asks in clear text, and expects to be led to HTTPS: only this server does that.
pub async fn answers(port: u16) -> Result<(), String> {
    let asked = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let request = format!("GET / HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        (&mut stream).take(1024).read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = timeout(PATIENCE, asked).await.map_err(|_| "it does not answer".to_owned())?;
    let answer = answer.map_err(|e| e.to_string())?;
    let expected = format!("Location: https://localhost:{port}/\r\n");
    match String::from_utf8_lossy(&answer).contains(&expected) {
        true => Ok(()),
        false => Err("another program answers on this port".into()),
    }
}

/// The firewall of this machine. Only root can read the rules.
pub fn firewall() -> FirewallState {
    let output = |program: &str, words: &[&str]| {
        let ran = Command::new(program).args(words).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
        ran.status.success().then(|| String::from_utf8_lossy(&ran.stdout).into_owned())
    };
    FirewallState {
        ufw: fs::read_to_string("/etc/ufw/ufw.conf").ok(),
        firewalld: Path::new("/run/firewalld").exists(),
        rules: output("/usr/sbin/nft", &["list", "ruleset"]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Surroundings, parse};

    fn config(url: &str, device: &str, root: &str) -> Config {
        let text = format!(
            "device = \"{device}\"\n[broker]\nurl = \"{url}\"\nroot = \"{root}\"\n[access]\nmode = \"broker\"\n\
             the_broker_can_watch = true\n"
        );
        parse(&text, Path::new("f"), &Surroundings::default()).unwrap().config
    }

    #[test]
    fn a_configuration_that_does_not_fit_the_page_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("fanlight.toml");
        let good = config("mqtt://127.0.0.1:18831", "garden", "fanlight/v1");
        assert!(faults(&file, &good).is_empty(), "home mode is not set up");
        let home = dir.path().join("home");
        fs::create_dir(&home).unwrap();
        fs::write(home.join("home.toml"), "port = 1").unwrap();
        assert!(faults(&file, &good)[0].contains("home.toml"), "{:?}", faults(&file, &good));
        let settings = HomeSettings {
            port: 8443,
            broker_port: 18831,
            device: "garden".into(),
            root: "fanlight/v1".into(),
            names: Vec::new(),
        };
        fs::write(home.join("home.toml"), settings.to_toml()).unwrap();
        for (config, words) in [
            (&good, None),
            (&config("mqtt://127.0.0.1:1883", "garden", "fanlight/v1"), Some("broker.url")),
            (&config("mqtts://b.example:18831", "garden", "fanlight/v1"), Some("broker.url")),
            (&config("mqtt://127.0.0.1:18831", "hall", "fanlight/v1"), Some("device is not garden")),
            (&config("mqtt://127.0.0.1:18831", "garden", "x"), Some("broker.root")),
        ] {
            let faults: Vec<_> = faults(&file, config).into_iter().filter(|text| !text.contains("mosquitto")).collect();
            match words {
                Some(words) => assert!(faults.len() == 1 && faults[0].contains(words), "{faults:?}"),
                None => assert!(faults.is_empty(), "{faults:?}"),
            }
        }
    }

    #[test]
    fn missing_files_and_units_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let told = missing(&Places::below(dir.path())).join("\n");
        for words in ["home/logins is missing", "systemctl enable --now fanlight-home.service"] {
            assert!(told.contains(words), "{told}");
        }
        assert!(!told.contains("avahi"));
    }
}
