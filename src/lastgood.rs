//! The last configuration that worked, kept in the service's state directory for the day on which a new version refuses it.
//!
//! An edit that is wrong ends the service with a sentence: whoever made it is there to read it, and may have meant to
//! allow less than before. A file that worked and has not changed since is refused only by an update, on a board that nobody
//! may be near: there the service goes on without the refused values, and says so. That holds only for values that make the picture
//! or the sound, not for those that say who may watch, how the board is reached, or what is shown.
//!
//! The copy is the text of the file, so it holds no secret that the file does not. One line before it names format, version
//! and checksum. The copy before it stays beside it, for a write that a power cut ended.

use std::{
    fmt::Write as _,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use crate::config::{self, ConfigError, Loaded, Problem, Surroundings};

/// The copy.
const NAME: &str = "last-good.toml";
/// The one before.
const BEFORE: &str = "last-good.toml.old";
/// One that is being written.
const NEW: &str = "last-good.toml.new";
/// How the first line begins; the format's number follows.
const HEAD: &str = "# fanlight last-good ";
const FORMAT: u32 = 1;
/// More than the longest configuration.
const MAX: u64 = 512 << 10;

/// A configuration that worked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// The version of fanlight that it worked with.
    pub version: String,
    /// The text of the file.
    pub text: String,
}

/// Where the copy is kept.
#[derive(Debug, Clone)]
pub struct Kept {
    folder: Option<PathBuf>,
}

/// What to do about a configuration that was refused.
#[derive(Debug)]
pub enum Refused {
    /// Go on with this one.
    GoOn {
        /// The configuration.
        loaded: Box<Loaded>,
        /// One sentence: what is in force, and why.
        told: String,
    },
    /// End.
    End {
        /// What would help; empty where nothing is known.
        hint: String,
    },
}

impl Kept {
    /// In systemd's state directory of this service; nowhere without one.
    pub fn of_process() -> Self {
        let folders = std::env::var_os("STATE_DIRECTORY").unwrap_or_default();
        // Several are separated by colons (systemd.exec(5)).
        let folder = folders.to_str().and_then(|all| all.split(':').next()).map(PathBuf::from);
        Self { folder: folder.filter(|folder| folder.is_absolute()) }
    }

    /// In this folder.
    pub fn at(folder: &Path) -> Self {
        Self { folder: Some(folder.to_owned()) }
    }

    /// The file of the copy.
    pub fn place(&self) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(NAME))
    }

    /// The copy, or the one before if that is damaged, and a sentence on each that cannot be used.
    pub fn read(&self) -> (Option<Copy>, Vec<String>) {
        let Some(folder) = &self.folder else { return (None, Vec::new()) };
        let mut wrong = Vec::new();
        for name in [NAME, BEFORE] {
            let path = folder.join(name);
            match read(&path) {
                Ok(copy) => return (Some(copy), wrong),
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => wrong.push(format!("the configuration kept in {}: {e}; it is not used", path.display())),
            }
        }
        (None, wrong)
    }

    /// Keeps a configuration that works, if it is another one than before. A power cut at any moment leaves this one or
    /// the one before.
    pub fn keep(&self, text: &str, version: &str) -> Result<(), String> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let copy = Copy { version: version.to_owned(), text: text.to_owned() };
        if read(&folder.join(NAME)).is_ok_and(|kept| kept == copy) {
            return Ok(());
        }
        write(folder, &copy).map_err(|e| {
            format!(
                "keep the configuration in {}: {e}; if an update refuses it, the service cannot go on with it",
                folder.join(NAME).display()
            )
        })
    }

    /// What to do about a configuration file that was refused for `error`.
    pub fn instead(&self, text: Option<&str>, file: &Path, around: &Surroundings, error: &ConfigError) -> Refused {
        let (copy, wrong) = self.read();
        let wrong = wrong.join("\n");
        let (Some(copy), Some(folder)) = (copy, &self.folder) else { return Refused::End { hint: wrong } };
        let place = folder.join(NAME);
        // What a power cut leaves of a file that was being written is no edit.
        let zeroed = text.is_some_and(|text| !text.is_empty() && text.bytes().all(|byte| byte == 0));
        if !zeroed && text != Some(copy.text.as_str()) {
            let hint = format!("the last configuration that worked is kept in {}", place.display());
            return Refused::End { hint: [wrong, hint].join("\n").trim().to_owned() };
        }
        let Some((loaded, missed)) = config::salvage(&copy.text, file, around, may_miss) else {
            return Refused::End { hint: wrong };
        };
        let keys: Vec<&str> = missed.iter().map(|problem| problem.key.as_str()).collect();
        let told = match (zeroed, keys.as_slice()) {
            (true, []) => {
                format!("{} holds nothing but zeros: going on with the copy in {}", file.display(), place.display())
            }
            (true, keys) => format!(
                "{} holds nothing but zeros: going on with the copy in {}, without {}",
                file.display(),
                place.display(),
                keys.join(", ")
            ),
            // The world around the file changed, and changed back while it was looked at.
            (false, []) => format!("refused, and then not: {error}"),
            (false, keys) => format!(
                "this version refuses a configuration that worked with fanlight {} and has not changed since: going on without {}",
                copy.version,
                keys.join(", ")
            ),
        };
        Refused::GoOn { loaded: Box::new(loaded), told }
    }
}

/// Whether the service may go on without this value. Not without those that say who may watch, how the board is reached, or
/// which device is shown; a key that once was one of these stays refused here after it is gone from the configuration.
fn may_miss(problem: &Problem) -> bool {
    match problem.key.split_once('.') {
        Some(("video" | "audio", key)) => key != "source",
        Some(("limits" | "log", _)) => true,
        Some(_) => false,
        None => problem.key == "name",
    }
}

fn read(path: &Path) -> io::Result<Copy> {
    // A pipe would be waited for, and a link lead elsewhere.
    let options = libc::O_NONBLOCK | libc::O_NOFOLLOW;
    let file = OpenOptions::new().read(true).custom_flags(options).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut text = String::new();
    file.take(MAX).read_to_string(&mut text)?;
    parse(&text).map_err(io::Error::other)
}

/// The text of a copy, with its first line.
fn format(copy: &Copy) -> String {
    format!("{HEAD}{FORMAT} {} {}\n{}", copy.version, checksum(&copy.text), copy.text)
}

fn parse(text: &str) -> Result<Copy, &'static str> {
    const DAMAGED: &str = "damaged or cut short";
    let (first, rest) = text.split_once('\n').ok_or(DAMAGED)?;
    let mut words = first.strip_prefix(HEAD).ok_or(DAMAGED)?.split(' ');
    match words.next().and_then(|number| number.parse::<u32>().ok()) {
        Some(FORMAT) => {}
        Some(_) => return Err("written by another version of fanlight, in a format that this one does not know"),
        None => return Err(DAMAGED),
    }
    let (Some(version), Some(sum), None) = (words.next(), words.next(), words.next()) else { return Err(DAMAGED) };
    if sum != checksum(rest) {
        return Err(DAMAGED);
    }
    Ok(Copy { version: version.to_owned(), text: rest.to_owned() })
}

fn checksum(text: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, text.as_bytes());
    digest.as_ref().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn write(folder: &Path, copy: &Copy) -> io::Result<()> {
    let [path, before, new] = [NAME, BEFORE, NEW].map(|name| folder.join(name));
    // What an earlier try left, whatever it is.
    match fs::remove_file(&new) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    let written = file.write_all(format(copy).as_bytes()).and_then(|()| file.sync_all());
    if let Err(e) = written {
        let _ = fs::remove_file(&new);
        return Err(e);
    }
    // Only a good copy is worth keeping: a damaged one would take the place of a good one before.
    if read(&path).is_ok() {
        fs::rename(&path, &before)?;
    }
    fs::rename(&new, &path)?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const FILE: &str = "/etc/fanlight/fanlight.toml";

    fn copy(version: &str, text: &str) -> Copy {
        Copy { version: version.into(), text: text.into() }
    }

    /// A whole configuration, with `more` behind it.
    fn config(more: &str) -> String {
        format!(
            "device = \"cam\"\n[broker]\nurl = \"mqtts://broker.example.org\"\n[access]\nmode = \"broker\"\n\
             the_broker_can_watch = true\n{more}"
        )
    }

    fn instead(kept: &Kept, text: &str) -> Refused {
        let (file, around) = (Path::new(FILE), Surroundings::default());
        let error = config::parse(text, file, &around).unwrap_err();
        kept.instead(Some(text), file, &around, &error)
    }

    #[test]
    fn what_is_kept_is_read_again_and_is_nobody_elses() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Kept::at(dir.path());
        assert_eq!(kept.read(), (None, vec![]));
        for text in ["a = 1\n", "", "b = 2", "\u{feff}x = \"ü\"\r\n"] {
            kept.keep(text, "0.1.0").unwrap();
            assert_eq!(kept.read(), (Some(copy("0.1.0", text)), vec![]));
        }
        let mode = |name: &str| fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(NAME), mode(BEFORE)), (0o600, 0o600));
        assert_eq!(read(&dir.path().join(BEFORE)).unwrap(), copy("0.1.0", "b = 2"));
        // Nothing is written where nothing changed: a memory card wears out.
        let written = fs::metadata(dir.path().join(NAME)).unwrap().modified().unwrap();
        kept.keep("\u{feff}x = \"ü\"\r\n", "0.1.0").unwrap();
        assert_eq!(fs::metadata(dir.path().join(NAME)).unwrap().modified().unwrap(), written);
        assert!(!dir.path().join(NEW).exists());
    }

    #[test]
    fn a_copy_that_is_damaged_is_told_and_the_one_before_is_used() {
        let good = format(&copy("0.1.0", "device = \"cam\"\n"));
        let newer = good.replacen("last-good 1", "last-good 2", 1);
        let dir = tempfile::tempdir().unwrap();
        let kept = Kept::at(dir.path());
        for (damaged, told) in [
            (good[..good.len() - 3].to_owned(), "cut short"),
            (good[..20].to_owned(), "cut short"),
            (String::new(), "cut short"),
            ("\0".repeat(good.len()), "damaged"),
            (good.replace("cam", "can"), "damaged"),
            (newer, "another version"),
        ] {
            kept.keep("a = 1", "0.1.0").unwrap();
            kept.keep("b = 2", "0.1.0").unwrap();
            fs::write(dir.path().join(NAME), &damaged).unwrap();
            let (found, wrong) = kept.read();
            assert_eq!(found, Some(copy("0.1.0", "a = 1")), "{damaged:?}");
            assert!(wrong.len() == 1 && wrong[0].contains(told), "{wrong:?}");
            // The next one that works takes its place, and the good one before stays.
            kept.keep("c = 3", "0.1.0").unwrap();
            assert_eq!(kept.read(), (Some(copy("0.1.0", "c = 3")), vec![]));
            assert_eq!(read(&dir.path().join(BEFORE)).unwrap().text, "a = 1");
        }
        fs::write(dir.path().join(NAME), [0xff; 99]).unwrap();
        fs::write(dir.path().join(BEFORE), "x").unwrap();
        let (found, wrong) = kept.read();
        assert!(found.is_none() && wrong.len() == 2, "{wrong:?}");
        fs::remove_file(dir.path().join(NAME)).unwrap();
        fs::create_dir(dir.path().join(NAME)).unwrap();
        assert!(kept.read().1[0].contains("not a regular file"), "{:?}", kept.read());
    }

    #[test]
    fn a_power_cut_between_two_steps_leaves_a_good_copy() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Kept::at(dir.path());
        kept.keep("a = 1", "0.1.0").unwrap();
        // The new one was begun, and the old one already made way.
        fs::rename(dir.path().join(NAME), dir.path().join(BEFORE)).unwrap();
        fs::write(dir.path().join(NEW), "# fanli").unwrap();
        assert_eq!(kept.read(), (Some(copy("0.1.0", "a = 1")), vec![]));
        kept.keep("b = 2", "0.1.0").unwrap();
        assert_eq!(kept.read(), (Some(copy("0.1.0", "b = 2")), vec![]));
    }

    #[test]
    fn what_cannot_be_written_is_told_and_where_nothing_is_kept_nothing_is_done() {
        let kept = Kept::at(Path::new("/proc/no-such-folder"));
        let told = kept.keep("a = 1", "0.1.0").unwrap_err();
        assert!(told.contains("/proc/no-such-folder/last-good.toml") && told.contains("cannot go on"), "{told}");
        let nowhere = Kept { folder: None };
        nowhere.keep("a = 1", "0.1.0").unwrap();
        assert!(matches!(instead(&nowhere, "device = 1"), Refused::End { hint } if hint.is_empty()));
    }

    #[test]
    fn a_file_that_worked_goes_on_without_what_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Kept::at(dir.path());
        let text = config("[video]\nfps = 5000\nbitrate_kbps = 700\nwas_there = true\n");
        kept.keep(&text, "0.0.9").unwrap();
        let Refused::GoOn { loaded, told } = instead(&kept, &text) else { panic!("it ends") };
        assert_eq!(
            told,
            "this version refuses a configuration that worked with fanlight 0.0.9 and has not changed since: \
             going on without video.fps, video.was_there"
        );
        assert_eq!(loaded.config.video.bitrate, 700_000, "what is right stays");
        assert_eq!(loaded.config.video.fps, config::Video::default().fps);
    }

    #[test]
    fn who_may_watch_and_what_is_shown_is_never_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Kept::at(dir.path());
        for refused in [
            config("[video]\nsource = \"nowhere\"\n"),
            config("[audio]\nsource = 7\n"),
            config("[webrtc]\nrelay_only = \"yes\"\n"),
            config("[was_there]\nx = 1\n"),
            config("x = \n"),
            config("").replace("mode = \"broker\"", "mode = \"some\""),
            config("").replace("mqtts://", "ftp://"),
            config("").replace("device = \"cam\"\n", ""),
        ] {
            kept.keep(&refused, "0.0.9").unwrap();
            assert!(matches!(instead(&kept, &refused), Refused::End { .. }), "{refused}");
        }
    }

    #[test]
    fn an_edit_that_is_wrong_ends_the_service_and_says_where_the_last_good_one_is() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Kept::at(dir.path());
        kept.keep(&config(""), "0.1.0").unwrap();
        let Refused::End { hint } = instead(&kept, &config("[video]\nfps = 5000\n")) else { panic!("it goes on") };
        assert_eq!(
            hint,
            format!("the last configuration that worked is kept in {}/last-good.toml", dir.path().display())
        );
    }

    #[test]
    fn zeros_are_no_edit() {
        let dir = tempfile::tempdir().unwrap();
        let kept = Kept::at(dir.path());
        kept.keep(&config("[video]\nbitrate_kbps = 700\n"), "0.1.0").unwrap();
        let Refused::GoOn { loaded, told } = instead(&kept, &"\0".repeat(99)) else { panic!("it ends") };
        assert!(told.contains("nothing but zeros"), "{told}");
        assert_eq!(loaded.config.video.bitrate, 700_000);
    }
}
