//! A V4L2 camera: opens it, sets it up, and takes its newest frame.

use std::{io, path::Path, sync::Arc};

use tracing::{debug, info, warn};

use crate::{
    clock::Mono,
    config::{FormatChoice, PixelFormat, Video},
    feed::Fault,
    meter::Counts,
    units::Bitrate,
    video::{
        SourceFrame,
        capture::{
            dmabuf::{DmabufExport, DmabufFrame},
            modes::{self, Mode, Wish},
            privacy::PrivacySwitch,
        },
        decode::{
            jpeg::{self, Jpeg, PictureError},
            pixel_formats::{self, Part},
            planes::Planes,
        },
        frame_pace::Rate,
        h264,
        v4l2::{self, Buffer, CaptureStream, Control, Given, Identity, Node, NodeEvent, Planarity},
    },
};

/// A camera that captures.
pub(crate) struct Camera {
    name: String,
    node: Arc<Node>,
    stream: CaptureStream,
    given: Given,
    rate: Option<Rate>,
    unpacker: Unpacker,
    /// The controls of its built-in encoder that it has.
    encoder_controls: Vec<u32>,
    shutter: PrivacySwitch,
    /// Whether the configuration allows one of its formats other than H.264.
    has_raw: bool,
    bitrate: Bitrate,
    /// Whether raw frames are exported (DMABUF) instead of unpacked.
    exports: bool,
}

/// How frames are unpacked.
enum Unpacker {
    /// Raw pixels.
    Raw(PixelFormat, Planes),
    /// JPEG frames.
    Jpeg(Box<Jpeg>, Option<Planes>),
    /// H.264, sent unchanged; the bytes of the last frame.
    Coded(Vec<u8>),
}

/// What a node is, and how it captures.
pub(crate) struct CaptureNode {
    pub(crate) node: Node,
    pub(crate) identity: Identity,
    pub(crate) planarity: Planarity,
}

/// Opens a node, and checks that it is a camera.
pub(crate) fn find(path: &Path) -> Result<CaptureNode, Fault> {
    let node = Node::open(path).map_err(|e| fault(path, "open", &e))?;
    let refuse = |what: &str| Fault::Failed(format!("camera {}: {what}", path.display()));
    let identity = node.identity().map_err(|e| match e.raw_os_error() {
        Some(libc::ENOTTY | libc::EINVAL) => refuse("not a V4L2 device"),
        _ => fault(path, "ask what it is", &e),
    })?;
    let planarity = identity.capture().map_err(refuse)?;
    Ok(CaptureNode { node, identity, planarity })
}

/// The mode that the configuration leads to.
pub(crate) fn mode(found: &CaptureNode, config: &Video) -> Result<Mode, Fault> {
    choose(found, config, true).map(|(mode, _)| mode)
}

/// The chosen mode, and whether there is one other than H.264. `coded`: whether H.264 is allowed.
fn choose(found: &CaptureNode, config: &Video, coded: bool) -> Result<(Mode, bool), Fault> {
    let wish = Wish { format: config.format, size: config.size, fps: config.fps, drawn: config.clock || !coded };
    let offers = found.node.offers(found.planarity);
    let mode = modes::choose(&offers, &wish);
    let mode = mode.map_err(|what| Fault::Failed(format!("camera {}: {what}", found.node.path.display())))?;
    let raw = config.format == FormatChoice::Auto && modes::choose(&offers, &Wish { drawn: true, ..wish }).is_ok();
    Ok((mode, raw))
}

impl Camera {
    /// Opens a camera, applies the configuration and starts capture. `coded`: whether its own H.264 is accepted.
    pub(crate) fn open(path: &Path, config: &Video, coded: bool) -> Result<Self, Fault> {
        let found = find(path)?;
        let (mode, has_raw) = choose(&found, config, coded)?;
        let CaptureNode { node, identity, planarity } = found;
        let name = format!("camera {}", path.display());
        let asked = format!("set {}x{} {}", mode.size.0, mode.size.1, mode.fourcc);
        let given = node.set_format(planarity, mode.fourcc, mode.size).map_err(|e| fault(path, &asked, &e))?;
        if given.fourcc != mode.fourcc {
            return Err(Fault::Failed(format!("{name}: {asked}: device gives {} instead", given.fourcc)));
        }
        let unpacker = Unpacker::new(mode.format, &given).map_err(|what| Fault::Failed(format!("{name}: {what}")))?;
        // The rate is set after the format, since some cameras forget it when the format changes. Without a rate, some
        // start at 5 frames/s.
        let rate = node.set_rate(planarity, mode.rate.unwrap_or(Rate::whole(config.fps))).or(mode.rate);
        let controls = node.controls();
        set_controls(&node, &controls, config, &name);
        node.subscribe();
        let encoder_controls = if mode.format == PixelFormat::H264 { encoder_controls(&node) } else { Vec::new() };
        if encoder_controls.contains(&v4l2::REPEAT_SEQ_HEADER) {
            // Set before capture starts: the Raspberry Pi's encoder accepts it only then.
            let _ = node.set_control(v4l2::REPEAT_SEQ_HEADER, 1);
        }
        let shutter = PrivacySwitch::new(&node);
        let node = Arc::new(node);
        let stream =
            CaptureStream::start(Arc::clone(&node), planarity).map_err(|e| fault(path, "start capture", &e))?;
        if let Some(what) = node.changed(planarity, &given) {
            return Err(Fault::Failed(format!("{name}: {what}")));
        }
        let (width, height) = given.size;
        let shown = rate.map_or("at an unknown rate".to_owned(), |rate| format!("at {rate}/s"));
        info!("{name}: {} gives {width}x{height} {} {shown}", identity.card, given.fourcc);
        if given.size != mode.size {
            info!("{name}: {}x{} was requested", mode.size.0, mode.size.1);
        }
        if given.interlaced {
            warn!("{name}: the picture is interlaced; moving edges will look like combs");
        }
        if let Some(trouble) = node.trouble() {
            warn!("{name}: the input {trouble}");
        }
        Ok(Self {
            name,
            node,
            stream,
            given,
            rate,
            unpacker,
            encoder_controls,
            bitrate: Bitrate::ZERO,
            shutter,
            has_raw,
            exports: false,
        })
    }

    /// Its name in messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Its node.
    pub(crate) fn node(&self) -> &Node {
        &self.node
    }

    /// Frames per second; `None` if the driver does not report it.
    pub(crate) fn rate(&self) -> Option<Rate> {
        self.rate
    }

    /// Whether it delivers coded frames.
    pub(crate) fn is_coded(&self) -> bool {
        matches!(self.unpacker, Unpacker::Coded(_))
    }

    /// Whether its encoder makes keyframes on request.
    pub(crate) fn can_make_key(&self) -> bool {
        self.encoder_controls.contains(&v4l2::FORCE_KEY_FRAME)
    }

    /// Requests a keyframe from its encoder.
    pub(crate) fn force_keyframe(&mut self) {
        self.set_encoder_control(v4l2::FORCE_KEY_FRAME, 1);
    }

    /// Sets the bitrate of its encoder.
    pub(crate) fn set_bitrate(&mut self, bitrate: Bitrate) {
        if self.bitrate != bitrate {
            self.bitrate = bitrate;
            self.set_encoder_control(v4l2::VIDEO_BITRATE, bitrate.as_bps().into());
        }
    }

    /// Its capture buffers, for an encoder to import. `None` if frames are not raw, or the driver cannot export them.
    pub(crate) fn dmabuf_export(&self) -> Option<DmabufExport> {
        if !matches!(self.unpacker, Unpacker::Raw(..)) {
            return None;
        }
        let buffers = self.stream.export();
        let buffers = buffers.inspect_err(|e| debug!("{}: exports no buffers: {e}", self.name)).ok()?;
        let Given { fourcc, size, colour, ref strides, .. } = self.given;
        Some(DmabufExport { fourcc, size, strides: strides.clone(), colour, buffers })
    }

    /// Whether the next frames are exported (DMABUF) instead of unpacked.
    pub(crate) fn export_frames(&mut self, exports: bool) {
        self.exports = exports;
    }

    /// Queues an exported buffer again.
    pub(crate) fn requeue(&mut self, buffer: Buffer) -> Result<(), Fault> {
        self.stream.give(buffer).map_err(|e| self.lost("capture", &e))
    }

    /// Whether its shutter is closed, as far as the camera reports it.
    pub(crate) fn is_covered(&mut self) -> bool {
        self.shutter.is_closed(&self.node)
    }

    /// Whether it can deliver frames other than H.264.
    pub(crate) fn has_raw(&self) -> bool {
        self.has_raw
    }

    fn set_encoder_control(&self, id: u32, value: i64) {
        if !self.encoder_controls.contains(&id) {
            return;
        }
        if let Err(e) = self.node.set_control(id, value) {
            debug!("{}: its encoder refuses {value} for control {id:#x}: {e}", self.name);
        }
    }

    /// The newest frame. Waits at most until `until`, or until `beside` has something. Coded frames are all returned,
    /// in order, since each needs the one before.
    pub(crate) fn next(
        &mut self,
        until: Mono,
        beside: Option<&Node>,
        counts: &mut Counts,
    ) -> Result<SourceFrame<'_>, Fault> {
        let ready = self.node.wait(until.since(Mono::now()), beside).map_err(|e| self.lost("wait", &e))?;
        if ready.event {
            match self.node.event() {
                Some(NodeEvent::SourceChange) => return Ok(SourceFrame::Changed),
                Some(NodeEvent::EndOfStream) => {
                    return Err(Fault::Failed(format!("{}: it ended the stream", self.name)));
                }
                Some(NodeEvent::Control { id: v4l2::PRIVACY, value }) => self.shutter.on_event(value),
                Some(NodeEvent::Control { .. }) | None => {}
            }
        }
        if !ready.picture {
            if ready.error {
                let gone = self.node.identity().err();
                return Err(self.lost("capture", &gone.unwrap_or_else(|| io::Error::other("it stopped"))));
            }
            return Ok(SourceFrame::Nothing);
        }
        let buffer = self.newest(counts).map_err(|e| self.lost("capture", &e))?;
        let Some(buffer) = buffer else { return Ok(SourceFrame::Nothing) };
        let at = buffer.at;
        if self.exports {
            return Ok(SourceFrame::Dmabuf(DmabufFrame { buffer, at }));
        }
        let unpacked = self.unpacker.unpack(&self.stream, &buffer, &self.given);
        self.stream.give(buffer).map_err(|e| self.lost("capture", &e))?;
        match unpacked {
            Ok(()) => Ok(self.unpacker.taken(at)),
            Err(PictureError(why)) => {
                counts.refuse(why);
                Ok(SourceFrame::Nothing)
            }
        }
    }

    /// Takes all filled buffers, keeps the newest good one and returns the others to the driver. Of coded frames it
    /// takes the oldest.
    fn newest(&mut self, counts: &mut Counts) -> io::Result<Option<Buffer>> {
        let mut kept: Option<Buffer> = None;
        while let Some(buffer) = self.stream.take()? {
            counts.taken += 1;
            counts.lost += u64::from(buffer.lost);
            if buffer.last {
                return Err(io::Error::other("it ended the stream"));
            }
            if let Some(wrong) = &buffer.wrong {
                counts.flagged += 1;
                counts.why.clone_from(wrong);
                self.stream.give(buffer)?;
                continue;
            }
            if self.is_coded() {
                return Ok(Some(buffer));
            }
            if let Some(older) = kept.replace(buffer) {
                counts.overtaken += 1;
                self.stream.give(older)?;
            }
        }
        Ok(kept)
    }

    /// The meaning of an error during capture. An unplugged camera fails with various errors (uvcvideo: EINVAL, others:
    /// ENODEV or EIO). Only for an unplugged one, VIDIOC_QUERYCAP fails too.
    fn lost(&self, doing: &str, error: &io::Error) -> Fault {
        match self.node.identity() {
            Err(gone) if matches!(gone.raw_os_error(), Some(libc::ENODEV | libc::ENXIO)) => {
                Fault::Absent(format!("{}: unplugged", self.name))
            }
            _ => fault(&self.node.path, doing, error),
        }
    }
}

impl Unpacker {
    fn new(format: PixelFormat, given: &Given) -> Result<Self, String> {
        match format {
            PixelFormat::H264 => Ok(Self::Coded(Vec::new())),
            PixelFormat::Mjpeg => Ok(Self::Jpeg(Box::new(Jpeg::new(Some(given.size))?), None)),
            raw => Ok(Self::Raw(raw, Planes::new(given.size, given.colour)?)),
        }
    }

    /// Unpacks a frame, or returns why it cannot be used.
    fn unpack(&mut self, stream: &CaptureStream, buffer: &Buffer, given: &Given) -> Result<(), PictureError> {
        match self {
            Self::Coded(bytes) => {
                bytes.clear();
                let length = stream.pieces(buffer).map(<[u8]>::len).fold(0, usize::saturating_add);
                match length {
                    0 => return Err(PictureError("empty".into())),
                    length if length > h264::LONGEST => return Err(h264::too_long(length)),
                    _ => stream.pieces(buffer).for_each(|piece| bytes.extend_from_slice(piece)),
                }
                Ok(())
            }
            Self::Jpeg(jpeg, planes) => {
                let bytes = stream.pieces(buffer).next().unwrap_or_default();
                jpeg::too_long(bytes.len(), given.size).map_or_else(|| jpeg.decode(bytes, planes), Err)
            }
            Self::Raw(format, planes) => {
                let parts = stream.pieces(buffer).zip(&given.strides).map(|(bytes, &stride)| Part { bytes, stride });
                let mut list = [Part { bytes: &[], stride: 0 }; 3];
                let count = list.iter_mut().zip(parts).map(|(place, part)| *place = part).count();
                match pixel_formats::unpack(*format, &list[..count], planes) {
                    true => Ok(()),
                    false => Err(PictureError("shorter than its format".into())),
                }
            }
        }
    }

    fn taken(&mut self, at: Mono) -> SourceFrame<'_> {
        match self {
            Self::Raw(_, planes) | Self::Jpeg(_, Some(planes)) => SourceFrame::Planes { planes, at },
            Self::Jpeg(_, None) => SourceFrame::Nothing,
            Self::Coded(stream) => SourceFrame::Coded { stream, at },
        }
    }
}

/// A system error as a message for people, with what can be done.
pub(crate) fn fault(path: &Path, doing: &str, error: &io::Error) -> Fault {
    let name = format!("camera {}", path.display());
    match error.raw_os_error() {
        Some(libc::ENOENT | libc::ENODEV | libc::ENXIO) => Fault::Absent(format!("{name}: not there")),
        Some(libc::EBUSY) => Fault::Failed(format!("{name}: {doing}: another program is using it")),
        Some(libc::EACCES | libc::EPERM) => {
            Fault::Failed(format!("{name}: {doing}: no permission; the user has to be in the group video"))
        }
        Some(libc::ENOMEM) => Fault::Failed(format!("{name}: {doing}: no memory for buffers; try a smaller size")),
        Some(libc::ENOSPC) => Fault::Failed(format!(
            "{name}: {doing}: not enough USB bandwidth; try MJPEG, a smaller size or another port"
        )),
        _ => Fault::Failed(format!("{name}: {doing}: {error}")),
    }
}

/// Sets the configured controls. One that cannot be set is logged and skipped, since the picture matters more.
fn set_controls(node: &Node, controls: &[Control], config: &Video, name: &str) {
    for (control, value) in &config.controls {
        match find_control(controls, control, *value) {
            Ok(id) => {
                if let Err(e) = node.set_control(id, *value) {
                    warn!("{name}: set control {control} to {value}: {e}");
                }
            }
            Err(what) => warn!("{name}: {what}"),
        }
    }
}

/// The id of the control with this name, if it accepts the value. The error gives what is possible.
fn find_control(controls: &[Control], name: &str, value: i64) -> Result<u32, String> {
    let Some(control) = controls.iter().find(|control| control.name == name) else {
        let names: Vec<&str> = controls.iter().map(|control| control.name.as_str()).collect();
        let names = if names.is_empty() { "no controls".to_owned() } else { names.join(", ") };
        return Err(format!("set control {name}: device has {names}"));
    };
    if !(control.min..=control.max).contains(&value) {
        return Err(format!("set control {name} to {value}: device takes {} to {}", control.min, control.max));
    }
    Ok(control.id)
}

/// The controls of the camera's built-in encoder that it has.
fn encoder_controls(node: &Node) -> Vec<u32> {
    let all = [v4l2::FORCE_KEY_FRAME, v4l2::VIDEO_BITRATE, v4l2::REPEAT_SEQ_HEADER];
    all.into_iter().filter(|id| node.has_control(*id)).collect()
}

#[cfg(test)]
#[path = "camera_tests.rs"]
mod tests;
