//! The keys of the board (signed-messages.md, "Keys"): the identity, which stays for ever, and the sealing key of this
//! start.

use std::fmt;

use serde::Serialize;

use crate::{
    config::Id,
    jose::{self, Algorithm, JoseError, PublicKey, SealingKey, SigningKey, Thumbprint},
    state_folder::{IDENTITY, StateError, StateFolder},
};

/// Why the board has no keys.
#[derive(Debug, thiserror::Error)]
pub enum BoardKeyError {
    /// The file of the identity cannot be read or written.
    #[error("the board's identity {path}: {error}")]
    State {
        /// The file.
        path: String,
        /// The reason.
        error: StateError,
    },
    /// The file is there, and holds no key.
    #[error(
        "the board's identity {0} is damaged: restore it from a backup; without it, delete the file, and pair every \
         viewer again"
    )]
    Damaged(String),
    /// No key could be made.
    #[error("make a key: {0}")]
    Jose(#[from] JoseError),
}

/// The kinds of message that the board signs for all. The header names the kind, so none can be replayed as another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announcement {
    /// `status`.
    Status,
    /// `info`.
    Info,
}

impl Announcement {
    fn typ(self) -> &'static str {
        match self {
            Self::Status => "fanlight-status",
            Self::Info => "fanlight-info",
        }
    }
}

#[derive(Serialize)]
struct Header<'a> {
    alg: Algorithm,
    typ: &'static str,
    kid: &'a Thumbprint,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a str>,
}

/// The keys of the board.
pub struct BoardKeys {
    identity: SigningKey,
    thumbprint: Thumbprint,
    sealing: SealingKey,
}

impl fmt::Debug for BoardKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoardKeys").field("identity", &self.thumbprint).finish_non_exhaustive()
    }
}

impl BoardKeys {
    /// Reads the identity, or makes it at the first start. A damaged file is never replaced: viewers trust the key that
    /// was in it. It may block on the file system.
    pub fn of_folder(folder: &StateFolder) -> Result<Self, BoardKeyError> {
        if let Some(identity) = read_identity(folder)? {
            return Self::new(identity);
        }
        let identity = SigningKey::generate()?;
        folder
            .write(IDENTITY, &identity.to_pkcs8(), None)
            .map_err(|error| BoardKeyError::State { path: identity_path(folder), error })?;
        Self::new(identity)
    }

    /// The thumbprint of the identity in a folder, for commands. Nothing is made. `None`: there is no identity.
    pub fn thumbprint_in(folder: &StateFolder) -> Result<Option<Thumbprint>, BoardKeyError> {
        Ok(read_identity(folder)?.map(|identity| identity.public().thumbprint()))
    }

    /// Keys that last until the daemon ends.
    pub fn ephemeral() -> Result<Self, BoardKeyError> {
        Self::new(SigningKey::generate()?)
    }

    fn new(identity: SigningKey) -> Result<Self, BoardKeyError> {
        Ok(Self::of_keys(identity, SealingKey::generate()?))
    }

    /// These keys.
    pub(crate) fn of_keys(identity: SigningKey, sealing: SealingKey) -> Self {
        let thumbprint = identity.public().thumbprint();
        Self { identity, thumbprint, sealing }
    }

    /// The public half of the identity.
    pub fn identity(&self) -> &PublicKey {
        self.identity.public()
    }

    /// The thumbprint of the identity (RFC 7638).
    pub fn thumbprint(&self) -> &Thumbprint {
        &self.thumbprint
    }

    /// The key to which viewers seal.
    pub fn sealing(&self) -> &SealingKey {
        &self.sealing
    }

    /// Signs a message for everybody. The result is a JWS in compact form.
    pub fn announce(&self, announcement: Announcement, payload: &[u8]) -> Result<String, JoseError> {
        self.sign(announcement.typ(), None, payload)
    }

    /// Signs a message for one viewer, and seals it to the key of this viewer. The result is a JWE in compact form.
    pub fn seal_for(&self, viewer: &Id, key: &PublicKey, payload: &[u8]) -> Result<String, JoseError> {
        let signed = self.sign("fanlight-rsp", Some(viewer.as_str()), payload)?;
        jose::seal(key, signed.as_bytes())
    }

    fn sign(&self, typ: &'static str, to: Option<&str>, payload: &[u8]) -> Result<String, JoseError> {
        self.identity.sign(&Header { alg: Algorithm::Es256, typ, kid: &self.thumbprint, to }, payload)
    }
}

fn read_identity(folder: &StateFolder) -> Result<Option<SigningKey>, BoardKeyError> {
    let read = folder.read(IDENTITY, |bytes| SigningKey::from_pkcs8(bytes).map_err(|_| "not a private key"));
    read.map_err(|error| match error {
        StateError::Damaged(_) | StateError::TooLarge(_) => BoardKeyError::Damaged(identity_path(folder)),
        error => BoardKeyError::State { path: identity_path(folder), error },
    })
}

fn identity_path(folder: &StateFolder) -> String {
    folder.path(IDENTITY).display().to_string()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::jose::Jws;

    #[test]
    fn the_identity_is_made_once_and_stays_and_the_sealing_key_is_new_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let folder = StateFolder::at(dir.path());
        let first = BoardKeys::of_folder(&folder).unwrap();
        let second = BoardKeys::of_folder(&folder).unwrap();
        assert_eq!(first.thumbprint(), second.thumbprint());
        assert_ne!(first.sealing().public(), second.sealing().public());
        let mode = std::fs::metadata(dir.path().join("identity.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let shown = format!("{first:?}");
        assert!(shown.contains(&first.thumbprint().to_string()) && shown.len() < 120, "{shown}");
    }

    #[test]
    fn a_damaged_identity_is_reported_and_never_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let folder = StateFolder::at(dir.path());
        let path = dir.path().join("identity.key");
        for damage in [&b""[..], b"half", &[0; 138], &[0; 5000]] {
            std::fs::write(&path, damage).unwrap();
            let error = BoardKeys::of_folder(&folder).unwrap_err();
            assert!(matches!(error, BoardKeyError::Damaged(_)), "{error}");
            assert_eq!(std::fs::read(&path).unwrap(), damage);
        }
        let nowhere = StateFolder::at(std::path::Path::new("/proc/no-such-folder"));
        assert!(matches!(BoardKeys::of_folder(&nowhere), Err(BoardKeyError::State { .. })));
    }

    #[test]
    fn each_kind_of_message_says_in_its_header_what_it_is() {
        let keys = BoardKeys::ephemeral().unwrap();
        for (announcement, typ) in [(Announcement::Status, "fanlight-status"), (Announcement::Info, "fanlight-info")] {
            let signed = keys.announce(announcement, b"{}").unwrap();
            let jws = Jws::parse(&signed, 4096).unwrap();
            let header: serde_json::Value = jws.header().unwrap();
            assert_eq!(header, serde_json::json!({"alg": "ES256", "typ": typ, "kid": keys.thumbprint().to_string()}));
            assert_eq!(jws.verify_es256(keys.identity()).unwrap(), b"{}");
        }
        let viewer = SealingKey::generate().unwrap();
        let sealed = keys.seal_for(&Id::new("anna").unwrap(), viewer.public(), b"hello").unwrap();
        let signed = String::from_utf8(viewer.open(&sealed, 4096).unwrap()).unwrap();
        let jws = Jws::parse(&signed, 4096).unwrap();
        let header: serde_json::Value = jws.header().unwrap();
        assert_eq!((header["typ"].as_str(), header["to"].as_str()), (Some("fanlight-rsp"), Some("anna")));
        assert_eq!(jws.verify_es256(keys.identity()).unwrap(), b"hello");
    }
}
