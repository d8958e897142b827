//! Files that are read at start: always bounded, never a pipe or a device, and secrets with an eye on who else could
//! read them.

use std::{
    fs::OpenOptions,
    io::{self, Read},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use rustix::fs::OFlags;

use super::{Origin, Secret, Surroundings, section::Section};

/// A secret file holds a password, not a novel.
const SECRET_MAX: u64 = 4096;

/// Reads a regular file of at most `max` bytes; gives its permission bits too.
pub(super) fn read_bounded(path: &Path, max: u64) -> io::Result<(Vec<u8>, u32)> {
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
        (_, Some(name)) => match &around.credentials {
            Some(folder) => {
                let path = folder.join(&name);
                read(section, by_credential, &path, Origin::Credential(name), around)
            }
            None => unread(
                section,
                by_credential,
                Origin::Credential(name),
                "only a service started by systemd has credentials: $CREDENTIALS_DIRECTORY is not set",
                around.checking,
            ),
        },
        _ => None,
    }
}

fn read(
    section: &mut Section<'_, '_, '_>,
    key: &str,
    path: &Path,
    origin: Origin,
    around: &Surroundings,
) -> Option<Secret> {
    match read_bounded(path, SECRET_MAX).and_then(|(bytes, mode)| Ok((secret_text(bytes)?, mode))) {
        Ok((text, mode)) => {
            if mode & 0o004 != 0 && matches!(origin, Origin::File(_)) {
                let told = format!("everybody on this board can read {0}: chmod o= {0}", path.display());
                section.warning(key, told);
            }
            Some(Secret::from_origin(text, origin))
        }
        Err(e) => {
            let lenient = around.checking && e.kind() == io::ErrorKind::PermissionDenied;
            unread(section, key, origin, &format!("read {}: {}", path.display(), plain(&e)), lenient)
        }
    }
}

/// A secret that only the service can read is no fault of the file when somebody else checks it.
fn unread(section: &mut Section<'_, '_, '_>, key: &str, origin: Origin, why: &str, lenient: bool) -> Option<Secret> {
    if lenient {
        section.warning(key, why);
        return Some(Secret::from_origin("not read", origin));
    }
    section.problem(key, why);
    None
}

/// The secret in a file: UTF-8, without the line end that editors add.
fn secret_text(bytes: Vec<u8>) -> io::Result<String> {
    let mut text = String::from_utf8(bytes).map_err(|_| io::Error::other("not UTF-8 text"))?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    match text.as_str() {
        "" => Err(io::Error::other("empty")),
        t if t.contains(char::is_control) => Err(io::Error::other("more than one line, or control characters")),
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
        ] {
            assert_eq!(secret_text(bytes.to_vec()).ok().as_deref(), expected, "{bytes:?}");
        }
    }

    #[test]
    fn only_short_regular_files_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, [b'x'; 10]).unwrap();
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
