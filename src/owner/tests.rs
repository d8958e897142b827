//! The owner's task with real files: commands, pairing, and what happens when the file system fails.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::{
    control_message::{PermissionEnd, ViewerRow},
    *,
};
use crate::{
    jose::SigningKey,
    protocol::{RequestHead, Right, Rights},
    state_folder::VIEWERS,
    trust::pairing::{PairAttempt, PairStage},
};

mod records;
mod taken_away;

const LONG: Duration = Duration::from_secs(60);

/// An owner that runs, and its surroundings.
struct Rig {
    dir: TempDir,
    board: OwnerBoard,
    handles: OwnerHandles,
    commands: mpsc::Sender<OwnerCommand>,
    requests: mpsc::Sender<TrustRequest>,
    settings: watch::Sender<OwnerSettings>,
    answers: mpsc::UnboundedReceiver<PairAnswer>,
    audit: AuditLog,
    task: JoinHandle<()>,
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn settings() -> OwnerSettings {
    let addresses = PairingAddresses {
        page: Some("https://cam.example.org".into()),
        viewer_broker: Some("wss://broker.example.org/mqtt".into()),
    };
    OwnerSettings { addresses, ..OwnerSettings::default() }
}

impl Rig {
    fn new() -> Self {
        Self::in_folder(tempfile::tempdir().unwrap())
    }

    fn in_folder(dir: TempDir) -> Self {
        let thumbprint = SigningKey::generate().unwrap().public().thumbprint();
        let board = OwnerBoard { thumbprint, device: Id::new("porch").unwrap(), root: "fanlight/v1".into() };
        Self::with_board(dir, Some(board.clone()), board)
    }

    fn with_board(dir: TempDir, given: Option<OwnerBoard>, board: OwnerBoard) -> Self {
        let (settings, reloads) = watch::channel(settings());
        let (requests, incoming) = mpsc::channel(TRUST_REQUESTS);
        let (sent, answers) = mpsc::unbounded_channel();
        let answer: SendAnswer = Box::new(move |answer| sent.send(answer).is_ok());
        let folder = Some(StateFolder::at(dir.path()));
        let audit = AuditLog::kept().0;
        let (mut owner, handles) =
            Owner::new(given, reloads, folder, incoming, answer, audit.clone(), Heartbeat::default());
        let (commands, asked) = mpsc::channel(COMMANDS);
        let task = tokio::spawn(async move { owner.handle_events(asked).await });
        Self { dir, board, handles, commands, requests, settings, answers, audit, task }
    }

    fn file(&self) -> PathBuf {
        StateFolder::at(self.dir.path()).path(VIEWERS)
    }

    async fn ask(&self, request: ControlRequest) -> ControlReply {
        let (reply, answer) = oneshot::channel();
        self.commands.send(OwnerCommand { request, reply }).await.unwrap();
        tokio::time::timeout(LONG, answer).await.unwrap().unwrap().0
    }

    async fn done(&self, request: ControlRequest) -> String {
        match self.ask(request).await {
            ControlReply::Done { message } => message,
            other => panic!("{other:?}"),
        }
    }

    async fn fails(&self, request: ControlRequest) -> String {
        match self.ask(request).await {
            ControlReply::Failed { message } => message,
            other => panic!("{other:?}"),
        }
    }

    async fn list(&self) -> (Vec<ViewerRow>, Option<String>) {
        match self.ask(ControlRequest::ViewersList {}).await {
            ControlReply::Viewers { viewers, note } => (viewers, note),
            other => panic!("{other:?}"),
        }
    }

    async fn names(&self) -> Vec<String> {
        self.list().await.0.into_iter().map(|viewer| viewer.name).collect()
    }

    /// The secret in the link of a new pairing.
    async fn open(&self, name: Option<&str>) -> PairingSecret {
        let ControlReply::PairingOpen { link, .. } = self.ask(pair(name)).await else { panic!() };
        PairingSecret::of(&link)
    }

    /// Sends `pair` as signalling does, after its checks.
    async fn request(&self, viewer: &SigningKey, name: &str, secret: &PairingSecret) -> bool {
        let thumbprint = viewer.public().thumbprint();
        let mac = secret.mac(&self.board, &thumbprint, name);
        let attempt = PairAttempt {
            board: &self.board.thumbprint,
            device: &self.board.device,
            viewer: &thumbprint,
            name,
            mac: &mac,
        };
        if !self.handles.pairing.check(Mono::now(), &attempt) {
            return false;
        }
        let head = RequestHead { session: SessionId::new("q83vEjRWeJCrze8SNFZ4kA").unwrap(), seq: 0 };
        let to = Addressee { viewer: viewer_id(&thumbprint), reply_key: None, correlation: None };
        let request = PairRequest { key: *viewer.public(), name: name.into(), head, to };
        self.requests.send(TrustRequest::Pair(request)).await.unwrap();
        true
    }

    async fn answer(&mut self) -> PairAnswer {
        tokio::time::timeout(LONG, self.answers.recv()).await.unwrap().unwrap()
    }

    /// Waits for the end of a pairing.
    async fn stage(&self) -> PairStage {
        let mut progress = self.handles.pairing.progress();
        let is_over = |seen: &Option<crate::trust::pairing::PairProgress>| {
            seen.as_ref().is_some_and(|seen| seen.stage != PairStage::Waiting)
        };
        let seen = tokio::time::timeout(LONG, progress.wait_for(is_over)).await.unwrap().unwrap();
        seen.as_ref().unwrap().stage.clone()
    }
}

/// What a viewer reads from the link, with its own code for the MAC.
struct PairingSecret(Vec<u8>);

impl PairingSecret {
    fn of(link: &str) -> Self {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        let json = URL_SAFE_NO_PAD.decode(link.split_once("#p=").unwrap().1).unwrap();
        let fields: serde_json::Value = serde_json::from_slice(&json).unwrap();
        Self(URL_SAFE_NO_PAD.decode(fields["secret"].as_str().unwrap()).unwrap())
    }

    fn mac(&self, board: &OwnerBoard, viewer: &Thumbprint, name: &str) -> String {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        let text = format!("fanlight pair viewer\0{}\0{}\0{viewer}\0{name}\0", board.thumbprint, board.device);
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &self.0);
        URL_SAFE_NO_PAD.encode(ring::hmac::sign(&key, text.as_bytes()))
    }
}

fn key() -> SigningKey {
    SigningKey::generate().unwrap()
}

fn view() -> Vec<String> {
    vec!["view".into()]
}

fn pair(name: Option<&str>) -> ControlRequest {
    ControlRequest::Pair { name: name.map(str::to_owned), rights: view(), until: None, page: None, broker: None }
}

fn add(name: &str) -> ControlRequest {
    let (key, name) = (key().public().to_string(), name.to_owned());
    ControlRequest::ViewersAdd { key, name, rights: view(), until: None }
}

fn remove(viewer: &str) -> ControlRequest {
    ControlRequest::ViewersRemove { viewer: viewer.into() }
}

/// Makes each write of the list fail, also for root: a folder is where its draft should be.
fn block(dir: &Path) {
    fs::create_dir(dir.join("viewers.json.new")).unwrap();
}

fn unblock(dir: &Path) {
    fs::remove_dir(dir.join("viewers.json.new")).unwrap();
}

#[tokio::test]
async fn commands_change_the_list_and_its_file_and_others_follow() {
    let rig = Rig::new();
    let mut followed = rig.handles.viewers.clone();
    assert!(rig.done(add("anna")).await.contains("anna"));
    rig.done(add("bert")).await;
    followed.wait_for(|list| list.len() == 2).await.unwrap();
    let id = rig.list().await.0[0].id.clone();
    rig.done(ControlRequest::ViewersRename { viewer: id.clone(), name: "Anna's phone".into() }).await;
    let rights = Some(vec!["view".into(), "listen".into()]);
    let until = Some(PermissionEnd::At(4_000_000_000));
    rig.done(ControlRequest::ViewersRights { viewer: id.clone(), rights, until }).await;
    rig.done(remove("bert")).await;
    rig.handles.last_seen.note(&Id::new(&id).unwrap(), 1_800_000_000);
    let (viewers, note) = rig.list().await;
    assert_eq!((viewers.len(), note), (1, None));
    let ViewerRow { name, rights, until, last_seen, configured, .. } = viewers[0].clone();
    assert_eq!((name.as_str(), rights.join(",")), ("Anna's phone", "view,listen".to_owned()));
    assert_eq!((until, last_seen, configured), (Some(4_000_000_000), Some(1_800_000_000), false));
    let written = ViewerList::parse(&fs::read(rig.file()).unwrap()).unwrap();
    assert_eq!(written, **rig.handles.viewers.borrow());
    rig.done(ControlRequest::ViewersRights { viewer: id, rights: None, until: Some(PermissionEnd::Never) }).await;
    assert_eq!(rig.list().await.0[0].until, None);
}

#[tokio::test]
async fn wrong_commands_change_nothing_and_say_why() {
    let rig = Rig::new();
    rig.done(add("anna")).await;
    let before = fs::read(rig.file()).unwrap();
    let with = |rights: &[&str], until| ControlRequest::ViewersAdd {
        key: key().public().to_string(),
        name: "x".into(),
        rights: rights.iter().map(|right| (*right).to_owned()).collect(),
        until,
    };
    let link = |page: Option<&str>, broker: Option<&str>| ControlRequest::Pair {
        name: None,
        rights: view(),
        until: None,
        page: page.map(str::to_owned),
        broker: broker.map(str::to_owned),
    };
    for (request, why) in [
        (add("anna"), "has the name"),
        (add(""), "empty"),
        (with(&[], None), "one or more of view"),
        (with(&["fly"], None), "one or more of view"),
        (with(&["view", "view"], None), "each once"),
        (ControlRequest::ViewersAdd { key: "x".into(), name: "x".into(), rights: view(), until: None }, "no point"),
        (remove("nobody"), "no viewer has the name"),
        (ControlRequest::ViewersRights { viewer: "anna".into(), rights: None, until: None }, "neither"),
        (ControlRequest::ViewersRename { viewer: "anna".into(), name: "a\nb".into() }, "one line"),
        (pair(Some("anna")), "viewers remove \"anna\""),
        (link(Some("http://cam.example.org"), None), "page"),
        (link(None, Some("mqtts://b")), "broker"),
    ] {
        let error = rig.fails(request.clone()).await;
        assert!(error.contains(why), "{request:?}: {error}");
    }
    // Without a right clock, nobody knows what has ended.
    if now_if_known().is_some() {
        assert!(rig.fails(with(&["view"], Some(1))).await.contains("ended already"));
    }
    rig.settings.send_replace(OwnerSettings::default());
    let error = rig.fails(pair(None)).await;
    assert!(error.contains("--page"), "{error}");
    assert_eq!(fs::read(rig.file()).unwrap(), before);
    assert!(!rig.handles.pairing.is_open(Mono::now()));
}

#[tokio::test]
async fn in_the_mode_broker_every_command_says_how_to_change_it() {
    let board = Rig::new().board.clone();
    let rig = Rig::with_board(tempfile::tempdir().unwrap(), None, board);
    for request in [pair(None), add("anna"), remove("anna"), ControlRequest::ViewersList {}] {
        let error = rig.fails(request).await;
        assert!(error.contains("mode broker") && error.contains("mode = \"keys\""), "{error}");
    }
    assert!(!rig.file().exists());
}

#[tokio::test]
async fn a_viewer_with_the_secret_is_written_and_answered_and_gets_the_same_answer_again() {
    let mut rig = Rig::new();
    let (anna, bert) = (key(), key());
    let secret = rig.open(None).await;
    assert!(rig.request(&anna, "Anna's phone", &secret).await);
    let PairStage::Paired(outcome) = rig.stage().await else { panic!() };
    assert_eq!((outcome.name.as_str(), outcome.rights), ("Anna's phone", Rights::of([Right::View])));
    assert!(!rig.request(&bert, "Bert's phone", &secret).await, "a secret pairs one viewer");
    assert!(rig.request(&anna, "Anna's phone", &secret).await);
    assert_eq!(rig.names().await, ["Anna's phone"]);
    let (first, second) = (rig.answer().await, rig.answer().await);
    assert_eq!(first, second);
    assert_eq!(first.to.viewer, viewer_id(&anna.public().thumbprint()));
    assert_eq!(first.paired.name, "Anna's phone");
    assert_eq!(ViewerList::parse(&fs::read(rig.file()).unwrap()).unwrap().len(), 1);
}

#[tokio::test]
async fn pairing_again_gives_a_known_viewer_what_the_owner_allows_now() {
    let rig = Rig::new();
    let anna = key();
    let secret = rig.open(None).await;
    rig.request(&anna, "phone", &secret).await;
    rig.stage().await;
    let viewer = rig.list().await.0[0].id.clone();
    rig.done(ControlRequest::ViewersRights { viewer, rights: Some(vec!["listen".into()]), until: None }).await;
    let secret = rig.open(Some("anna")).await;
    assert!(rig.request(&anna, "phone", &secret).await);
    assert!(matches!(rig.stage().await, PairStage::Paired(outcome) if outcome.name == "anna"));
    let viewers = rig.list().await.0;
    assert_eq!((viewers.len(), viewers[0].rights.clone()), (1, view()));
}

#[tokio::test]
async fn viewers_of_the_configuration_follow_a_reload_and_commands_leave_them() {
    let rig = Rig::new();
    rig.done(add("anna")).await;
    let entry = ViewerEntry {
        key: *key().public(),
        name: "kiosk".into(),
        rights: Rights::of([Right::View]),
        until: None,
        since: 0,
        origin: EntryOrigin::Configured,
    };
    rig.settings.send_replace(OwnerSettings { configured: vec![entry], ..settings() });
    let mut followed = rig.handles.viewers.clone();
    followed.wait_for(|list| list.len() == 2).await.unwrap();
    assert_eq!(rig.names().await, ["kiosk", "anna"]);
    assert!(rig.fails(remove("kiosk")).await.contains("configuration"));
    rig.done(add("carl")).await;
    assert!(!String::from_utf8(fs::read(rig.file()).unwrap()).unwrap().contains("kiosk"));
    rig.settings.send_replace(settings());
    followed.wait_for(|list| list.len() == 2).await.unwrap();
    assert_eq!(rig.names().await, ["anna", "carl"]);
}

#[tokio::test]
async fn a_damaged_file_lets_nobody_in_and_nothing_is_written_over_it() {
    let dir = {
        let rig = Rig::new();
        rig.done(add("anna")).await;
        let file = rig.file();
        let whole = fs::read(&file).unwrap();
        fs::write(&file, &whole[..whole.len() / 2]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::rename(&file, folder.path().join("viewers.json")).unwrap();
        folder
    };
    let rig = Rig::in_folder(dir);
    let half = fs::read(rig.file()).unwrap();
    for request in [add("bert"), pair(None), remove("anna")] {
        let error = rig.fails(request).await;
        assert!(error.contains("viewers.json: damaged") && error.contains("sudo mv"), "{error}");
    }
    let (viewers, note) = rig.list().await;
    assert!(viewers.is_empty() && note.unwrap().contains("No viewer of this file may watch"));
    assert_eq!(fs::read(rig.file()).unwrap(), half);
    assert!(rig.handles.viewers.borrow().is_empty());
    fs::rename(rig.file(), rig.dir.path().join("viewers.json.damaged")).unwrap();
    rig.done(add("bert")).await;
    assert_eq!(rig.list().await.1, None, "it works again, without a restart");
    assert_eq!(rig.names().await, ["bert"]);
}

#[tokio::test]
async fn what_cannot_be_written_is_not_granted() {
    let mut rig = Rig::new();
    rig.done(add("anna")).await;
    let before = fs::read(rig.file()).unwrap();
    block(rig.dir.path());
    let error = rig.fails(add("bert")).await;
    assert!(error.contains("viewers.json") && error.contains("as before"), "{error}");
    let viewer = "anna".to_owned();
    let rights = Some(vec!["view".into(), "listen".into()]);
    rig.fails(ControlRequest::ViewersRights { viewer, rights, until: None }).await;
    let secret = rig.open(None).await;
    assert!(rig.request(&key(), "phone", &secret).await);
    let PairStage::Ended(PairEnd::Failed(why)) = rig.stage().await else { panic!() };
    assert!(why.contains("viewers.json"), "{why}");
    assert!(rig.answers.try_recv().is_err(), "and no viewer is told that it may watch");
    assert_eq!((rig.names().await, fs::read(rig.file()).unwrap()), (vec!["anna".to_owned()], before));
    assert_eq!(rig.list().await.0[0].rights, view());
}

#[tokio::test]
async fn a_removal_takes_effect_at_once_even_if_it_cannot_be_written() {
    let rig = Rig::new();
    rig.done(add("anna")).await;
    rig.done(add("bert")).await;
    block(rig.dir.path());
    let error = rig.fails(remove("anna")).await;
    assert!(error.contains("no longer") && error.contains("after a restart"), "{error}");
    assert_eq!(rig.names().await, ["bert"]);
    assert!(rig.list().await.1.unwrap().contains("come back after a restart"));
    unblock(rig.dir.path());
    rig.done(add("carl")).await;
    let written = ViewerList::parse(&fs::read(rig.file()).unwrap()).unwrap();
    assert_eq!(written, **rig.handles.viewers.borrow(), "the next write removes anna from the file, too");
    assert_eq!((rig.names().await, rig.list().await.1), (vec!["bert".to_owned(), "carl".to_owned()], None));
}

#[tokio::test]
async fn a_folder_that_is_gone_is_reported() {
    let rig = Rig::new();
    rig.done(add("anna")).await;
    let file = rig.file();
    fs::remove_dir_all(rig.dir.path()).unwrap();
    let error = rig.fails(add("bert")).await;
    assert!(error.contains(file.to_str().unwrap()), "{error}");
    assert_eq!(rig.names().await, ["anna"]);
}
