//! `fanlight token`: what an issuer does (docs/reference/tokens.md), by hand, and what a page needs to know of the
//! board. Only `apply` asks the daemon.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{
    client::{Client, unexpected},
    dates, key_file, viewers,
};
use crate::{
    cli::{TokenAction, TokenCommand},
    config::{Id, read_bounded},
    jose::{Algorithm, IssuerKey, PublicKey, SigningKey, Thumbprint},
    owner::control_message::{ControlReply, ControlRequest},
    state_folder::{IDENTITY, StateError, StateFolder},
    trust::{
        board_keys::{BoardKeyError, BoardKeys},
        deny_list::{DENIED_MAX, DENY_LIST_MAX, DENY_LIST_TYPE, DenyList, SignedDenyList},
        token::{TOKEN_MAX, TOKEN_TYPE, TokenClaims},
    },
};

/// The longest life of a token, in seconds: the most that `access.token_max_s` can be.
const LIVES_MAX: u64 = 31 * 86_400;
/// The largest file of a private key, in bytes.
const KEY_FILE_MAX: u64 = 4096;
/// Random bytes of the id of a token.
const TOKEN_ID: usize = 12;

/// Does what the command says. The result is the text to print.
pub fn token(command: &TokenCommand) -> Result<String, String> {
    match &command.action {
        TokenAction::Key { file } => Ok(public_jwk(&key_file::make(file)?)),
        TokenAction::Issue { key, viewer, board, rights, lives, name } => {
            let now = now()?;
            let claims = json!({
                "jti": token_id()?,
                "aud": board,
                "cnf": { "jwk": jwk_of(viewer)? },
                "rights": viewers::rights(rights),
                "iat": now,
                "exp": now + dates::span(lives, LIVES_MAX)?,
            });
            issue(&read_key(key)?, claims, name.as_deref())
        }
        TokenAction::Deny { key, list, before, ids } => deny(&read_key(key)?, list, before.as_deref(), ids),
        TokenAction::Apply { file } => {
            let list = read_list(file)?.ok_or_else(|| format!("read {}: no such file", file.display()))?;
            match Client::ask(&command.socket, &ControlRequest::TokenApply { list })?.answer()? {
                ControlReply::Done { message } => Ok(message),
                other => Err(unexpected(&other)),
            }
        }
        TokenAction::Thumb => thumb(&StateFolder::of_process().unwrap_or_else(StateFolder::of_service)),
    }
}

/// The thumbprint of the board whose state folder this is.
pub(super) fn thumb(folder: &StateFolder) -> Result<String, String> {
    shown(&folder.path(IDENTITY), BoardKeys::thumbprint_in(folder))
}

/// What was read from this file, or why it was not.
pub(super) fn shown(path: &Path, read: Result<Option<Thumbprint>, BoardKeyError>) -> Result<String, String> {
    let why = match read {
        Ok(Some(thumbprint)) => return Ok(thumbprint.to_string()),
        Ok(None) => format!(
            "{}: no such file; the daemon makes it at its first start in the mode keys or token. If its state folder \
             is another one, STATE_DIRECTORY names it",
            path.display()
        ),
        Err(BoardKeyError::State { error: StateError::Io(e), .. }) if e.kind() == io::ErrorKind::PermissionDenied => {
            format!(
                "{}: {e}; only root and the user of the service can read it: sudo fanlight token thumb",
                path.display()
            )
        }
        Err(error) => error.to_string(),
    };
    Err(format!("read the thumbprint of this board: {why}"))
}

/// The public half of the key of an issuer, for `access.issuer_file`.
fn public_jwk(key: &PublicKey) -> String {
    let (jwk, kid) = (key.to_jwk(), key.thumbprint());
    // A JWK of a valid point is an object.
    jwk.replacen('{', &format!(r#"{{"kid":"{kid}","use":"sig","alg":"ES256","#), 1)
}

/// Signs a token, if its claims are such as a board accepts.
fn issue(key: &SigningKey, mut claims: Value, name: Option<&str>) -> Result<String, String> {
    if let Some(name) = name {
        claims["name"] = name.into();
    }
    let claims = claims.to_string();
    if TokenClaims::read(&claims).is_none() {
        return Err(format!(
            "no board would accept this token: rights are names such as view,listen, each once; up to 32 boards have ids \
             of 1 to 64 characters from A-Z a-z 0-9 _ -, or *; a name is one line of up to {} characters",
            crate::trust::NAME_MAX
        ));
    }
    let token = sign(key, TOKEN_TYPE, &claims)?;
    match token.len() {
        0..=TOKEN_MAX => Ok(token),
        _ => Err(format!("the token would have more than {TOKEN_MAX} bytes: name fewer boards, or *")),
    }
}

/// Adds to a deny list, or makes one.
fn deny(key: &SigningKey, file: &Path, before: Option<&str>, ids: &[String]) -> Result<String, String> {
    let mut list = match read_list(file)? {
        None => DenyList::default(),
        Some(text) => {
            let read = SignedDenyList::of_key(&text, &IssuerKey::Es256(*key.public()), None);
            let known = read.map_err(|e| format!("{} is no deny list of this key: {e}", file.display()))?;
            DenyList::clone(known.list())
        }
    };
    if let Some(before) = before {
        let before = match before {
            "now" => now()?,
            seconds => seconds
                .parse()
                .map_err(|_| format!("{seconds:?} is no time: now, or a number of seconds since 1970, is possible"))?,
        };
        if before < list.before {
            return Err(format!(
                "{before} is earlier than {}, the time of the list: a list can only grow",
                list.before
            ));
        }
        list.before = before;
    }
    for id in ids {
        let id = Id::new(id).ok_or_else(|| {
            format!("{id:?} is no id of a token or a viewer: 1 to 64 characters from A-Z a-z 0-9 _ -")
        })?;
        list.ids.insert(id);
    }
    if list.ids.len() > DENIED_MAX {
        return Err(format!(
            "the list would have more than {DENIED_MAX} ids: raise the time with --before now and give out new tokens, \
             or change the key"
        ));
    }
    list.number += 1;
    let signed = sign(key, DENY_LIST_TYPE, &list.to_json())?;
    if signed.len() > DENY_LIST_MAX {
        return Err(format!("the list would have more than {DENY_LIST_MAX} bytes, which no board reads"));
    }
    replace(file, &format!("{signed}\n"))?;
    let (file, number, count) = (file.display(), list.number, list.ids.len());
    let topic = crate::trust::viewer_list::viewer_id(&key.public().thumbprint());
    Ok(format!(
        "wrote deny list {number} with {count} ids to {file}\n\
         Give it to a board: sudo fanlight token apply {file}\n\
         Or publish it, retained, on req/{topic} of each board"
    ))
}

/// A compact JWS with the header of an issuer.
fn sign(key: &SigningKey, typ: &str, payload: &str) -> Result<String, String> {
    let header = json!({ "alg": Algorithm::Es256, "typ": typ, "kid": key.public().thumbprint() });
    key.sign(&header, payload.as_bytes()).map_err(|e| format!("sign: {e}"))
}

fn read_key(file: &Path) -> Result<SigningKey, String> {
    let wrong = |why: &dyn std::fmt::Display| format!("read the private key {}: {why}", file.display());
    let (bytes, _) = read_bounded(file, KEY_FILE_MAX).map_err(|e| wrong(&e))?;
    let bytes = Zeroizing::new(bytes);
    let text = std::str::from_utf8(&bytes).map_err(|e| wrong(&e))?;
    SigningKey::from_jwk(text).map_err(|e| wrong(&format!("{e}; fanlight token key makes one")))
}

/// The text of a deny list. `None`: there is no such file.
fn read_list(file: &Path) -> Result<Option<String>, String> {
    // A line end may be behind the list.
    let read = match read_bounded(file, DENY_LIST_MAX as u64 + 2) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        read => read.and_then(|(bytes, _)| String::from_utf8(bytes).map_err(io::Error::other)),
    };
    let text = read.map_err(|e| format!("read {}: {e}", file.display()))?;
    Ok(Some(text.trim_ascii().to_owned()))
}

/// Replaces a file, whole or not at all.
fn replace(file: &Path, text: &str) -> Result<(), String> {
    let wrong = |e: io::Error| format!("write {}: {e}; it is as before", file.display());
    let mut draft = file.as_os_str().to_owned();
    draft.push(".new");
    let draft = PathBuf::from(draft);
    let written = fs::File::create(&draft).and_then(|mut opened| {
        opened.write_all(text.as_bytes())?;
        opened.sync_all()?;
        fs::rename(&draft, file)
    });
    written.map_err(|e| {
        let _ = fs::remove_file(&draft);
        wrong(e)
    })
}

fn jwk_of(point: &str) -> Result<Value, String> {
    let key: PublicKey = point.parse().map_err(|_| {
        "the key of the viewer is no point on the curve P-256: 87 characters of base64url that begin with B are one"
            .to_owned()
    })?;
    serde_json::from_str(&key.to_jwk()).map_err(|e| e.to_string())
}

/// The time in seconds since 1970.
fn now() -> Result<u64, String> {
    viewers::now().ok_or_else(|| "the clock of this machine is not right yet: a token needs the time".to_owned())
}

/// A random id. It does not begin with a hyphen, so that it is no option of a command.
fn token_id() -> Result<String, String> {
    let mut bytes = [0; TOKEN_ID];
    loop {
        getrandom::fill(&mut bytes).map_err(|e| format!("read random bytes: {e}"))?;
        let id = URL_SAFE_NO_PAD.encode(bytes);
        if !id.starts_with('-') {
            return Ok(id);
        }
    }
}
