//! Writes the files of `fanlight setup`: completely or not at all, and the password readable for the daemon only.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{Answers, ca_file, password_file, wrong};
use crate::config::{read_bounded, text_of};

/// The user of the service, which the package and systemd/fanlight.sysusers create.
const SERVICE: &str = "fanlight";
/// The largest CA file that is copied, in bytes: several times the size of all public authorities.
const CA_MAX: u64 = 1 << 20;

/// Draft files next to their final paths. Dropping them without `place` deletes them.
#[derive(Debug)]
pub struct Draft {
    config: PathBuf,
    text: String,
    draft: PathBuf,
    /// The other files: the path of each draft, and its final path.
    others: Vec<[PathBuf; 2]>,
}

impl Draft {
    /// Writes the drafts. The draft configuration names the other drafts, so that it can be checked as it is.
    pub fn new(config: &Path, answers: &Answers) -> Result<Self, String> {
        let [password, ca] = [password_file(config), ca_file(config)];
        let [secret, copy] = [beside(&password, "new"), beside(&ca, "new")];
        let text = |password: &Path, ca: &Path| {
            let named = answers.ca_file.is_some().then(|| ca.to_owned());
            Answers { ca_file: named, ..answers.clone() }.toml(password)
        };
        let mut made = Self {
            config: config.to_owned(),
            text: text(&password, &ca),
            draft: beside(config, "new"),
            others: Vec::new(),
        };
        write(&made.draft, 0o644, &text(&secret, &copy), None)?;
        if let Some((_, word)) = &answers.login {
            made.others.push([secret.clone(), password]);
            write(&secret, 0o600, &format!("{}\n", word.expose()), owner())?;
        }
        if let Some(given) = &answers.ca_file {
            // The user can read the file where it is. The service may not: it has its own user, and no access to /home.
            let pem = read_bounded(given, CA_MAX).and_then(|(bytes, _)| text_of(bytes).map_err(io::Error::other));
            let pem = pem.map_err(|e| wrong("read", given, &e))?;
            made.others.push([copy.clone(), ca]);
            write(&copy, 0o644, &pem, None)?;
        }
        Ok(made)
    }

    /// The path of the draft configuration.
    pub fn file(&self) -> &Path {
        &self.draft
    }

    /// Moves everything to its final path. The configuration comes last, so that it never names a missing file.
    pub fn place(self) -> Result<(), String> {
        write(&self.draft, 0o644, &self.text, None)?;
        for [draft, file] in &self.others {
            fs::rename(draft, file).map_err(|e| wrong("write", file, &e))?;
        }
        if self.config.exists() {
            let old = beside(&self.config, "old");
            fs::copy(&self.config, &old).map_err(|e| wrong("keep the old configuration as", &old, &e))?;
        }
        fs::rename(&self.draft, &self.config).map_err(|e| wrong("write", &self.config, &e))?;
        // If the board loses power now, it still finds one of the two configurations.
        let folder = self.config.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(|e| wrong("write", folder, &e))
    }
}

/// Checks that files can be written next to this configuration, before any question is asked.
pub fn writable(config: &Path) -> Result<(), String> {
    let trial = beside(config, "new");
    write(&trial, 0o600, "", None)?;
    fs::remove_file(&trial).map_err(|e| wrong("write", &trial, &e))
}

/// Writes a new file and syncs it to disk.
pub(super) fn write(file: &Path, mode: u32, text: &str, owner: Option<(u32, u32)>) -> Result<(), String> {
    // The file of an interrupted run is deleted. A new file has the right mode from the first byte on.
    let _ = fs::remove_file(file);
    let created = OpenOptions::new().write(true).create_new(true).mode(mode).open(file);
    let mut open = created.map_err(|e| wrong("write", file, &e))?;
    // Independent of the user's umask, the service must be able to read the configuration.
    let readable = open.set_permissions(fs::Permissions::from_mode(mode));
    let written = readable.and_then(|()| match owner {
        Some((user, group)) => chown(file, Some(user), Some(group)),
        None => Ok(()),
    });
    let written = written.and_then(|()| open.write_all(text.as_bytes())).and_then(|()| open.sync_all());
    written.map_err(|e| wrong("write", file, &e))
}

impl Drop for Draft {
    fn drop(&mut self) {
        for file in self.others.iter().map(|[draft, _]| draft).chain([&self.draft]) {
            let _ = fs::remove_file(file);
        }
    }
}

pub(super) fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    file.with_file_name(name)
}

/// The owner of the password file: the user of the service if root runs setup, else the current user.
pub(super) fn owner() -> Option<(u32, u32)> {
    // A process's folder in /proc belongs to its user.
    if fs::metadata("/proc/self").ok()?.uid() != 0 {
        return None;
    }
    user(&fs::read_to_string("/etc/passwd").ok()?, SERVICE)
}

/// The ids of a user and its group, from /etc/passwd, which contains all system users.
fn user(passwd: &str, name: &str) -> Option<(u32, u32)> {
    let mut fields = passwd.lines().map(|line| line.split(':')).find_map(|mut fields| {
        let found = fields.next() == Some(name);
        found.then_some(fields)
    })?;
    Some((fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Restarts the service with the new configuration. Returns what happened.
pub fn restart_service() -> Result<String, String> {
    const UNIT: &str = "fanlight.service";
    if !Path::new("/run/systemd/system").is_dir() {
        return Ok("this system does not run systemd; start fanlight with `fanlight run`".into());
    }
    let systemctl = |words: &[&str]| -> io::Result<(bool, String)> {
        let output = Command::new("systemctl").args(words).stdin(Stdio::null()).output()?;
        let said = if output.stderr.is_empty() { output.stdout } else { output.stderr };
        Ok((output.status.success(), String::from_utf8_lossy(&said).trim().to_owned()))
    };
    let wrong =
        |e: io::Error| format!("the configuration is written, but the service was not restarted: run systemctl: {e}");
    let (there, _) = systemctl(&["cat", UNIT]).map_err(wrong)?;
    if !there {
        return Ok("there is no fanlight service; start fanlight with `fanlight run`, or see systemd/README.md".into());
    }
    // A restart, not a reload: only a restart applies device, camera and microphone. It also clears a failed state.
    let (done, said) = systemctl(&["restart", UNIT]).map_err(wrong)?;
    match done {
        true => Ok("the service runs with it: systemctl status fanlight".into()),
        false => {
            Err(format!("the configuration is written, but {UNIT} does not start: {said}; see journalctl -u fanlight"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Secret, Surroundings, load};

    fn answers() -> Answers {
        Answers {
            device: "cam".into(),
            broker: "mqtts://b".into(),
            login: Some(("u".into(), Secret::new("s3cret"))),
            the_broker_can_watch: true,
            video: "[video]\nsource = \"test\"\n".into(),
            audio: "[audio]\nsource = \"off\"\n".into(),
            ..Answers::default()
        }
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn files_are_placed_whole_and_the_password_is_for_one_user() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("fanlight.toml");
        fs::write(&config, "# nothing\n").unwrap();
        fs::write(dir.path().join("broker-password.new"), "of an interrupted run").unwrap();
        let draft = Draft::new(&config, &answers()).unwrap();
        assert!(load(draft.file(), &Surroundings::default()).unwrap().warnings.is_empty());
        assert_eq!(fs::read_to_string(&config).unwrap(), "# nothing\n", "the draft does not change the configuration");
        draft.place().unwrap();
        assert_eq!(names(dir.path()), ["broker-password", "fanlight.toml", "fanlight.toml.old"]);
        let mode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("broker-password"), mode("fanlight.toml")), (0o600, 0o644));
        let loaded = load(&config, &Surroundings::default()).unwrap();
        assert_eq!(loaded.config.broker.login.unwrap().password.expose(), "s3cret");
        assert!(!fs::read_to_string(&config).unwrap().contains("s3cret"));
    }

    #[test]
    fn the_brokers_authority_is_copied_to_where_the_service_can_read_it() {
        let [from, to] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let given = from.path().join("ca.pem");
        write(&given, 0o600, "a certificate", None).unwrap();
        let config = to.path().join("fanlight.toml");
        let answers = Answers { ca_file: Some(given.clone()), broker: "mqtts://b".into(), ..answers() };
        let draft = Draft::new(&config, &answers).unwrap();
        assert!(
            fs::read_to_string(draft.file()).unwrap().contains("broker-ca.pem.new"),
            "the draft names the new copy"
        );
        draft.place().unwrap();
        assert_eq!(names(to.path()), ["broker-ca.pem", "broker-password", "fanlight.toml"]);
        let copy = to.path().join("broker-ca.pem");
        assert_eq!(fs::read_to_string(&copy).unwrap(), "a certificate");
        assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(load(&config, &Surroundings::default()).unwrap().config.broker.ca_file, Some(copy));

        fs::remove_file(&given).unwrap();
        let error = Draft::new(&to.path().join("other.toml"), &answers).unwrap_err();
        assert!(error.contains("ca.pem"), "{error}");
        assert_eq!(names(to.path()).len(), 3, "and nothing is left of it");
    }

    #[test]
    fn without_a_login_there_is_no_password() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("fanlight.toml");
        Draft::new(&config, &Answers { login: None, ..answers() }).unwrap().place().unwrap();
        assert_eq!(names(dir.path()), ["fanlight.toml"]);
        assert_eq!(load(&config, &Surroundings::default()).unwrap().config.broker.login, None);
    }

    #[test]
    fn a_draft_that_is_not_placed_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("fanlight.toml");
        drop(Draft::new(&config, &answers()).unwrap());
        assert!(names(dir.path()).is_empty());
        let nowhere = Draft::new(&dir.path().join("no/fanlight.toml"), &answers()).unwrap_err();
        assert!(nowhere.contains("does the folder exist?"), "{nowhere}");
    }

    #[test]
    fn the_owner_is_found_by_name() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\nfanlight2:x:7:8::/:\nfanlight:x:997:996:camera:/:/usr/sbin/nologin\n";
        for (name, expected) in [("fanlight", Some((997, 996))), ("root", Some((0, 0))), ("nobody", None)] {
            assert_eq!(user(passwd, name), expected, "{name}");
        }
    }
}
