//! A file as video source, played in a loop: `.h264` (Annex B), `.mjpeg` (JPEG frames in a row) and `.y4m` (4:2:0). It
//! is read while it is played, so it may be of any length. Bytes between frames are skipped, and damaged frames are
//! left out.
//!
//! A `.y4m` clip has its own frame rate. `.h264` has the one in its parameter set, else the configured one; `.mjpeg`
//! has the configured one. An `.h264` clip is sent unchanged. It cannot make a keyframe for a viewer that joins, so it
//! skips to its next one, or goes back to its last one if the next one is far away.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use tracing::info;

use crate::{
    clock::Mono,
    feed::Fault,
    meter::Counts,
    video::{
        SourceFrame,
        decode::{
            jpeg::{self, Jpeg, PictureError},
            pixel_formats,
            planes::Planes,
        },
        frame_pace::{FrameClock, Rate},
        h264::{self, ParameterSets, StreamInspector, sps},
        sources::{unit::Found, y4m},
    },
};

/// The longest frame in bytes. A raw frame of 3840x2160 fits.
const LONGEST: usize = 16 << 20;
/// Bytes per read.
const CHUNK: usize = 256 << 10;
/// How many frames are read in one call while a keyframe is searched, so that a stop is noticed.
const SEARCH: usize = 256;
/// How many frames are skipped for the next keyframe before the clip goes back to its last one.
const FAR: usize = 120;

/// A clip that is being played.
pub(crate) struct VideoClip {
    name: String,
    reader: Reader,
    kind: Kind,
    frame_clock: FrameClock,
    rate: Rate,
    /// What was found since the beginning of the file.
    round: Round,
    /// Whether skipped bytes were logged.
    logged: bool,
    /// Whether frames are skipped up to the next keyframe.
    searching: bool,
    /// How many frames were skipped in this search.
    skipped: usize,
    /// Where in the file the first keyframe begins, and the last one that was read in this round.
    first_key: Option<u64>,
    last_key: Option<u64>,
}

/// What was found in one pass through the file.
#[derive(Debug, Default)]
struct Round {
    /// How many frames were shown, and how many refused.
    shown: u64,
    refused: u64,
    /// Why the last one was refused.
    why: String,
    /// Bytes that belong to no frame.
    rubbish: u64,
    /// Inspects the H.264 stream, to explain why no frame is usable.
    watch: StreamInspector,
}

/// The contents of the file.
enum Kind {
    H264(ParameterSets),
    Mjpeg { jpeg: Jpeg, planes: Option<Planes> },
    Y4m { header: y4m::Header, planes: Planes },
}

impl VideoClip {
    /// Opens a clip; the file name's extension gives its format.
    pub(crate) fn open(path: &Path, fps: u32) -> Result<Self, Fault> {
        let name = format!("clip {}", path.display());
        let failed = |what: String| Fault::Failed(format!("{name}: {what}"));
        let file = open(path).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => Fault::Absent(format!("{name}: open: {e}")),
            _ => failed(format!("open: {e}")),
        })?;
        let mut reader = Reader { file, first: 0, at: 0, buffer: Vec::new(), begin: 0, ended: false };
        reader.fill().map_err(&failed)?;
        let (kind, rate) = match path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase).as_deref() {
            Some("h264" | "264") => {
                let rate = h264::find_sps(&reader.buffer).and_then(sps::parse).and_then(|sps| sps.rate);
                (Kind::H264(ParameterSets::default()), rate.unwrap_or(Rate::whole(fps)))
            }
            Some("mjpeg" | "mjpg") => {
                (Kind::Mjpeg { jpeg: Jpeg::new(None).map_err(&failed)?, planes: None }, Rate::whole(fps))
            }
            Some("y4m") => {
                let (header, length) = y4m::header(&reader.buffer).map_err(&failed)?;
                (reader.first, reader.begin) = (length as u64, length);
                // Encoders require even sizes.
                let size = (header.size.0 & !1, header.size.1 & !1);
                let planes = Planes::new(size, header.colour).map_err(&failed)?;
                let rate = header.rate.unwrap_or(Rate::whole(fps));
                (Kind::Y4m { header, planes }, rate)
            }
            _ => return Err(failed("clips are .h264, .mjpeg or .y4m".into())),
        };
        let (frame_clock, round) = (FrameClock::new(rate, Mono::now()), Round::default());
        let (logged, searching, skipped, first_key, last_key) = (false, true, 0, None, None);
        Ok(Self { name, reader, kind, frame_clock, rate, round, logged, searching, skipped, first_key, last_key })
    }

    /// Its name in messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether its frames are sent unchanged.
    pub(crate) fn is_coded(&self) -> bool {
        matches!(self.kind, Kind::H264(_))
    }

    /// Frames per second.
    pub(crate) fn rate(&self) -> Rate {
        self.rate
    }

    /// When the next frame is due.
    pub(crate) fn due(&self) -> Mono {
        self.frame_clock.due()
    }

    /// A viewer needs a keyframe: a coded clip skips to its next one, or goes back to its last one.
    pub(crate) fn seek_key(&mut self) {
        (self.searching, self.skipped) = (true, 0);
    }

    /// The frame that is due now. Its time of capture is `now`.
    pub(crate) fn next(&mut self, now: Mono, counts: &mut Counts) -> Result<SourceFrame<'_>, Fault> {
        match self.read(counts) {
            Ok(true) => {
                self.frame_clock.advance(now);
                Ok(self.taken(now))
            }
            Ok(false) => Ok(SourceFrame::Nothing),
            Err(what) => Err(Fault::Failed(format!("{}: {what}", self.name))),
        }
    }

    fn taken(&mut self, at: Mono) -> SourceFrame<'_> {
        match &mut self.kind {
            Kind::H264(_) => SourceFrame::Coded { stream: self.reader.unit(), at },
            Kind::Y4m { planes, .. } | Kind::Mjpeg { planes: Some(planes), .. } => SourceFrame::Planes { planes, at },
            Kind::Mjpeg { planes: None, .. } => SourceFrame::Nothing,
        }
    }

    /// Reads one frame; `false` if none was found yet.
    fn read(&mut self, counts: &mut Counts) -> Result<bool, String> {
        for _ in 0..SEARCH {
            let find = match &self.kind {
                Kind::H264(_) => &(h264::find as fn(&[u8], bool) -> Found) as &dyn Fn(&[u8], bool) -> Found,
                Kind::Mjpeg { .. } => &jpeg::find,
                Kind::Y4m { header, .. } => &|stream: &[u8], ended| header.find(stream, ended),
            };
            let mut rubbish = 0;
            let found = self.reader.advance(find, &mut rubbish)?;
            counts.rubbish += rubbish;
            self.round.rubbish += rubbish;
            if !found {
                self.begin_again()?;
                continue;
            }
            match self.picture() {
                Ok(true) => {
                    counts.taken += 1;
                    self.round.shown += 1;
                    return Ok(true);
                }
                Ok(false) => self.skip(counts)?,
                Err(PictureError(why)) => {
                    counts.taken += 1;
                    counts.refuse(&why);
                    self.round.refused += 1;
                    self.round.why = why;
                }
            }
        }
        Ok(false)
    }

    /// Counts a frame that is skipped in a search. After [`FAR`] of them it goes back to the last keyframe, if there
    /// was one.
    fn skip(&mut self, counts: &mut Counts) -> Result<(), String> {
        if !self.searching {
            return Ok(());
        }
        counts.taken += 1;
        self.skipped += 1;
        if self.skipped < FAR {
            return Ok(());
        }
        self.skipped = 0;
        self.last_key.take().map_or(Ok(()), |key| self.reader.seek(key))
    }

    /// Goes back to the first frame. An error if the whole file has no usable one.
    fn begin_again(&mut self) -> Result<(), String> {
        let round = std::mem::take(&mut self.round);
        if round.shown == 0 {
            return Err(round.nothing(matches!(self.kind, Kind::H264(_))));
        }
        if round.rubbish > 0 && !std::mem::replace(&mut self.logged, true) {
            info!("video: {}: {} bytes belong to no frame and are skipped", self.name, round.rubbish);
        }
        // After the end comes the beginning. Before its keyframe, nothing can be decoded.
        self.seek_key();
        self.last_key = self.first_key;
        self.reader.rewind()
    }

    /// Uses the unit that was read; `false` if it is skipped.
    fn picture(&mut self) -> Result<bool, PictureError> {
        let unit = self.reader.unit();
        match &mut self.kind {
            Kind::H264(sets) => {
                if unit.len() > h264::LONGEST {
                    return Err(h264::too_long(unit.len()));
                }
                let nals: Vec<&[u8]> = h264::nals(unit).collect();
                let key = sets.take_in(&nals);
                if !h264::has_picture(&nals) {
                    // Only parameter sets. They are sent with the next frame.
                    return Ok(false);
                }
                self.round.watch.unit(&nals, sets, key, Mono(0));
                if key {
                    self.last_key = Some(self.reader.at);
                    self.first_key = self.first_key.or(self.last_key);
                }
                self.searching &= !key;
                Ok(!self.searching)
            }
            Kind::Mjpeg { jpeg, planes } => jpeg.decode(unit, planes).map(|()| true),
            Kind::Y4m { header, planes } => {
                let parts = header.planes(unit).ok_or_else(|| PictureError("cut short".into()))?;
                match pixel_formats::unpack(crate::config::PixelFormat::Yu12, &parts, planes) {
                    true => Ok(true),
                    false => Err(PictureError("cut short".into())),
                }
            }
        }
    }
}

impl Round {
    /// Why the whole file has no usable frame.
    fn nothing(&self, coded: bool) -> String {
        match self.refused {
            0 if coded && self.watch.has_pictures() => self.watch.no_beginning(),
            0 => "it contains no picture".to_owned(),
            refused => format!("it contains no usable picture: {refused} were refused: {}", self.why),
        }
    }
}

/// Opens a regular file. A pipe or a device could block for ever.
fn open(path: &Path) -> io::Result<File> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    File::open(path)
}

/// Cuts a file into units, with at most one unit and one chunk in memory.
struct Reader {
    file: File,
    /// The file offset of the first unit.
    first: u64,
    /// The file offset of the current unit.
    at: u64,
    /// The bytes read, from the current unit on.
    buffer: Vec<u8>,
    /// The length of the current unit.
    begin: usize,
    ended: bool,
}

impl Reader {
    /// The current unit.
    fn unit(&self) -> &[u8] {
        &self.buffer[..self.begin]
    }

    /// Goes on to the next unit, which `find` finds. Returns `false` at the end of the file. Counts the bytes between
    /// units.
    fn advance(&mut self, find: &dyn Fn(&[u8], bool) -> Found, rubbish: &mut u64) -> Result<bool, String> {
        self.at += self.buffer.drain(..self.begin).len() as u64;
        self.begin = 0;
        loop {
            if self.ended && self.buffer.is_empty() {
                return Ok(false);
            }
            match find(&self.buffer, self.ended) {
                Found::Unit(end) if end > 0 => {
                    self.begin = end.min(self.buffer.len());
                    return Ok(true);
                }
                Found::Rubbish(length) => {
                    let length = length.clamp(1, self.buffer.len());
                    self.buffer.drain(..length);
                    self.at += length as u64;
                    *rubbish += length as u64;
                }
                Found::Unit(_) | Found::Nothing if self.ended => {
                    *rubbish += self.buffer.len() as u64;
                    self.buffer.clear();
                }
                Found::Unit(_) | Found::Nothing => self.fill()?,
            }
        }
    }

    fn fill(&mut self) -> Result<(), String> {
        if self.buffer.len() > LONGEST {
            return Err(format!("no end of a picture within {} MiB", LONGEST >> 20));
        }
        let read =
            (&mut self.file).take(CHUNK as u64).read_to_end(&mut self.buffer).map_err(|e| format!("read: {e}"))?;
        self.ended = read == 0;
        Ok(())
    }

    fn rewind(&mut self) -> Result<(), String> {
        self.seek(self.first)
    }

    /// Continues with the unit at this offset.
    fn seek(&mut self, at: u64) -> Result<(), String> {
        self.at = self.file.seek(SeekFrom::Start(at)).map_err(|e| format!("rewind: {e}"))?;
        self.buffer.clear();
        (self.begin, self.ended) = (0, false);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
