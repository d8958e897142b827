//! Reads the files of a configuration: size-limited regular files only, without the byte order marks of Windows
//! editors. Reads secrets from files and systemd credentials, and warns if others can read them.

use std::{
    fmt,
    fs::{self, OpenOptions},
    io::{self, Read},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use super::{Surroundings, section::Section};

/// Largest file of a secret, in bytes.
const SECRET_MAX: u64 = 4096;

/// A secret text. It never reaches a log, `Debug` output, or MQTT in the clear.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret {
    text: String,
    origin: Option<Origin>,
    /// Whether only its place is known, because this process may not read it.
    pub(super) unread: bool,
}

/// Where a secret was read from. This may be shown.
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

    /// A placeholder for a secret that the user who checks the configuration may not read.
    pub(crate) fn unread(origin: Origin) -> Self {
        Self { text: String::new(), origin: Some(origin), unread: true }
    }

    /// The secret itself, for the code that sends it.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Where it was read from. `None` if it was made in memory.
    pub fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Reads a regular file of at most `max` bytes. Also returns its permission bits.
pub fn read_bounded(path: &Path, max: u64) -> io::Result<(Vec<u8>, u32)> {
    let nonblock = i32::try_from(OFlags::NONBLOCK.bits()).unwrap_or_default();
    // Without this flag, opening a pipe without a writer would block for ever.
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

/// Bytes that are not UTF-8 text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Text in another encoding.
    #[error("UTF-16 text, as Windows editors and PowerShell write it: save it as UTF-8")]
    Utf16,
    /// Something else. `at` counts bytes from 1.
    #[error("not UTF-8 text, at byte {at}")]
    NotText {
        /// The first byte that cannot be text.
        at: usize,
    },
}

/// The text of a file, without the byte order mark that some editors add. The error names the encoding found.
pub fn text_of(bytes: Vec<u8>) -> Result<String, TextError> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(TextError::Utf16);
    }
    let text = String::from_utf8(bytes).map_err(|e| TextError::NotText { at: e.utf8_error().valid_up_to() + 1 })?;
    // In UTF-16 without a byte order mark, every other byte of ASCII text is zero.
    if text.as_bytes().get(1) == Some(&0) || text.starts_with('\0') {
        return Err(TextError::Utf16);
    }
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}

/// The two keys that give the place of a secret: a file, or a systemd credential.
pub(super) type SecretKeys = (&'static str, &'static str);
/// The keys of a password.
pub(super) const PASSWORD: SecretKeys = ("password_file", "password_credential");
/// The keys of a secret shared with a TURN server, from which passwords are made.
pub(super) const SHARED: SecretKeys = ("secret_file", "secret_credential");

/// Reads the secret that one of two keys gives the place of.
pub(super) fn secret(
    section: &mut Section<'_, '_, '_>,
    (by_file, by_credential): SecretKeys,
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
        fits.then(|| text.to_owned())
            .ok_or_else(|| "not the name of a systemd credential: A-Z a-z 0-9 _ - . are possible".into())
    });
    if section.has(by_file) && section.has(by_credential) {
        section.problem(by_credential, format!("cannot be combined with {by_file}: remove one of them"));
        return None;
    }
    match (file, credential) {
        (Some(path), _) => read(section, by_file, &path, Origin::File(path.clone()), around),
        (_, Some(name)) => credential_of(section, by_credential, name, around),
        _ => None,
    }
}

/// Reads a systemd credential: the one passed to the service, or, outside of the service, the file that systemd would
/// load.
fn credential_of(section: &mut Section<'_, '_, '_>, key: &str, name: String, around: &Surroundings) -> Option<Secret> {
    let cure = format!("put it into /etc/credstore/fanlight.{name} and restart the service, or use a file");
    if let Some(folder) = &around.credentials {
        let path = folder.join(&name);
        if fs::symlink_metadata(&path).is_err_and(|e| e.kind() == io::ErrorKind::NotFound) {
            section.problem(key, format!("systemd passed no credential {name} to the service: {cure}"));
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
            let why = format!("not checked: only root may read {}; use sudo fanlight check", path.display());
            section.warning(key, why);
            Some(Secret::unread(Origin::Credential(name)))
        }
        _ => {
            section.problem(key, format!("credential {name} was not found or cannot be read: {cure}"));
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
        why += "; only root and the user of the service may read it: use sudo, or if this is the service, ";
        why += &format!("sudo chown fanlight {}", path.display());
        // If another user checks the file, a secret that only the service can read is not a fault.
        if around.checking {
            section.warning(key, why);
            return Some(Secret::unread(origin));
        }
    }
    section.problem(key, why);
    None
}

/// Warns about a secret that every user of this board can read.
fn open_to_all(section: &mut Section<'_, '_, '_>, key: &str, path: &Path, mode: u32) {
    if mode & 0o004 != 0 {
        section.warning(key, format!("every user of this board can read {0}: chmod o= {0}", path.display()));
    }
}

/// Warns about a private key file that every user can read. Its contents are checked when it is used.
pub(super) fn private_key(section: &mut Section<'_, '_, '_>, key: &str, path: &Path) {
    // Do not open it: it may be a pipe or a device.
    if let Ok(about) = fs::metadata(path) {
        open_to_all(section, key, path, about.permissions().mode());
    }
}

/// The secret in a file: UTF-8, without a byte order mark and without one line end, which editors add.
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
        t if t.contains(char::is_control) => Err(io::Error::other("contains control characters")),
        _ => Ok(text),
    }
}

/// Reads an absolute path without control characters.
pub(super) fn absolute(text: &str) -> Option<PathBuf> {
    let fits = text.starts_with('/') && text.len() <= 1024 && !text.contains(char::is_control);
    fits.then(|| PathBuf::from(text))
}

/// The text of an error in lower case, without the error number that the standard library adds.
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
            assert_eq!(text_of(bytes.to_vec()), Err(TextError::Utf16), "{bytes:?}");
        }
        let error = text_of(b"ab\xff".to_vec()).unwrap_err();
        assert_eq!(error.to_string(), "not UTF-8 text, at byte 3");
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
