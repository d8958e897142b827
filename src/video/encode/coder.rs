//! The encoder in use: the board's hardware encoder while it can be trusted, else software.

use std::{path::PathBuf, sync::Arc, time::Duration};

use tracing::{info, warn};

use crate::{
    clock::Mono,
    config::{EncoderChoice, Video},
    liveness,
    meter::Counts,
    units::Bitrate,
    video::{
        capture::dmabuf::{DmabufExport, DmabufFrame},
        decode::planes::{Colour, Planes},
        encode::{
            Coded, Encoder, Hardware, Shape, Software,
            closing::{self, CLOSES},
            encoders, library,
            trust::{EncoderTrust, NextEncoder},
        },
        frame_pace::Rate,
        v4l2::{Buffer, Node},
    },
};

/// The encoder in use, and the fallback if it fails. It is opened only when the first frame is near.
pub(crate) struct VideoEncoder<'a> {
    config: &'a Video,
    rate: Rate,
    bitrate: Bitrate,
    /// The highest bitrate, from which the level in the parameter sets follows.
    ceiling: Bitrate,
    fps: f64,
    at_work: Option<Encoder>,
    trust: EncoderTrust,
    /// The usable hardware encoders, once they were looked for.
    found: Option<Vec<PathBuf>>,
    /// The camera's buffers, for import.
    camera: Option<Arc<DmabufExport>>,
    /// Buffers that the camera gets back.
    back: Vec<Buffer>,
    /// The name of the encoder in use, as it was logged.
    name: String,
    /// The name of the software encoder library, for the liveness report.
    library: Arc<str>,
}

impl<'a> VideoEncoder<'a> {
    /// For `rate` frames per second, with `bitrate` at first.
    pub(crate) fn new(config: &'a Video, rate: Rate, bitrate: Bitrate) -> Self {
        Self {
            config,
            rate,
            bitrate,
            ceiling: config.bitrate,
            fps: rate.fps(),
            at_work: None,
            trust: EncoderTrust::default(),
            found: None,
            camera: None,
            back: Vec::new(),
            name: String::new(),
            library: library::name(config.openh264_library.as_deref()).into(),
        }
    }

    /// Continues after the source was opened again. What is known about the encoders is kept.
    pub(crate) fn after(mut self, mut before: Self) -> Self {
        self.trust = std::mem::take(&mut before.trust);
        self.found = before.found.take();
        self.name = std::mem::take(&mut before.name);
        self
    }

    /// The encoder's name in messages; empty before the first frame.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Announces a camera that exports its buffers, before its first frame. If the hardware encoder can import them, it
    /// is opened now.
    pub(crate) fn import_from(&mut self, camera: Arc<DmabufExport>) -> Result<(), String> {
        let size = (camera.size.0 as usize, camera.size.1 as usize);
        let shape = self.shape(size, camera.colour);
        self.camera = Some(camera);
        self.open(shape)
    }

    /// Whether an encoder might import a camera's buffers.
    pub(crate) fn may_import_dmabuf(&mut self) -> bool {
        self.config.encoder != EncoderChoice::Software && !self.found().is_empty()
    }

    /// Whether the encoder imports the camera's buffers (DMABUF).
    pub(crate) fn imports_dmabuf(&self) -> bool {
        matches!(&self.at_work, Some(Encoder::Hardware(hardware)) if hardware.imports_dmabuf())
    }

    /// Takes the buffers that go back to the camera.
    pub(crate) fn back(&mut self) -> Vec<Buffer> {
        std::mem::take(&mut self.back)
    }

    /// The encoder's node, to wait for together with the next frame.
    pub(crate) fn waited_for(&self) -> Option<Arc<Node>> {
        match &self.at_work {
            Some(Encoder::Hardware(hardware)) => hardware.waited_for().cloned(),
            _ => None,
        }
    }

    /// Sets the highest bitrate. If the current stream's level does not allow it, the encoder is opened again
    /// for the next frame.
    pub(crate) fn set_ceiling(&mut self, ceiling: Bitrate) {
        if ceiling == self.ceiling {
            return;
        }
        self.ceiling = ceiling;
        if self.at_work.as_mut().is_some_and(|encoder| !encoder.set_ceiling(ceiling)) {
            info!("video: {}: opening it again for up to {ceiling}", self.name);
            self.close();
            if let Some(camera) = self.camera.clone() {
                // If this fails, the next frame reports it.
                let _ = self.import_from(camera);
            }
        }
    }

    /// Sets the target bitrate, and the frames per second.
    pub(crate) fn steer(&mut self, bitrate: Bitrate, fps: f64) {
        (self.bitrate, self.fps) = (bitrate, fps);
        if let Some(encoder) = &mut self.at_work {
            encoder.set_bitrate(bitrate);
            encoder.set_rate(fps);
        }
    }

    /// Passes a frame to the encoder; `key`: as a keyframe. If the encoder is full, the frame is dropped and counted.
    pub(crate) fn put(&mut self, planes: &Planes, key: bool, at: Mono, counts: &mut Counts) -> Result<(), String> {
        let shape = self.shape(planes.size(), planes.colour);
        if !self.at_work.as_ref().is_some_and(|encoder| encoder.fits(shape)) {
            self.open(shape)?;
        }
        let taken = match &mut self.at_work {
            Some(Encoder::Software(software, made)) => {
                let begin = Mono::now();
                let cut = liveness::during("encode", &self.library, || software.encode(planes, key, at))?;
                *made = cut.map(|cut| Coded { cut, at, took: Mono::now().since(begin) });
                Ok(true)
            }
            Some(Encoder::Hardware(hardware)) => hardware.put(planes, key, at),
            None => Ok(false),
        };
        match taken {
            Ok(taken) => counts.behind += u64::from(!taken),
            Err(what) => self.fail(&what),
        }
        Ok(())
    }

    /// Returns a camera's buffer unused.
    pub(crate) fn decline(&mut self, frame: DmabufFrame) {
        self.back.push(frame.buffer);
    }

    /// Encodes a frame in the camera's buffer, without a copy.
    pub(crate) fn encode_dmabuf(&mut self, frame: DmabufFrame, key: bool, counts: &mut Counts) {
        let left = match &mut self.at_work {
            Some(Encoder::Hardware(hardware)) => hardware.import(frame, key),
            _ => Ok(Some(frame)),
        };
        match left {
            Ok(None) => {}
            Ok(Some(frame)) => {
                counts.behind += 1;
                self.back.push(frame.buffer);
            }
            Err((what, frame)) => {
                // Only the first frame shows whether the device can read that memory. This does not count as a failure.
                info!("video: {}: {what}; frames are copied instead", self.name);
                counts.behind += 1;
                self.back.push(frame.buffer);
                self.camera = None;
                self.close();
            }
        }
    }

    /// The next encoded frame; `None` if there is none yet.
    pub(crate) fn take(&mut self) -> Option<Coded> {
        let made = match &mut self.at_work {
            Some(Encoder::Software(_, made)) => Ok(made.take()),
            Some(Encoder::Hardware(hardware)) => hardware.take(&mut self.back, Mono::now()),
            None => Ok(None),
        };
        match made {
            Ok(made) => made,
            Err(what) => {
                self.fail(&what);
                None
            }
        }
    }

    fn shape(&self, size: (usize, usize), colour: Colour) -> Shape {
        Shape { size, colour, rate: self.rate, bitrate: self.bitrate, ceiling: self.ceiling }
    }

    fn found(&mut self) -> &[PathBuf] {
        self.found.get_or_insert_with(|| {
            encoders().into_iter().filter(|encoder| encoder.refused.is_none()).map(|encoder| encoder.node).collect()
        })
    }

    /// Opens the encoder whose turn it is; none while its device is still closing.
    fn open(&mut self, shape: Shape) -> Result<(), String> {
        self.close();
        let why = match self.config.encoder {
            EncoderChoice::Software => String::new(),
            _ => match self.open_hardware(shape) {
                Ok(opened) => {
                    self.at_work = opened.map(|hardware| Encoder::Hardware(Box::new(hardware)));
                    return Ok(());
                }
                Err(why) if self.config.encoder == EncoderChoice::Hardware => {
                    return Err(format!("{why}; the configuration allows no other encoder"));
                }
                Err(why) => format!(": {why}"),
            },
        };
        let library = self.config.openh264_library.as_deref();
        let software = liveness::during("open", &self.library, || Software::new(shape, library))?;
        let mut encoder = Encoder::Software(Box::new(software), None);
        encoder.set_rate(self.fps);
        self.at_work = Some(encoder);
        self.log_change(library::name(library).to_owned(), &why);
        Ok(())
    }

    fn open_hardware(&mut self, shape: Shape) -> Result<Option<Hardware>, String> {
        let closing = closing::since();
        match self.trust.choose(Mono::now(), closing) {
            NextEncoder::Nobody => return Ok(None),
            NextEncoder::Software if closing.is_some() => return Err("the hardware encoder still hangs".to_owned()),
            NextEncoder::Software => return Err("the hardware encoder failed".to_owned()),
            NextEncoder::Hardware => {}
        }
        let mut why = "no hardware encoder was found".to_owned();
        for path in self.found().to_vec() {
            match Hardware::open(&path, shape, self.config, self.camera.as_ref()) {
                Ok(mut hardware) => {
                    hardware.set_rate(self.fps);
                    let how =
                        if hardware.imports_dmabuf() { ", which reads frames from the camera's memory" } else { "" };
                    self.log_change(hardware.name().to_owned(), how);
                    return Ok(Some(hardware));
                }
                Err(what) => why = what,
            }
        }
        self.trust.lose();
        Err(why)
    }

    /// Logs the encoder's name if it has changed.
    fn log_change(&mut self, name: String, more: &str) {
        if self.name != name {
            info!("video: encoded by {name}{more}");
            self.name = name;
        }
    }

    /// Closes the current encoder, which works.
    fn close(&mut self) {
        match self.at_work.take() {
            Some(Encoder::Hardware(hardware)) => self.let_go(hardware, CLOSES),
            Some(software) => liveness::during("close", &self.library, || drop(software)),
            None => {}
        }
    }

    /// Gives up the current encoder, which has failed.
    fn fail(&mut self, what: &str) {
        let Some(Encoder::Hardware(hardware)) = self.at_work.take() else { return };
        warn!("video: {}: {what}", self.name);
        self.trust.failed(Mono::now());
        self.name.clear();
        self.let_go(hardware, Duration::ZERO);
    }

    /// Closes an encoder, and waits for it for at most `patience`.
    fn let_go(&mut self, mut hardware: Box<Hardware>, patience: Duration) {
        self.back.append(&mut hardware.release_imported());
        closing::close(hardware, patience);
    }
}

impl Drop for VideoEncoder<'_> {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn config(encoder: EncoderChoice) -> Video {
        Video { encoder, bitrate: Bitrate::from_kbps(400), ..Video::default() }
    }

    /// Encodes the n-th frame, and returns whether it is a keyframe.
    fn is_key(coder: &mut VideoEncoder<'_>, n: u64, size: (u32, u32)) -> bool {
        let planes = Planes::new(size, Colour::default()).unwrap();
        let at = Mono(1_000_000_000) + n as u32 * Duration::from_millis(33);
        coder.put(&planes, false, at, &mut Counts::default()).unwrap();
        coder.take().expect("the processor is done at once").cut.key
    }

    #[test]
    fn another_encoder_is_opened_only_where_the_stream_at_hand_does_not_allow_what_is_asked_for() {
        let config = config(EncoderChoice::Software);
        let mut coder = VideoEncoder::new(&config, Rate::whole(30), config.bitrate);
        // Before each frame: its request, its size, and whether it begins a stream.
        let small = (320, 180);
        for (n, (ceiling, size, begins)) in [
            (400, small, true),
            (400, small, false),
            (3_000, small, false),
            (200, small, false),
            (50_000, small, true),
            (50_000, small, false),
            (50_000, (640, 360), true),
            (50_000, small, true),
        ]
        .into_iter()
        .enumerate()
        {
            let ceiling = Bitrate::from_kbps(ceiling);
            coder.set_ceiling(ceiling);
            coder.steer(ceiling, 30.0);
            assert_eq!(is_key(&mut coder, n as u64, size), begins, "picture {n}");
        }
        assert!(!coder.name().is_empty() && coder.back().is_empty() && !coder.imports_dmabuf());
    }

    #[test]
    fn what_an_earlier_source_taught_is_kept() {
        let config = config(EncoderChoice::Software);
        let mut before = VideoEncoder::new(&config, Rate::whole(30), config.bitrate);
        is_key(&mut before, 0, (320, 180));
        let name = before.name().to_owned();
        let mut after = VideoEncoder::new(&config, Rate::whole(30), config.bitrate).after(before);
        assert_eq!(after.name(), name);
        assert!(is_key(&mut after, 1, (320, 180)), "its stream starts with a keyframe");
        assert!(
            !after.may_import_dmabuf() && after.waited_for().is_none(),
            "the software encoder does not import DMABUFs"
        );
    }
}
