//! Keeps a copy of the last configuration that worked in the service's state directory, in case an update refuses it.
//!
//! A wrong edit ends the service with an error. Its author is there to read it, and may have wanted to allow less than
//! before. A file that worked and has not changed since can be refused only by an update, maybe on a remote board. Then
//! the service continues without the refused values, and reports them. This applies only to values for picture and
//! sound, not to those that decide who may watch, how to reach the board, or which device is shown.
//!
//! The copy is the text of the file, so it contains no more secrets than the file. A line before it has the format, the
//! version and a checksum. The previous copy is kept too, in case a power cut interrupts a write.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use crate::{
    config::{self, ConfigError, Loaded, Problem, Surroundings},
    state_folder::{LAST_GOOD, LAST_GOOD_OLD, StateError, StateFile, StateFolder},
};

/// The beginning of the first line, before the number of the format.
const HEAD: &str = "# fanlight last-good ";
/// The number of the format.
const FORMAT: u32 = 1;
/// What is wrong with a copy that is not as it was written.
const DAMAGED: &str = "damaged or cut short";

/// A configuration that worked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// The version of fanlight with which it worked.
    pub version: String,
    /// The text of the file.
    pub text: String,
}

/// The place of the copy.
#[derive(Debug, Clone)]
pub struct Kept {
    folder: Option<StateFolder>,
}

/// What to do after a configuration was refused.
#[derive(Debug)]
pub enum Refused {
    /// Continue with this configuration.
    Continue {
        /// The configuration.
        loaded: Box<Loaded>,
        /// One sentence: which configuration is in force, and why.
        message: String,
    },
    /// End the service.
    End {
        /// A hint for the user. Empty for none.
        hint: String,
    },
}

impl Kept {
    /// In the state folder of the service. Without one, no copy is kept.
    pub fn new(folder: Option<StateFolder>) -> Self {
        Self { folder }
    }

    /// The path of the copy.
    pub fn place(&self) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.path(LAST_GOOD))
    }

    /// The copy, or the previous one if it is damaged, and one sentence for each that cannot be used.
    pub fn read(&self) -> (Option<Copy>, Vec<String>) {
        let Some(folder) = &self.folder else { return (None, Vec::new()) };
        let mut wrong = Vec::new();
        for file in [LAST_GOOD, LAST_GOOD_OLD] {
            match read(folder, file) {
                Ok(Some(copy)) => return (Some(copy), wrong),
                Ok(None) => {}
                Err(e) => {
                    let path = folder.path(file);
                    wrong.push(format!("the configuration kept in {}: {e}; it is not used", path.display()));
                }
            }
        }
        (None, wrong)
    }

    /// Keeps a configuration that works, if it differs from the copy. After a power cut at any moment, either this copy
    /// or the previous one is intact.
    pub fn keep(&self, text: &str, version: &str) -> Result<(), String> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let copy = Copy { version: version.to_owned(), text: text.to_owned() };
        let kept = read(folder, LAST_GOOD);
        if matches!(&kept, Ok(Some(kept)) if *kept == copy) {
            return Ok(());
        }
        // A damaged copy must not replace the good one before it.
        let old = matches!(kept, Ok(Some(_))).then_some(LAST_GOOD_OLD);
        folder.write(LAST_GOOD, format(&copy).as_bytes(), old).map_err(|e| {
            format!(
                "keep the configuration in {}: {e}; if an update refuses it, the service cannot continue with it",
                folder.path(LAST_GOOD).display()
            )
        })
    }

    /// What to do after the configuration file was refused for `error`. `text` is the text of the file.
    pub fn instead(&self, text: Option<&str>, file: &Path, around: &Surroundings, error: &ConfigError) -> Refused {
        let (copy, wrong) = self.read();
        let wrong = wrong.join("\n");
        let (Some(copy), Some(folder)) = (copy, &self.folder) else { return Refused::End { hint: wrong } };
        let place = folder.path(LAST_GOOD);
        // A power cut during a write leaves zeros. This is not an edit.
        let zeroed = text.is_some_and(|text| !text.is_empty() && text.bytes().all(|byte| byte == 0));
        if !zeroed && text != Some(copy.text.as_str()) {
            let hint = format!("the last configuration that worked is kept in {}", place.display());
            return Refused::End { hint: [wrong, hint].join("\n").trim().to_owned() };
        }
        let Some((loaded, missed)) = config::salvage(&copy.text, file, around, may_miss) else {
            return Refused::End { hint: wrong };
        };
        let keys: Vec<&str> = missed.iter().map(|problem| problem.key.as_str()).collect();
        let message = match (zeroed, keys.as_slice()) {
            (true, []) => {
                format!("{} contains only zeros: continuing with the copy in {}", file.display(), place.display())
            }
            (true, keys) => format!(
                "{} contains only zeros: continuing with the copy in {}, without {}",
                file.display(),
                place.display(),
                keys.join(", ")
            ),
            // A file that the configuration names changed between the two reads.
            (false, []) => format!("refused, and accepted at the second attempt: {error}"),
            (false, keys) => format!(
                "this version refuses a configuration that worked with fanlight {} and has not changed since: \
                 continuing without {}",
                copy.version,
                keys.join(", ")
            ),
        };
        Refused::Continue { loaded: Box::new(loaded), message }
    }
}

/// Whether the service may continue without this value. It may not leave out a key that decides who may watch, how to
/// reach the board, or which device is shown. This includes such keys of earlier versions.
fn may_miss(problem: &Problem) -> bool {
    match problem.key.split_once('.') {
        Some(("video" | "audio", key)) => key != "source",
        Some(("limits" | "log", _)) => true,
        Some(_) => false,
        None => problem.key == "name",
    }
}

fn read(folder: &StateFolder, file: StateFile) -> Result<Option<Copy>, StateError> {
    folder.read(file, |bytes| parse(std::str::from_utf8(bytes).map_err(|_| DAMAGED)?))
}

/// The text of a copy, with its first line.
fn format(copy: &Copy) -> String {
    format!("{HEAD}{FORMAT} {} {}\n{}", copy.version, checksum(&copy.text), copy.text)
}

fn parse(text: &str) -> Result<Copy, &'static str> {
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const NAME: &str = "last-good.toml";
    const BEFORE: &str = "last-good.toml.old";
    const NEW: &str = "last-good.toml.new";

    const FILE: &str = "/etc/fanlight/fanlight.toml";

    fn kept_in(folder: &Path) -> Kept {
        Kept::new(Some(StateFolder::at(folder)))
    }

    fn read_old(folder: &Path) -> Copy {
        read(&StateFolder::at(folder), LAST_GOOD_OLD).unwrap().unwrap()
    }

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
    fn the_copy_reads_back() {
        let dir = tempfile::tempdir().unwrap();
        let kept = kept_in(dir.path());
        assert_eq!(kept.read(), (None, vec![]));
        for text in ["a = 1\n", "", "b = 2", "\u{feff}x = \"ü\"\r\n"] {
            kept.keep(text, "0.1.0").unwrap();
            assert_eq!(kept.read(), (Some(copy("0.1.0", text)), vec![]));
        }
        assert_eq!(read_old(dir.path()), copy("0.1.0", "b = 2"));
        // An unchanged configuration is not written again, because a memory card wears out.
        let written = fs::metadata(dir.path().join(NAME)).unwrap().modified().unwrap();
        kept.keep("\u{feff}x = \"ü\"\r\n", "0.1.0").unwrap();
        assert_eq!(fs::metadata(dir.path().join(NAME)).unwrap().modified().unwrap(), written);
        assert!(!dir.path().join(NEW).exists());
    }

    #[test]
    fn a_damaged_copy_is_reported_and_the_previous_one_is_used() {
        let good = format(&copy("0.1.0", "device = \"cam\"\n"));
        let newer = good.replacen("last-good 1", "last-good 2", 1);
        let dir = tempfile::tempdir().unwrap();
        let kept = kept_in(dir.path());
        for (damaged, reason) in [
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
            assert!(wrong.len() == 1 && wrong[0].contains(reason), "{wrong:?}");
            // The next configuration that works replaces it, and the previous good one stays.
            kept.keep("c = 3", "0.1.0").unwrap();
            assert_eq!(kept.read(), (Some(copy("0.1.0", "c = 3")), vec![]));
            assert_eq!(read_old(dir.path()).text, "a = 1");
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
        let kept = kept_in(dir.path());
        kept.keep("a = 1", "0.1.0").unwrap();
        // The new file was begun, and the old one was already renamed.
        fs::rename(dir.path().join(NAME), dir.path().join(BEFORE)).unwrap();
        fs::write(dir.path().join(NEW), "# fanli").unwrap();
        assert_eq!(kept.read(), (Some(copy("0.1.0", "a = 1")), vec![]));
        kept.keep("b = 2", "0.1.0").unwrap();
        assert_eq!(kept.read(), (Some(copy("0.1.0", "b = 2")), vec![]));
    }

    #[test]
    fn a_failed_write_is_reported_and_without_a_folder_nothing_is_written() {
        let kept = kept_in(Path::new("/proc/no-such-folder"));
        let error = kept.keep("a = 1", "0.1.0").unwrap_err();
        assert!(error.contains("/proc/no-such-folder/last-good.toml") && error.contains("cannot continue"), "{error}");
        let nowhere = Kept::new(None);
        nowhere.keep("a = 1", "0.1.0").unwrap();
        assert!(matches!(instead(&nowhere, "device = 1"), Refused::End { hint } if hint.is_empty()));
    }

    #[test]
    fn a_file_that_worked_is_used_without_the_refused_values() {
        let dir = tempfile::tempdir().unwrap();
        let kept = kept_in(dir.path());
        let text = config("[video]\nfps = 5000\nbitrate_kbps = 700\nwas_there = true\n");
        kept.keep(&text, "0.0.9").unwrap();
        let Refused::Continue { loaded, message } = instead(&kept, &text) else { panic!("it ends") };
        assert_eq!(
            message,
            "this version refuses a configuration that worked with fanlight 0.0.9 and has not changed since: \
             continuing without video.fps, video.was_there"
        );
        assert_eq!(loaded.config.video.bitrate.as_kbps(), 700, "right values stay");
        assert_eq!(loaded.config.video.fps, config::Video::default().fps);
    }

    #[test]
    fn who_may_watch_and_what_is_shown_is_never_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let kept = kept_in(dir.path());
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
    fn a_wrong_edit_ends_the_service_and_names_the_place_of_the_copy() {
        let dir = tempfile::tempdir().unwrap();
        let kept = kept_in(dir.path());
        kept.keep(&config(""), "0.1.0").unwrap();
        let Refused::End { hint } = instead(&kept, &config("[video]\nfps = 5000\n")) else { panic!("it continues") };
        assert_eq!(
            hint,
            format!("the last configuration that worked is kept in {}/last-good.toml", dir.path().display())
        );
    }

    #[test]
    fn a_file_of_zeros_is_not_an_edit() {
        let dir = tempfile::tempdir().unwrap();
        let kept = kept_in(dir.path());
        kept.keep(&config("[video]\nbitrate_kbps = 700\n"), "0.1.0").unwrap();
        let Refused::Continue { loaded, message } = instead(&kept, &"\0".repeat(99)) else { panic!("it ends") };
        assert!(message.contains("only zeros"), "{message}");
        assert_eq!(loaded.config.video.bitrate.as_kbps(), 700);
    }
}
