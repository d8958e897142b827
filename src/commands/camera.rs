//! Commands to a camera that take time: a snapshot, and its controls. The camera is on while they wait.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
    time::timeout,
};
use tracing::warn;

use super::{late::Worked, saved_controls::SavedControls};
use crate::{
    clock::{self, Mono},
    feed::{CameraQuestion, CameraRefusal, CameraRequests, Health},
    media_source::MediaSource,
    picture::JpegOptions,
    protocol::{
        ErrorName, Refusal,
        command::SnapshotArgs,
        command_result::{CommandOk, ControlsPage, SNAPSHOT_MAX, SNAPSHOT_PART, SnapshotHead},
    },
};

/// Snapshots that are taken at once, for all viewers together.
const SNAPSHOTS: usize = 4;
/// When to try again if there are too many.
const PAUSE: Duration = Duration::from_secs(1);
/// How long a camera may take to answer. The whole command may take longer.
const ANSWER: Duration = Duration::from_secs(8);

/// What limits the snapshots. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Snapshots {
    /// How many may be taken at once.
    taken: Arc<Semaphore>,
    /// One at a time becomes a JPEG: that needs memory and the processor.
    coded: Arc<Semaphore>,
}

impl Default for Snapshots {
    fn default() -> Self {
        Self { taken: Arc::new(Semaphore::new(SNAPSHOTS)), coded: Arc::new(Semaphore::new(1)) }
    }
}

impl Snapshots {
    /// Lets another one be taken, or refuses it.
    pub(super) fn enter(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        Arc::clone(&self.taken).try_acquire_owned().map_err(|_| {
            let message = format!("snapshot: {SNAPSHOTS} are taken now, and no more are possible");
            Refusal::new(ErrorName::Busy, message).retry_after(PAUSE)
        })
    }

    /// Takes a snapshot.
    pub(super) async fn take(self, _entered: OwnedSemaphorePermit, source: MediaSource, args: SnapshotArgs) -> Worked {
        let taken = ask(&source, "snapshot", CameraRequests::ask_picture).await?;
        let turn = self.coded.acquire_owned().await.map_err(|_| fault("its queue is closed"))?;
        let SnapshotArgs { camera, width, height, quality } = args;
        let options = JpegOptions { width, height, quality };
        let code = move || {
            // Held to the end, also if nobody waits for it any more.
            let _turn = turn;
            taken.picture.jpeg(options)
        };
        let coded = spawn_blocking(code).await.unwrap_or_else(|e| Err(e.to_string()));
        let jpeg = coded.map_err(|what| fault(&what))?;
        // The switch may have been set meanwhile.
        if *source.health().borrow() == Health::Privacy {
            return Err(private("snapshot"));
        }
        let bytes = jpeg.bytes.len();
        if bytes > SNAPSHOT_MAX {
            return Err(too_large(bytes));
        }
        let head = SnapshotHead {
            camera: camera.to_string(),
            width: jpeg.width,
            height: jpeg.height,
            bytes,
            parts: bytes.div_ceil(SNAPSHOT_PART),
            age_ms: u64::try_from(Mono::now().since(taken.at).as_millis()).unwrap_or(u64::MAX),
            at: clock::is_synced().then(|| taken.at.wall().as_secs()),
        };
        Ok((CommandOk::Snapshot(head), jpeg.bytes))
    }
}

/// Lists the controls after the one with this name.
pub(super) async fn list(source: MediaSource, after: Option<String>) -> Worked {
    let all = ask(&source, "controls.list", CameraRequests::ask_controls).await?;
    Ok((CommandOk::Controls(ControlsPage::after(after.as_deref(), all)?), Vec::new()))
}

/// Reads controls. One that cannot be read is left out.
pub(super) async fn get(source: MediaSource, names: Vec<String>) -> Worked {
    let all = ask(&source, "controls.get", CameraRequests::ask_controls).await?;
    let mut values = BTreeMap::new();
    for name in names {
        let Some(control) = all.iter().find(|control| control.name == name) else {
            let message = format!("controls.get: the camera has no control {name}; controls.list names all");
            return Err(Refusal::new(ErrorName::NotFound, message));
        };
        values.extend(control.value.map(|value| (name, value)));
    }
    Ok((CommandOk::Values { values }, Vec::new()))
}

/// Sets controls. `saved`: where they are saved then, but those that cannot be read, such as buttons.
pub(super) async fn set(
    source: MediaSource,
    mut values: BTreeMap<String, i32>,
    saved: Option<SavedControls>,
) -> Worked {
    let given = values.clone();
    let now = ask(&source, "controls.set", |camera| camera.set_controls(given)).await?;
    if let Some(saved) = saved {
        values.retain(|name, _| now.contains_key(name));
        saved.save(&source, values).await?;
    }
    Ok((CommandOk::Values { values: now }, Vec::new()))
}

/// Switches the camera on, if it is off, and asks it. It goes off again after its linger time.
async fn ask<T>(
    source: &MediaSource,
    command: &str,
    question: impl FnOnce(&CameraRequests) -> Option<CameraQuestion<T>>,
) -> Result<T, Refusal> {
    let mut health = source.health();
    if *health.borrow() == Health::Privacy {
        return Err(private(command));
    }
    let _lease = source.lease();
    let question = question(source.camera()).ok_or_else(|| {
        let message = format!("{command}: too many commands wait for this camera");
        Refusal::new(ErrorName::Busy, message).retry_after(PAUSE)
    })?;
    tokio::select! {
        answer = timeout(ANSWER, question) => match answer {
            Ok(Ok(answer)) => answer.map_err(|refusal| refused(command, &refusal)),
            Ok(Err(_)) => Err(Refusal::new(ErrorName::DeviceError, format!("{command}: the camera was closed"))),
            Err(_) => Err(silent(source, command)),
        },
        Ok(_) = health.wait_for(|health| *health == Health::Privacy) => Err(private(command)),
    }
}

fn private(command: &str) -> Refusal {
    Refusal::new(ErrorName::Privacy, format!("{command}: the camera is stopped for privacy, or its lens is covered"))
}

fn too_large(bytes: usize) -> Refusal {
    let (is, most) = (bytes.div_ceil(1024), SNAPSHOT_MAX / 1024);
    let message =
        format!("snapshot: the JPEG has {is} KiB; {most} KiB are possible: ask for a smaller size or quality");
    Refusal::new(ErrorName::TooLarge, message)
}

/// A fault while a JPEG was made.
fn fault(what: &str) -> Refusal {
    warn!("snapshot: make the JPEG: {what}");
    Refusal::new(ErrorName::Internal, "snapshot: a fault of this device: its log says more")
}

/// The camera did not answer in time.
fn silent(source: &MediaSource, command: &str) -> Refusal {
    let name = match *source.health().borrow() {
        Health::Absent => ErrorName::NoMedia,
        _ => ErrorName::Timeout,
    };
    let why = source.trouble().map(|why| format!(": {why}")).unwrap_or_default();
    Refusal::new(name, format!("{command}: the camera gave no answer within {ANSWER:?}{why}"))
}

fn refused(command: &str, refusal: &CameraRefusal) -> Refusal {
    let name = match refusal {
        CameraRefusal::Unsupported(_) => ErrorName::Unsupported,
        CameraRefusal::NotFound(_) => ErrorName::NotFound,
        CameraRefusal::OutOfRange(_) => ErrorName::OutOfRange,
        CameraRefusal::Failed(_) => ErrorName::DeviceError,
    };
    Refusal::new(name, format!("{command}: {}", refusal.text()))
}

#[cfg(test)]
#[path = "camera_tests.rs"]
pub(super) mod tests;
