//! The privacy switch at the owner's task: writes its record, reports each change, and does the owner's commands.
//!
//! The file system is used on a thread of its own, one call at a time, and nobody waits for it.

use tokio::{sync::mpsc, task::JoinHandle};
use tracing::{info, warn};

use crate::{
    audit::{AuditLog, AuditRecord},
    clock::Mono,
    privacy::{BoardPrivacy, PrivacyFault, PrivacyHandle, PrivacyNews, PrivacyRequest, PrivacySource, PrivacyState},
    state_folder::{PRIVACY, StateError, StateFolder},
};

/// What a write gave.
type Written = (Vec<u8>, Result<(), StateError>);

/// The switch, and its file.
#[derive(Debug)]
pub(super) struct PrivacyStore {
    folder: Option<StateFolder>,
    switch: PrivacyHandle,
    news: mpsc::Receiver<PrivacyNews>,
    audit: AuditLog,
    /// A write that has not ended.
    call: Option<JoinHandle<Written>>,
    /// Whether the log has that the record cannot be written.
    told: bool,
}

/// Reads the record at the start, before anything is opened. It may block. What cannot be read means that the switch is
/// on.
pub(super) fn restore(folder: Option<&StateFolder>) -> BoardPrivacy {
    let Some(folder) = folder else { return BoardPrivacy::restore(None) };
    let read = folder.read(PRIVACY, |bytes| Ok(bytes.to_vec()));
    let privacy = BoardPrivacy::restore(match &read {
        Ok(record) => record.as_deref(),
        Err(_) => Some(&[]),
    });
    let path = folder.path(PRIVACY);
    let path = path.display();
    match read {
        Err(e) => warn!("the privacy switch is on, because {path} cannot be read: {e}; sudo fanlight privacy off"),
        Ok(_) if *privacy.by() == PrivacySource::Fault => {
            warn!("the privacy switch is on, because {path} is damaged; sudo fanlight privacy off");
        }
        Ok(_) if privacy.is_on() => info!("the privacy switch is on since an earlier start"),
        Ok(_) => {}
    }
    privacy
}

impl PrivacyStore {
    pub(super) fn new(
        folder: Option<StateFolder>,
        switch: PrivacyHandle,
        news: mpsc::Receiver<PrivacyNews>,
        audit: AuditLog,
    ) -> Self {
        Self { folder, switch, news, audit, call: None, told: false }
    }

    /// Waits for the next change or the end of a write, and handles it. Cancel safe.
    pub(super) async fn run_once(&mut self) {
        tokio::select! {
            Some(news) = self.news.recv() => self.report(news),
            written = finished(&mut self.call) => self.written(written),
            else => std::future::pending().await,
        }
    }

    fn report(&self, PrivacyNews { is_on, by, name }: PrivacyNews) {
        let viewer = match &by {
            PrivacySource::Viewer(id) => Some(id.clone()),
            _ => None,
        };
        self.audit.record(AuditRecord::privacy(viewer, name, is_on, by.name()));
    }

    /// Begins to write the record, if it is due.
    pub(super) fn catch_up(&mut self) {
        if self.call.is_some() {
            return;
        }
        let Some(record) = self.switch.record_due(Mono::now()) else { return };
        match self.folder.clone() {
            Some(folder) => {
                self.call = Some(tokio::task::spawn_blocking(move || {
                    let written = folder.write(PRIVACY, &record, None);
                    (record, written)
                }));
            }
            None => {
                self.switch.wrote(&record, true, Mono::now());
                info!("the privacy switch lasts until the daemon ends: $STATE_DIRECTORY is not set");
            }
        }
    }

    fn written(&mut self, written: Option<Written>) {
        let now = Mono::now();
        // A thread that panicked wrote nothing: the same record is due again.
        let Some((record, written)) = written else { return };
        let is_behind = self.switch.wrote(&record, written.is_ok(), now);
        match written {
            Err(e) if !self.told => {
                self.told = true;
                warn!("{}: {e}; it is tried again", self.note());
            }
            Ok(()) if self.told && !is_behind => {
                self.told = false;
                info!("the privacy switch is written");
            }
            Err(_) | Ok(()) => {}
        }
    }

    /// What the owner should know about a record that is not written.
    fn note(&self) -> String {
        let path = self.folder.as_ref().map(|folder| folder.path(PRIVACY).display().to_string()).unwrap_or_default();
        format!("{path} could not be written: after a restart, the privacy switch may be as it was before")
    }

    /// Sets or lifts the switch for the owner.
    pub(super) fn set(&mut self, on: bool) -> Result<String, String> {
        let request = if on { PrivacyRequest::Set } else { PrivacyRequest::Lift { change: None } };
        let now = Mono::now();
        match self.switch.ask(&request, PrivacySource::Owner, None, false, now) {
            Ok(state) => Ok(text(&state)),
            Err(PrivacyFault::TooSoon(pause)) => {
                let seconds = pause.as_secs() + 1;
                Err(format!("the privacy switch was lifted a moment ago; try again in {seconds} s"))
            }
            Err(PrivacyFault::NotAllowed | PrivacyFault::Changed(_)) => {
                Err(format!("the privacy switch was not changed: {}", text(&self.switch.state(now))))
            }
        }
    }

    /// The switch as a sentence.
    pub(super) fn status(&self) -> String {
        let text = text(&self.switch.state(Mono::now()));
        if self.told { format!("{text}\nwarning: {}", self.note()) } else { text }
    }
}

/// The switch as a sentence: `privacy is on: set 61 s ago by viewer anna, "Anna's phone"`.
fn text(state: &PrivacyState) -> String {
    let position = if state.is_on { "privacy is on: camera and microphone are stopped" } else { "privacy is off" };
    let done = if state.is_on { "set" } else { "lifted" };
    let by = match &state.by {
        PrivacySource::Nobody => return format!("{position}; the switch was never used"),
        PrivacySource::Fault => return format!("{position}, because the record of the switch could not be read"),
        PrivacySource::Owner => "the owner".to_owned(),
        PrivacySource::Button => "the button".to_owned(),
        PrivacySource::Viewer(id) => match &state.name {
            Some(name) => format!("viewer {id}, {name:?}"),
            None => format!("viewer {id}"),
        },
    };
    match state.age {
        Some(age) => format!("{position}; {done} {} s ago by {by}", age.as_secs()),
        None => format!("{position}; {done} before the daemon started, by {by}"),
    }
}

async fn finished(call: &mut Option<JoinHandle<Written>>) -> Option<Written> {
    let Some(running) = call else { return std::future::pending().await };
    let written = running.await.ok();
    *call = None;
    written
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::Id;

    #[test]
    fn the_switch_as_a_sentence() {
        let state = |is_on, by, age: Option<u64>| PrivacyState {
            is_on,
            change: 3,
            by,
            name: Some("Anna's phone".into()),
            age: age.map(Duration::from_secs),
        };
        let anna = || PrivacySource::Viewer(Id::new("anna").unwrap());
        for (state, expected) in [
            (state(false, PrivacySource::Nobody, None), "privacy is off; the switch was never used"),
            (
                state(true, anna(), Some(61)),
                "privacy is on: camera and microphone are stopped; set 61 s ago by viewer anna, \"Anna's phone\"",
            ),
            (
                state(false, PrivacySource::Owner, None),
                "privacy is off; lifted before the daemon started, by the owner",
            ),
            (
                state(true, PrivacySource::Fault, None),
                "privacy is on: camera and microphone are stopped, because the record of the switch could not be read",
            ),
        ] {
            assert_eq!(text(&state), expected);
        }
    }

    #[tokio::test]
    async fn a_change_is_written_and_a_record_that_cannot_be_read_means_on() {
        let dir = tempfile::tempdir().unwrap();
        let folder = StateFolder::at(dir.path());
        let (switch, news) = PrivacyHandle::new(restore(Some(&folder)));
        let mut store = PrivacyStore::new(Some(folder.clone()), switch.clone(), news, AuditLog::kept().0);
        for (on, change) in [(true, 1), (false, 2)] {
            store.set(on).unwrap();
            store.catch_up();
            while switch.is_unsaved() {
                store.run_once().await;
            }
            let after = restore(Some(&folder));
            assert_eq!((after.is_on(), after.change(), after.by()), (on, change, &PrivacySource::Owner));
        }
        std::fs::write(folder.path(PRIVACY), "damaged").unwrap();
        assert!(restore(Some(&folder)).is_on());
        std::fs::remove_file(folder.path(PRIVACY)).unwrap();
        std::fs::create_dir(folder.path(PRIVACY)).unwrap();
        assert!(restore(Some(&folder)).is_on());
        // The record cannot be written now. The switch is in force, and the owner reads it.
        store.set(true).unwrap();
        store.catch_up();
        while store.call.is_some() {
            store.run_once().await;
        }
        assert!(switch.state(Mono::now()).is_on && switch.is_unsaved());
        assert!(store.status().contains("warning: ") && store.status().contains("/privacy"), "{}", store.status());
    }
}
