//! The privacy switch of the board: while it is on, camera and microphone stay closed for everybody. Pure, but for
//! `handle.rs`: time is an argument, and the caller writes the record.
//!
//! A viewer with the right `control` and the owner may set it, and lift it; the button may set it, and lift it if the
//! configuration allows that. A viewer must name the change that it lifts.
//! So a broker that holds a message back, or repeats one, cannot lift a switch that somebody has set since.

mod handle;

use std::time::Duration;

pub use self::handle::{PrivacyHandle, PrivacyNews, PrivacyState};
use crate::{clock::Mono, config::Id};

/// The pause between two lifts. With it, a viewer that plays with the switch does not wear out the board's card.
const LIFT_PAUSE: Duration = Duration::from_secs(5);
/// The pause before a record that could not be written is written again. It doubles up to [`WRITE_PAUSE_MAX`].
const WRITE_PAUSE: Duration = Duration::from_secs(1);
const WRITE_PAUSE_MAX: Duration = Duration::from_secs(60);
/// The first words of the record: what it is, and the number of its format.
const HEAD: [&str; 2] = ["fanlight-privacy", "1"];
/// The largest record, in bytes.
pub const RECORD_MAX: usize = 256;
/// The highest number of a change: the largest number that every JSON reader keeps exact. It is never reached.
const CHANGE_MAX: u64 = (1 << 53) - 1;

/// Who set or lifted the switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrivacySource {
    /// Nobody: the board is new.
    Nobody,
    /// This viewer.
    Viewer(Id),
    /// A command at the board itself.
    Owner,
    /// The button at the board.
    Button,
    /// The board: its record could not be read.
    Fault,
}

impl PrivacySource {
    /// Its name in messages and in the record.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Viewer(_) => "viewer",
            Self::Owner => "owner",
            Self::Button => "button",
            Self::Fault => "fault",
        }
    }

    fn of_words(name: &str, viewer: Option<&str>) -> Option<Self> {
        Some(match (name, viewer) {
            ("viewer", Some(id)) => Self::Viewer(Id::new(id)?),
            ("nobody", None) => Self::Nobody,
            ("owner", None) => Self::Owner,
            ("button", None) => Self::Button,
            ("fault", None) => Self::Fault,
            _ => return None,
        })
    }
}

/// What somebody asks of the switch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrivacyRequest {
    /// Camera and microphone shall stop.
    Set,
    /// They may run again. `change`: the number of the change that is lifted, where the way to the board may delay or
    /// repeat messages. `None`: whatever the change was.
    Lift {
        /// The number of the change.
        change: Option<u64>,
    },
}

/// Why the switch stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrivacyFault {
    /// This source may not change it.
    NotAllowed,
    /// The switch was set or lifted since. The number is that of the last change.
    Changed(u64),
    /// It was lifted a moment ago. The next lift is possible after this time.
    TooSoon(Duration),
}

/// What follows from a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrivacyChange {
    /// Nothing: the switch had this position.
    Nothing,
    /// Camera and microphone stop now.
    Stop,
    /// They may run, as viewers ask.
    Resume,
}

/// The switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoardPrivacy {
    is_on: bool,
    /// The number of the last change.
    change: u64,
    by: PrivacySource,
    /// The last change. `None`: before the start of the daemon.
    at: Option<Mono>,
    lifted: Option<Mono>,
    write: RecordWrite,
}

/// Whether the record is as the switch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RecordWrite {
    Done,
    /// To be written at once.
    Due,
    /// It could not be written, so many times in a row. It is tried again at that time.
    Failed(u32, Mono),
}

impl BoardPrivacy {
    /// The switch as the record has it. `None`: there is none, because the switch was never used. A caller that cannot
    /// read the record passes no bytes: a damaged record means that the switch is on.
    pub fn restore(record: Option<&[u8]>) -> Self {
        let of = |is_on, change, by, write| Self { is_on, change, by, at: None, lifted: None, write };
        match record.map(parse) {
            None => of(false, 0, PrivacySource::Nobody, RecordWrite::Done),
            Some(Some((is_on, change, by))) => of(is_on, change, by, RecordWrite::Done),
            // Nobody knows any more who wanted what, so nobody is filmed. The file is replaced by the next change only:
            // a person may want to look at it.
            Some(None) => of(true, 0, PrivacySource::Fault, RecordWrite::Done),
        }
    }

    /// Whether camera and microphone must stay closed.
    pub fn is_on(&self) -> bool {
        self.is_on
    }

    /// The number of the last change. A viewer that lifts the switch names it.
    pub fn change(&self) -> u64 {
        self.change
    }

    /// Who made the last change.
    pub fn by(&self) -> &PrivacySource {
        &self.by
    }

    /// How long ago the last change was. `None`: before the start of the daemon.
    pub fn age(&self, now: Mono) -> Option<Duration> {
        self.at.map(|at| now.since(at))
    }

    /// Takes a request. `has_right`: for a viewer, whether it has the right `control` now; for the button, whether it
    /// may lift the switch.
    pub fn ask(
        &mut self,
        request: &PrivacyRequest,
        by: PrivacySource,
        has_right: bool,
        now: Mono,
    ) -> Result<PrivacyChange, PrivacyFault> {
        // A viewer without the right could otherwise take the picture from everybody.
        if matches!(by, PrivacySource::Viewer(_)) && !has_right {
            return Err(PrivacyFault::NotAllowed);
        }
        let lifts = match request {
            PrivacyRequest::Set => false,
            PrivacyRequest::Lift { .. } => true,
        };
        if lifts != self.is_on {
            return Ok(PrivacyChange::Nothing);
        }
        if lifts && by == PrivacySource::Button && !has_right {
            return Err(PrivacyFault::NotAllowed);
        }
        if lifts {
            self.check_lift(request, &by, now)?;
            self.lifted = Some(now);
        }
        (self.is_on, self.by, self.at) = (!lifts, by, Some(now));
        self.change = (self.change + 1).min(CHANGE_MAX);
        self.write = RecordWrite::Due;
        Ok(if lifts { PrivacyChange::Resume } else { PrivacyChange::Stop })
    }

    fn check_lift(&self, request: &PrivacyRequest, by: &PrivacySource, now: Mono) -> Result<(), PrivacyFault> {
        if !matches!(by, PrivacySource::Viewer(_) | PrivacySource::Owner | PrivacySource::Button) {
            return Err(PrivacyFault::NotAllowed);
        }
        let named = match request {
            PrivacyRequest::Lift { change } => *change,
            PrivacyRequest::Set => None,
        };
        // What a viewer sends passes a broker. It must say what it lifts.
        let must_name = matches!(by, PrivacySource::Viewer(_));
        if named.map_or(must_name, |change| change != self.change) {
            return Err(PrivacyFault::Changed(self.change));
        }
        let since = self.lifted.map(|lifted| now.since(lifted));
        match since.and_then(|since| LIFT_PAUSE.checked_sub(since)) {
            Some(left) if !left.is_zero() => Err(PrivacyFault::TooSoon(left)),
            _ => Ok(()),
        }
    }

    /// The record to write now. `None`: it is written, or its time has not come. The caller reports the end with
    /// [`wrote`](Self::wrote). The switch is in force meanwhile.
    pub fn record_due(&self, now: Mono) -> Option<Vec<u8>> {
        let due = match self.write {
            RecordWrite::Done => false,
            RecordWrite::Due => true,
            RecordWrite::Failed(_, again) => now >= again,
        };
        due.then(|| self.record())
    }

    /// When [`record_due`](Self::record_due) has something again, after a failure.
    #[cfg(test)]
    fn deadline(&self) -> Option<Mono> {
        match self.write {
            RecordWrite::Failed(_, again) => Some(again),
            RecordWrite::Done | RecordWrite::Due => None,
        }
    }

    /// A record was written, or could not be. If the switch changed meanwhile, the next record is due at once.
    pub fn wrote(&mut self, record: &[u8], worked: bool, now: Mono) {
        let is_newest = record == self.record();
        self.write = match (self.write, worked) {
            (_, true) if is_newest => RecordWrite::Done,
            (_, true) => RecordWrite::Due,
            (RecordWrite::Failed(times, _), false) => failed(times.saturating_add(1), now),
            (_, false) => failed(1, now),
        };
    }

    /// Whether the next start would find another switch than this one.
    pub fn is_unsaved(&self) -> bool {
        self.write != RecordWrite::Done
    }

    /// The record: `fanlight-privacy 1 on 5 viewer anna`, and a line end.
    fn record(&self) -> Vec<u8> {
        let position = if self.is_on { "on" } else { "off" };
        let mut words = vec![HEAD[0].to_owned(), HEAD[1].to_owned(), position.to_owned(), self.change.to_string()];
        words.push(self.by.name().to_owned());
        if let PrivacySource::Viewer(id) = &self.by {
            words.push(id.to_string());
        }
        let mut text = words.join(" ");
        text.push('\n');
        text.into_bytes()
    }
}

fn failed(times: u32, now: Mono) -> RecordWrite {
    let pause = WRITE_PAUSE.saturating_mul(1 << (times - 1).min(16)).min(WRITE_PAUSE_MAX);
    RecordWrite::Failed(times, now + pause)
}

/// Reads a record strictly: what is not exactly as this program writes it says nothing.
fn parse(record: &[u8]) -> Option<(bool, u64, PrivacySource)> {
    if record.len() > RECORD_MAX {
        return None;
    }
    let line = std::str::from_utf8(record).ok()?.strip_suffix('\n')?;
    let words: Vec<&str> = line.split(' ').collect();
    let (head, rest) = words.split_at_checked(HEAD.len())?;
    let (position, change, by, viewer) = match rest {
        [position, change, by] => (*position, *change, *by, None),
        [position, change, by, viewer] => (*position, *change, *by, Some(*viewer)),
        _ => return None,
    };
    let is_on = match position {
        "on" => true,
        "off" => false,
        _ => return None,
    };
    let number: u64 = change.parse().ok().filter(|number| *number <= CHANGE_MAX)?;
    // `+5` and `05` are numbers, too.
    (head == HEAD && number.to_string() == change).then_some(())?;
    Some((is_on, number, PrivacySource::of_words(by, viewer)?))
}

#[cfg(test)]
mod tests;
