//! A file in place of a camera, played round and round: `.h264` (Annex B), `.mjpeg` (JPEGs one after the other) and
//! `.y4m` (4:2:0). Read as it is played, so a clip may be of any length.
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

use crate::{
    clock::Mono,
    feed::Fault,
    meter::Counts,
    video::{
        Taken, h264,
        jpeg::{Jpeg, Refusal},
        pace::{Beat, Rate},
        picture::{self, Part},
        planes::Planes,
        sps, y4m,
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
    beat: Beat,
    rate: Rate,
    /// Whether any picture was found since the file was begun.
    found: bool,
    /// Whether everything up to the next key frame is left out.
    searching: bool,
}

/// What is in the file.
enum Kind {
    H264,
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
                let told = h264::sps(&reader.buffer).and_then(sps::parse).and_then(|sps| sps.rate);
                (Kind::H264, told.unwrap_or(Rate::whole(fps)))
            }
            Some("mjpeg" | "mjpg") => {
                (Kind::Mjpeg { jpeg: Jpeg::new().map_err(&failed)?, planes: None }, Rate::whole(fps))
            }
            Some("y4m") => {
                let (header, length) = y4m::header(&reader.buffer).map_err(&failed)?;
                (reader.first, reader.begin) = (length as u64, length);
                let planes = Planes::new(header.size, header.colour).map_err(&failed)?;
                let rate = header.rate.unwrap_or(Rate::whole(fps));
                (Kind::Y4m { header, planes }, rate)
            }
            _ => return Err(failed("clips are .h264, .mjpeg or .y4m".into())),
        };
        Ok(Self { name, reader, kind, beat: Beat::new(rate, Mono::now()), rate, found: false, searching: true })
    }

    /// What it is called in messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether its pictures are sent as they are.
    pub(crate) fn is_coded(&self) -> bool {
        matches!(self.kind, Kind::H264)
    }

    /// Pictures a second.
    pub(crate) fn rate(&self) -> Rate {
        self.rate
    }

    /// When the next picture is due.
    pub(crate) fn due(&self) -> Mono {
        self.beat.due()
    }

    /// A viewer needs a key frame: a coded clip goes on from its next one.
    pub(crate) fn seek_key(&mut self) {
        self.searching = true;
    }

    /// The picture that is due now: its time of capture is now.
    pub(crate) fn next(&mut self, now: Mono, counts: &mut Counts) -> Result<Taken<'_>, Fault> {
        match self.read(counts) {
            Ok(true) => {
                self.beat.advance(now);
                Ok(self.taken(now))
            }
            Ok(false) => Ok(Taken::Nothing),
            Err(what) => Err(Fault::Failed(format!("{}: {what}", self.name))),
        }
    }

    fn taken(&mut self, at: Mono) -> Taken<'_> {
        match &mut self.kind {
            Kind::H264 => Taken::Coded { stream: self.reader.unit(), at },
            Kind::Y4m { planes, .. } | Kind::Mjpeg { planes: Some(planes), .. } => Taken::Planes { planes, at },
            Kind::Mjpeg { planes: None, .. } => Taken::Nothing,
        }
    }

    /// Reads one picture; `false` where none was found yet.
    fn read(&mut self, counts: &mut Counts) -> Result<bool, String> {
        for _ in 0..SEARCH {
            let end_of = match &self.kind {
                Kind::H264 => &(h264::unit_end as fn(&[u8]) -> Option<usize>) as &dyn Fn(&[u8]) -> Option<usize>,
                Kind::Mjpeg { .. } => &jpeg_end,
                Kind::Y4m { header, .. } => &|stream: &[u8]| header.frame_end(stream),
            };
            if !self.reader.advance(end_of)? {
                if !self.found {
                    return Err("no picture in it".into());
                }
                self.found = false;
                // What follows the end is the beginning: before its key frame nothing can be decoded.
                self.searching = true;
                self.reader.rewind()?;
                continue;
            }
            match self.picture() {
                Ok(taken) => {
                    self.found |= taken;
                    if taken {
                        return Ok(true);
                    }
                }
                Err(Refusal::Damaged(_)) => counts.damaged += 1,
                Err(Refusal::Unfit(what)) => return Err(what),
            }
        }
        Ok(false)
    }

    /// Takes the unit that was read as a picture; `false` where it is passed over.
    fn picture(&mut self) -> Result<bool, Refusal> {
        let unit = self.reader.unit();
        match &mut self.kind {
            Kind::H264 => {
                let key = h264::has_idr(unit);
                self.searching &= !key;
                // A clip without any key frame is told as "no picture in it".
                Ok(!self.searching)
            }
            Kind::Mjpeg { jpeg, planes } => {
                let planes = match planes {
                    Some(planes) => planes,
                    None => planes.insert(Planes::new(jpeg.size(unit)?, Default::default()).map_err(Refusal::Unfit)?),
                };
                jpeg.decode(unit, planes)?;
                Ok(true)
            }
            Kind::Y4m { header, planes } => {
                let Some(samples) = header.samples(unit) else {
                    return Err(Refusal::Damaged("cut short".into()));
                };
                let part = Part { bytes: samples, stride: planes.size().0 };
                Ok(picture::unpack(crate::config::PixelFormat::Yu12, &[part], planes))
            }
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

    /// Goes on to the next unit, whose end `end_of` finds; `false` at the end of the file.
    fn advance(&mut self, end_of: &dyn Fn(&[u8]) -> Option<usize>) -> Result<bool, String> {
        self.buffer.drain(..self.begin);
        self.begin = 0;
        loop {
            if let Some(end) = end_of(&self.buffer).filter(|end| *end > 0) {
                self.begin = end.min(self.buffer.len());
                return Ok(true);
            }
            if self.ended {
                self.begin = self.buffer.len();
                return Ok(self.begin > 0);
            }
            self.fill()?;
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

/// The end of the first JPEG in `stream`, found by its markers (ITU-T T.81, B.1.1), so that a thumbnail inside is not
/// taken for the end.
fn jpeg_end(stream: &[u8]) -> Option<usize> {
    let begin = stream.windows(2).position(|pair| pair == [0xFF, 0xD8])?;
    let mut at = begin + 2;
    let mut coded = false;
    loop {
        let (&first, &marker) = (stream.get(at)?, stream.get(at + 1)?);
        if first != 0xFF {
            // Coded data, or rubbish between segments.
            at += stream[at..].iter().position(|&byte| byte == 0xFF)?;
            continue;
        }
        match marker {
            0xD9 => return Some(at + 2),
            // A picture without an end, followed by the next one.
            0xD8 if coded => return Some(at),
            0xFF => at += 1,
            0x00 | 0x01 | 0xD0..=0xD8 => at += 2,
            _ => {
                coded |= marker == 0xDA;
                at += 2 + usize::from(u16::from_be_bytes([*stream.get(at + 2)?, *stream.get(at + 3)?])).max(2);
            }
        }
    }
}

#[cfg(test)]
mod tests;
