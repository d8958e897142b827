//! The controls of cameras that viewers saved, in the state folder. The device threads set them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::task::spawn_blocking;
use tracing::warn;

use crate::{
    config::Id,
    feed::SAVED_CONTROLS,
    media_source::{MediaSource, MediaSources, SourceId},
    protocol::{ErrorName, Refusal},
    state_folder::{CONTROLS, StateFolder},
};

/// The content of the file: by the id of the camera, the values by the names of controls.
type Saved = BTreeMap<String, BTreeMap<String, i32>>;

/// Writes the saved controls. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct SavedControls {
    sources: MediaSources,
    /// `None`: this daemon has no state folder.
    folder: Option<StateFolder>,
    /// Held while the file is made, so that the newest values are written last.
    writing: Arc<Mutex<()>>,
}

/// Reads the saved controls at the start. It may block. What cannot be read is lost, and the log says so.
pub fn restore_controls(folder: &StateFolder, sources: &MediaSources) {
    let saved = match folder.read(CONTROLS, parse) {
        Ok(saved) => saved.unwrap_or_default(),
        Err(e) => {
            return warn!("the saved controls of cameras in {} are not used: {e}", folder.path(CONTROLS).display());
        }
    };
    for (id, values) in saved {
        let source = Id::new(&id).and_then(|id| sources.get(&SourceId::Camera(id)));
        if source.is_some_and(|source| !source.camera().save(values)) {
            warn!("camera {id}: its saved controls are not used: {SAVED_CONTROLS} are possible");
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Saved, &'static str> {
    serde_json::from_slice(bytes).map_err(|_| "damaged: not an object of cameras with their controls")
}

impl SavedControls {
    pub(super) fn new(sources: MediaSources, folder: Option<StateFolder>) -> Self {
        Self { sources, folder, writing: Arc::default() }
    }

    /// Refuses to save if that is not possible.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        if self.folder.is_some() {
            return Ok(());
        }
        let message = "controls.set: this board has no folder to save controls: set them without save";
        Err(Refusal::new(ErrorName::Unsupported, message))
    }

    /// Saves controls that were set.
    pub(super) async fn save(self, source: &MediaSource, values: BTreeMap<String, i32>) -> Result<(), Refusal> {
        if !source.camera().save(values) {
            let message =
                format!("controls.set: they are set, and not saved: {SAVED_CONTROLS} of a camera can be saved");
            return Err(Refusal::new(ErrorName::OutOfRange, message));
        }
        let written = spawn_blocking(move || self.write()).await.unwrap_or_else(|e| Err(e.to_string()));
        written.map_err(|what| {
            warn!("the saved controls of cameras are not written: {what}");
            let message = "controls.set: they are set, and saved until the daemon ends: the board's log says more";
            Refusal::new(ErrorName::Internal, message)
        })
    }

    /// Blocks.
    fn write(&self) -> Result<(), String> {
        let Some(folder) = &self.folder else { return Ok(()) };
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let saved: Saved =
            self.sources.cameras_by_id().map(|(id, source)| (id.to_string(), source.camera().saved())).collect();
        let text = serde_json::to_vec(&saved).map_err(|e| e.to_string())?;
        folder.write(CONTROLS, &text, None).map_err(|e| format!("{}: {e}", folder.path(CONTROLS).display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::camera::tests::camera;

    fn values(value: i32) -> BTreeMap<String, i32> {
        [("gain".to_owned(), value)].into()
    }

    fn board() -> (MediaSources, MediaSource) {
        let source = camera();
        let id = SourceId::Camera(Id::new("main").unwrap());
        ([(id, source.clone())].into_iter().collect(), source)
    }

    #[tokio::test]
    async fn what_is_saved_is_there_after_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let folder = StateFolder::at(dir.path());
        let (sources, source) = board();
        restore_controls(&folder, &sources);
        assert!(source.camera().saved().is_empty(), "there is no file yet");
        let saved = SavedControls::new(sources, Some(folder.clone()));
        saved.check().unwrap();
        saved.clone().save(&source, values(5)).await.unwrap();
        saved.save(&source, [("zoom".to_owned(), 1)].into()).await.unwrap();
        let (sources, source) = board();
        restore_controls(&folder, &sources);
        assert_eq!(source.camera().saved(), [("gain".to_owned(), 5), ("zoom".to_owned(), 1)].into());
    }

    #[tokio::test]
    async fn faults_are_told_and_lose_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let folder = StateFolder::at(dir.path());
        for text in ["", "[]", r#"{"main":{"gain":1.5}}"#, r#"{"garden":{"gain":1}}"#] {
            std::fs::write(folder.path(CONTROLS), text).unwrap();
            let (sources, source) = board();
            restore_controls(&folder, &sources);
            assert!(source.camera().saved().is_empty(), "{text}");
        }
        let (sources, source) = board();
        let nowhere = StateFolder::at(&dir.path().join("gone"));
        let saved = SavedControls::new(sources.clone(), Some(nowhere));
        let refusal = saved.clone().save(&source, values(5)).await.unwrap_err();
        assert_eq!((refusal.name, source.camera().saved()), (ErrorName::Internal, values(5)));
        let many = (0..SAVED_CONTROLS).map(|n| (format!("control_{n}"), 1)).collect();
        assert_eq!(saved.save(&source, many).await.unwrap_err().name, ErrorName::OutOfRange);
        assert_eq!(SavedControls::new(sources, None).check().unwrap_err().name, ErrorName::Unsupported);
    }
}
