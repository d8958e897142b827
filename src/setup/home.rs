//! `fanlight setup --home`: makes all that home mode needs, and removes exactly that again.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ring::digest::{SHA256, digest};

use super::{
    Answers, quoted, write,
    write::{beside, write as write_file},
    wrong,
};
use crate::{
    config::{Surroundings, parse},
    home::{
        self,
        broker_files::{CREDENTIALS, announcement, broker_acl, broker_config},
        certificates::CertificateStore,
        files::{BEFORE, HomeFile, Places, UNITS},
        links, ports,
        settings::{BOARD_LOGIN, BROKER_PORT, HomeSettings, PAGE_PORT},
    },
};

/// How many ports are tried for the broker on loopback.
const TRIES: u16 = 50;
/// How long the page may take to come up: the first start makes keys.
const STARTED: Duration = Duration::from_secs(60);

/// What the setup needs from the system. Tests have another one.
pub trait Machine {
    /// Runs a program. Returns what it wrote to its standard output, or what it wrote to standard error.
    fn run(&self, program: &str, arguments: &[&str]) -> Result<String, String>;
    /// Whether a program or a unit is there.
    fn has(&self, path: &str) -> bool;
    /// Whether nobody listens on this port.
    fn is_free(&self, port: u16) -> bool;
    /// The user and the group of the daemon.
    fn daemon(&self) -> Option<(u32, u32)>;
    /// The hosts by which browsers reach this board, the best first.
    fn hosts(&self) -> Vec<String>;
    /// Waits until the page answers.
    fn wait_for_page(&self, port: u16) -> Result<(), String>;
}

/// This machine.
#[derive(Debug, Clone, Copy)]
pub struct ThisMachine;

impl Machine for ThisMachine {
    fn run(&self, program: &str, arguments: &[&str]) -> Result<String, String> {
        let about = |said: &dyn std::fmt::Display| format!("{program} {}: {said}", arguments.join(" "));
        let ran = Command::new(program).args(arguments).stdin(Stdio::null()).output().map_err(|e| about(&e))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if ran.status.success() { Ok(text(&ran.stdout)) } else { Err(about(&text(&ran.stderr))) }
    }

    fn has(&self, path: &str) -> bool {
        Path::new(path).exists()
    }

    fn is_free(&self, port: u16) -> bool {
        ports::is_free(port)
    }

    fn daemon(&self) -> Option<(u32, u32)> {
        write::owner()
    }

    fn hosts(&self) -> Vec<String> {
        home::hosts()
    }

    fn wait_for_page(&self, port: u16) -> Result<(), String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
        runtime.block_on(async {
            let end = tokio::time::Instant::now() + STARTED;
            loop {
                let error = match home::check::answers(port).await {
                    Ok(()) => return Ok(()),
                    Err(error) => error,
                };
                if tokio::time::Instant::now() > end {
                    return Err(error);
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        })
    }
}

/// What was set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HomeReport {
    /// The settings of the page and the broker.
    pub settings: HomeSettings,
    /// The hosts of the links, the best first. Not empty.
    pub hosts: Vec<String>,
    /// The SHA-256 hash of the authority's certificate, as browsers show it.
    pub fingerprint: Option<String>,
    /// What keeps browsers out, and what to do.
    pub advice: Option<String>,
}

/// Makes the files, and starts the services. `port`: `None` keeps the port of before, or the usual one.
pub fn install(
    places: &Places,
    answers: &Answers,
    port: Option<u16>,
    machine: &dyn Machine,
) -> Result<HomeReport, String> {
    prepared(machine)?;
    // Settings that are damaged are our own, too: the files beside them are nobody else's.
    let is_first = !places.of(HomeFile::Settings).exists();
    let before = home::read_settings(&places.of(HomeFile::Settings)).ok();
    let settings = settings(answers, port, before.as_ref(), machine)?;
    let mut hosts = machine.hosts();
    if hosts.is_empty() {
        hosts.push("127.0.0.1".into());
    }
    let mut drafts = Drafts::default();
    draft_files(&mut drafts, places, &settings, machine)?;
    let toml = home_toml(answers, &settings, &places.of(HomeFile::BoardPassword), &hosts[0]);
    checked(&toml)?;
    drafts.add(&places.configuration(), 0o644, &toml, None)?;
    drafts.place(is_first)?;
    start(machine, !is_first)?;
    machine.wait_for_page(settings.port).map_err(|e| {
        format!("all is written, but the page does not answer: {e}; see journalctl -u fanlight-home -u fanlight-broker")
    })?;
    let fingerprint = fingerprint(places);
    let advice = home::firewall::advice(&home::check::firewall(), settings.port);
    Ok(HomeReport { settings, hosts, fingerprint, advice })
}

/// Checks that mosquitto and the units are there.
fn prepared(machine: &dyn Machine) -> Result<(), String> {
    if !machine.has("/usr/sbin/mosquitto") || !machine.has("/usr/bin/mosquitto_passwd") {
        return Err("the broker is missing: sudo apt install mosquitto; then run this again".into());
    }
    if !machine.has("/run/systemd/system") {
        return Err("home mode needs systemd, which does not run here".into());
    }
    for unit in UNITS {
        machine.run("systemctl", &["cat", unit]).map_err(|_| {
            format!("the unit {unit} is missing: install the package, or the units as systemd/README.md describes")
        })?;
    }
    Ok(())
}

/// The ports and the names.
fn settings(
    answers: &Answers,
    port: Option<u16>,
    before: Option<&HomeSettings>,
    machine: &dyn Machine,
) -> Result<HomeSettings, String> {
    let port = port.or(before.map(|it| it.port)).unwrap_or(PAGE_PORT);
    // The port of before is in use by the page itself.
    if before.map(|it| it.port) != Some(port) && !machine.is_free(port) {
        return Err(ports::fault(port, &io::ErrorKind::AddrInUse.into()));
    }
    let kept = before.map(|it| it.broker_port).filter(|it| *it != port);
    let mut candidates = (BROKER_PORT..BROKER_PORT + TRIES).filter(|it| *it != port && machine.is_free(*it));
    let last = BROKER_PORT + TRIES - 1;
    let broker_port = kept.or_else(|| candidates.next()).ok_or_else(|| {
        format!("ports {BROKER_PORT} to {last} of 127.0.0.1 are all in use; ss -ltnp shows by which programs")
    })?;
    let names = before.map(|it| it.names.clone()).unwrap_or_default();
    let settings =
        HomeSettings { port, broker_port, device: answers.device.clone(), root: "fanlight/v1".into(), names };
    // What is written has to be read again by the services.
    HomeSettings::parse(&settings.to_toml())
}

/// Writes the drafts of all files but the daemon's configuration.
fn draft_files(
    drafts: &mut Drafts,
    places: &Places,
    settings: &HomeSettings,
    machine: &dyn Machine,
) -> Result<(), String> {
    let folder = places.folder();
    fs::create_dir_all(&folder).map_err(|e| wrong("make", &folder, &e))?;
    let mut random = [0; 24];
    getrandom::fill(&mut random).map_err(|e| format!("random numbers: {e}"))?;
    let password = BASE64_URL_SAFE_NO_PAD.encode(random);
    let mut add = |file: HomeFile, text: &str| {
        let owner = if file.is_of_daemon() { machine.daemon() } else { None };
        drafts.add(&places.of(file), file.mode(), text, owner)
    };
    add(HomeFile::Settings, &settings.to_toml())?;
    add(HomeFile::BrokerConfig, &broker_config(settings, Path::new(CREDENTIALS)))?;
    add(HomeFile::BrokerAcl, &broker_acl(settings))?;
    add(HomeFile::BoardPassword, &format!("{password}\n"))?;
    add(HomeFile::BrokerLogins, &format!("{BOARD_LOGIN}:{password}\n"))?;
    if places.announcements().is_dir() {
        add(HomeFile::Announcement, &announcement(settings))?;
    }
    // mosquitto's own tool hashes the password in its file. On a command line, other users would see the password.
    let logins = beside(&places.of(HomeFile::BrokerLogins), "new");
    machine.run("/usr/bin/mosquitto_passwd", &["-U", &logins.to_string_lossy()])?;
    let hashed = fs::read_to_string(&logins).map_err(|e| wrong("read", &logins, &e))?;
    match hashed.contains(&password) {
        true => Err("mosquitto_passwd did not hash the password".into()),
        false => Ok(()),
    }
}

/// The daemon's configuration.
fn home_toml(answers: &Answers, settings: &HomeSettings, password: &Path, host: &str) -> String {
    let name = answers.name.as_ref().map_or_else(String::new, |name| format!("name = {}\n", quoted(name)));
    format!(
        "# Written by `fanlight setup --home`. Every setting: fanlight.toml(5).\ndevice = {}\n{name}\n[broker]\n\
         url = \"mqtt://127.0.0.1:{}\"\nuser = \"{BOARD_LOGIN}\"\npassword_file = {}\n\n[access]\nmode = \"keys\"\n\
         page = {}\nviewer_broker = {}\n\n{}\n{}\n{}",
        quoted(&answers.device),
        settings.broker_port,
        quoted(&password.to_string_lossy()),
        quoted(&links::page(host, settings.port)),
        quoted(&links::broker(host, settings.port)),
        answers.video.trim_end(),
        answers.audio.trim_end(),
        if answers.speaker.is_empty() { String::new() } else { format!("\n{}\n", answers.speaker.trim_end()) },
    )
}

/// Checks the answers in the configuration. The table `broker` has none: this program writes it.
fn checked(toml: &str) -> Result<(), String> {
    let without: String =
        toml.lines().filter(|line| !line.starts_with("password_file")).map(|l| l.to_owned() + "\n").collect();
    let Err(error) = parse(&without, Path::new("the answers"), &Surroundings::default()) else { return Ok(()) };
    let fault = |key: &str| !key.starts_with("broker.");
    match error.problems.into_iter().find(|problem| fault(&problem.key)) {
        Some(problem) => Err(format!("{}: {}", problem.key, problem.message)),
        None => Ok(()),
    }
}

/// Starts the services now and with the system. `again`: they run with the files of before.
fn start(machine: &dyn Machine, again: bool) -> Result<(), String> {
    machine.run("systemctl", &["daemon-reload"])?;
    for unit in UNITS {
        machine.run("systemctl", &["enable", unit])?;
    }
    let verb = if again { "restart" } else { "start" };
    for unit in UNITS {
        machine.run("systemctl", &[verb, unit])?;
    }
    machine.run("systemctl", &["restart", "fanlight.service"]).map(drop)
}

/// The hash of the authority's certificate, from the state of the page's service.
fn fingerprint(places: &Places) -> Option<String> {
    let [link, folder] = places.state();
    let bytes = [folder, link].iter().find_map(|at| fs::read(at.join("certificates.json")).ok())?;
    let store = CertificateStore::parse(&bytes).ok()?;
    let hash = digest(&SHA256, &store.authority);
    Some(hash.as_ref().iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":"))
}

/// Stops the services, removes what `install` made, and restores what was there before.
pub fn remove(places: &Places, machine: &dyn Machine) -> Result<(), String> {
    let configuration = places.configuration();
    if !places.of(HomeFile::Settings).exists() && !beside(&configuration, BEFORE).exists() {
        return Err("home mode is not set up".into());
    }
    let mut faults = Vec::new();
    for unit in UNITS {
        faults.extend(machine.run("systemctl", &["disable", "--now", unit]).err());
    }
    faults.extend(restored_configuration(&configuration).err());
    // The settings come last. They show that there is something left to remove.
    for file in HomeFile::ALL.iter().rev().map(|file| places.of(*file)) {
        faults.extend(removed(&beside(&file, "new")).err());
        faults.extend(restored(&file).err());
    }
    let [link, state] = places.state();
    for folder in [state, link] {
        faults.extend(removed(&folder).err());
    }
    // Files that others put there stay.
    let _ = fs::remove_dir(places.folder());
    faults.extend(machine.run("systemctl", &["restart", "fanlight.service"]).err());
    if faults.is_empty() { Ok(()) } else { Err(faults.join("; ")) }
}

/// Removes a file, and restores the one that was there before it.
fn restored(file: &Path) -> Result<(), String> {
    removed(file)?;
    let before = beside(file, BEFORE);
    match fs::rename(&before, file) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(wrong("restore", file, &e)),
        _ => Ok(()),
    }
}

/// Restores the previous configuration. The one of home mode is kept as `.old`.
fn restored_configuration(file: &Path) -> Result<(), String> {
    let (old, before) = (beside(file, "old"), beside(file, BEFORE));
    if file.exists() {
        fs::rename(file, &old).map_err(|e| wrong("keep the configuration as", &old, &e))?;
    }
    match fs::rename(&before, file) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(wrong("restore", file, &e)),
        _ => Ok(()),
    }
}

/// Removes a file, a link, or a folder with all that is in it.
fn removed(path: &Path) -> Result<(), String> {
    let done = match fs::symlink_metadata(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound || e.kind() == io::ErrorKind::NotADirectory => Ok(()),
        Err(e) => Err(e),
        Ok(about) if about.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
    };
    done.map_err(|e| wrong("remove", path, &e))
}

/// Files under names of drafts. Dropping them deletes those that were not placed.
#[derive(Debug, Default)]
struct Drafts(Vec<PathBuf>);

impl Drafts {
    /// Writes a draft beside its final place.
    fn add(&mut self, file: &Path, mode: u32, text: &str, owner: Option<(u32, u32)>) -> Result<(), String> {
        self.0.push(file.to_owned());
        write_file(&beside(file, "new"), mode, text, owner)
    }

    /// Moves everything to its place, the configuration last. `first`: files that are there are somebody else's, and
    /// kept for the removal; otherwise they are our own of before.
    fn place(mut self, first: bool) -> Result<(), String> {
        let files = std::mem::take(&mut self.0);
        for (at, file) in files.iter().enumerate() {
            let kept = beside(file, if first { BEFORE } else { "old" });
            let keep = first || at + 1 == files.len();
            if keep && file.exists() && !(first && kept.exists()) {
                fs::copy(file, &kept).map_err(|e| wrong("keep the old file as", &kept, &e))?;
            }
            fs::rename(beside(file, "new"), file).map_err(|e| wrong("write", file, &e))?;
        }
        Ok(())
    }
}

impl Drop for Drafts {
    fn drop(&mut self) {
        for file in &self.0 {
            let _ = fs::remove_file(beside(file, "new"));
        }
    }
}

impl HomeReport {
    /// What to do next, for the user.
    pub fn text(&self) -> String {
        let port = self.settings.port;
        let mut out = String::from("The viewer page of this board:\n");
        for host in &self.hosts {
            out += &format!("  {}\n", links::page(host, port));
        }
        out += "\nThe board has a certificate of its own. Each browser warns once: \"Your connection is not private\" \
                (Chrome, Edge),\n\"Potential Security Risk Ahead\" (Firefox), \"This Connection Is Not Private\" \
                (Safari). In your own network\nthis is expected: choose Advanced or Show Details, and proceed.\n";
        if let Some(hash) = &self.fingerprint {
            out += &format!("To be sure, compare the SHA-256 hash of the authority \"fanlight at …\":\n  {hash}\n");
        }
        if let Some(advice) = &self.advice {
            out += &format!("\n{advice}\n");
        }
        out +=
            &format!("\nNobody may watch yet. This lets the first viewer in:\n  {}\n", home::first_pairing(None, port));
        if let Some(other) = self.hosts.get(1) {
            out +=
                &format!("If a phone does not find {}:\n  {}\n", self.hosts[0], home::first_pairing(Some(other), port));
        }
        out
    }
}

#[cfg(test)]
#[path = "home_tests.rs"]
mod tests;
