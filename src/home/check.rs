//! What `fanlight check` reports about home mode.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::ring::default_provider, pki_types::ServerName},
};

use super::{
    certificates::CertificateStore,
    files::{HomeFile, Places, UNITS},
    firewall::{FirewallState, advice},
    host_name, hosts, is_announced, links,
    settings::HomeSettings,
};
use crate::{
    config::{Access, AccessMode, Config, MqttTransport},
    state_folder::{HOME_CERTIFICATES, StateError, StateFolder},
};

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
        wrong.extend(open_to_others(&places));
        let names = links::certificate_names(&host_name(), &settings.names);
        wrong.extend(certificate_fault(&certificates(&places), &names));
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
    fits(
        config.access.mode == AccessMode::Keys,
        "access.mode is broker, and the own broker lets everybody in: everybody in your network can watch",
    );
    wrong.extend(wrong_links(&config.access, settings.port));
    wrong
}

/// Addresses for pairing links that lead to another port than that of the page.
fn wrong_links(access: &Access, port: u16) -> Vec<String> {
    let leads_here = |url: &str| {
        let authority = url.split_once("://").map_or("", |(_, rest)| rest.split('/').next().unwrap_or_default());
        // The digits behind the last colon, unless that is within an IPv6 address.
        let written = authority.rsplit_once(':').filter(|(_, end)| !end.contains(']')).map(|(_, end)| end);
        written.map_or(Some(443), |digits| digits.parse().ok()) == Some(port)
    };
    let urls = [("access.page", &access.page), ("access.viewer_broker", &access.viewer_broker)];
    let given = urls.into_iter().filter_map(|(key, url)| Some((key, url.as_deref()?)));
    let wrong = given.filter(|(_, url)| !leads_here(url));
    wrong.map(|(key, url)| format!("{key} is {url}, and the page of this board is on port {port}")).collect()
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

/// Files with secrets that others can read, or change.
fn open_to_others(places: &Places) -> Vec<String> {
    let open = HomeFile::ALL.into_iter().filter_map(|file| {
        let path = places.of(file);
        let mode = fs::symlink_metadata(&path).ok()?.permissions().mode() & 0o777;
        (mode & !file.mode() & 0o077 != 0).then_some((path, mode, file.mode()))
    });
    let told = |(path, mode, good): (PathBuf, u32, u32)| {
        let path = path.display();
        format!("{path} is open to other users (mode {mode:o}): sudo chmod {good:o} {path}")
    };
    open.map(told).collect()
}

/// What the page's service keeps, from the first folder that has it.
fn certificates(places: &Places) -> Result<Option<CertificateStore>, StateError> {
    let read = |folder: &PathBuf| StateFolder::at(folder).read(HOME_CERTIFICATES, CertificateStore::parse);
    places.state().iter().map(read).find(|read| !matches!(read, Ok(None))).unwrap_or(Ok(None))
}

/// What is wrong with the certificates. `names`: those that this board has now.
fn certificate_fault(kept: &Result<Option<CertificateStore>, StateError>, names: &[String]) -> Option<String> {
    let anew = "sudo systemctl restart fanlight-home makes others, and every browser asks again";
    match kept {
        Ok(Some(store)) if store.is_for(names) => None,
        Ok(Some(_)) => Some(format!("the certificate of the page is not for {}: {anew}", names.join(", "))),
        Ok(None) => Some("the page has no certificate yet; see systemctl status fanlight-home".to_owned()),
        // Only root can look. What others cannot see is no fault.
        Err(StateError::Io(e)) if e.kind() == io::ErrorKind::PermissionDenied => None,
        Err(error) => Some(format!("the certificates of the page cannot be used: {error}; {anew}")),
    }
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
    let places = Places::default();
    if config_file == places.configuration()
        && let Ok(Some(store)) = certificates(&places)
        && let [name, ..] = &*links::certificate_names(&host_name(), &settings.names)
    {
        lines.push(match handshake(port, name, &store.authority).await {
            Ok(()) => (true, format!("home: the certificate of the page is good for {name}")),
            Err(why) => (false, format!("home: the certificate of the page, for {name}: {why}")),
        });
    }
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
        Ok::<_, io::Error>(answer)
    };
    let answer = timeout(PATIENCE, asked).await.map_err(|_| "it does not answer".to_owned())?;
    let answer = answer.map_err(|e| e.to_string())?;
    let expected = format!("Location: https://localhost:{port}/\r\n");
    match String::from_utf8_lossy(&answer).contains(&expected) {
        true => Ok(()),
        false => Err("another program answers on this port".into()),
    }
}

/// Connects by TLS, as a browser that trusts the board's authority alone.
pub async fn handshake(port: u16, name: &str, authority: &[u8]) -> Result<(), String> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.to_vec().into()).map_err(|e| e.to_string())?;
    let config = ClientConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).map_err(|e| e.to_string())?;
    let connected = async {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        TlsConnector::from(std::sync::Arc::new(config)).connect(name, stream).await
    };
    let connected = timeout(PATIENCE, connected).await.map_err(|_| "it does not answer".to_owned())?;
    connected.map(drop).map_err(|e| e.to_string())
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
        with_access(url, device, root, "mode = \"keys\"\n")
    }

    fn with_access(url: &str, device: &str, root: &str, access: &str) -> Config {
        let text = format!("device = \"{device}\"\n[broker]\nurl = \"{url}\"\nroot = \"{root}\"\n[access]\n{access}");
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
        let here = |access: &str| with_access("mqtt://127.0.0.1:18831", "garden", "fanlight/v1", access);
        for (config, words) in [
            (&good, None),
            (&here("mode = \"broker\"\nthe_broker_can_watch = true\n"), Some("everybody in your network can watch")),
            (&here("mode = \"keys\"\npage = \"https://garden.local:8443/\"\n"), None),
            (&here("mode = \"keys\"\npage = \"https://[fd00::5]:8443/\"\n"), None),
            (&here("mode = \"keys\"\npage = \"https://garden.local/\"\n"), Some("on port 8443")),
            (&here("mode = \"keys\"\nviewer_broker = \"wss://[fd00::5]/mqtt\"\n"), Some("access.viewer_broker is")),
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

    #[test]
    fn secrets_that_are_open_to_others_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::below(dir.path());
        fs::create_dir_all(places.folder()).unwrap();
        for file in HomeFile::ALL.into_iter().filter(|file| *file != HomeFile::Announcement) {
            fs::write(places.of(file), "x").unwrap();
            fs::set_permissions(places.of(file), fs::Permissions::from_mode(file.mode())).unwrap();
        }
        assert!(open_to_others(&places).is_empty());
        let logins = places.of(HomeFile::BrokerLogins);
        fs::set_permissions(&logins, fs::Permissions::from_mode(0o640)).unwrap();
        let told = open_to_others(&places);
        let words = format!("(mode 640): sudo chmod 600 {}", logins.display());
        assert!(told.len() == 1 && told[0].ends_with(&words), "{told:?}");
    }

    #[test]
    fn certificates_that_browsers_would_refuse_are_told() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places::below(dir.path());
        let names = ["garden.local", "garden"].map(str::to_owned);
        let told = |names: &[String]| certificate_fault(&certificates(&places), names).unwrap_or_default();
        assert!(told(&names).contains("no certificate yet"));
        // The link that systemd makes is missing here: the folder behind it is found.
        let [_, folder] = places.state();
        fs::create_dir_all(&folder).unwrap();
        let store = CertificateStore::new(&names, 1_800_000_000).unwrap();
        StateFolder::at(&folder).write(HOME_CERTIFICATES, &store.to_bytes(), None).unwrap();
        assert_eq!(told(&names), "");
        assert!(told(&["hall.local".to_owned()]).contains("is not for hall.local"));
        fs::write(folder.join("certificates.json"), "{").unwrap();
        assert!(told(&names).contains("cannot be used: not the JSON of certificates"), "{}", told(&names));
    }
}
