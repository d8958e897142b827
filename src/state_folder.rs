//! The state folder of the service: the files that outlive a restart. systemd makes it (`StateDirectory=`, and
//! `$STATE_DIRECTORY` in systemd.exec(5)).
//!
//! All access goes through this module, so that every file has a name, a size limit and one way to be written: whole or
//! not at all. A new text goes to a temporary file, which is synchronised and then renamed, and the folder is
//! synchronised. After a power cut at any moment, the file is the old one or the new one.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use tracing::warn;

/// The last configuration that worked.
pub const LAST_GOOD: StateFile = StateFile::one("last-good.toml", 512 << 10);
/// The one before it.
pub const LAST_GOOD_OLD: StateFile = StateFile::one("last-good.toml.old", LAST_GOOD.max);
/// The private key with which the board signs (PKCS #8).
pub const IDENTITY: StateFile = StateFile::one("identity.key", 4 << 10);
/// The list of viewers. There is no older copy to fall back on: it could bring a removed viewer back.
pub const VIEWERS: StateFile = StateFile::one("viewers.json", 256 << 10);
/// The deny list of an issuer. `*` is the id of the issuer.
const DENY_LIST: StateFile = StateFile::one("deny-*.jws", 64 << 10);
/// The privacy switch: a line of text.
pub const PRIVACY: StateFile = StateFile::one("privacy", 256);
/// The controls of cameras that viewers saved.
pub const CONTROLS: StateFile = StateFile::one("controls.json", 32 << 10);
/// Keys and certificates of the HTTPS server of home mode, in the state folder of that service.
pub const HOME_CERTIFICATES: StateFile = StateFile::one("certificates.json", 128 << 10);

/// The end of the name of a file that is being written.
const NEW: &str = ".new";

/// Characters of the id of an issuer.
const ISSUER_ID: usize = 22;

/// One file of the state folder. All of them are made in this module, so that two parts never share a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateFile {
    name: &'static str,
    /// What is in the name in place of `*`, if there are several files of a kind.
    id: Option<[u8; ISSUER_ID]>,
    /// The largest size that is read or written, in bytes.
    max: usize,
}

impl StateFile {
    const fn one(name: &'static str, max: usize) -> Self {
        Self { name, id: None, max }
    }

    /// The deny list of the issuer with this id. `None`: this is not the id of an issuer, which is the front of a
    /// thumbprint.
    pub fn deny_list(issuer: &str) -> Option<Self> {
        let id: [u8; ISSUER_ID] = issuer.as_bytes().try_into().ok()?;
        let fits = id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(byte));
        fits.then_some(Self { id: Some(id), ..DENY_LIST })
    }

    fn file_name(&self) -> String {
        match &self.id {
            Some(id) => self.name.replace('*', &String::from_utf8_lossy(id)),
            None => self.name.to_owned(),
        }
    }
}

/// Why a file of the state folder cannot be used.
#[derive(Debug)]
pub enum StateError {
    /// It is a pipe, a link, a folder or a device.
    NotAFile,
    /// It is larger than so many bytes.
    TooLarge(usize),
    /// Its content is not what was written. The text says what is wrong.
    Damaged(&'static str),
    /// The system refuses.
    Io(io::Error),
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAFile => f.write_str("not a regular file"),
            Self::TooLarge(max) => write!(f, "larger than {max} bytes"),
            Self::Damaged(what) => f.write_str(what),
            Self::Io(e) => e.fmt(f),
        }
    }
}

impl std::error::Error for StateError {}

impl From<io::Error> for StateError {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

/// The state folder. Clones share it, and only one of them writes at a time. Reading and writing may block: call them
/// on a thread that may wait for a file system.
#[derive(Debug, Clone)]
pub struct StateFolder {
    path: PathBuf,
    writing: Arc<Mutex<()>>,
    /// Makes the names in a folder outlive a power cut. Tests have another one.
    sync: fn(&Path) -> io::Result<()>,
}

impl StateFolder {
    /// The folder of this service. `None` outside of systemd.
    pub fn of_process() -> Option<Self> {
        Self::of_variable(&std::env::var_os("STATE_DIRECTORY")?.into_string().ok()?)
    }

    /// The folder that systemd gives to `fanlight.service`, for commands that run outside of it.
    pub fn of_service() -> Self {
        Self::at(Path::new("/var/lib/fanlight"))
    }

    /// There may be several folders, separated by colons. The first one is ours.
    fn of_variable(folders: &str) -> Option<Self> {
        let path = Path::new(folders.split(':').next()?);
        path.is_absolute().then(|| Self::at(path))
    }

    /// This folder.
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), writing: Arc::default(), sync: |folder| File::open(folder)?.sync_all() }
    }

    /// The path of a file, for messages.
    pub fn path(&self, file: StateFile) -> PathBuf {
        self.path.join(file.file_name())
    }

    /// Reads a file. `parse` checks the content, and returns what is wrong with it. `None`: there is no such file.
    pub fn read<T>(
        &self,
        file: StateFile,
        parse: impl FnOnce(&[u8]) -> Result<T, &'static str>,
    ) -> Result<Option<T>, StateError> {
        match self.bytes(file) {
            Ok(bytes) => parse(&bytes).map(Some).map_err(StateError::Damaged),
            Err(StateError::Io(e)) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn bytes(&self, file: StateFile) -> Result<Vec<u8>, StateError> {
        // Opening a pipe would block, and a link could lead to another file.
        let options = libc::O_NONBLOCK | libc::O_NOFOLLOW;
        let opened = match OpenOptions::new().read(true).custom_flags(options).open(self.path(file)) {
            Err(e) if e.raw_os_error() == Some(libc::ELOOP) => return Err(StateError::NotAFile),
            opened => opened?,
        };
        if !opened.metadata()?.is_file() {
            return Err(StateError::NotAFile);
        }
        let mut bytes = Vec::new();
        // One byte more than allowed, so that a file that is too large is noticed.
        opened.take(file.max as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > file.max { Err(StateError::TooLarge(file.max)) } else { Ok(bytes) }
    }

    /// Replaces a file. Only the service's user can read it. After an error, the file is as before. That its folder
    /// could not be synchronised is no error: the log says so.
    ///
    /// `old`: the file before it is kept under this name. These are two renames, so after a power cut between them only
    /// the old name exists. The reader then uses that one.
    pub fn write(&self, file: StateFile, contents: &[u8], old: Option<StateFile>) -> Result<(), StateError> {
        if contents.len() > file.max {
            return Err(StateError::TooLarge(file.max));
        }
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let (path, new) = (self.path(file), self.path.join(format!("{}{NEW}", file.file_name())));
        // Remove the remains of an earlier attempt.
        match fs::remove_file(&new) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e.into()),
            _ => {}
        }
        let mut opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        let renamed = opened.write_all(contents).and_then(|()| opened.sync_all()).and_then(|()| {
            if let Some(old) = old {
                fs::rename(&path, self.path(old))?;
            }
            fs::rename(&new, &path)
        });
        if let Err(e) = renamed {
            let _ = fs::remove_file(&new);
            return Err(e.into());
        }
        // Whoever reads the file gets the new content from here on. An error would say that it is as before.
        if let Err(e) = (self.sync)(&self.path) {
            warn!("{}: written, but it may be the one before after a power cut: {e}", path.display());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    const SMALL: StateFile = StateFile::one("small", 8);
    const OLD: StateFile = StateFile::one("small.old", 8);

    fn text(folder: &StateFolder, file: StateFile) -> Result<Option<String>, String> {
        folder.read(file, |bytes| String::from_utf8(bytes.to_vec()).map_err(|_| "damaged")).map_err(|e| e.to_string())
    }

    #[test]
    fn a_file_reads_back_and_only_its_owner_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let folder = StateFolder::at(dir.path());
        assert_eq!(text(&folder, SMALL), Ok(None));
        for contents in ["one", "", "eight by"] {
            folder.write(SMALL, contents.as_bytes(), None).unwrap();
            assert_eq!(text(&folder, SMALL), Ok(Some(contents.to_owned())));
        }
        let mode = fs::metadata(dir.path().join("small")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        folder.write(SMALL, b"new", Some(OLD)).unwrap();
        assert_eq!((text(&folder, SMALL), text(&folder, OLD)), (Ok(Some("new".into())), Ok(Some("eight by".into()))));
        assert!(!dir.path().join("small.new").exists());
    }

    #[test]
    fn a_file_that_is_damaged_too_large_or_no_file_is_reported() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, path) = (StateFolder::at(dir.path()), dir.path().join("small"));
        let wrong = || text(&folder, SMALL).unwrap_err();
        fs::write(&path, [0xff; 8]).unwrap();
        assert_eq!(wrong(), "damaged");
        fs::write(&path, [b'x'; 9]).unwrap();
        assert_eq!(wrong(), "larger than 8 bytes");
        fs::remove_file(&path).unwrap();
        symlink("/etc/passwd", &path).unwrap();
        assert_eq!(wrong(), "not a regular file");
        fs::remove_file(&path).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert_eq!(wrong(), "not a regular file", "and a pipe does not block");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        assert_eq!(wrong(), "not a regular file");
    }

    #[test]
    fn a_write_that_fails_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let folder = StateFolder::at(dir.path());
        folder.write(SMALL, b"good", None).unwrap();
        assert!(matches!(folder.write(SMALL, b"nine bytes", None), Err(StateError::TooLarge(8))));
        assert_eq!(text(&folder, SMALL), Ok(Some("good".into())));
        // There is nothing to keep under the other name.
        assert!(folder.write(OLD, b"x", Some(StateFile::one("no/such/folder", 8))).is_err());
        assert_eq!((text(&folder, OLD), dir.path().join("small.old.new").exists()), (Ok(None), false));
        assert!(StateFolder::at(Path::new("/proc/no-such-folder")).write(SMALL, b"x", None).is_err());
        // The remains of a write that a power cut ended do not block the next.
        fs::write(dir.path().join("small.new"), "half").unwrap();
        folder.write(SMALL, b"better", None).unwrap();
        assert_eq!(text(&folder, SMALL), Ok(Some("better".into())));
    }

    #[test]
    fn a_file_whose_name_may_not_outlive_a_power_cut_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let folder = StateFolder { sync: |_| Err(io::ErrorKind::StorageFull.into()), ..StateFolder::at(dir.path()) };
        folder.write(SMALL, b"good", None).unwrap();
        folder.write(SMALL, b"better", None).unwrap();
        assert_eq!(text(&folder, SMALL), Ok(Some("better".into())));
    }

    #[test]
    fn each_issuer_has_a_deny_list_of_its_own_and_no_id_leads_elsewhere() {
        let folder = StateFolder::at(Path::new("/var/lib/fanlight"));
        let path = |issuer| StateFile::deny_list(issuer).map(|file| folder.path(file));
        let id = "axfR8uEsQkf4vOblY6RA8n";
        assert_eq!(path(id), Some(format!("/var/lib/fanlight/deny-{id}.jws").into()));
        for wrong in ["", "short", "axfR8uEsQkf4vOblY6RA8nx", "../../../../etc/passwd1", "../../../../../passwd", "*"] {
            assert_eq!(path(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn purging_the_package_removes_every_file_of_the_folder() {
        let postrm = include_str!("../package/scripts/postrm");
        let code = include_str!("state_folder.rs").lines().take_while(|line| !line.contains("cfg(test)"));
        let files = code.filter(|line| line.contains("StateFile::one("));
        let names: Vec<_> = files.filter_map(|line| line.split('"').nth(1)).collect();
        assert!(names.contains(&"identity.key") && names.contains(&"deny-*.jws") && names.len() >= 6, "{names:?}");
        let readme = include_str!("../package/README.md");
        let promise = readme.split("- **Purging**").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap();
        // The certificates are in a folder of their own, which is removed whole.
        for name in names.into_iter().filter(|name| *name != "certificates.json") {
            assert!(
                postrm.contains(&format!(" {name}")) || postrm.contains(&format!("/{name} ")),
                "package/scripts/postrm does not remove {name}"
            );
            assert!(
                promise.contains(&format!("`{name}`")),
                "package/README.md does not say that purging removes {name}"
            );
        }
    }

    #[test]
    fn the_folder_of_the_service_is_the_first_of_an_absolute_list() {
        let path = |folders| StateFolder::of_variable(folders).map(|folder| folder.path(SMALL));
        assert_eq!(path("/var/lib/fanlight"), Some("/var/lib/fanlight/small".into()));
        assert_eq!(path("/var/lib/fanlight:/var/lib/other"), Some("/var/lib/fanlight/small".into()));
        assert_eq!((path(""), path("fanlight")), (None, None));
    }
}
