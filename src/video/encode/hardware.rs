//! An H.264 encoder behind a V4L2 memory-to-memory node ("Memory-to-Memory Stateful Video Encoder Interface" in the
//! kernel's documentation). Pictures go in and come out some milliseconds later; nothing here waits for them.

use std::{collections::VecDeque, io, path::Path, sync::Arc};

use tracing::debug;

use crate::{
    clock::Mono,
    config::Video,
    units::Bitrate,
    video::{
        capture::{
            dmabuf::{BorrowedFrame, DmabufExport},
            modes::FourCc,
        },
        decode::planes::Planes,
        encode::{
            Coded, FLOOR, Shape, controls,
            layout::{Layout, WRITTEN},
            level, trust,
        },
        frame_pace::Rate,
        h264::{self, H264Packetizer, nals, sps},
        v4l2::{Asked, Buffer, Control, Done, FORCE_KEY_FRAME, Node, Queue, Side, VIDEO_BITRATE},
    },
};

/// Pictures inside at most: one being coded, one next, one to spare. More would be delay.
const INSIDE: usize = 3;
/// The same of lent ones: the camera needs the others of its four buffers.
const LENT: usize = 2;
/// Buffers for what was coded: a header may have one of its own.
const CODED: u32 = 4;
/// Pictures that may come between the wish for a key frame and it; then it is wished for again.
const KEY_LAG: u32 = 3;
/// The profile that browsers were promised: baseline.
const PROFILE: u8 = 66;

/// An encoder at work.
pub(crate) struct Hardware {
    name: String,
    node: Arc<Node>,
    raw: Queue,
    coded: Queue,
    way: Way,
    shape: Shape,
    knob: Control,
    /// In bits per second, as the driver counts.
    bitrate: i64,
    fps: f64,
    packetizer: H264Packetizer,
    /// Pictures that are inside, in their order.
    inside: VecDeque<Inside>,
    /// Pictures that came out since a key frame was wished for that has not come.
    since_wish: Option<u32>,
    /// Whether a picture came out broken: the next one has to be a key frame.
    mends: bool,
}

/// How pictures get to the device.
enum Way {
    /// They are written into its memory; the numbers of buffers that are free.
    Written { layout: Layout, lengths: Vec<usize>, free: Vec<u32> },
    /// It reads them from the camera's; those that it has now.
    Lent { camera: Arc<DmabufExport>, lengths: Vec<usize>, lent: Vec<Buffer> },
}

/// A picture that was put in.
struct Inside {
    /// Its time stamp in microseconds, which comes out with it.
    stamp: i64,
    at: Mono,
    since: Mono,
}

impl Hardware {
    /// Sets an encoder up and starts it. Where it can, it takes the pictures of `camera` out of the camera's memory.
    pub(crate) fn open(
        path: &Path,
        shape: Shape,
        config: &Video,
        camera: Option<&Arc<DmabufExport>>,
    ) -> Result<Self, String> {
        if let Some(camera) = camera.filter(|c| shape.is_of(c.size, c.colour)) {
            match Self::start(path, shape, config, Some(camera)) {
                Ok(hardware) => return Ok(hardware),
                Err(what) => debug!("video: {what}: pictures are copied"),
            }
        }
        Self::start(path, shape, config, None)
    }

    fn start(path: &Path, shape: Shape, config: &Video, camera: Option<&Arc<DmabufExport>>) -> Result<Self, String> {
        let text = |doing: &str| format!("encoder {}: {doing}", path.display());
        let failed = |doing: &str| {
            let text = text(doing);
            move |e: io::Error| format!("{text}: {e}")
        };
        let node = Node::open(path).map_err(failed("open"))?;
        let card = node.identity().map_err(failed("ask what it is"))?.card;
        let size = (shape.size.0 as u32, shape.size.1 as u32);
        // The order is the kernel's: what comes out first, then what goes in.
        let length = size.0.saturating_mul(size.1).max(512 << 10);
        let coded = Asked { fourcc: FourCc::H264, size, stride: 0, length, colour: shape.colour };
        let given = node.set_queue_format(Side::Coded, &coded).map_err(failed("set H264"))?;
        if given.fourcc != FourCc::H264 {
            return Err(text(&format!("set H264: it gives {} instead", given.fourcc)));
        }
        let offered = node.formats(Side::Raw);
        let fourcc = match camera {
            Some(camera) => Some(camera.fourcc).filter(|fourcc| offered.contains(fourcc)),
            None => WRITTEN.into_iter().find(|fourcc| offered.contains(fourcc)),
        };
        let fourcc = fourcc.ok_or_else(|| text("takes none of the formats there are"))?;
        let stride = camera.and_then(|c| c.strides.first()).map_or(0, |stride| *stride as u32);
        let asked = Asked { fourcc, size, stride, length: 0, colour: shape.colour };
        let doing = format!("set {}x{} {fourcc}", size.0, size.1);
        let given = node.set_queue_format(Side::Raw, &asked).map_err(failed(&doing))?;
        if given.fourcc != fourcc {
            return Err(text(&format!("{doing}: it takes {} instead", given.fourcc)));
        }
        if given.size != size {
            // Drivers round up to whole macroblocks; that part is not to be seen.
            node.set_crop(size).map_err(failed(&format!("{doing} of {}x{}", given.size.0, given.size.1)))?;
        }
        let knob = set_controls(&node, shape, config).ok_or_else(|| text("has no bitrate"))?;
        let _ = node.set_encoder_rate(shape.rate);
        let node = Arc::new(node);
        let (raw, way) = match camera {
            Some(camera) => {
                let alike = given.size == camera.size
                    && given.strides == camera.strides
                    && camera.buffers.iter().all(|pieces| {
                        let lengths = pieces.iter().map(|piece| piece.length);
                        pieces.len() == given.lengths.len()
                            && lengths.zip(&given.lengths).all(|(has, needs)| has >= *needs)
                    });
                if !alike {
                    return Err(text("wants pictures in another layout than the camera's"));
                }
                let queue = Queue::imported(Arc::clone(&node), camera.buffers.len() as u32);
                let queue = queue.map_err(failed("take pictures out of the camera's memory"))?;
                (queue, Way::Lent { camera: Arc::clone(camera), lengths: given.lengths, lent: Vec::new() })
            }
            None => {
                let layout = Layout::new(&given, shape.size).map_err(|what| text(&what))?;
                let queue = Queue::mapped(Arc::clone(&node), Side::Raw, INSIDE as u32);
                let queue = queue.map_err(failed("get memory for pictures"))?;
                let free = (0..queue.len().min(INSIDE) as u32).collect();
                (queue, Way::Written { layout, lengths: given.lengths, free })
            }
        };
        let mut coded = Queue::mapped(Arc::clone(&node), Side::Coded, CODED).map_err(failed("get memory"))?;
        let begin = |coded: &mut Queue| {
            (0..coded.len() as u32).try_for_each(|index| coded.put(index, &[], 0))?;
            raw.start()?;
            coded.start()
        };
        begin(&mut coded).map_err(failed("start"))?;
        Ok(Self {
            name: format!("{card} ({})", path.display()),
            node,
            raw,
            coded,
            way,
            shape,
            bitrate: controls::within(&knob, shape.bitrate.as_bps().into()),
            knob,
            fps: shape.rate.fps(),
            packetizer: H264Packetizer::default(),
            inside: VecDeque::new(),
            since_wish: None,
            mends: false,
        })
    }

    /// What it is called in messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether it takes pictures out of the camera's memory.
    pub(crate) fn imports_dmabuf(&self) -> bool {
        matches!(self.way, Way::Lent { .. })
    }

    pub(crate) fn fits(&self, shape: Shape) -> bool {
        self.shape.size == shape.size && self.shape.colour == shape.colour
    }

    /// What to wait for, while something is inside.
    pub(crate) fn waited_for(&self) -> Option<&Arc<Node>> {
        (!self.inside.is_empty()).then_some(&self.node)
    }

    /// Takes another bound of the bitrate, as far as the level in its parameter sets allows it.
    pub(crate) fn set_ceiling(&mut self, ceiling: Bitrate) -> bool {
        let level = |ceiling| level::lowest(self.shape.size, self.shape.rate, ceiling);
        let fits = level(ceiling) <= level(self.shape.ceiling);
        if fits {
            self.shape.ceiling = ceiling;
        }
        fits
    }

    pub(crate) fn set_bitrate(&mut self, bitrate: Bitrate) {
        let bitrate = bitrate.clamp(FLOOR, self.shape.ceiling.max(FLOOR));
        let bits = controls::within(&self.knob, bitrate.as_bps().into());
        if bits == self.bitrate {
            return;
        }
        // Refused or not: it is not asked again for the same.
        self.bitrate = bits;
        if let Err(e) = self.node.set_control(VIDEO_BITRATE, bits) {
            debug!("video: {} refuses {bits} bit/s: {e}", self.name);
        }
    }

    pub(crate) fn set_rate(&mut self, fps: f64) {
        if fps == self.fps {
            return;
        }
        self.fps = fps;
        if let Some(rate) = Rate::checked((fps * 1000.0) as u32, 1000) {
            // Some drivers take a rate only before the start; their bitrate is a little off then.
            let _ = self.node.set_encoder_rate(rate);
        }
    }

    /// Puts a picture in; `false` where there is no room for it.
    pub(crate) fn put(&mut self, planes: &Planes, key: bool, at: Mono) -> Result<bool, String> {
        let Way::Written { layout, lengths, free } = &mut self.way else { return Ok(false) };
        let Some(index) = free.pop() else { return Ok(false) };
        let key = key | std::mem::take(&mut self.mends);
        Wish { node: &self.node, since: &mut self.since_wish }.make(key);
        let stamp = stamp(at);
        if !layout.write(planes, &mut self.raw.pieces(index)) {
            return Err("its memory is smaller than it said".to_owned());
        }
        self.raw.put(index, lengths, stamp).map_err(|e| format!("give it a picture: {e}"))?;
        self.inside.push_back(Inside { stamp, at, since: Mono::now() });
        Ok(true)
    }

    /// Lends it a picture of the camera; gives it back where there is no room.
    pub(crate) fn lend(
        &mut self,
        loan: BorrowedFrame,
        key: bool,
    ) -> Result<Option<BorrowedFrame>, (String, BorrowedFrame)> {
        let Way::Lent { lent, camera, lengths } = &mut self.way else { return Ok(Some(loan)) };
        let index = loan.buffer.index;
        let Some(pieces) = camera.buffers.get(index as usize) else { return Ok(Some(loan)) };
        // A picture that is not whole is worth nothing.
        let whole = loan.buffer.used.iter().zip(lengths.iter()).all(|((from, to), needed)| *from == 0 && to >= needed);
        if lent.len() >= LENT || !whole {
            return Ok(Some(loan));
        }
        let stamp = stamp(loan.at);
        let key = key | std::mem::take(&mut self.mends);
        Wish { node: &self.node, since: &mut self.since_wish }.make(key);
        if let Err(e) = self.raw.lend(index, pieces, lengths, stamp) {
            return Err((format!("take a picture out of the camera's memory: {e}"), loan));
        }
        self.inside.push_back(Inside { stamp, at: loan.at, since: Mono::now() });
        lent.push(loan.buffer);
        Ok(None)
    }

    /// A picture that is done, `None` where there is none yet; buffers that are the camera's again go to `back`. An error
    /// where it does not work any more.
    pub(crate) fn take(&mut self, back: &mut Vec<Buffer>, now: Mono) -> Result<Option<Coded>, String> {
        let failed = |e: io::Error| format!("take what it coded: {e}");
        while let Some(Done { index, .. }) = self.raw.take().map_err(failed)? {
            match &mut self.way {
                Way::Written { free, .. } => free.push(index),
                Way::Lent { lent, .. } => {
                    let place = lent.iter().position(|buffer| buffer.index == index);
                    back.extend(place.map(|place| lent.swap_remove(place)));
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
                Err(format!("has not coded a picture within {} ms", trust::WEDGED.as_millis()))
            }
            _ => Ok(None),
        }
    }

    /// What a coded buffer brought.
    fn made(&mut self, done: &Done, now: Mono) -> Result<Option<Coded>, String> {
        let bytes = self.coded.bytes(done);
        let set = h264::find_sps(bytes);
        set.map_or(Ok(()), |set| check(set, self.shape))?;
        let told = set.and_then(|set| sps::with_colour(set, self.shape.colour));
        let broken = done.flagged || bytes.is_empty();
        let told = |unit| if Some(unit) == set { told.as_deref().unwrap_or(unit) } else { unit };
        let units: Vec<&[u8]> = if broken { Vec::new() } else { nals(bytes).map(told).collect() };
        let cut = self.packetizer.packetize(&units);
        // Parameter sets may come alone. Everything else ends a picture, also one that the encoder left out.
        if cut.is_none() && !broken {
            return Ok(None);
        }
        let place = self.inside.iter().position(|picture| picture.stamp == done.stamp).unwrap_or(0);
        let picture = (0..=place).map_while(|_| self.inside.pop_front()).last();
        self.mends |= done.flagged;
        let (Some(cut), Some(picture)) = (cut, picture) else { return Ok(None) };
        self.since_wish = self.since_wish.map(|since| since + 1).filter(|since| !cut.key && *since < KEY_LAG);
        Ok(Some(Coded { cut, at: picture.at, took: now.since(picture.since) }))
    }

    /// What it has of the camera, which is the camera's again.
    pub(crate) fn give_back(&mut self) -> Vec<Buffer> {
        match &mut self.way {
            Way::Written { .. } => Vec::new(),
            Way::Lent { lent, .. } => std::mem::take(lent),
        }
    }
}

/// The wish for a key frame.
struct Wish<'a> {
    node: &'a Node,
    /// Pictures that came out since the last one that was not answered.
    since: &'a mut Option<u32>,
}

impl Wish<'_> {
    /// Wishes, if so, unless a key frame is on its way.
    fn make(self, key: bool) {
        if key && self.since.is_none() {
            *self.since = Some(0);
            if let Err(e) = self.node.set_control(FORCE_KEY_FRAME, 1) {
                debug!("video: {} refuses a key frame: {e}", self.node.path.display());
            }
        }
    }
}

/// A time stamp of pictures inside: microseconds, as the kernel keeps them.
fn stamp(at: Mono) -> i64 {
    i64::try_from(at.0 / 1000).unwrap_or(i64::MAX)
}

/// Whether an encoder makes what it was set to.
fn check(set: &[u8], shape: Shape) -> Result<(), String> {
    let (width, height) = shape.size;
    let Some(size) = sps::parse(set).map(|sps| sps.size) else { return Err("codes what cannot be read".to_owned()) };
    if size != (width as u32, height as u32) {
        return Err(format!("codes {}x{} where {width}x{height} was asked for", size.0, size.1));
    }
    match set.get(1) {
        Some(&PROFILE) => Ok(()),
        other => Err(format!("codes profile {} where baseline was asked for", other.copied().unwrap_or_default())),
    }
}

/// Sets all controls that it has; gives the bitrate's. What cannot be set is told to the curious: what comes out is
/// looked at anyway.
fn set_controls(node: &Node, shape: Shape, config: &Video) -> Option<Control> {
    let controls = node.controls();
    let level = level::lowest(shape.size, shape.rate, shape.ceiling);
    for setting in controls::plan(&controls, shape.bitrate, level, config) {
        let refused = |value: &i64| node.set_control(setting.id, *value).err();
        let refusals: Vec<io::Error> = setting.values.iter().map_while(refused).collect();
        if refusals.len() == setting.values.len() {
            debug!("video: encoder refuses {:?} for control {:#x}: {:?}", setting.values, setting.id, refusals.last());
        }
    }
    controls.into_iter().find(|control| control.id == VIDEO_BITRATE)
}
