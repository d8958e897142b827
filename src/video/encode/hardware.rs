//! An H.264 encoder behind a V4L2 memory-to-memory node (kernel documentation, "Memory-to-Memory Stateful Video Encoder
//! Interface"). Frames come out some milliseconds after they go in; nothing here waits for them.

use std::{collections::VecDeque, io, path::Path, sync::Arc};

use tracing::debug;

use crate::{
    clock::Mono,
    config::Video,
    units::Bitrate,
    video::{
        capture::dmabuf::{DmabufExport, DmabufFrame},
        decode::planes::Planes,
        encode::{
            Coded, FLOOR, Shape, controls,
            encoder_setup::{EncoderSetup, set_controls},
            layout::PlaneLayout,
            level, trust,
        },
        frame_pace::Rate,
        h264::{self, H264Packetizer, nals, sps},
        v4l2::{Buffer, Control, Done, FORCE_KEY_FRAME, Node, Queue, Side, VIDEO_BITRATE},
    },
};

/// The most frames inside: one being encoded, one next, one in reserve. More would add delay.
pub(super) const INSIDE: usize = 3;
/// The same for imported frames. The camera needs the rest of its four buffers.
const IMPORTED: usize = 2;
/// Capture buffers, for encoded data. A driver may put the parameter sets into a buffer of their own.
const CODED: u32 = 4;
/// A keyframe must come within this many frames after its request; else it is requested again.
const KEY_LAG: u32 = 3;
/// `profile_idc` of Baseline, as negotiated with browsers.
const PROFILE: u8 = 66;

/// A running encoder.
pub(crate) struct Hardware {
    name: String,
    node: Arc<Node>,
    raw: Queue,
    coded: Queue,
    input: Input,
    shape: Shape,
    bitrate_control: Control,
    /// In bits per second, as the driver counts.
    bitrate: i64,
    fps: f64,
    packetizer: H264Packetizer,
    /// The frames inside, in their order.
    inside: VecDeque<Inside>,
    /// How many frames came out since the unanswered keyframe request.
    since_request: Option<u32>,
    /// Whether the encoder lost a frame, so that the next one must be a keyframe.
    repairs: bool,
}

/// How frames get into the device.
pub(super) enum Input {
    /// They are copied into its buffers. `free` are the indices of the free ones.
    Written { layout: PlaneLayout, lengths: Vec<usize>, free: Vec<u32> },
    /// It reads the camera's buffers (DMABUF). `imported` are those that it has now.
    Dmabuf { camera: Arc<DmabufExport>, lengths: Vec<usize>, imported: Vec<Buffer> },
}

/// A frame inside the encoder.
struct Inside {
    /// Its time stamp in microseconds, which comes out with the encoded frame.
    stamp: i64,
    at: Mono,
    since: Mono,
}

impl Hardware {
    /// Opens an encoder, sets it up and starts it. It imports the buffers of `camera` if it can.
    pub(crate) fn open(
        path: &Path,
        shape: Shape,
        config: &Video,
        camera: Option<&Arc<DmabufExport>>,
    ) -> Result<Self, String> {
        if let Some(camera) = camera.filter(|c| shape.is_of(c.size, c.colour)) {
            match Self::start(path, shape, config, Some(camera)) {
                Ok(hardware) => return Ok(hardware),
                Err(what) => debug!("video: {what}; frames are copied instead"),
            }
        }
        Self::start(path, shape, config, None)
    }

    fn start(path: &Path, shape: Shape, config: &Video, camera: Option<&Arc<DmabufExport>>) -> Result<Self, String> {
        let setup = EncoderSetup { path, shape, camera };
        let node = Node::open(path).map_err(setup.failed("open"))?;
        let card = node.identity().map_err(setup.failed("ask what it is"))?.card;
        // The kernel's documentation requires this order: first the encoded format, then the raw one.
        setup.set_coded_format(&node)?;
        let given = setup.set_raw_format(&node)?;
        let bitrate_control = set_controls(&node, shape, config).ok_or_else(|| setup.text("has no bitrate control"))?;
        let _ = node.set_encoder_rate(shape.rate);
        let node = Arc::new(node);
        let (raw, input) = match camera {
            Some(camera) => setup.import_input(&node, camera, given)?,
            None => setup.allocate_input(&node, given)?,
        };
        let mut coded = Queue::mapped(Arc::clone(&node), Side::Coded, CODED)
            .map_err(setup.failed("allocate buffers for encoded data"))?;
        let begin = |coded: &mut Queue| {
            (0..coded.len() as u32).try_for_each(|index| coded.put(index, &[], 0))?;
            raw.start()?;
            coded.start()
        };
        begin(&mut coded).map_err(setup.failed("start"))?;
        Ok(Self {
            name: format!("{card} ({})", path.display()),
            node,
            raw,
            coded,
            input,
            shape,
            bitrate: controls::within(&bitrate_control, shape.bitrate.as_bps().into()),
            bitrate_control,
            fps: shape.rate.fps(),
            packetizer: H264Packetizer::default(),
            inside: VecDeque::new(),
            since_request: None,
            repairs: false,
        })
    }

    /// Its name in messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it imports the camera's buffers.
    pub(crate) fn imports_dmabuf(&self) -> bool {
        matches!(self.input, Input::Dmabuf { .. })
    }

    /// Whether it encodes frames of this size and colour space.
    pub(crate) fn fits(&self, shape: Shape) -> bool {
        self.shape.size == shape.size && self.shape.colour == shape.colour
    }

    /// The node to wait for while frames are inside.
    pub(crate) fn waited_for(&self) -> Option<&Arc<Node>> {
        (!self.inside.is_empty()).then_some(&self.node)
    }

    /// Sets the highest bitrate. Returns `false` if the stream's level does not allow it.
    pub(crate) fn set_ceiling(&mut self, ceiling: Bitrate) -> bool {
        let level = |ceiling| level::lowest(self.shape.size, self.shape.rate, ceiling);
        let fits = level(ceiling) <= level(self.shape.ceiling);
        if fits {
            self.shape.ceiling = ceiling;
        }
        fits
    }

    /// Sets the target bitrate.
    pub(crate) fn set_bitrate(&mut self, bitrate: Bitrate) {
        let bitrate = bitrate.clamp(FLOOR, self.shape.ceiling.max(FLOOR));
        let bits = controls::within(&self.bitrate_control, bitrate.as_bps().into());
        if bits == self.bitrate {
            return;
        }
        // Even if the driver refuses it, the same value is not set again.
        self.bitrate = bits;
        if let Err(e) = self.node.set_control(VIDEO_BITRATE, bits) {
            debug!("video: {} refuses {bits} bit/s: {e}", self.name);
        }
    }

    /// Sets the frames per second that it gets.
    pub(crate) fn set_rate(&mut self, fps: f64) {
        if fps == self.fps {
            return;
        }
        self.fps = fps;
        if let Some(rate) = Rate::checked((fps * 1000.0) as u32, 1000) {
            // Some drivers accept a rate only before the start. Their bitrate is then slightly wrong.
            let _ = self.node.set_encoder_rate(rate);
        }
    }

    /// Copies a frame into the encoder; `false` if it is full.
    pub(crate) fn put(&mut self, planes: &Planes, key: bool, at: Mono) -> Result<bool, String> {
        let Input::Written { layout, lengths, free } = &mut self.input else { return Ok(false) };
        let Some(index) = free.pop() else { return Ok(false) };
        let key = key | std::mem::take(&mut self.repairs);
        KeyframeRequest { node: &self.node, since: &mut self.since_request }.send_if(key);
        let stamp = stamp(at);
        if !layout.write(planes, &mut self.raw.pieces(index)) {
            return Err("its buffer is smaller than it reported".to_owned());
        }
        self.raw.put(index, lengths, stamp).map_err(|e| format!("queue a frame: {e}"))?;
        self.inside.push_back(Inside { stamp, at, since: Mono::now() });
        Ok(true)
    }

    /// Imports a frame in the camera's buffer; returns the frame if the encoder is full.
    pub(crate) fn import(
        &mut self,
        frame: DmabufFrame,
        key: bool,
    ) -> Result<Option<DmabufFrame>, (String, DmabufFrame)> {
        let Input::Dmabuf { imported, camera, lengths } = &mut self.input else { return Ok(Some(frame)) };
        let index = frame.buffer.index;
        let Some(pieces) = camera.buffers.get(index as usize) else { return Ok(Some(frame)) };
        // An incomplete frame is not encoded.
        let whole = frame.buffer.used.iter().zip(lengths.iter()).all(|((from, to), needed)| *from == 0 && to >= needed);
        if imported.len() >= IMPORTED || !whole {
            return Ok(Some(frame));
        }
        let stamp = stamp(frame.at);
        let key = key | std::mem::take(&mut self.repairs);
        KeyframeRequest { node: &self.node, since: &mut self.since_request }.send_if(key);
        if let Err(e) = self.raw.put_dmabuf(index, pieces, lengths, stamp) {
            return Err((format!("queue a camera's buffer: {e}"), frame));
        }
        self.inside.push_back(Inside { stamp, at: frame.at, since: Mono::now() });
        imported.push(frame.buffer);
        Ok(None)
    }

    /// The next encoded frame; `None` if there is none yet. Buffers that the camera gets back go to `back`. An error
    /// means that the encoder has failed.
    pub(crate) fn take(&mut self, back: &mut Vec<Buffer>, now: Mono) -> Result<Option<Coded>, String> {
        let failed = |e: io::Error| format!("take an encoded frame: {e}");
        while let Some(Done { index, .. }) = self.raw.take().map_err(failed)? {
            match &mut self.input {
                Input::Written { free, .. } => free.push(index),
                Input::Dmabuf { imported, .. } => {
                    let place = imported.iter().position(|buffer| buffer.index == index);
                    back.extend(place.map(|place| imported.swap_remove(place)));
                }
            }
        }
        while let Some(done) = self.coded.take().map_err(failed)? {
            let made = self.made(&done, now)?;
            self.coded.put(done.index, &[], 0).map_err(failed)?;
            if made.is_some() {
                return Ok(made);
            }
        }
        match self.inside.front() {
            Some(oldest) if now.since(oldest.since) >= trust::WEDGED => {
                Err(format!("no frame encoded within {} ms", trust::WEDGED.as_millis()))
            }
            _ => Ok(None),
        }
    }

    /// The encoded frame in a capture buffer, if it completes one.
    fn made(&mut self, done: &Done, now: Mono) -> Result<Option<Coded>, String> {
        let bytes = self.coded.bytes(done);
        let set = h264::find_sps(bytes);
        set.map_or(Ok(()), |set| check(set, self.shape))?;
        let told = set.and_then(|set| sps::with_colour(set, self.shape.colour));
        let broken = done.flagged || bytes.is_empty();
        let told = |unit| if Some(unit) == set { told.as_deref().unwrap_or(unit) } else { unit };
        let units: Vec<&[u8]> = if broken { Vec::new() } else { nals(bytes).map(told).collect() };
        let cut = self.packetizer.packetize(&units);
        // Parameter sets may come alone. Any other buffer ends a frame, even one that the encoder dropped.
        if cut.is_none() && !broken {
            return Ok(None);
        }
        let place = self.inside.iter().position(|picture| picture.stamp == done.stamp).unwrap_or(0);
        let picture = (0..=place).map_while(|_| self.inside.pop_front()).last();
        self.repairs |= done.flagged;
        let (Some(cut), Some(picture)) = (cut, picture) else { return Ok(None) };
        self.since_request = self.since_request.map(|since| since + 1).filter(|since| !cut.key && *since < KEY_LAG);
        Ok(Some(Coded { cut, at: picture.at, took: now.since(picture.since) }))
    }

    /// Takes all imported buffers, which go back to the camera.
    pub(crate) fn release_imported(&mut self) -> Vec<Buffer> {
        match &mut self.input {
            Input::Written { .. } => Vec::new(),
            Input::Dmabuf { imported, .. } => std::mem::take(imported),
        }
    }
}

/// A keyframe request to the driver.
struct KeyframeRequest<'a> {
    node: &'a Node,
    /// Frames that came out since the last request without a keyframe.
    since: &'a mut Option<u32>,
}

impl KeyframeRequest<'_> {
    /// Sends the request if `key` is true, unless a keyframe is on its way.
    fn send_if(self, key: bool) {
        if key && self.since.is_none() {
            *self.since = Some(0);
            if let Err(e) = self.node.set_control(FORCE_KEY_FRAME, 1) {
                debug!("video: {} refuses a keyframe request: {e}", self.node.path.display());
            }
        }
    }
}

/// The time stamp of a frame inside: microseconds, as V4L2 keeps them.
fn stamp(at: Mono) -> i64 {
    i64::try_from(at.0 / 1000).unwrap_or(i64::MAX)
}

/// Checks that the encoder makes what it was configured for.
fn check(set: &[u8], shape: Shape) -> Result<(), String> {
    let (width, height) = shape.size;
    let Some(size) = sps::parse(set).map(|sps| sps.size) else { return Err("its SPS cannot be read".to_owned()) };
    if size != (width as u32, height as u32) {
        return Err(format!("it encodes {}x{} instead of {width}x{height}", size.0, size.1));
    }
    match set.get(1) {
        Some(&PROFILE) => Ok(()),
        other => Err(format!("it encodes profile {} instead of baseline", other.copied().unwrap_or_default())),
    }
}
