//! A file in place of a camera, played round and round: `.h264` (Annex B), `.mjpeg` (JPEGs one after the other) and
//! `.y4m` (4:2:0). Read as it is played, so a clip may be of any length. What lies between its pictures is skipped, and a
//! picture that is damaged is left out.
//!
//! The rate of `.y4m` is its own, that of `.h264` what its parameter set says or else the configured one, that of
//! `.mjpeg` the configured one. An `.h264` clip is sent as it is: it cannot make a key frame when a viewer joins, so it
//! goes on from its next one.

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
            jpeg::{self, Jpeg, Refusal},
            pixel_formats,
            planes::Planes,
        },
        frame_pace::{FrameClock, Rate},
        h264::{self, ParameterSets, StreamInspector, sps},
        sources::{unit::Found, y4m},
    },
};

/// The longest picture: a raw one of 3840x2160 fits.
const LONGEST: usize = 16 << 20;
/// How much is read at once.
const CHUNK: usize = 256 << 10;
/// Units looked at in one call when a key frame is searched, so that a stop is noticed.
const SEARCH: usize = 256;

/// A clip that is being played.
pub(crate) struct Clip {
    name: String,
    reader: Reader,
    kind: Kind,
    heartbeat: FrameClock,
    rate: Rate,
    /// What was found since the file was begun.
    round: Round,
    /// Whether it was said that bytes are skipped.
    told: bool,
    /// Whether everything up to the next key frame is left out.
    searching: bool,
}

/// What one round through the file has found.
#[derive(Debug, Default)]
struct Round {
    /// Pictures that were shown, and those that were refused.
    shown: u64,
    refused: u64,
    /// Why the last one was.
    why: String,
    /// Bytes that belong to no picture.
    rubbish: u64,
    /// The time of the pictures so far, by the clip's own rate.
    watch: StreamInspector,
}

/// What is in the file.
enum Kind {
    H264(ParameterSets),
    Mjpeg { jpeg: Jpeg, planes: Option<Planes> },
    Y4m { header: y4m::Header, planes: Planes },
}

impl Clip {
    /// Opens a clip; the kind is told by the end of its name.
    pub(crate) fn open(path: &Path, fps: u32) -> Result<Self, Fault> {
        let name = format!("clip {}", path.display());
        let failed = |what: String| Fault::Failed(format!("{name}: {what}"));
        let file = open(path).map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => Fault::Absent(format!("{name}: open: {e}")),
            _ => failed(format!("open: {e}")),
        })?;
        let mut reader = Reader { file, first: 0, buffer: Vec::new(), begin: 0, ended: false };
        reader.fill().map_err(&failed)?;
        let (kind, rate) = match path.extension().and_then(OsStr::to_str).map(str::to_ascii_lowercase).as_deref() {
            Some("h264" | "264") => {
                let told = h264::find_sps(&reader.buffer).and_then(sps::parse).and_then(|sps| sps.rate);
                (Kind::H264(ParameterSets::default()), told.unwrap_or(Rate::whole(fps)))
            }
            Some("mjpeg" | "mjpg") => {
                (Kind::Mjpeg { jpeg: Jpeg::new(None).map_err(&failed)?, planes: None }, Rate::whole(fps))
            }
            Some("y4m") => {
                let (header, length) = y4m::header(&reader.buffer).map_err(&failed)?;
                (reader.first, reader.begin) = (length as u64, length);
                // Encoders take even sizes only.
                let size = (header.size.0 & !1, header.size.1 & !1);
                let planes = Planes::new(size, header.colour).map_err(&failed)?;
                let rate = header.rate.unwrap_or(Rate::whole(fps));
                (Kind::Y4m { header, planes }, rate)
            }
            _ => return Err(failed("clips are .h264, .mjpeg or .y4m".into())),
        };
        let (heartbeat, round) = (FrameClock::new(rate, Mono::now()), Round::default());
        Ok(Self { name, reader, kind, heartbeat, rate, round, told: false, searching: true })
    }

    /// What it is called in messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether its pictures are sent as they are.
    pub(crate) fn is_coded(&self) -> bool {
        matches!(self.kind, Kind::H264(_))
    }

    /// Pictures a second.
    pub(crate) fn rate(&self) -> Rate {
        self.rate
    }

    /// When the next picture is due.
    pub(crate) fn due(&self) -> Mono {
        self.heartbeat.due()
    }

    /// A viewer needs a key frame: a coded clip goes on from its next one.
    pub(crate) fn seek_key(&mut self) {
        self.searching = true;
    }

    /// The picture that is due now: its time of capture is now.
    pub(crate) fn next(&mut self, now: Mono, counts: &mut Counts) -> Result<SourceFrame<'_>, Fault> {
        match self.read(counts) {
            Ok(true) => {
                self.heartbeat.advance(now);
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

    /// Reads one picture; `false` where none was found yet.
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
                Ok(false) => {}
                Err(Refusal(why)) => {
                    counts.taken += 1;
                    counts.refuse(&why);
                    self.round.refused += 1;
                    self.round.why = why;
                }
            }
        }
        Ok(false)
    }

    /// Back to the first picture; an error where there is none in the whole file.
    fn begin_again(&mut self) -> Result<(), String> {
        let round = std::mem::take(&mut self.round);
        if round.shown == 0 {
            return Err(round.nothing(matches!(self.kind, Kind::H264(_))));
        }
        if round.rubbish > 0 && !std::mem::replace(&mut self.told, true) {
            info!("video: {}: {} bytes of it belong to no picture and are skipped", self.name, round.rubbish);
        }
        // What follows the end is the beginning: before its key frame nothing can be decoded.
        self.searching = true;
        self.reader.rewind()
    }

    /// Takes the unit that was read as a picture; `false` where it is passed over.
    fn picture(&mut self) -> Result<bool, Refusal> {
        let unit = self.reader.unit();
        match &mut self.kind {
            Kind::H264(sets) => {
                if unit.len() > h264::LONGEST {
                    return Err(h264::too_long(unit.len()));
                }
                let nals: Vec<&[u8]> = h264::nals(unit).collect();
                let key = sets.take_in(&nals);
                if !h264::has_picture(&nals) {
                    // Parameter sets alone: whoever gets the pictures needs them.
                    return Ok(false);
                }
                self.round.watch.unit(&nals, sets, key, Mono(0));
                self.searching &= !key;
                Ok(!self.searching)
            }
            Kind::Mjpeg { jpeg, planes } => jpeg.decode(unit, planes).map(|()| true),
            Kind::Y4m { header, planes } => {
                let parts = header.planes(unit).ok_or_else(|| Refusal("cut short".into()))?;
                match pixel_formats::unpack(crate::config::PixelFormat::Yu12, &parts, planes) {
                    true => Ok(true),
                    false => Err(Refusal("cut short".into())),
                }
            }
        }
    }
}

impl Round {
    /// Why there is nothing to show in the whole file.
    fn nothing(&self, coded: bool) -> String {
        match self.refused {
            0 if coded && self.watch.has_pictures() => self.watch.no_beginning(),
            0 => "no picture in it".to_owned(),
            refused => format!("no picture in it that can be shown: {refused} were refused: {}", self.why),
        }
    }
}

/// Opens a regular file: a pipe or a device could block for ever.
fn open(path: &Path) -> io::Result<File> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    File::open(path)
}

/// Cuts a file into units, with at most one unit and one chunk in memory.
struct Reader {
    file: File,
    /// Where the first unit begins in the file.
    first: u64,
    /// From the unit at hand on.
    buffer: Vec<u8>,
    /// Length of the unit at hand.
    begin: usize,
    ended: bool,
}

impl Reader {
    /// The unit at hand.
    fn unit(&self) -> &[u8] {
        &self.buffer[..self.begin]
    }

    /// Goes on to the next unit, which `find` finds; `false` at the end of the file. Counts the bytes that belong to none.
    fn advance(&mut self, find: &dyn Fn(&[u8], bool) -> Found, rubbish: &mut u64) -> Result<bool, String> {
        self.buffer.drain(..self.begin);
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
        self.file.seek(SeekFrom::Start(self.first)).map_err(|e| format!("rewind: {e}"))?;
        self.buffer.clear();
        (self.begin, self.ended) = (0, false);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
