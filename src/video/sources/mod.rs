//! Video sources: a camera, the test picture or a clip. Also chooses the camera if none is configured.

pub(crate) mod clip;
pub mod clockstrip;
pub(crate) mod pattern;
pub(crate) mod unit;
mod y4m;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use tracing::info;

use crate::{
    clock::Mono,
    config::{Video, VideoSource},
    feed::{ControlsQuestion, Fault},
    meter::Counts,
    units::Bitrate,
    video::{
        SourceFrame,
        capture::{
            camera::{self, Camera},
            controls,
            dmabuf::DmabufExport,
        },
        frame_pace::Rate,
        sources::{clip::VideoClip, pattern::Pattern},
        v4l2::{self, Buffer, Node},
    },
};

/// An open source.
pub(crate) enum Source {
    /// A V4L2 camera.
    Camera(Box<Camera>),
    /// The test picture.
    Pattern(Box<Pattern>, Rate),
    /// A file.
    Clip(Box<VideoClip>),
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Camera(camera) => f.write_str(camera.name()),
            Self::Pattern(..) => f.write_str("test picture"),
            Self::Clip(clip) => f.write_str(clip.name()),
        }
    }
}

/// The source that a configuration leads to, and the cameras that were skipped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoChoice {
    /// The source, or why there is none. It is never `Auto`.
    pub source: Result<VideoSource, Fault>,
    /// Why each skipped camera is not used, one sentence each.
    pub refused: Vec<String>,
}

/// Returns which source would be used, and why others would not. It starts nothing.
pub fn choose(config: &Video) -> VideoChoice {
    let given = match &config.source {
        VideoSource::Auto => return choose_camera(config),
        VideoSource::Camera(path) => look(path, config),
        VideoSource::Test => Pattern::new(config.size, config.fps).map(drop).map_err(test_fault),
        VideoSource::Clip(path) => VideoClip::open(path, config.fps).map(drop),
        VideoSource::Off => Ok(()),
    };
    VideoChoice { source: given.map(|()| config.source.clone()), refused: Vec::new() }
}

fn choose_camera(config: &Video) -> VideoChoice {
    let mut refused = Vec::new();
    for path in nodes(Path::new("/dev")) {
        match look(&path, config) {
            Ok(()) => return VideoChoice { source: Ok(VideoSource::Camera(path)), refused },
            Err(fault) => refused.push(fault.to_string()),
        }
    }
    VideoChoice { source: Err(Fault::Absent(no_camera(&refused))), refused }
}

/// Whether a node is a camera with a usable mode.
fn look(path: &Path, config: &Video) -> Result<(), Fault> {
    let found = camera::find(path)?;
    camera::mode(&found, config).map(drop)
}

fn no_camera(refused: &[String]) -> String {
    match refused {
        [] => "no camera: /dev/video* does not exist".to_owned(),
        refused => format!("no camera: {}", refused.join("; ")),
    }
}

fn test_fault(what: String) -> Fault {
    Fault::Failed(format!("test picture {what}"))
}

/// The nodes `videoN` of a folder, in the order of their numbers.
pub(crate) fn nodes(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let number = |path: &PathBuf| path.file_name()?.to_str()?.strip_prefix("video")?.parse::<u32>().ok();
    let mut nodes: Vec<(u32, PathBuf)> =
        entries.filter_map(|entry| Some((number(&entry.path())?, entry.path()))).collect();
    nodes.sort();
    nodes.into_iter().map(|(_, path)| path).collect()
}

impl Source {
    /// Opens the configured source. `coded`: whether a camera's own H.264 is accepted.
    pub(crate) fn open(config: &Video, coded: bool) -> Result<Self, Fault> {
        match &config.source {
            VideoSource::Auto => Self::open_first(config, coded),
            VideoSource::Camera(path) => Ok(Self::Camera(Box::new(Camera::open(path, config, coded)?))),
            VideoSource::Test => {
                let pattern = Pattern::new(config.size, config.fps).map_err(test_fault)?;
                Ok(Self::Pattern(Box::new(pattern), Rate::whole(config.fps)))
            }
            VideoSource::Clip(path) => Ok(Self::Clip(Box::new(VideoClip::open(path, config.fps)?))),
            VideoSource::Off => Err(Fault::Absent("video is switched off in the configuration".into())),
        }
    }

    /// The first camera that can be started. One that another program uses is skipped too.
    fn open_first(config: &Video, coded: bool) -> Result<Self, Fault> {
        let mut refused = Vec::new();
        for path in nodes(Path::new("/dev")) {
            match Camera::open(&path, config, coded) {
                Ok(camera) => {
                    refused.iter().for_each(|reason| info!("skipped: {reason}"));
                    return Ok(Self::Camera(Box::new(camera)));
                }
                Err(fault) => refused.push(fault.to_string()),
            }
        }
        Err(Fault::Absent(no_camera(&refused)))
    }

    /// Frames per second; `None` if unknown.
    pub(crate) fn rate(&self) -> Option<Rate> {
        match self {
            Self::Camera(camera) => camera.rate(),
            Self::Pattern(_, rate) => Some(*rate),
            Self::Clip(clip) => Some(clip.rate()),
        }
    }

    /// Whether its frames come encoded.
    pub(crate) fn is_coded(&self) -> bool {
        match self {
            Self::Camera(camera) => camera.is_coded(),
            Self::Pattern(..) => false,
            Self::Clip(clip) => clip.is_coded(),
        }
    }

    /// Whether it makes keyframes on request. If not, they are requested only when a viewer needs one, since a clip
    /// skips frames for it.
    pub(crate) fn makes_keyframes(&self) -> bool {
        match self {
            Self::Camera(camera) => !camera.is_coded() || camera.can_make_key(),
            other => !other.is_coded(),
        }
    }

    /// Requests a keyframe from a source that delivers coded frames.
    pub(crate) fn force_keyframe(&mut self) {
        match self {
            Self::Camera(camera) => camera.force_keyframe(),
            Self::Pattern(..) => {}
            Self::Clip(clip) => clip.seek_key(),
        }
    }

    /// Sets the bitrate of a source that delivers coded frames.
    pub(crate) fn set_bitrate(&mut self, bitrate: Bitrate) {
        if let Self::Camera(camera) = self {
            camera.set_bitrate(bitrate);
        }
    }

    /// A camera's buffers, if the driver can export them.
    pub(crate) fn dmabuf_export(&self) -> Option<DmabufExport> {
        if let Self::Camera(camera) = self { camera.dmabuf_export() } else { None }
    }

    /// Whether the next frames are exported (DMABUF) instead of unpacked.
    pub(crate) fn export_frames(&mut self, exports: bool) {
        if let Self::Camera(camera) = self {
            camera.export_frames(exports);
        }
    }

    /// Queues exported buffers at the camera again.
    pub(crate) fn requeue(&mut self, buffers: Vec<Buffer>) -> Result<(), Fault> {
        let Self::Camera(camera) = self else { return Ok(()) };
        buffers.into_iter().try_for_each(|buffer| camera.requeue(buffer))
    }

    /// Whether it is a camera, which begins with a keyframe when it is opened again.
    pub(crate) fn is_camera(&self) -> bool {
        matches!(self, Self::Camera(_))
    }

    /// Whether it is a camera that has formats other than H.264.
    pub(crate) fn has_raw(&self) -> bool {
        matches!(self, Self::Camera(camera) if camera.has_raw())
    }

    /// Whether a camera's shutter is closed.
    pub(crate) fn is_covered(&mut self) -> bool {
        if let Self::Camera(camera) = self { camera.is_covered() } else { false }
    }

    /// Answers a question about its controls. Only a camera has some.
    pub(crate) fn answer(&self, question: ControlsQuestion) {
        controls::answer(self.node(), &self.to_string(), question);
    }

    /// Sets the controls that viewers saved.
    pub(crate) fn restore_controls(&self, saved: &BTreeMap<String, i32>) {
        controls::restore(self.node(), &self.to_string(), saved);
    }

    fn node(&self) -> Option<&Node> {
        if let Self::Camera(camera) = self { Some(camera.node()) } else { None }
    }

    /// The next frame. Waits at most until `until`, or until `beside` has something.
    pub(crate) fn next(
        &mut self,
        until: Mono,
        beside: Option<&Node>,
        counts: &mut Counts,
    ) -> Result<SourceFrame<'_>, Fault> {
        let due = match self {
            Self::Camera(camera) => return camera.next(until, beside, counts),
            Self::Pattern(pattern, _) => pattern.due(),
            Self::Clip(clip) => clip.due(),
        };
        let now = Mono::now();
        if due > until {
            v4l2::pause(until.since(now), beside);
            return Ok(SourceFrame::Nothing);
        }
        v4l2::pause(due.since(now), beside);
        let now = Mono::now();
        if now < due {
            return Ok(SourceFrame::Nothing);
        }
        match self {
            Self::Pattern(pattern, _) => {
                counts.taken += 1;
                Ok(SourceFrame::Planes { planes: pattern.next(now), at: now })
            }
            Self::Clip(clip) => clip.next(now, counts),
            Self::Camera(_) => Ok(SourceFrame::Nothing),
        }
    }

    /// After this long without a frame, something is wrong.
    pub(crate) fn patience(&self) -> Duration {
        let usual = self.rate().map_or(Duration::ZERO, |rate| rate.time_of(3));
        usual.max(Duration::from_secs(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_taken_by_number() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["video10", "video2", "video0", "video", "videotape", "vbi0", "video1x"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let names: Vec<_> =
            nodes(folder.path()).iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect();
        assert_eq!(names, ["video0", "video2", "video10"]);
        assert!(nodes(&folder.path().join("nothing")).is_empty());
    }

    #[test]
    fn every_refusal_is_told() {
        assert_eq!(no_camera(&[]), "no camera: /dev/video* does not exist");
        let reasons = ["camera /dev/video0: delivers metadata".to_owned(), "camera /dev/video1: busy".to_owned()];
        assert_eq!(no_camera(&reasons), "no camera: camera /dev/video0: delivers metadata; camera /dev/video1: busy");
    }

    #[test]
    fn the_choice_is_the_configured_source_or_the_reason() {
        let of = |source| choose(&Video { source, ..Video::default() });
        assert_eq!(of(VideoSource::Test), VideoChoice { source: Ok(VideoSource::Test), refused: vec![] });
        assert_eq!(of(VideoSource::Off).source, Ok(VideoSource::Off));
        let missing = of(VideoSource::Camera("/dev/no-such-camera".into())).source;
        assert_eq!(missing, Err(Fault::Absent("camera /dev/no-such-camera: not there".into())));
        assert!(matches!(of(VideoSource::Clip("/no/such.y4m".into())).source, Err(Fault::Absent(_))));
        let odd = choose(&Video { source: VideoSource::Test, size: (641, 480), ..Video::default() });
        assert!(matches!(odd.source, Err(Fault::Failed(text)) if text.contains("even")));
    }
}
