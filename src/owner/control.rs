//! The control socket: the way from `fanlight pair`, `viewers` and `token apply` to the daemon. Only root and the user
//! of the service may use it. A connection has one request.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{FileTypeExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        UnixListener, UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::{Semaphore, mpsc, oneshot, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::{debug, warn};

use super::{
    OwnerCommand, commands,
    control_message::{ControlReply, ControlRequest, REQUEST_MAX, ViewerRow},
};
use crate::{
    clock::Mono,
    trust::pairing::{PAIRING, PairEnd, PairOutcome, PairProgress, PairStage, PairingHandle, PairingNumber, WRONG_MAX},
};

/// The name of the socket in the folder of the service.
const NAME: &str = "control";
/// Connections at the same time. Others are told so.
const CONNECTIONS: usize = 4;
/// How long a client may take to send its request, and to take each answer.
const REQUEST: Duration = Duration::from_secs(5);
/// How long a command may take: several calls of the file system.
const COMMAND: Duration = Duration::from_secs(30);
/// The pause after `accept` failed, for example because there are too many open files.
const PAUSE: Duration = Duration::from_secs(1);
/// How often a pairing looks at the clock.
const LOOK: Duration = Duration::from_secs(1);
/// The user of everybody whom a user namespace does not know (user_namespaces(7)).
const NOBODY: u32 = 65_534;

/// The socket of this service, in the folder that systemd makes (`RuntimeDirectory=`). `None` outside of systemd.
pub fn socket_of_process() -> Option<PathBuf> {
    socket_in(&std::env::var_os("RUNTIME_DIRECTORY")?.into_string().ok()?)
}

/// There may be several folders, separated by colons. The first one is ours.
fn socket_in(folders: &str) -> Option<PathBuf> {
    let path = Path::new(folders.split(':').next()?);
    path.is_absolute().then(|| path.join(NAME))
}

/// Whether a process of this user may give commands to this process.
fn may_command(peer: u32) -> bool {
    is_owner(peer, rustix::process::geteuid().as_raw())
}

/// Whether the user `peer` may give commands. `own`: the user of the service.
fn is_owner(peer: u32, own: u32) -> bool {
    // In the service's namespace, all strangers have one number. It must never count as the service's own.
    peer == 0 || peer == own && peer != NOBODY
}

/// The socket. Its file goes with it.
#[derive(Debug)]
pub(super) struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    /// Whether a process of this user may give commands.
    may_command: fn(u32) -> bool,
    /// How long a client may take to send its request, and to take each answer.
    patience: Duration,
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

impl ControlSocket {
    /// Listens at this path. A socket that nobody listens on any more is replaced.
    pub(super) fn bind(path: &Path) -> Result<Self, String> {
        let wrong = |e: &dyn std::fmt::Display| format!("listen on {}: {e}", path.display());
        match fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => return Err(wrong(&"something else is there")),
            Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => {
                return Err(wrong(&"another fanlight listens there"));
            }
            Ok(_) => fs::remove_file(path).map_err(|e| wrong(&e))?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(wrong(&e)),
        }
        let listener = UnixListener::bind(path).map_err(|e| wrong(&e))?;
        let control = Self { listener, path: path.to_owned(), may_command, patience: REQUEST };
        // Those that connect before this line are asked who they are, as all others.
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(|e| wrong(&e))?;
        Ok(control)
    }

    /// Accepts connections for ever.
    pub(super) async fn serve(self, commands: mpsc::Sender<OwnerCommand>, pairing: PairingHandle) {
        let slots = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        let Some(stream) = self.admitted(stream) else { continue };
                        let Ok(slot) = Arc::clone(&slots).try_acquire_owned() else {
                            refuse(stream, "too many commands are running; try again when one has ended");
                            continue;
                        };
                        let (commands, pairing, patience) = (commands.clone(), pairing.clone(), self.patience);
                        connections.spawn(async move {
                            let _slot = slot;
                            serve(stream, &commands, &pairing, patience).await;
                        });
                    }
                    Err(e) => {
                        warn!("accept a command: {e}");
                        sleep(PAUSE).await;
                    }
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }

    /// The connection, if its process may give commands.
    fn admitted(&self, stream: UnixStream) -> Option<UnixStream> {
        match stream.peer_cred() {
            Ok(peer) if (self.may_command)(peer.uid()) => Some(stream),
            Ok(peer) => {
                debug!("a command of user {} was refused", peer.uid());
                refuse(stream, "only root and the user of the service may give commands: use sudo");
                None
            }
            Err(e) => {
                debug!("a command was refused: {e}");
                None
            }
        }
    }
}

/// Says one line, if there is room for it, and waits for nothing.
fn refuse(stream: UnixStream, message: &str) {
    let reply = line(&ControlReply::Failed { message: message.to_owned() });
    // It stays in the mode that does not block.
    let _ = stream.into_std().and_then(|mut stream| stream.write(&reply));
}

fn line(reply: &ControlReply) -> Vec<u8> {
    // An answer has only strings, numbers and lists, so it is always JSON.
    let mut line = serde_json::to_vec(reply).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Serves one connection.
async fn serve(stream: UnixStream, commands: &mpsc::Sender<OwnerCommand>, pairing: &PairingHandle, patience: Duration) {
    let (mut input, output) = stream.into_split();
    let mut output = Replies { output, patience };
    let request = match timeout(patience, read(&mut input)).await {
        Ok(Ok(request)) => request,
        Ok(Err(Some(message))) => return output.fail(message).await,
        // It went away, or said nothing.
        Ok(Err(None)) => return,
        Err(_) => {
            return output.fail(format!("no request came within {patience:?}")).await;
        }
    };
    // What happens to the pairing from here on is seen.
    let progress = pairing.progress();
    let (reply, answer) = oneshot::channel();
    let asked = async {
        commands.send(OwnerCommand { request, reply }).await.ok()?;
        answer.await.ok()
    };
    let Ok(Some((reply, number))) = timeout(COMMAND, asked).await else {
        return output.fail("the daemon is busy or stopping; try again".to_owned()).await;
    };
    let said = output.say(&reply).await;
    let Some(number) = number else { return };
    if said {
        follow(&mut input, &mut output, pairing, progress, number).await;
    }
    // Whatever the reason: nobody waits for it any more.
    pairing.with(|pairing| pairing.end(number, PairEnd::Cancelled));
}

/// Reads one line. An error is the answer to it, or nothing if the client is gone.
async fn read(input: &mut OwnedReadHalf) -> Result<ControlRequest, Option<String>> {
    // Few requests are longer.
    let mut buffer = vec![0; 4096];
    let mut filled = 0;
    let end = loop {
        if filled == buffer.len() {
            if filled >= REQUEST_MAX {
                return Err(Some(format!("the request has more than {REQUEST_MAX} bytes")));
            }
            buffer.resize((filled * 2).min(REQUEST_MAX), 0);
        }
        let Some(room) = buffer.get_mut(filled..) else { return Err(None) };
        let count = input.read(room).await.unwrap_or(0);
        if count == 0 {
            return Err(None);
        }
        let new = filled..filled + count;
        filled = new.end;
        if let Some(at) = buffer[new.clone()].iter().position(|byte| *byte == b'\n') {
            break new.start + at;
        }
    };
    serde_json::from_slice(&buffer[..end]).map_err(|e| {
        Some(format!("this daemon does not know the request; are command and daemon of the same version? {e}"))
    })
}

/// The way to the client.
struct Replies {
    output: OwnedWriteHalf,
    patience: Duration,
}

impl Replies {
    /// Sends an answer. `false`: the client is gone, or does not read.
    async fn say(&mut self, reply: &ControlReply) -> bool {
        matches!(timeout(self.patience, self.output.write_all(&line(reply))).await, Ok(Ok(())))
    }

    async fn fail(&mut self, message: String) {
        self.say(&ControlReply::Failed { message }).await;
    }
}

/// Reports what happens to a pairing, until it is over or the client goes away.
async fn follow(
    input: &mut OwnedReadHalf,
    output: &mut Replies,
    pairing: &PairingHandle,
    mut progress: watch::Receiver<Option<PairProgress>>,
    number: PairingNumber,
) {
    let (started, mut told) = (Mono::now(), 0);
    loop {
        let seen = progress.borrow_and_update().clone();
        let Some(seen) = seen.filter(|seen| seen.number == number) else {
            let message = "another pairing was opened, which ended this one".to_owned();
            output.say(&ControlReply::PairingEnded { message }).await;
            return;
        };
        if seen.wrong > told {
            told = seen.wrong;
            if !output.say(&ControlReply::PairingWrong { wrong: told, max: WRONG_MAX }).await {
                return;
            }
        }
        if let Some(last) = last(&seen.stage) {
            output.say(&last).await;
            return;
        }
        let mut rest = [0; 64];
        tokio::select! {
            // A client says nothing while it waits. What it says or closes means that it has ended.
            _ = input.read(&mut rest) => return,
            changed = progress.changed() => if changed.is_err() { return },
            () = sleep(LOOK) => {
                pairing.with(|pairing| pairing.expire(Mono::now()));
                // A second line of defence: no connection stays longer than a pairing.
                if Mono::now().since(started) > PAIRING + REQUEST {
                    return;
                }
            }
        }
    }
}

/// The last answer, if the pairing is over.
fn last(stage: &PairStage) -> Option<ControlReply> {
    let message = match stage {
        PairStage::Waiting => return None,
        PairStage::Paired(outcome) => return Some(ControlReply::PairingDone { viewer: paired(outcome) }),
        PairStage::Ended(PairEnd::Expired) => {
            format!("no viewer came within {} minutes; the link is no longer valid", PAIRING.as_secs() / 60)
        }
        PairStage::Ended(PairEnd::WrongMacs) => format!(
            "{WRONG_MAX} messages with a wrong secret came: somebody else may have tried; the link is no longer valid"
        ),
        PairStage::Ended(PairEnd::Cancelled) => "it was cancelled; the link is no longer valid".to_owned(),
        PairStage::Ended(PairEnd::Failed(why)) => {
            format!("a viewer came, and could not be put on the list: {why}")
        }
    };
    Some(ControlReply::PairingEnded { message })
}

fn paired(outcome: &PairOutcome) -> ViewerRow {
    ViewerRow {
        id: outcome.id.to_string(),
        name: outcome.name.clone(),
        rights: commands::names(outcome.rights),
        until: outcome.until,
        since: None,
        last_seen: None,
        configured: false,
    }
}

#[cfg(test)]
#[path = "control_tests.rs"]
mod tests;
