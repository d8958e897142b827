//! The owner's side: one task has the list of viewers, the pairing, and the deny lists of issuers, which the modes
//! `keys` and `token` need. In each mode it has the file of the privacy switch. It takes commands from the control
//! socket. From signalling it takes viewers that know the secret of the pairing, and deny lists.
//!
//! ```text
//! fanlight pair, viewers, token, privacy ──► control socket (4 connections) ──► commands (8) ──┐
//! signalling ──► authentic requests to pair, and deny lists (8) ───────────────────────────────┤
//! privacy switch ──► changes (64) ─────────────────────────────────────────────────────────────┴─► owner ──► files
//! ```

mod audit;
mod commands;
mod control;
pub mod control_message;
mod denials;
#[cfg(test)]
mod denials_tests;
pub(crate) mod fuzz;
mod privacy;
mod store;
#[cfg(test)]
mod tests;

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot, watch},
    time::sleep,
};
use tracing::{debug, info, warn};

pub use self::control::socket_of_process;
use self::{
    audit::PairingAudit,
    control::ControlSocket,
    control_message::{ControlReply, ControlRequest},
    denials::{DenyListSource, DenyStore},
    privacy::PrivacyStore,
    store::Store,
};
use crate::{
    audit::AuditLog,
    clock::{self, Mono},
    config::Id,
    jose::{IssuerKey, Thumbprint},
    liveness::{Heartbeat, TICK},
    privacy::PrivacyHandle,
    protocol::{Addressee, SessionId},
    state_folder::StateFolder,
    trust::{
        LastSeen, TrustRequest,
        deny_list::SignedDenyList,
        issuers::Issuers,
        pairing::{PairClaim, PairEnd, PairOptions, PairOutcome, PairRequest, Paired, PairingHandle, PairingNumber},
        viewer_list::{EntryOrigin, ViewerEntry, ViewerList, viewer_id},
    },
};

/// Requests to pair and deny lists that wait. When it is full, signalling drops one. A viewer sends it again, and a
/// deny list that the broker keeps comes again with the next connection.
pub const TRUST_REQUESTS: usize = 8;
/// Commands that wait: a connection has one.
const COMMANDS: usize = 8;

/// The identity of a board in the modes `keys` and `token`.
#[derive(Debug, Clone)]
pub struct OwnerBoard {
    /// The thumbprint of its identity.
    pub thumbprint: Thumbprint,
    /// Its id.
    pub device: Id,
    /// The first levels of its topics.
    pub root: String,
}

/// The addresses in a link, from the configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PairingAddresses {
    /// The URL of the viewer page.
    pub page: Option<String>,
    /// The URL of the broker for viewers.
    pub viewer_broker: Option<String>,
}

/// What a reload may change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnerSettings {
    /// The viewers of the configuration.
    pub configured: Vec<ViewerEntry>,
    /// The addresses in a link.
    pub addresses: PairingAddresses,
    /// The keys of issuers. Empty in the mode `keys`.
    pub issuers: Vec<IssuerKey>,
    /// The longest life of a token.
    pub token_max: Duration,
}

/// The answer to a viewer that is paired.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PairAnswer {
    /// Who gets it.
    pub to: Addressee,
    /// The session of the request.
    pub session: SessionId,
    /// The answer.
    pub paired: Paired,
}

/// Sends an answer. `false`: there was no room, and the viewer has to ask again.
pub type SendAnswer = Box<dyn Fn(PairAnswer) -> bool + Send + Sync>;

/// What other parts of the daemon get.
#[derive(Debug, Clone)]
pub struct OwnerHandles {
    /// The list of viewers, to be followed. It is empty until the file is read.
    pub viewers: watch::Receiver<Arc<ViewerList>>,
    /// The pairing, for signalling.
    pub pairing: PairingHandle,
    /// Where visits are noted.
    pub last_seen: LastSeen,
    /// The issuers and their deny lists, to be followed.
    pub issuers: watch::Receiver<Arc<Issuers>>,
    /// The privacy switch.
    pub privacy: PrivacyHandle,
}

/// A command, and where its answer goes.
struct OwnerCommand {
    request: ControlRequest,
    reply: oneshot::Sender<(ControlReply, Option<PairingNumber>)>,
}

/// The owner's side.
pub struct Owner {
    /// `None`: the mode is `broker`.
    board: Option<OwnerBoard>,
    settings: watch::Receiver<OwnerSettings>,
    store: Store,
    denials: DenyStore,
    privacy: PrivacyStore,
    pairing: PairingHandle,
    pairing_audit: PairingAudit,
    last_seen: LastSeen,
    requests: mpsc::Receiver<TrustRequest>,
    answer: SendAnswer,
    heartbeat: Heartbeat,
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Owner").field("board", &self.board).finish_non_exhaustive()
    }
}

impl Owner {
    /// `board`: `None` in the mode `broker`, in which most commands are answered with how to change that. `folder`:
    /// where the lists and the record of the privacy switch are; the latter is read here. `requests`: what was
    /// authentic.
    /// `answer`: sends `paired`. `audit`: takes records of each change.
    pub fn new(
        board: Option<OwnerBoard>,
        settings: watch::Receiver<OwnerSettings>,
        folder: Option<StateFolder>,
        requests: mpsc::Receiver<TrustRequest>,
        answer: SendAnswer,
        audit: AuditLog,
        heartbeat: Heartbeat,
    ) -> (Self, OwnerHandles) {
        let (pairing, last_seen) = (PairingHandle::default(), LastSeen::default());
        let store = Store::new(folder.clone(), last_seen.clone(), audit.clone(), heartbeat.clone());
        let denials = DenyStore::new(folder.clone(), audit.clone(), heartbeat.clone());
        let (switch, news) = PrivacyHandle::new(privacy::restore(folder.as_ref()));
        let privacy = PrivacyStore::new(folder, switch.clone(), news, audit.clone());
        let pairing_audit = PairingAudit::new(audit);
        let handles = OwnerHandles {
            viewers: store.follow(),
            pairing: pairing.clone(),
            last_seen: last_seen.clone(),
            issuers: denials.follow(),
            privacy: switch,
        };
        let owner = Self {
            board,
            settings,
            store,
            denials,
            privacy,
            pairing,
            pairing_audit,
            last_seen,
            requests,
            answer,
            heartbeat,
        };
        (owner, handles)
    }

    /// Serves for ever. `socket`: the path of the control socket. `None`: there is none, and no commands.
    pub async fn run(mut self, socket: Option<PathBuf>) {
        let (commands, incoming) = mpsc::channel(COMMANDS);
        let control = match socket {
            Some(path) => match ControlSocket::bind(&path) {
                Ok(control) => Some(control),
                Err(e) => {
                    warn!("{e}; fanlight pair, viewers, token apply and privacy cannot be used");
                    None
                }
            },
            None => {
                debug!("no control socket: $RUNTIME_DIRECTORY is not set");
                None
            }
        };
        let pairing = self.pairing.clone();
        let serve = async move {
            match control {
                Some(control) => control.serve(commands, pairing).await,
                None => {
                    let _commands = commands;
                    std::future::pending().await
                }
            }
        };
        tokio::join!(serve, self.handle_events(incoming));
    }

    async fn handle_events(&mut self, mut commands: mpsc::Receiver<OwnerCommand>) {
        let mut progress = self.pairing.progress();
        self.configure(false);
        if self.board.is_some()
            && let Err(e) = self.store.ready().await
        {
            warn!("{e}");
        }
        self.denials.ready().await;
        loop {
            self.heartbeat.tick(Mono::now());
            tokio::select! {
                Ok(()) = self.settings.changed() => self.configure(true),
                // A pairing may end in signalling, by wrong secrets, or because its command went away.
                Ok(()) = progress.changed() => {}
                Some(command) = commands.recv() => {
                    let answer = self.command(command.request).await;
                    // A client that went away needs no answer. A pairing that it opened is over.
                    if let Err((_, Some(number))) = command.reply.send(answer) {
                        self.pairing.with(|pairing| pairing.end(number, PairEnd::Cancelled));
                    }
                }
                Some(request) = self.requests.recv() => match request {
                    TrustRequest::Pair(request) => self.pair(&request).await,
                    TrustRequest::Deny(list) => self.deny(list).await,
                },
                () = self.privacy.run_once() => {}
                () = sleep(TICK) => {}
            }
            self.privacy.catch_up();
            self.store.catch_up().await;
            self.denials.catch_up().await;
            self.pairing.with(|pairing| pairing.expire(Mono::now()));
            self.pairing_audit.look(progress.borrow_and_update().as_ref());
        }
    }

    /// `is_change`: it is not the start.
    fn configure(&mut self, is_change: bool) {
        let settings = self.settings.borrow_and_update().clone();
        self.store.configure(&settings.configured, is_change);
        self.denials.configure(&settings.issuers, settings.token_max);
    }

    /// A deny list that the broker brought. One that is known comes with each connection.
    async fn deny(&mut self, list: SignedDenyList) {
        if self.denials.number(list.issuer()).is_some_and(|known| known >= list.list().number) {
            return debug!("issuer {}: deny list {} is known", list.issuer(), list.list().number);
        }
        let issuer = list.issuer().clone();
        match self.denials.apply(list, DenyListSource::Broker).await {
            Ok(message) => info!("{message}"),
            Err(why) => warn!("a deny list of the issuer {issuer}: {why}"),
        }
    }

    /// A viewer that knows the secret.
    async fn pair(&mut self, request: &PairRequest) {
        let viewer = request.key.thumbprint();
        let (claim, number) = self.pairing.with(|pairing| {
            let claim = pairing.claim(Mono::now(), &viewer);
            (claim, pairing.progress().map(|progress| progress.number))
        });
        match claim {
            PairClaim::Closed => return,
            PairClaim::Again => {}
            PairClaim::Add(options) => match self.admit(request, &options).await {
                Ok(outcome) => {
                    info!("viewer {}: paired as {:?}, may {}", outcome.id, outcome.name, outcome.rights);
                    self.pairing_audit.paired(&outcome);
                    self.pairing.with(|pairing| pairing.settle(&viewer, outcome));
                }
                Err(why) => {
                    warn!("pair a viewer: {why}");
                    let end = |pairing: &mut crate::trust::pairing::Pairing| {
                        number.into_iter().for_each(|number| pairing.end(number, PairEnd::Failed(why.clone())));
                    };
                    return self.pairing.with(end);
                }
            },
        }
        let paired = self.pairing.with(|pairing| pairing.answer(&viewer, &request.name));
        let Some(paired) = paired else { return };
        if !(self.answer)(PairAnswer { to: request.to.clone(), session: request.head.session.clone(), paired }) {
            debug!("viewer {}: no room for the answer to pair", request.to.viewer);
        }
    }

    /// Writes the viewer into the list. One that is on it already gets what this pairing allows.
    async fn admit(&mut self, request: &PairRequest, options: &PairOptions) -> Result<PairOutcome, String> {
        self.store.ready().await?;
        let id = viewer_id(&request.key.thumbprint());
        let list = self.store.list();
        let known = list.by_id(&id).cloned();
        if known.as_ref().is_some_and(|entry| entry.origin == EntryOrigin::Configured) {
            // The configuration has said what it may do.
        } else if known.is_some() {
            let change = |list: &mut ViewerList| {
                if let Some(name) = &options.name {
                    list.rename(&id, name)?;
                }
                list.set_rights(&id, options.rights)?;
                list.set_until(&id, options.until)
            };
            self.store.change(change).await?;
        } else {
            let entry = ViewerEntry {
                key: request.key,
                name: list.free_name(options.name.as_ref().unwrap_or(&request.name)),
                rights: options.rights,
                until: options.until,
                since: now_if_known().unwrap_or(0),
                origin: EntryOrigin::Listed,
            };
            self.store.change(|list| list.add(entry)).await?;
        }
        let list = self.store.list();
        let entry = list.by_id(&id).ok_or("it was removed in the meantime")?;
        Ok(PairOutcome { id, name: entry.name.clone(), rights: entry.rights, until: entry.until })
    }
}

/// The time in seconds since 1970, if the clock is right.
fn now_if_known() -> Option<u64> {
    clock::is_synced().then(|| Mono::now().wall().as_secs())
}
