//! What `fanlight check` reports about the mode `keys`: the addresses of pairing links, and the files in the state
//! folder.

use std::{
    fs, io,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::Path,
};

use crate::{
    clock::{self, Mono},
    config::{Access, AccessMode, Config},
    home::files::Places,
    jose::SigningKey,
    state_folder::{IDENTITY, StateError, StateFile, StateFolder, VIEWERS},
    trust::{board_keys::BoardKeyError, viewer_list::ViewerList},
};

/// What begins a URL of this machine itself. Browsers let every page connect to it.
const LOOPBACK: [&str; 3] = ["ws://localhost", "ws://127.0.0.1", "ws://[::1]"];

/// What is wrong, one sentence each. The state folder is that of the environment, or that of the service if this is the
/// configuration of the service.
pub(super) fn faults(config_file: &Path, config: &Config) -> Vec<String> {
    if config.access.mode != AccessMode::Keys {
        return Vec::new();
    }
    let folder = StateFolder::of_process()
        .or_else(|| (config_file == Places::default().configuration()).then(StateFolder::of_service));
    let now = clock::is_synced().then(|| Mono::now().wall().as_secs());
    let state = folder.map(|folder| state(&folder, config.access.viewers.is_empty(), now));
    let wrong = addresses(&config.access).into_iter().chain(state.unwrap_or_default());
    wrong.map(|text| format!("access: {text}")).collect()
}

/// What keeps a pairing link from being complete, or browsers from following it.
fn addresses(access: &Access) -> Vec<String> {
    let missing = |url: &Option<String>, key: &str, option: &str| {
        url.is_none().then(|| format!("{key} is not set, so fanlight pair needs {option}"))
    };
    let mut wrong: Vec<String> = missing(&access.page, "page", "--page https://…").into_iter().collect();
    wrong.extend(missing(&access.viewer_broker, "viewer_broker", "--broker wss://…"));
    if let (Some(page), Some(broker)) = (&access.page, &access.viewer_broker)
        && page.starts_with("https://")
        && broker.starts_with("ws://")
        && !LOOPBACK.iter().any(|host| broker.starts_with(host))
    {
        wrong.push(format!("viewer_broker is {broker}, and browsers let a page with https:// connect to wss:// only"));
    }
    wrong
}

/// Faults of the list of viewers and of the board's identity. `alone`: the configuration names no viewers. `now`:
/// seconds since 1970, if the clock is right.
fn state(folder: &StateFolder, alone: bool, now: Option<u64>) -> Vec<String> {
    let list = folder.read(VIEWERS, ViewerList::parse);
    let identity = folder.read(IDENTITY, |bytes| SigningKey::from_pkcs8(bytes).map(drop).map_err(|_| "no key"));
    if is_denied(&list) || is_denied(&identity) {
        let path = folder.path(VIEWERS).display().to_string();
        return vec![format!("{path} can be read by root and the service only: use sudo")];
    }
    let has_viewers = matches!(&list, Ok(Some(list)) if list.iter().next().is_some());
    let mut wrong = Vec::new();
    wrong.extend(identity_fault(folder, &identity, has_viewers));
    match list {
        Ok(list) => wrong.extend(list_faults(&list.unwrap_or_default(), alone, now)),
        Err(error) => {
            let path = folder.path(VIEWERS).display().to_string();
            wrong.push(format!(
                "{path}: {error}. No viewer of this file may watch. Repair it, or move it away (sudo mv {path} \
                 {path}.damaged) and add the viewers again"
            ));
        }
    }
    wrong.extend([IDENTITY, VIEWERS].into_iter().filter_map(|file| exposed(folder, file)));
    wrong
}

fn is_denied<T>(read: &Result<T, StateError>) -> bool {
    matches!(read, Err(StateError::Io(e)) if e.kind() == io::ErrorKind::PermissionDenied)
}

fn identity_fault(
    folder: &StateFolder,
    identity: &Result<Option<()>, StateError>,
    has_viewers: bool,
) -> Option<String> {
    let path = folder.path(IDENTITY).display().to_string();
    match identity {
        Ok(Some(())) => None,
        // The daemon makes it at its first start.
        Ok(None) if !has_viewers => None,
        Ok(None) => Some(format!(
            "{path} is missing: with a new identity, this is another board for every paired browser. Restore it from a \
             backup, or pair them again"
        )),
        Err(StateError::Damaged(_) | StateError::TooLarge(_)) => Some(BoardKeyError::Damaged(path).to_string()),
        Err(error) => Some(format!("the board's identity {path}: {error}")),
    }
}

fn list_faults(list: &ViewerList, alone: bool, now: Option<u64>) -> Vec<String> {
    if list.iter().next().is_none() {
        let nobody = "nobody may watch yet; this lets the first viewer in: sudo fanlight pair";
        return alone.then(|| nobody.to_owned()).into_iter().collect();
    }
    let ended = list.iter().filter(|(_, entry)| now.is_some_and(|now| entry.has_ended(now)));
    ended
        .map(|(_, entry)| {
            let name = &entry.name;
            format!("the permission of {name:?} has ended; fanlight viewers remove {name:?} takes it off the list")
        })
        .collect()
}

/// Whether others than the service can read a file, or the service cannot.
fn exposed(folder: &StateFolder, file: StateFile) -> Option<String> {
    let path = folder.path(file);
    let about = fs::symlink_metadata(&path).ok()?;
    let service = fs::metadata(path.parent()?).ok()?.uid();
    let (path, mode) = (path.display(), about.permissions().mode() & 0o777);
    if about.uid() != service {
        return Some(format!(
            "{path} belongs to user {} and not to user {service}, who has the folder: the service cannot use it; sudo \
             chown --reference={} {path}",
            about.uid(),
            folder.path(file).parent()?.display()
        ));
    }
    (mode & 0o077 != 0).then(|| format!("{path} is open to other users (mode {mode:o}): sudo chmod 600 {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Surroundings, parse};

    const NOW: Option<u64> = Some(1_800_000_000);

    fn list(until: &str) -> String {
        let key = SigningKey::generate().unwrap().public().to_string();
        format!(
            "{{\"v\":1,\"viewers\":[{{\"key\":\"{key}\",\"name\":\"anna\",\"rights\":[\"view\"],{until}\"since\":0}}]}}"
        )
    }

    /// A folder as the daemon leaves it.
    fn folder(list: &str) -> (tempfile::TempDir, StateFolder) {
        let dir = tempfile::tempdir().unwrap();
        let folder = StateFolder::at(dir.path());
        folder.write(IDENTITY, &SigningKey::generate().unwrap().to_pkcs8(), None).unwrap();
        folder.write(VIEWERS, list.as_bytes(), None).unwrap();
        (dir, folder)
    }

    #[test]
    fn addresses_that_make_no_link_are_told() {
        let page = || Some("https://cam.example.org/".to_owned());
        let with = |page, broker: Option<&str>| {
            let viewer_broker = broker.map(str::to_owned);
            addresses(&Access { page, viewer_broker, ..Access::of_mode(AccessMode::Keys) })
        };
        assert!(with(page(), Some("wss://b.example.org/mqtt")).is_empty());
        assert!(with(page(), Some("ws://127.0.0.1:9001")).is_empty());
        assert!(with(Some("http://localhost/".into()), Some("ws://b.example.org/mqtt")).is_empty());
        assert!(with(page(), Some("ws://b.example.org/mqtt"))[0].contains("wss:// only"));
        let told = with(None, None);
        assert!(told.len() == 2 && told[0].contains("--page") && told[1].contains("--broker"), "{told:?}");
    }

    #[test]
    fn a_list_that_nobody_or_no_longer_all_can_use_is_told() {
        for (text, alone, expected) in [
            (list(""), true, None),
            (list("\"until\":1900000000,"), true, None),
            (list("\"until\":1700000000,"), true, Some("the permission of \"anna\" has ended")),
            ("{\"v\":1,\"viewers\":[]}".to_owned(), true, Some("nobody may watch yet")),
            ("{\"v\":1,\"viewers\":[]}".to_owned(), false, None),
            (list("")[..40].to_owned(), true, Some("viewers.json: damaged or cut short. No viewer of this file")),
            ("{\"v\":2}".to_owned(), true, Some("written by another version")),
        ] {
            let (_dir, folder) = folder(&text);
            let told = state(&folder, alone, NOW);
            match expected {
                Some(words) => assert!(told.len() == 1 && told[0].contains(words), "{text}: {told:?}"),
                None => assert!(told.is_empty(), "{text}: {told:?}"),
            }
        }
        let (_dir, folder) = folder(&list("\"until\":1700000000,"));
        assert!(state(&folder, true, None).is_empty(), "without a right clock, nobody knows");
    }

    #[test]
    fn an_identity_that_is_gone_or_damaged_is_told() {
        let (dir, folder) = folder(&list(""));
        let file = dir.path().join("identity.key");
        fs::write(&file, "half").unwrap();
        assert!(state(&folder, true, NOW)[0].contains("identity.key is damaged: restore it"));
        fs::remove_file(&file).unwrap();
        assert!(state(&folder, true, NOW)[0].contains("identity.key is missing"));
        fs::remove_file(dir.path().join("viewers.json")).unwrap();
        let told = state(&folder, true, NOW);
        assert!(told.len() == 1 && told[0].contains("nobody may watch yet"), "before the first start: {told:?}");
    }

    #[test]
    fn files_that_others_can_read_and_the_service_cannot_are_told() {
        let (dir, folder) = folder(&list(""));
        for name in ["identity.key", "viewers.json"] {
            let path = dir.path().join(name);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
            let told = state(&folder, true, NOW);
            let words = format!("{} is open to other users (mode 644): sudo chmod 600", path.display());
            assert!(told.len() == 1 && told[0].starts_with(&words), "{told:?}");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        // Only root can give a file away.
        if rustix::process::geteuid().is_root() {
            let path = dir.path().join("viewers.json");
            std::os::unix::fs::chown(&path, Some(12_345), None).unwrap();
            assert!(state(&folder, true, NOW)[0].contains("belongs to user 12345 and not to user 0"));
        }
    }

    #[test]
    fn only_the_mode_keys_has_faults_of_these_kinds() {
        let told = |access: &str| {
            let text = format!("device = \"a\"\n[broker]\nurl = \"mqtt://127.0.0.1\"\n[access]\n{access}\n");
            faults(Path::new("f"), &parse(&text, Path::new("f"), &Surroundings::default()).unwrap().config)
        };
        assert!(told("mode = \"broker\"\nthe_broker_can_watch = true").is_empty());
        let told = told("mode = \"keys\"");
        assert!(told.len() == 2 && told.iter().all(|text| text.starts_with("access: ")), "{told:?}");
    }
}
