//! The control socket: who may use it, and what clients can do to it.

use std::{
    os::unix::fs::PermissionsExt as _,
    sync::atomic::{AtomicUsize, Ordering},
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    task::JoinHandle,
};

use super::*;
use crate::{
    config::Id,
    jose::SigningKey,
    protocol::{Right, Rights},
    trust::pairing::{PairAttempt, PairOptions, PairSecret},
};

const LONG: Duration = Duration::from_secs(60);
const LIST: &str = "{\"command\":\"viewers-list\"}\n";

/// A control socket with a daemon behind it that answers each command with `done`, and opens real pairings.
struct Served {
    dir: TempDir,
    pairing: PairingHandle,
    asked: Arc<AtomicUsize>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Served {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn open(pairing: &PairingHandle) -> PairingNumber {
    let board = SigningKey::generate().unwrap().public().thumbprint();
    let options = PairOptions { name: None, rights: Rights::of([Right::View]), until: None };
    let identity = (board, Id::new("porch").unwrap());
    pairing.with(|pairing| pairing.open(Mono::now(), identity, options, PairSecret::new([7; 16]))).0
}

fn serve_with(change: impl FnOnce(&mut ControlSocket)) -> Served {
    let dir = tempfile::tempdir().unwrap();
    let mut control = ControlSocket::bind(&dir.path().join("control")).unwrap();
    control.patience = LONG;
    change(&mut control);
    let (pairing, asked) = (PairingHandle::default(), Arc::new(AtomicUsize::new(0)));
    let (commands, mut incoming) = mpsc::channel::<OwnerCommand>(8);
    let (opener, count) = (pairing.clone(), Arc::clone(&asked));
    let daemon = tokio::spawn(async move {
        while let Some(OwnerCommand { request, reply }) = incoming.recv().await {
            count.fetch_add(1, Ordering::Relaxed);
            let number = matches!(request, ControlRequest::Pair { .. }).then(|| open(&opener));
            let _ = reply.send((ControlReply::Done { message: "done".into() }, number));
        }
    });
    let tasks = [daemon, tokio::spawn(control.serve(commands, pairing.clone()))];
    Served { dir, pairing, asked, tasks }
}

struct Caller {
    lines: Lines<BufReader<OwnedReadHalf>>,
    output: OwnedWriteHalf,
}

impl Caller {
    async fn new(served: &Served) -> Self {
        let stream = UnixStream::connect(served.dir.path().join("control")).await.unwrap();
        let (input, output) = stream.into_split();
        Self { lines: BufReader::new(input).lines(), output }
    }

    async fn send(&mut self, text: &str) {
        // The daemon may have closed the connection before it has read everything.
        let _ = self.output.write_all(text.as_bytes()).await;
    }

    /// The next answer. `None`: the connection is closed.
    async fn answer(&mut self) -> Option<ControlReply> {
        let line = timeout(LONG, self.lines.next_line()).await.expect("an answer comes");
        line.ok().flatten().map(|line| serde_json::from_str(&line).unwrap())
    }

    async fn error(&mut self) -> String {
        match self.answer().await {
            Some(ControlReply::Failed { message }) => message,
            other => panic!("{other:?}"),
        }
    }
}

fn done() -> Option<ControlReply> {
    Some(ControlReply::Done { message: "done".into() })
}

#[test]
fn only_root_and_the_user_of_the_service_are_owners() {
    for (peer, own, expected) in [
        (0, 990, true),
        (990, 990, true),
        (1000, 990, false),
        (NOBODY, 990, false),
        (NOBODY, NOBODY, false),
        (0, 0, true),
        (1000, 0, false),
        (u32::MAX, 990, false),
    ] {
        assert_eq!(is_owner(peer, own), expected, "{peer} {own}");
    }
}

#[test]
fn the_socket_is_in_the_first_folder_of_the_service() {
    assert_eq!(socket_in("/run/fanlight"), Some("/run/fanlight/control".into()));
    assert_eq!(socket_in("/run/fanlight:/run/other"), Some("/run/fanlight/control".into()));
    assert_eq!((socket_in(""), socket_in("fanlight")), (None, None));
}

#[tokio::test]
async fn a_request_is_answered_also_if_it_comes_in_pieces() {
    let served = serve_with(|_| {});
    let mode = fs::metadata(served.dir.path().join("control")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut caller = Caller::new(&served).await;
    for piece in ["{\"comm", "and\":\"viewers-", "list\"}", "\n"] {
        caller.send(piece).await;
        tokio::task::yield_now().await;
    }
    assert_eq!((caller.answer().await, caller.answer().await), (done(), None), "one request, one answer");
}

#[tokio::test]
async fn a_stranger_gets_the_reason_and_nothing_else() {
    let served = serve_with(|control| control.may_command = |_| false);
    for _ in 0..20 {
        let mut caller = Caller::new(&served).await;
        caller.send(LIST).await;
        assert!(caller.error().await.contains("only root"));
        assert_eq!(caller.answer().await, None);
    }
    assert_eq!(served.asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    let served = serve_with(|_| {});
    let long = format!("{}\n", "x".repeat(REQUEST_MAX));
    let huge = "x".repeat(1 << 20);
    let brackets = "[".repeat(REQUEST_MAX + 1);
    let too_long = &*format!("more than {REQUEST_MAX} bytes");
    for (text, expected) in [
        ("\n", "does not know the request"),
        ("shutdown\n", "does not know the request"),
        ("{\"command\":\"shutdown\"}\n", "does not know the request"),
        ("\u{0}\u{1}\n", "does not know the request"),
        (&brackets, too_long),
        (&long, too_long),
        (&huge, too_long),
    ] {
        let mut caller = Caller::new(&served).await;
        caller.send(text).await;
        let error = caller.error().await;
        assert!(error.contains(expected), "{error}: {text:.40}");
        assert_eq!(caller.answer().await, None);
    }
    let mut caller = Caller::new(&served).await;
    caller.send(&format!("{}\n", "[".repeat(4000))).await;
    assert!(caller.error().await.contains("does not know"), "deep nesting is no harm");
    // A line without its end.
    let mut half = Caller::new(&served).await;
    half.send("{\"command\":\"viewers-list\"}").await;
    half.output.shutdown().await.unwrap();
    assert_eq!(half.answer().await, None);
    assert_eq!(served.asked.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_silent_client_is_told_and_left() {
    let served = serve_with(|control| control.patience = Duration::from_millis(50));
    let mut caller = Caller::new(&served).await;
    assert!(caller.error().await.contains("no request came"));
    assert_eq!(caller.answer().await, None);
}

#[tokio::test]
async fn a_hundred_connections_cost_four_places_and_go_away() {
    let served = serve_with(|_| {});
    let mut callers = Vec::new();
    for _ in 0..100 {
        callers.push(Caller::new(&served).await);
    }
    // The first four say nothing yet, and keep their places.
    for caller in &mut callers[CONNECTIONS..] {
        assert!(caller.error().await.contains("too many commands"));
        assert_eq!(caller.answer().await, None);
    }
    for caller in &mut callers[..CONNECTIONS] {
        caller.send(LIST).await;
        assert_eq!(caller.answer().await, done());
    }
    drop(callers);
    let mut caller = Caller::new(&served).await;
    caller.send(LIST).await;
    assert_eq!(caller.answer().await, done(), "and the next one is served");
}

/// A pairing that is opened, and what its client sees then.
async fn waiting(served: &Served) -> Caller {
    let mut caller = Caller::new(served).await;
    caller.send("{\"command\":\"pair\",\"rights\":[\"view\"]}\n").await;
    assert_eq!(caller.answer().await, done());
    caller
}

#[tokio::test]
async fn a_client_that_goes_away_ends_its_pairing() {
    let served = serve_with(|_| {});
    let mut progress = served.pairing.progress();
    let caller = waiting(&served).await;
    assert!(served.pairing.is_open(Mono::now()));
    drop(caller);
    let ended = |seen: &Option<PairProgress>| {
        seen.as_ref().is_some_and(|seen| seen.stage == PairStage::Ended(PairEnd::Cancelled))
    };
    timeout(LONG, progress.wait_for(ended)).await.unwrap().unwrap();
    assert!(!served.pairing.is_open(Mono::now()));
}

#[tokio::test]
async fn a_waiting_client_sees_each_step() {
    let served = serve_with(|_| {});
    let mut caller = waiting(&served).await;
    let (board, viewer) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let (board, viewer, device) =
        (board.public().thumbprint(), viewer.public().thumbprint(), Id::new("porch").unwrap());
    for wrong in 1..=WRONG_MAX {
        let mac = &format!("{wrong}7DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU");
        let attempt = PairAttempt { board: &board, device: &device, viewer: &viewer, name: "phone", mac };
        assert!(!served.pairing.check(Mono::now(), &attempt));
        assert_eq!(caller.answer().await, Some(ControlReply::PairingWrong { wrong, max: WRONG_MAX }));
    }
    let Some(ControlReply::PairingEnded { message }) = caller.answer().await else { panic!() };
    assert!(message.contains("wrong secret"), "{message}");
    assert_eq!(caller.answer().await, None);

    let mut caller = waiting(&served).await;
    let outcome = PairOutcome {
        id: Id::new("anna").unwrap(),
        name: "phone".into(),
        rights: Rights::of([Right::View]),
        until: None,
    };
    served.pairing.with(|pairing| pairing.settle(&viewer, outcome.clone()));
    assert_eq!(caller.answer().await, Some(ControlReply::PairingDone { viewer: paired(&outcome) }));
    assert_eq!(caller.answer().await, None);
    assert!(served.pairing.is_open(Mono::now()), "the viewer may still ask for its answer again");
}

#[tokio::test]
async fn a_second_pairing_ends_the_first_and_its_client_is_told() {
    let served = serve_with(|_| {});
    let mut first = waiting(&served).await;
    let _second = waiting(&served).await;
    let Some(ControlReply::PairingEnded { message }) = first.answer().await else { panic!() };
    assert!(message.contains("another pairing"), "{message}");
    assert_eq!(first.answer().await, None);
    assert!(served.pairing.is_open(Mono::now()), "the second one waits");
}

#[tokio::test]
async fn a_socket_that_nobody_listens_on_is_replaced_and_anything_else_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("control");
    drop(UnixListener::bind(&path).unwrap());
    let first = ControlSocket::bind(&path).unwrap();
    assert!(ControlSocket::bind(&path).unwrap_err().contains("another fanlight"));
    drop(first);
    assert!(!path.exists(), "the file goes with the socket");
    fs::write(&path, "mine").unwrap();
    assert!(ControlSocket::bind(&path).unwrap_err().contains("something else"));
    assert_eq!(fs::read(&path).unwrap(), b"mine");
    assert!(ControlSocket::bind(&dir.path().join("no/such/folder")).is_err());
    assert!(ControlSocket::bind(&dir.path().join("x".repeat(200))).is_err(), "longer than an address of a socket");
}
