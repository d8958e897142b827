//! `fanlight token`, by its command line and with real files.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use clap::Parser as _;
use serde_json::Value;

use super::tests::Daemon;
use crate::{
    cli::{Cli, Command},
    jose::{IssuerKey, Jws, SigningKey},
    owner::control_message::{ControlReply, ControlRequest},
    state_folder::{StateError, StateFolder},
    trust::{
        board_keys::{BoardKeyError, BoardKeys},
        deny_list::SignedDenyList,
        token::TokenClaims,
    },
};

/// Runs `fanlight token` with these words; the result is what it prints.
fn run(words: &[&str]) -> Result<String, String> {
    let cli = Cli::try_parse_from(["fanlight", "token"].iter().chain(words)).map_err(|e| e.to_string())?;
    let Command::Token(command) = cli.command else { panic!() };
    super::token(&command)
}

/// A folder with the key of an issuer.
struct Stage {
    dir: tempfile::TempDir,
    key: IssuerKey,
}

impl Stage {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let printed = run(&["key", dir.path().join("issuer.key").to_str().unwrap()]).unwrap();
        let key = IssuerKey::from_jwk(&printed).unwrap();
        Self { dir, key }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs a command that needs the key.
    fn run(&self, action: &str, words: &[&str]) -> Result<String, String> {
        let key = self.file("issuer.key");
        run(&[&[action, "--key", key.to_str().unwrap()], words].concat())
    }

    fn list(&self) -> SignedDenyList {
        SignedDenyList::of_key(&fs::read_to_string(self.file("deny.jws")).unwrap(), &self.key, None).unwrap()
    }

    fn deny(&self, words: &[&str]) -> Result<String, String> {
        let list = self.file("deny.jws");
        self.run("deny", &[&["--list", list.to_str().unwrap()], words].concat())
    }
}

fn point() -> String {
    SigningKey::generate().unwrap().public().to_string()
}

#[test]
fn the_key_of_an_issuer_is_made_once_and_only_its_public_half_is_shown() {
    let stage = Stage::new();
    let file = stage.file("issuer.key");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let before = fs::read(&file).unwrap();
    assert!(run(&["key", file.to_str().unwrap()]).unwrap_err().contains("exists"));
    assert_eq!(fs::read(&file).unwrap(), before, "it is never replaced");
    let printed = run(&["key", stage.file("second.key").to_str().unwrap()]).unwrap();
    let public: Value = serde_json::from_str(&printed).unwrap();
    let private: Value = serde_json::from_slice(&fs::read(stage.file("second.key")).unwrap()).unwrap();
    assert_eq!((public.get("d"), &public["x"]), (None, &private["x"]));
    assert_eq!(
        IssuerKey::set_from_json(&printed).unwrap()[0].thumbprint().to_string(),
        public["kid"].as_str().unwrap()
    );
}

#[test]
fn a_token_says_what_was_asked_for() {
    let stage = Stage::new();
    let viewer = point();
    let words = ["--viewer", &viewer, "--board", "porch", "garden", "--rights", "view, listen", "--for", "8h"];
    let token = stage.run("issue", &[&words[..], &["--name", "Anna"]].concat()).unwrap();
    let jws = Jws::parse(&token, 4096).unwrap();
    let header: Value = jws.header().unwrap();
    assert_eq!((header["typ"].as_str(), header["alg"].as_str()), (Some("fanlight-token"), Some("ES256")));
    assert_eq!(header["kid"], stage.key.thumbprint().to_string());
    let claims = String::from_utf8(jws.verify_issuer(&stage.key).unwrap()).unwrap();
    let claims = TokenClaims::read(&claims).unwrap();
    assert_eq!((claims.key.to_string(), claims.ends - claims.issued), (viewer.clone(), 28_800));
    assert_eq!((claims.rights.to_string().as_str(), claims.name.as_deref()), ("view,listen", Some("Anna")));
    assert_eq!(claims.audience.unwrap().iter().map(ToString::to_string).collect::<Vec<_>>(), ["porch", "garden"]);
    let now = crate::clock::Mono::now().wall().as_secs();
    assert!(claims.issued <= now && claims.issued + 60 > now);
    let all = ["--viewer", &viewer, "--board", "*", "--rights", "view", "--for", "30m"];
    let (one, two) = (stage.run("issue", &all).unwrap(), stage.run("issue", &all).unwrap());
    assert_ne!(one, two, "each has an id of its own");
}

#[test]
fn a_token_that_no_board_accepts_is_not_made() {
    let stage = Stage::new();
    let good = point();
    let issue = |viewer: &str, board: &str, rights: &str, lives: &str, name: &str| {
        let words = ["--viewer", viewer, "--board", board, "--rights", rights, "--for", lives, "--name", name];
        stage.run("issue", &words)
    };
    assert!(issue(&good, "porch", "view", "31d", "Anna").is_ok());
    for (error, expected) in [
        (issue("BGsX", "porch", "view", "8h", "a"), "no point on the curve"),
        (issue(&good, "front porch", "view", "8h", "a"), "boards have ids"),
        (issue(&good, "porch", "view,fly", "8h", "a"), "rights are names"),
        (issue(&good, "porch", "", "8h", "a"), "rights are names"),
        (issue(&good, "porch", "view", "32d", "a"), "up to 31 days"),
        (issue(&good, "porch", "view", "8 hours", "a"), "no span of time"),
        (issue(&good, "porch", "view", "8h", "a\nb"), "a name is one line"),
    ] {
        let error = error.unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    let words = ["--viewer", &good, "--board", "a", "--rights", "view", "--for", "8h"];
    let with_key = |key: &Path| run(&[&["issue", "--key", key.to_str().unwrap()], &words[..]].concat());
    let public = stage.file("public.jwk");
    for content in ["", "{}", "-----BEGIN EC PRIVATE KEY-----"] {
        fs::write(&public, content).unwrap();
        let error = with_key(&public).unwrap_err();
        assert!(error.contains("read the private key") && error.contains("fanlight token key makes one"), "{error}");
    }
    assert!(with_key(&stage.file("none")).unwrap_err().contains("o such file"));
    assert!(run(&["issue", "--viewer", &good]).is_err(), "clap asks for the rest");
}

#[test]
fn a_deny_list_is_made_and_grows() {
    let stage = Stage::new();
    let said = stage.deny(&["4mJc1fXgQYk"]).unwrap();
    assert!(said.contains("wrote deny list 1 with 1 ids") && said.contains("token apply"), "{said}");
    let id = &stage.key.thumbprint().to_string()[..22];
    assert!(said.contains(&format!("req/{id}")), "{said}");
    stage.deny(&["-dash", "4mJc1fXgQYk", "b"]).unwrap();
    stage.deny(&["--before", "1767225600"]).unwrap();
    let list = stage.list();
    assert_eq!((list.list().number, list.list().before, list.list().ids.len()), (3, 1_767_225_600, 3));
    stage.deny(&["--before", "now", "c"]).unwrap();
    assert!(stage.list().list().before > 1_767_225_600);
    let before = fs::read(stage.file("deny.jws")).unwrap();
    let many: Vec<_> = (0..997).map(|n| format!("id-{n}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let long: Vec<_> = (0..900).map(|n| format!("{n:0>64}")).collect();
    let long: Vec<_> = long.iter().map(String::as_str).collect();
    for (words, expected) in [
        (&["a b"][..], "no id of a token"),
        (&["--before", "1767225600"], "can only grow"),
        (&["--before", "yesterday"], "no time"),
        (&many, "more than 1000 ids"),
        (&long, "which no board reads"),
        (&[], "required"),
    ] {
        let error = stage.deny(words).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    assert_eq!(fs::read(stage.file("deny.jws")).unwrap(), before);
    assert!(stage.deny(&many[1..]).is_ok(), "a thousand fit");
    assert!(!stage.file("deny.jws.new").exists());
}

#[test]
fn a_list_of_another_key_is_not_changed() {
    let (stage, other) = (Stage::new(), Stage::new());
    other.deny(&["a"]).unwrap();
    fs::copy(other.file("deny.jws"), stage.file("deny.jws")).unwrap();
    let error = stage.deny(&["b"]).unwrap_err();
    assert!(error.contains("no deny list of this key: it is by another issuer"), "{error}");
    assert_eq!(fs::read(other.file("deny.jws")).unwrap(), fs::read(stage.file("deny.jws")).unwrap());
    fs::write(stage.file("deny.jws"), [0xff; 10]).unwrap();
    assert!(stage.deny(&["b"]).is_err());
    fs::write(stage.file("deny.jws"), vec![b'x'; 100_000]).unwrap();
    assert!(stage.deny(&["b"]).unwrap_err().contains("longer than"));
}

#[test]
fn a_list_is_given_to_the_daemon() {
    let stage = Stage::new();
    stage.deny(&["a"]).unwrap();
    let daemon = Daemon::new(vec![ControlReply::Done { message: "it is in force".into() }]);
    let (file, socket) = (stage.file("deny.jws"), daemon.socket());
    let apply = |file: &Path| run(&["apply", file.to_str().unwrap(), "--socket", socket.to_str().unwrap()]);
    assert!(apply(&stage.file("none")).unwrap_err().contains("no such file"));
    assert_eq!(apply(&file), Ok("it is in force".into()));
    let list = fs::read_to_string(&file).unwrap().trim().to_owned();
    assert_eq!(daemon.asked(), ControlRequest::TokenApply { list });
}

#[test]
fn the_thumbprint_of_the_board_is_that_of_its_key_and_nothing_is_made_or_changed() {
    let dir = tempfile::tempdir().unwrap();
    let (folder, file) = (StateFolder::at(dir.path()), dir.path().join("identity.key"));
    let wrong = || super::token::thumb(&folder).unwrap_err();
    let begin = "read the thumbprint of this board: ";
    let error = wrong();
    assert!(error.starts_with(&format!("{begin}{}: no such file; the daemon makes it", file.display())), "{error}");
    assert!(!file.exists());

    let board = BoardKeys::of_folder(&folder).unwrap();
    let before = fs::read(&file).unwrap();
    assert_eq!(super::token::thumb(&folder), Ok(board.thumbprint().to_string()));
    assert_eq!(fs::read(&file).unwrap(), before);

    fs::write(&file, "half").unwrap();
    let error = wrong();
    assert!(error.starts_with(begin) && error.contains("identity.key is damaged: restore it"), "{error}");
    fs::remove_file(&file).unwrap();
    fs::create_dir(&file).unwrap();
    let error = wrong();
    assert!(error.starts_with(begin) && error.contains("identity.key: not a regular file"), "{error}");

    // Root may read everything, and most tests run as root.
    let denied = StateError::Io(std::io::ErrorKind::PermissionDenied.into());
    let denied = BoardKeyError::State { path: "k".into(), error: denied };
    assert_eq!(
        super::token::shown(Path::new("k"), Err(denied)).unwrap_err(),
        "read the thumbprint of this board: k: permission denied; only root and the user of the service can read it: \
         sudo fanlight token thumb"
    );
}
