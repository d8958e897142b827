//! Files that are read at start: always bounded, never a pipe or a device, without the marks that Windows' editors add, and
//! secrets with an eye on who else could read them.

use std::{
    fmt,
    fs::{self, OpenOptions},
    io::{self, Read},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use super::{Surroundings, section::Section};

/// A secret file holds a password, not a novel.
const SECRET_MAX: u64 = 4096;

/// A value that never reaches a log, a `Debug` output or MQTT in the clear.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret {
    text: String,
    origin: Option<Origin>,
    /// Whether it is only known where it is: whoever checks may not read it.
    pub(super) unread: bool,
}

/// Where a secret was read from: this may be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A file.
    File(PathBuf),
    /// A systemd credential, by name.
    Credential(String),
}

impl Secret {
    /// Wraps a secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    /// Wraps a secret text that was read from somewhere.
    pub(crate) fn from_origin(text: impl Into<String>, origin: Origin) -> Self {
        Self { text: text.into(), origin: Some(origin), unread: false }
    }

    /// Stands for a secret that whoever checks the configuration may not read.
    pub(crate) fn unread(origin: Origin) -> Self {
        Self { text: String::new(), origin: Some(origin), unread: true }
    }

    /// The secret itself: for the one place that has to send it.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Where it was read from; `None` if it was made in memory.
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Reads a regular file of at most `max` bytes; gives its permission bits too.
pub fn read_bounded(path: &Path, max: u64) -> io::Result<(Vec<u8>, u32)> {
    let nonblock = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    // Without it, opening a pipe that nobody writes to would wait for ever.
    let file = OpenOptions::new().read(true).custom_flags(nonblock).open(path)?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(io::Error::other(format!("longer than {max} bytes")));
    }
    Ok((bytes, about.permissions().mode()))
}

/// The text of a file, without the byte order mark that some editors put in front; an error says what it is instead.
pub fn text_of(bytes: Vec<u8>) -> Result<String, String> {
    const WIDE: &str = "UTF-16 text, as Windows' editors and PowerShell write it: save it as UTF-8";
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(WIDE.into());
    }
    let text = String::from_utf8(bytes)
        .map_err(|e| format!("not UTF-8 text, at byte {}", e.utf8_error().valid_up_to() + 1))?;
    // Without its mark, every other byte of such a text is zero.
    if text.as_bytes().get(1) == Some(&0) || text.starts_with('\0') {
        return Err(WIDE.into());
    }
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// The two keys that name where a secret is: in a file, or in a systemd credential.
pub(super) type Keys = (&'static str, &'static str);
/// Those of a password.
pub(super) const PASSWORD: Keys = ("password_file", "password_credential");
/// Those of a secret that passwords are made of.
pub(super) const SHARED: Keys = ("secret_file", "secret_credential");

/// Reads the keys that name a secret.
pub(super) fn secret(
    section: &mut Section<'_, '_, '_>,
    (by_file, by_credential): Keys,
    around: &Surroundings,
) -> Option<Secret> {
    let what = by_file.trim_end_matches("_file");
    let file = section.unshown(by_file, |text| {
        absolute(text).ok_or_else(|| format!("not an absolute path; the {what} itself does not belong in this file"))
    });
    let credential = section.unshown(by_credential, |text| {
        let fits = (1..=255).contains(&text.len())
            && !text.starts_with('.')
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
        fits.then(|| text.to_owned()).ok_or_else(|| "not the name of a systemd credential: A-Z a-z 0-9 _ - .".into())
    });
    if section.has(by_file) && section.has(by_credential) {
        section.problem(by_credential, format!("does not go with {by_file}: one of them is enough"));
        return None;
    }
    match (file, credential) {
        (Some(path), _) => read(section, by_file, &path, Origin::File(path.clone()), around),
        (_, Some(name)) => credential_of(section, by_credential, name, around),
        _ => None,
    }
}

/// Reads a credential: as the service is given it, or, outside of the service, from where systemd would take it.
fn credential_of(section: &mut Section<'_, '_, '_>, key: &str, name: String, around: &Surroundings) -> Option<Secret> {
    let cure = format!("put it into /etc/credstore/fanlight.{name} and restart the service, or name a file");
    if let Some(folder) = &around.credentials {
        let path = folder.join(&name);
        if fs::symlink_metadata(&path).is_err_and(|e| e.kind() == io::ErrorKind::NotFound) {
            section.problem(key, format!("the service was given no credential {name}: {cure}"));
            return None;
        }
        return read(section, key, &path, Origin::Credential(name), around);
    }
    let places = around.stores.iter().map(|(folder, prefix)| folder.join(format!("{prefix}{name}")));
    let mut closed = None;
    for path in places {
        match fs::symlink_metadata(&path) {
            Ok(_) => return read(section, key, &path, Origin::Credential(name), around),
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => closed = Some(path),
            Err(_) => {}
        }
    }
    match closed {
        Some(path) if around.checking => {
            let why = format!("not looked at: only root may read {}; sudo fanlight check does", path.display());
            section.warning(key, why);
            Some(Secret::unread(Origin::Credential(name)))
        }
        _ => {
            section.problem(key, format!("there is no credential {name} that can be read here: {cure}"));
            None
        }
    }
}

fn read(
    section: &mut Section<'_, '_, '_>,
    key: &str,
    path: &Path,
    origin: Origin,
    around: &Surroundings,
) -> Option<Secret> {
    let error = match read_bounded(path, SECRET_MAX).and_then(|(bytes, mode)| Ok((secret_text(bytes)?, mode))) {
        Ok((text, mode)) => {
            if matches!(origin, Origin::File(_)) {
                open_to_all(section, key, path, mode);
            }
            return Some(Secret::from_origin(text, origin));
        }
        Err(error) => error,
    };
    let mut why = format!("read {}: {}", path.display(), plain(&error));
    if error.kind() == io::ErrorKind::PermissionDenied {
        why += "; only root and the user of the service may read it: use sudo, or if this is the service, sudo chown fanlight ";
        why += &path.display().to_string();
        // A secret that only the service can read is no fault of the file when somebody else checks it.
        if around.checking {
            section.warning(key, why);
            return Some(Secret::unread(origin));
        }
    }
    section.problem(key, why);
    None
}

/// Warns of a secret that is none.
fn open_to_all(section: &mut Section<'_, '_, '_>, key: &str, path: &Path, mode: u32) {
    if mode & 0o004 != 0 {
        section.warning(key, format!("everybody on this board can read {0}: chmod o= {0}", path.display()));
    }
}

/// Warns of the file of a private key that everybody can read; whether it can be used is seen when it is.
pub(super) fn private_key(section: &mut Section<'_, '_, '_>, key: &str, path: &Path) {
    // Not opened: it may be anything.
    if let Ok(about) = fs::metadata(path) {
        open_to_all(section, key, path, about.permissions().mode());
    }
}

/// The secret in a file: UTF-8, without a byte order mark and without the line end that editors add.
pub fn secret_text(bytes: Vec<u8>) -> io::Result<String> {
    let mut text = text_of(bytes).map_err(io::Error::other)?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    match text.as_str() {
        "" => Err(io::Error::other("empty")),
        t if t.contains('\n') => Err(io::Error::other("more than one line")),
        t if t.contains(char::is_control) => Err(io::Error::other("control characters in it")),
        _ => Ok(text),
    }
}

/// An absolute path in one line.
pub(super) fn absolute(text: &str) -> Option<PathBuf> {
    let fits = text.starts_with('/') && text.len() <= 1024 && !text.contains(char::is_control);
    fits.then(|| PathBuf::from(text))
}

/// An error without the number that the standard library adds to it.
pub(super) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let cut = text.find(" (os error").unwrap_or(text.len());
    let mut chars = text[..cut].chars();
    chars.next().map(|first| first.to_ascii_lowercase()).into_iter().chain(chars).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_end_is_not_part_of_a_secret() {
        for (bytes, expected) in [
            (&b"s3cret"[..], Some("s3cret")),
            (b"s3cret\n", Some("s3cret")),
            (b"s3cret\r\n", Some("s3cret")),
            (b" s3 cret ", Some(" s3 cret ")),
            (b"s3cret\n\n", None),
            (b"two\nlines", None),
            (b"", None),
            (b"\n", None),
            (b"\xff", None),
            (b"\xef\xbb\xbfs3cret\r\n", Some("s3cret")),
            (b"\xef\xbb\xbf", None),
            (b"\xff\xfes\x003\x00\r\x00\n\x00", None),
            (b"\xfe\xff\x00s\x003", None),
            (b"s\x003\x00", None),
            (b"\x00s\x003", None),
        ] {
            assert_eq!(secret_text(bytes.to_vec()).ok().as_deref(), expected, "{bytes:?}");
        }
    }

    #[test]
    fn text_of_another_encoding_is_named() {
        for bytes in [&b"\xff\xfes\x00"[..], b"\xfe\xff\x00s", b"s\x003\x00", b"\x00s\x003"] {
            assert!(text_of(bytes.to_vec()).unwrap_err().starts_with("UTF-16 text"), "{bytes:?}");
        }
        assert_eq!(text_of(b"ab\xff".to_vec()).unwrap_err(), "not UTF-8 text, at byte 3");
        assert_eq!(text_of(b"\xef\xbb\xbfx".to_vec()).unwrap(), "x");
    }

    #[test]
    fn only_short_regular_files_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        fs::write(&path, [b'x'; 10]).unwrap();
        assert_eq!(read_bounded(&path, 10).unwrap().0.len(), 10);
        assert_eq!(read_bounded(&path, 9).unwrap_err().to_string(), "longer than 9 bytes");
        assert_eq!(read_bounded(dir.path(), 9).unwrap_err().to_string(), "not a regular file");
        assert_eq!(read_bounded(Path::new("/dev/zero"), 9).unwrap_err().to_string(), "not a regular file");
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        assert_eq!(read_bounded(&pipe, 9).unwrap_err().to_string(), "not a regular file");
        let missing = read_bounded(&dir.path().join("none"), 9).unwrap_err();
        assert_eq!(plain(&missing), "no such file or directory");
    }
}
