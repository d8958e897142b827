//! The deny lists of issuers in memory and on disk. A list takes tokens away, so it takes effect at once, whether or
//! not it can be written. Until the file of an issuer is read, and if it cannot be used, no token of this issuer
//! counts.
//!
//! The file system is used as in `store.rs`: on a thread of its own, one call at a time, and each wait has an end.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinHandle, time::timeout};
use tracing::{info, warn};

use crate::{
    audit::{AuditChange, AuditLog, AuditRecord},
    clock::Mono,
    config::Id,
    jose::IssuerKey,
    liveness::Heartbeat,
    state_folder::{StateError, StateFile, StateFolder},
    trust::{
        deny_list::SignedDenyList,
        issuers::{DenyState, Issuer, Issuers},
    },
};

/// How long one call may take before others continue without it.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often a list that could not be written, or a file that could not be used, is tried again.
const AGAIN: Duration = Duration::from_secs(60);

/// What a call of the file system gave.
#[derive(Debug)]
enum FileCall {
    Read(Id, Result<Option<SignedDenyList>, StateError>),
    Written(SignedDenyList, Result<(), StateError>),
}

/// Who brought a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DenyListSource {
    /// The broker, which may bring an old one.
    Broker,
    /// The owner.
    Owner,
}

/// The issuers, their deny lists, and the files of these.
#[derive(Debug)]
pub(super) struct DenyStore {
    folder: Option<StateFolder>,
    issuers: watch::Sender<Arc<Issuers>>,
    audit: AuditLog,
    heartbeat: Heartbeat,
    /// A call that has not ended.
    call: Option<JoinHandle<FileCall>>,
    /// Lists that are in force and not in their file.
    behind: BTreeMap<Id, SignedDenyList>,
    /// When a call began last.
    tried: Mono,
}

impl DenyStore {
    pub(super) fn new(folder: Option<StateFolder>, audit: AuditLog, heartbeat: Heartbeat) -> Self {
        let issuers = watch::Sender::default();
        Self { folder, issuers, audit, heartbeat, call: None, behind: BTreeMap::new(), tried: Mono(0) }
    }

    /// The issuers, to be followed.
    pub(super) fn follow(&self) -> watch::Receiver<Arc<Issuers>> {
        self.issuers.subscribe()
    }

    /// The issuers.
    pub(super) fn issuers(&self) -> Arc<Issuers> {
        Arc::clone(&self.issuers.borrow())
    }

    /// Takes these issuers in place of those before.
    pub(super) fn configure(&self, keys: &[IssuerKey], token_max: Duration) {
        self.publish(self.issuers().with_keys(keys.iter().copied(), token_max.as_secs()));
    }

    /// Reads the file of each issuer that was not read yet.
    pub(super) async fn ready(&mut self) {
        // Once for each issuer, and once for a call that was there before.
        for _ in 0..=self.issuers().iter().count() {
            self.finish().await;
            let issuers = self.issuers();
            let unread = issuers.iter().find(|issuer| *issuer.state() == DenyState::Unread);
            match unread {
                Some(issuer) if self.call.is_none() => self.read(issuer),
                // Either all are read, or the file system hangs.
                _ => return,
            }
        }
    }

    /// Takes the result of a call that ended late, and tries again what failed.
    pub(super) async fn catch_up(&mut self) {
        if self.call.as_ref().is_some_and(|call| !call.is_finished()) {
            return;
        }
        self.ready().await;
        if self.call.is_some() || Mono::now().since(self.tried) < AGAIN {
            return;
        }
        let issuers = self.issuers();
        if let Some(list) = self.behind.values().next().cloned() {
            match self.write(list).await {
                Ok(()) => info!("the deny list that could not be written before is written"),
                Err(e) => warn!("{e}"),
            }
        } else if let Some(issuer) = issuers.iter().find(|issuer| *issuer.state() == DenyState::Unusable) {
            self.read(issuer);
            self.finish().await;
        }
    }

    /// Brings a list into force. The text says what is in force now, or why it is not this list.
    pub(super) async fn apply(&mut self, list: SignedDenyList, source: DenyListSource) -> Result<String, String> {
        self.ready().await;
        let issuers = self.issuers();
        let id = list.issuer().clone();
        let issuer = issuers.by_id(&id).ok_or("its issuer is not in access.issuer_file")?;
        match issuer.state() {
            DenyState::Known(known) => list.list().follows(known).map_err(|e| e.to_string())?,
            DenyState::Unread => return Err(format!("{} was not read yet; try again", self.path(&id))),
            // The number of the list before is lost, so a broker could bring an old one.
            DenyState::Unusable if source == DenyListSource::Broker => return Err(self.unusable(&id)),
            DenyState::Unusable => {}
        }
        self.publish(issuers.with_state(&id, DenyState::Known(Arc::clone(list.list()))));
        self.audit.record(AuditRecord::listed(id.clone(), None, None, AuditChange::Deny));
        let (number, count) = (list.list().number, list.list().ids.len());
        self.behind.insert(id.clone(), list.clone());
        self.write(list).await?;
        Ok(format!("deny list {number} of the issuer {id} is in force: {count} ids"))
    }

    /// The number of the list of this issuer that is in force.
    pub(super) fn number(&self, issuer: &Id) -> Option<u64> {
        self.issuers.borrow().by_id(issuer)?.denied().map(|list| list.number)
    }

    /// What the owner should know about the files. `None`: nothing.
    pub(super) fn note(&self) -> Option<String> {
        let issuers = self.issuers();
        let unusable = issuers.iter().find(|issuer| *issuer.state() == DenyState::Unusable);
        unusable.map(|issuer| self.unusable(issuer.id()))
    }

    /// Forgets when a call began last.
    #[cfg(test)]
    pub(super) fn try_again_now(&mut self) {
        self.tried = Mono(0);
    }

    fn read(&mut self, issuer: &Issuer) {
        let (id, key) = (issuer.id().clone(), *issuer.key());
        self.tried = Mono::now();
        let Some((folder, file)) = self.place(&id) else {
            // Without a folder there are no files, as at the first start.
            return self.take_read(&id, Ok(None));
        };
        self.call = Some(tokio::task::spawn_blocking(move || {
            let read = folder.read(file, |bytes| {
                let list = std::str::from_utf8(bytes).ok().map(|text| SignedDenyList::of_key(text, &key, None));
                list.and_then(Result::ok).ok_or("damaged, or signed by another key")
            });
            FileCall::Read(id, read)
        }));
    }

    async fn write(&mut self, list: SignedDenyList) -> Result<(), String> {
        let issuer = list.issuer().clone();
        let lost = |why: String| {
            format!("the deny list is in force, but it is lost at a restart of the daemon, until it comes again: {why}")
        };
        let Some((folder, file)) = self.place(&issuer) else {
            return Err(lost("there is no state folder: $STATE_DIRECTORY is not set".into()));
        };
        let late = format!("{}: the file system does not answer within {} s", self.path(&issuer), PATIENCE.as_secs());
        if self.call.is_some() {
            return Err(lost(late));
        }
        self.tried = Mono::now();
        self.call = Some(tokio::task::spawn_blocking(move || {
            let written = folder.write(file, format!("{}\n", list.text()).as_bytes(), None);
            FileCall::Written(list, written)
        }));
        match self.finish().await {
            _ if self.call.is_some() => Err(lost(late)),
            Some(why) => Err(lost(why)),
            None => Ok(()),
        }
    }

    /// Waits for the call, and takes its result. Returns why it failed. If it takes too long, it stays.
    async fn finish(&mut self) -> Option<String> {
        let call = self.call.as_mut()?;
        self.heartbeat.tick(Mono::now());
        let done = timeout(PATIENCE, call).await;
        self.heartbeat.tick(Mono::now());
        let done = done.ok()?;
        self.call = None;
        match done {
            Ok(FileCall::Read(id, read)) => {
                self.take_read(&id, read);
                None
            }
            Ok(FileCall::Written(list, Ok(()))) => {
                // A newer one may have come while this was being written.
                self.behind.retain(|id, newest| id != list.issuer() || newest.list().number > list.list().number);
                None
            }
            Ok(FileCall::Written(list, Err(e))) => Some(format!("write {}: {e}", self.path(list.issuer()))),
            Err(e) => Some(format!("deny list: {e}")),
        }
    }

    fn take_read(&self, id: &Id, read: Result<Option<SignedDenyList>, StateError>) {
        let issuers = self.issuers();
        let was = issuers.by_id(id).map(Issuer::state);
        // A list that came meanwhile is newer than the file.
        if matches!(was, None | Some(DenyState::Known(_))) {
            return;
        }
        let state = match read {
            Ok(list) => DenyState::Known(list.map(|list| Arc::clone(list.list())).unwrap_or_default()),
            Err(e) => {
                if was != Some(&DenyState::Unusable) {
                    warn!("{}: {e}", self.path(id));
                    warn!("{}", self.unusable(id));
                }
                DenyState::Unusable
            }
        };
        self.publish(issuers.with_state(id, state));
    }

    fn publish(&self, issuers: Issuers) {
        self.issuers.send_if_modified(|shown| {
            let changed = **shown != issuers;
            if changed {
                *shown = Arc::new(issuers);
            }
            changed
        });
    }

    fn place(&self, issuer: &Id) -> Option<(StateFolder, StateFile)> {
        self.folder.clone().zip(StateFile::deny_list(issuer.as_str()))
    }

    fn path(&self, issuer: &Id) -> String {
        let path = self.place(issuer).map(|(folder, file)| folder.path(file).display().to_string());
        path.unwrap_or_else(|| format!("the deny list of the issuer {issuer}"))
    }

    fn unusable(&self, issuer: &Id) -> String {
        let path = self.path(issuer);
        format!(
            "{path} cannot be used, so no token of the issuer {issuer} counts. Give the board the newest list: sudo \
             fanlight token apply FILE. If there is none, move the file away: sudo mv {path} {path}.damaged"
        )
    }
}
