//! The list of viewers in memory and on disk. What could not be written is not granted. What is taken away (a viewer, a
//! right, or the time until an end) takes effect at once, whether or not it can be written.
//!
//! The file system is used on a thread of its own, one call at a time, and each wait for it has an end. A write that
//! ends after that takes effect then, so that memory and file never stay apart.

use std::{collections::HashMap, sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinHandle, time::timeout};
use tracing::{info, warn};

use super::audit;
use crate::{
    audit::AuditLog,
    clock::Mono,
    config::Id,
    liveness::Heartbeat,
    protocol::{Right, Rights},
    state_folder::{StateError, StateFolder, VIEWERS},
    trust::{
        LastSeen, list_changes,
        viewer_list::{EntryOrigin, ListError, ViewerEntry, ViewerList},
    },
};

/// How long one call may take before the command is answered without it.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often what was taken away and could not be written is tried again.
const AGAIN: Duration = Duration::from_secs(60);

/// What is known of the file.
#[derive(Debug)]
enum FileState {
    /// It was not read yet.
    Unread,
    /// Memory has what the file has.
    Read,
    /// It cannot be used, for this reason. Nobody of it may watch.
    Unusable(String),
}

/// What a call of the file system gave.
#[derive(Debug)]
enum Done {
    Read(Result<Option<ViewerList>, StateError>),
    Written(ViewerList, Result<(), StateError>),
}

/// The list of viewers, and its file.
#[derive(Debug)]
pub(super) struct Store {
    folder: Option<StateFolder>,
    list: watch::Sender<Arc<ViewerList>>,
    last_seen: LastSeen,
    audit: AuditLog,
    heartbeat: Heartbeat,
    file: FileState,
    /// A call that has not ended.
    call: Option<JoinHandle<Done>>,
    /// Viewers from whom something was taken away since the last write began, and what they kept. `None`: nothing, as
    /// they were taken off the list.
    taken: HashMap<Id, Option<(Rights, Option<u64>)>>,
    /// Whether the file gives what was taken away.
    is_behind: bool,
    /// When the last write began.
    written: Mono,
}

impl Store {
    pub(super) fn new(folder: Option<StateFolder>, last_seen: LastSeen, audit: AuditLog, heartbeat: Heartbeat) -> Self {
        Self {
            folder,
            list: watch::Sender::default(),
            last_seen,
            audit,
            heartbeat,
            file: FileState::Unread,
            call: None,
            taken: HashMap::new(),
            is_behind: false,
            written: Mono(0),
        }
    }

    /// The list, to be followed.
    pub(super) fn follow(&self) -> watch::Receiver<Arc<ViewerList>> {
        self.list.subscribe()
    }

    /// The list.
    pub(super) fn list(&self) -> Arc<ViewerList> {
        Arc::clone(&self.list.borrow())
    }

    /// Puts these viewers of the configuration into the list, in place of those before. `is_change`: it is not the
    /// start.
    pub(super) fn configure(&mut self, configured: &[ViewerEntry], is_change: bool) {
        let list = self.list().with_configured(configured.iter().cloned());
        self.publish(list, is_change);
    }

    /// What the owner should know about the file. `None`: nothing.
    pub(super) fn note(&self) -> Option<String> {
        match &self.file {
            FileState::Unread => Some(self.unusable("it was not read yet")),
            FileState::Unusable(why) => Some(self.unusable(why)),
            FileState::Read if self.is_behind => Some(format!(
                "{} could not be written: what was taken away from viewers could come back after a restart",
                self.path()
            )),
            FileState::Read => None,
        }
    }

    /// Takes the result of a call that ended late, and tries again to write what was taken away.
    pub(super) async fn catch_up(&mut self) {
        if self.call.as_ref().is_some_and(JoinHandle::is_finished) {
            match self.finish().await {
                Ok(()) => info!("{}: the file system answers again", self.path()),
                Err(e) => warn!("{e}"),
            }
        }
        if self.is_behind && self.call.is_none() && Mono::now().since(self.written) >= AGAIN {
            let list = ViewerList::clone(&self.list());
            match self.write(list).await {
                Ok(()) => info!("{}: written; what was taken away from viewers stays away", self.path()),
                Err(e) => warn!("{e}; what was taken away from viewers could come back after a restart"),
            }
        }
    }

    /// Reads the file, unless it was read before. An error says why the list cannot be changed.
    pub(super) async fn ready(&mut self) -> Result<(), String> {
        if self.call.is_some() {
            self.finish().await?;
        }
        if !matches!(self.file, FileState::Read) {
            let folder = self.folder.clone().ok_or("there is no state folder: $STATE_DIRECTORY is not set")?;
            self.call = Some(tokio::task::spawn_blocking(move || Done::Read(folder.read(VIEWERS, ViewerList::parse))));
            self.finish().await?;
        }
        match &self.file {
            FileState::Read => Ok(()),
            FileState::Unread => Err(self.unusable("it was not read yet")),
            FileState::Unusable(why) => Err(self.unusable(why)),
        }
    }

    /// Changes the list: first the file, then memory. An error says why nothing was changed.
    pub(super) async fn change(
        &mut self,
        change: impl FnOnce(&mut ViewerList) -> Result<(), ListError>,
    ) -> Result<(), String> {
        self.ready().await?;
        let mut list = ViewerList::clone(&self.list());
        change(&mut list).map_err(|e| e.to_string())?;
        self.write(list).await
    }

    /// Takes a viewer off the list: first from memory, then from the file. An error of the second says so.
    pub(super) async fn remove(&mut self, id: &Id) -> Result<(), String> {
        let mut list = ViewerList::clone(&self.list());
        list.remove(id).map_err(|e| e.to_string())?;
        self.publish(list.clone(), true);
        self.is_behind = true;
        self.taken.insert(id.clone(), None);
        let written = match self.ready().await {
            // A call that ended late may have changed the list. The viewer is not on it.
            Ok(()) => self.write(ViewerList::clone(&self.list())).await,
            Err(e) => Err(e),
        };
        written.map_err(|e| format!("it may watch no longer, but it could again after a restart of the daemon: {e}"))
    }

    /// Gives a viewer other rights, or another end. What this takes away leaves memory first, and what it gives comes
    /// with the file. An error says what was not done.
    pub(super) async fn permit(
        &mut self,
        id: &Id,
        rights: Option<Rights>,
        until: Option<Option<u64>>,
    ) -> Result<(), String> {
        let change = |list: &mut ViewerList| {
            rights.map_or(Ok(()), |rights| list.set_rights(id, rights))?;
            until.map_or(Ok(()), |until| list.set_until(id, until))
        };
        let mut list = ViewerList::clone(&self.list());
        // What is not possible takes nothing away.
        change(&mut list.clone()).map_err(|e| e.to_string())?;
        let all = Rights::of(Right::ALL);
        let takes = list.restrict(id, rights.unwrap_or(all), until.flatten()).map_err(|e| e.to_string())?;
        if takes {
            self.taken.insert(id.clone(), list.by_id(id).map(|entry| (entry.rights, entry.until)));
            self.publish(list, true);
            self.is_behind = true;
        }
        let kept = "what was taken away is in force, but it could come back after a restart of the daemon";
        self.change(change).await.map_err(|e| if takes { format!("{kept}: {e}") } else { e })
    }

    async fn write(&mut self, list: ViewerList) -> Result<(), String> {
        let folder = self.folder.clone().ok_or("there is no state folder: $STATE_DIRECTORY is not set")?;
        // The list was made of memory, where it is gone.
        self.taken.clear();
        self.written = Mono::now();
        self.call = Some(tokio::task::spawn_blocking(move || {
            let written = folder.write(VIEWERS, &list.to_bytes(), None);
            Done::Written(list, written)
        }));
        self.finish().await
    }

    /// Waits for the call, and takes its result.
    async fn finish(&mut self) -> Result<(), String> {
        let Some(call) = &mut self.call else { return Ok(()) };
        self.heartbeat.tick(Mono::now());
        let done = timeout(PATIENCE, call).await;
        self.heartbeat.tick(Mono::now());
        let Ok(done) = done else {
            return Err(format!(
                "{}: the file system does not answer within {} s; what was asked takes effect when it does",
                self.path(),
                PATIENCE.as_secs()
            ));
        };
        self.call = None;
        match done {
            Ok(Done::Read(read)) => {
                self.take_read(read);
                Ok(())
            }
            Ok(Done::Written(list, written)) => self.take_written(list, written),
            Err(e) => Err(format!("{}: {e}", self.path())),
        }
    }

    fn take_read(&mut self, read: Result<Option<ViewerList>, StateError>) {
        match read {
            Ok(file) => {
                let list = self.list();
                let configured = list.iter().map(|(_, entry)| entry);
                let configured = configured.filter(|entry| entry.origin == EntryOrigin::Configured).cloned();
                // Nobody changed the list: it becomes known.
                self.publish(file.unwrap_or_default().with_configured(configured), false);
                self.file = FileState::Read;
            }
            Err(e) => {
                self.file = FileState::Unusable(e.to_string());
                warn!("{}", self.unusable(&e.to_string()));
            }
        }
    }

    fn take_written(&mut self, mut list: ViewerList, written: Result<(), StateError>) -> Result<(), String> {
        match written {
            Ok(()) => {
                // What was taken away while it was being written. A viewer that is not on it has nothing.
                for (id, left) in &self.taken {
                    let _ = match left {
                        Some((rights, until)) => list.restrict(id, *rights, *until).map(drop),
                        None => list.remove(id).map(drop),
                    };
                }
                self.is_behind = !self.taken.is_empty();
                self.publish(list, true);
                Ok(())
            }
            Err(e) => Err(format!("write {}: {e}; the file is as before", self.path())),
        }
    }

    /// Makes this list the one that counts. `is_change`: there are records of what differs.
    fn publish(&self, list: ViewerList, is_change: bool) {
        self.last_seen.keep(&list);
        if is_change {
            let changes = list_changes::changes(&self.list(), &list);
            changes.into_iter().for_each(|change| self.audit.record(audit::of_change(change)));
        }
        self.list.send_if_modified(|shown| {
            let changed = **shown != list;
            if changed {
                *shown = Arc::new(list);
            }
            changed
        });
    }

    fn path(&self) -> String {
        let path = self.folder.as_ref().map(|folder| folder.path(VIEWERS).display().to_string());
        path.unwrap_or_else(|| "the list of viewers".to_owned())
    }

    fn unusable(&self, why: &str) -> String {
        let path = self.path();
        format!(
            "{path}: {why}. No viewer of this file may watch, and nothing is written over it. Repair it, or move it \
             away (sudo mv {path} {path}.damaged) and add the viewers again"
        )
    }
}
