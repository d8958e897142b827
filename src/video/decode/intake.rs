//! Checks how many frames of a source are usable. Pure: time is an argument.

use std::time::Duration;

use crate::{clock::Mono, meter::Counts};

/// The length of the window over which frames are counted.
const WINDOW: Duration = Duration::from_secs(4);
/// With fewer frames in a window, it is not judged.
const FEW: u64 = 8;

/// The frames that came from a source, and how many of them were refused.
#[derive(Debug)]
pub(crate) struct Intake {
    /// Since the last usable frame.
    came: u64,
    refused: u64,
    why: String,
    /// In the current window.
    since: Mono,
    seen: Seen,
    /// The meter's counts at the last call.
    before: Seen,
    /// Set if nearly all frames of the last window were refused.
    trouble: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Seen {
    came: u64,
    refused: u64,
}

impl Intake {
    pub(crate) fn new(counts: &Counts, now: Mono) -> Self {
        let seen = Seen::default();
        Self { came: 0, refused: 0, why: String::new(), since: now, seen, before: Seen::of(counts), trouble: None }
    }

    /// Reads the counts. `shown`: a usable frame came.
    pub(crate) fn look(&mut self, counts: &Counts, shown: bool, now: Mono) {
        let total = Seen::of(counts);
        let new = total.after(self.before);
        self.before = total;
        self.came += new.came;
        self.refused += new.refused;
        self.seen = Seen { came: self.seen.came + new.came, refused: self.seen.refused + new.refused };
        if new.refused > 0 {
            self.why.clone_from(&counts.why);
        }
        if now.since(self.since) >= WINDOW {
            let Seen { came, refused } = std::mem::take(&mut self.seen);
            self.since = now;
            let nearly_all = came >= FEW && refused * 10 >= came * 9;
            self.trouble = match (&self.trouble, nearly_all) {
                // The text stays the same, so that new numbers are not logged as news.
                (Some(text), true) => Some(text.clone()),
                (None, true) => Some(format!("{refused} of {came} frames were refused: {}", self.why)),
                (_, false) => None,
            };
        }
        if shown {
            (self.came, self.refused) = (0, 0);
        }
    }

    /// The meter's counts start again from 0.
    pub(crate) fn restart(&mut self) {
        self.before = Seen::default();
    }

    /// Why viewers see hardly any new frame; `None` if they do.
    pub(crate) fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    /// What happened to the frames since the last usable one.
    pub(crate) fn silence(&self, silent: Duration) -> String {
        let text = format!("no picture for {} s", silent.as_secs());
        match (self.came, self.refused) {
            (0, _) => format!("{text}: it sends nothing; check its power, its cable and the hub"),
            (came, 0) => format!("{text}: {came} came, but none was encoded"),
            (came, refused) => format!("{text}: {came} came, of which {refused} were refused: {}", self.why),
        }
    }

    /// The same of a file, which has no power and no cable.
    pub(crate) fn silence_of_file(&self, silent: Duration) -> String {
        let text = format!("no picture for {} s", silent.as_secs());
        match (self.came, self.refused) {
            (0, _) => format!("{text}: the file is read too slowly; check the card or the disk that holds it"),
            (came, 0) => format!("{text}: {came} frames were read, and none of them is a keyframe to begin with"),
            _ => self.silence(silent),
        }
    }
}

impl Seen {
    fn of(counts: &Counts) -> Self {
        Self { came: counts.taken, refused: counts.damaged + counts.flagged }
    }

    /// The counts since `before`. A count that is lower than before has started again.
    fn after(self, before: Self) -> Self {
        let new = |now: u64, before: u64| if now >= before { now - before } else { now };
        Self { came: new(self.came, before.came), refused: new(self.refused, before.refused) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Mono {
        Mono(1_000_000_000 + millis * 1_000_000)
    }

    /// Ten frames per second for this many seconds; every `nth` is usable.
    fn play(intake: &mut Intake, counts: &mut Counts, from: u64, seconds: u64, nth: u64) {
        for n in 0..seconds * 10 {
            counts.taken += 1;
            let shown = nth > 0 && n % nth == 0;
            if !shown {
                counts.refuse("cut short");
            }
            intake.look(counts, shown, at(from + n * 100));
        }
    }

    #[test]
    fn refused_pictures_are_counted_and_named_until_one_is_shown() {
        let mut counts = Counts { taken: 7, damaged: 7, ..Counts::default() };
        let mut intake = Intake::new(&counts, at(0));
        let silence = |intake: &Intake| intake.silence(Duration::from_millis(2_900));
        assert_eq!(silence(&intake), "no picture for 2 s: it sends nothing; check its power, its cable and the hub");
        play(&mut intake, &mut counts, 0, 2, 0);
        assert_eq!(silence(&intake), "no picture for 2 s: 20 came, of which 20 were refused: cut short");
        counts.taken += 1;
        intake.look(&counts, true, at(2_000));
        counts.taken += 1;
        intake.look(&counts, false, at(2_100));
        assert_eq!(silence(&intake), "no picture for 2 s: 1 came, but none was encoded");
        counts = Counts { taken: 3, flagged: 2, why: "broken".into(), ..Counts::default() };
        intake.look(&counts, false, at(2_200));
        assert_eq!(
            silence(&intake),
            "no picture for 2 s: 4 came, of which 2 were refused: broken",
            "the meter began again"
        );
    }

    #[test]
    fn a_file_has_neither_power_nor_a_cable() {
        let mut counts = Counts::default();
        let mut intake = Intake::new(&counts, at(0));
        let silence = |intake: &Intake| intake.silence_of_file(Duration::from_millis(2_900));
        assert_eq!(
            silence(&intake),
            "no picture for 2 s: the file is read too slowly; check the card or the disk that holds it"
        );
        counts.taken += 512;
        intake.look(&counts, false, at(100));
        assert_eq!(
            silence(&intake),
            "no picture for 2 s: 512 frames were read, and none of them is a keyframe to begin with"
        );
        counts.taken += 1;
        counts.refuse("cut short");
        intake.look(&counts, false, at(200));
        assert_eq!(silence(&intake), "no picture for 2 s: 513 came, of which 1 were refused: cut short");
    }

    #[test]
    fn a_source_of_which_next_to_nothing_can_be_shown_is_in_trouble() {
        for (nth, expected) in [(0, true), (12, true), (2, false), (1, false)] {
            let mut counts = Counts::default();
            let mut intake = Intake::new(&counts, at(0));
            play(&mut intake, &mut counts, 0, 5, nth);
            assert_eq!(intake.trouble().is_some(), expected, "one of {nth} shown");
            if expected {
                let text = intake.trouble().unwrap().to_owned();
                assert!(text.contains(" of 41 frames were refused") && text.ends_with("refused: cut short"), "{text}");
                play(&mut intake, &mut counts, 5_000, 20, nth);
                assert_eq!(intake.trouble(), Some(text.as_str()), "it is said once");
                play(&mut intake, &mut counts, 25_000, 9, 1);
                assert_eq!(intake.trouble(), None);
            }
        }
    }

    #[test]
    fn a_few_pictures_say_nothing() {
        let mut counts = Counts::default();
        let mut intake = Intake::new(&counts, at(0));
        for n in 0..7 {
            counts.taken += 1;
            counts.refuse("cut short");
            intake.look(&counts, false, at(n * 1_000));
        }
        assert_eq!(intake.trouble(), None);
    }
}
