//! The table `[access]`.

use std::{io, path::PathBuf, time::Duration};

use super::{
    Broker, Surroundings,
    pairing_urls::{broker_url, page_url},
    secret::{absolute, plain, read_bounded, text_of},
    section::Section,
    values::is_loopback,
};
use crate::{
    jose::{IssuerKey, PublicKey},
    rights::Rights,
};

/// The most viewers that the configuration may name. More belong in the list of the state folder.
const VIEWERS: usize = 64;
/// The largest file of issuers, in bytes.
const ISSUER_FILE_MAX: u64 = 8192;

/// Who may watch.
#[derive(Debug, Clone, PartialEq)]
pub struct Access {
    /// Who decides.
    pub mode: AccessMode,
    /// Viewers on the list that the configuration has. Others are on the list in the state folder.
    pub viewers: Vec<ConfiguredViewer>,
    /// The address of the viewer page, for pairing links.
    pub page: Option<String>,
    /// The address of the broker for browsers, for pairing links.
    pub viewer_broker: Option<String>,
    /// The keys of the issuers of tokens. `None` but in the mode `token`.
    pub issuer_file: Option<IssuerFile>,
    /// The longest life of a token.
    pub token_max: Duration,
}

impl Access {
    /// The longest life of a token if nothing is set: a day.
    pub(super) const TOKEN_MAX: Duration = Duration::from_secs(86_400);

    /// This mode, without viewers, addresses and issuers.
    pub fn of_mode(mode: AccessMode) -> Self {
        let (viewers, token_max) = (Vec::new(), Self::TOKEN_MAX);
        Self { mode, viewers, page: None, viewer_broker: None, issuer_file: None, token_max }
    }
}

/// A file with the public keys of issuers, as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerFile {
    /// The file.
    pub path: PathBuf,
    /// The keys, one to four. Empty if only the service may read the file, and another user checks the configuration.
    pub keys: Vec<IssuerKey>,
}

/// Who decides who may watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessMode {
    /// A list of public keys on this board. The broker is not trusted.
    Keys,
    /// The same list, and viewers that an issuer vouches for.
    Token,
    /// The broker's ACL. Whoever controls the broker could watch.
    Broker,
}

/// A viewer that the configuration names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfiguredViewer {
    /// Its identity.
    pub key: PublicKey,
    /// What it may do.
    pub rights: Rights,
    /// Its name for people.
    pub name: String,
}

/// Reads `[access]`. What it allows depends on the broker's URL.
pub(super) fn read(section: &mut Section<'_, '_, '_>, broker: &Broker, around: &Surroundings) -> Access {
    let mode = section.optional_choice("mode", &AccessMode::WORDS);
    let accepts_broker = section.optional_flag("the_broker_can_watch");
    let access = Access {
        // A mode that is missing or wrong is reported. This one causes no further problems.
        mode: mode.unwrap_or(AccessMode::Keys),
        viewers: section.texts("viewers", VIEWERS, ConfiguredViewer::parse),
        page: section.optional("page", |text| page_url(text).is_ok().then(|| text.to_owned())),
        viewer_broker: section.optional("viewer_broker", |text| broker_url(text).is_ok().then(|| text.to_owned())),
        issuer_file: section.optional("issuer_file", absolute).and_then(|path| issuer_file(section, path, around)),
        token_max: section.seconds("token_max_s"),
    };
    match mode {
        Some(AccessMode::Broker) => by_broker(section, broker, accepts_broker, &access),
        Some(mode @ (AccessMode::Keys | AccessMode::Token)) => by_keys(section, mode, &access),
        None => {}
    }
    match mode {
        Some(AccessMode::Token) if !section.has("issuer_file") => section.missing("issuer_file"),
        Some(AccessMode::Token) | None => {}
        Some(AccessMode::Keys | AccessMode::Broker) => {
            let is_set = [("issuer_file", true), ("token_max_s", access.token_max != Access::TOKEN_MAX)];
            for (name, _) in is_set.into_iter().filter(|(_, is_set)| *is_set) {
                if section.has(name) {
                    section.problem(name, "needs mode = \"token\": in the other modes, no issuer vouches for viewers");
                }
            }
        }
    }
    access
}

/// Reads the public keys of issuers.
fn issuer_file(section: &mut Section<'_, '_, '_>, path: PathBuf, around: &Surroundings) -> Option<IssuerFile> {
    const KEY: &str = "issuer_file";
    let text = read_bounded(&path, ISSUER_FILE_MAX).and_then(|(bytes, _)| text_of(bytes).map_err(io::Error::other));
    let why = match text {
        Ok(text) => match IssuerKey::set_from_json(&text) {
            Ok(keys) => return Some(IssuerFile { path, keys }),
            Err(what) => format!(
                "{} {what}; a JWK is possible, or a JWK set of up to four: fanlight token key prints one",
                path.display()
            ),
        },
        // If another user checks the file, a file that only the service can read is not a fault.
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied && around.checking => {
            section.warning(KEY, format!("not checked: read {}: {}; use sudo", path.display(), plain(&e)));
            return Some(IssuerFile { path, keys: Vec::new() });
        }
        Err(e) => format!("read {}: {}; the user of the service must be able to read it", path.display(), plain(&e)),
    };
    section.problem(KEY, why);
    None
}

fn by_broker(section: &mut Section<'_, '_, '_>, broker: &Broker, accepted: Option<bool>, access: &Access) {
    match accepted {
        Some(true) => {}
        Some(false) => section.problem(
            "the_broker_can_watch",
            "false is not possible with mode = \"broker\": whoever controls the broker can watch; true accepts this",
        ),
        None if section.has("the_broker_can_watch") => {}
        None => section.missing("the_broker_can_watch"),
    }
    for name in ["viewers", "page", "viewer_broker"] {
        if section.has(name) && (name != "viewers" || !access.viewers.is_empty()) {
            section.problem(
                name,
                "needs mode = \"keys\" or \"token\": in the mode \"broker\", the broker decides who may watch",
            );
        }
    }
    if !broker.transport.is_tls() && is_loopback(&broker.host) && broker.login.is_none() {
        section.warning(
            "mode",
            "no broker.user is set: if this broker accepts clients without a login, every program on this board can \
             watch; give the broker users and passwords, and set user and password_file, or use mode = \"keys\"",
        );
    }
    if !broker.host.is_empty() && !broker.transport.is_tls() && !is_loopback(&broker.host) {
        section.problem(
            "mode",
            "\"broker\" needs a link that nobody can eavesdrop on: mqtts:// or wss:// in broker.url, \
             or a broker on this board (mqtt://127.0.0.1)",
        );
    }
}

fn by_keys(section: &mut Section<'_, '_, '_>, mode: AccessMode, access: &Access) {
    if section.has("the_broker_can_watch") {
        let why = format!("needs mode = \"broker\": in the mode {:?} the broker cannot watch", mode.word());
        section.problem("the_broker_can_watch", why);
    }
    let mut seen = Vec::new();
    for viewer in &access.viewers {
        if seen.contains(&viewer.key) {
            section.problem("viewers", format!("the key of {:?} is there twice", viewer.name));
        }
        seen.push(viewer.key);
    }
}
