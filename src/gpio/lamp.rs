//! What the lamps show: one for the picture, one for sound in either direction. Pure: time is an argument.
//!
//! A lamp follows the device itself, and not what a page or a session believes. It is lit before the device is opened,
//! and dark once the device is closed: never the other way round. So it is also lit during the linger time, and while a
//! thread hangs that may still have the device open.

use std::time::Duration;

use crate::clock::Mono;

/// The pause before the second try of a write that failed. It leaves time for a second try within the 100 ms in which a
/// lamp must be dark.
const FIRST_PAUSE: Duration = Duration::from_millis(40);
/// The pause before each further try.
const PAUSE: Duration = Duration::from_secs(1);

/// A device whose use a lamp shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LampDevice {
    /// The camera.
    Camera,
    /// The microphone: somebody listens.
    Microphone,
    /// The loudspeaker: somebody talks.
    Speaker,
}

/// Which devices may be open: from just before each is opened until it is certainly closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DevicesInUse {
    camera: bool,
    microphone: bool,
    speaker: bool,
}

impl DevicesInUse {
    /// A device may be open now, or is certainly closed.
    pub fn set(&mut self, device: LampDevice, is_used: bool) {
        match device {
            LampDevice::Camera => self.camera = is_used,
            LampDevice::Microphone => self.microphone = is_used,
            LampDevice::Speaker => self.speaker = is_used,
        }
    }
}

/// A lamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LampName {
    /// Somebody watches.
    Picture,
    /// Somebody talks or listens.
    Sound,
}

impl LampName {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Picture, Self::Sound];

    /// Its key in the configuration.
    pub fn key(self) -> &'static str {
        match self {
            Self::Picture => "lamp.picture",
            Self::Sound => "lamp.sound",
        }
    }
}

/// Which lamps the board has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FittedLamps {
    /// The lamp for the picture.
    pub picture: bool,
    /// The lamp for sound.
    pub sound: bool,
}

impl FittedLamps {
    fn has(self, lamp: LampName) -> bool {
        match lamp {
            LampName::Picture => self.picture,
            LampName::Sound => self.sound,
        }
    }

    /// Whether a lamp is lit. A board with one lamp shows everything with it: its microphone is never open in the dark.
    fn is_lit(self, lamp: LampName, used: DevicesInUse) -> bool {
        let picture = used.camera;
        let sound = used.microphone || used.speaker;
        match lamp {
            LampName::Picture => picture || sound && !self.sound,
            LampName::Sound => sound || picture && !self.picture,
        }
    }
}

/// A lamp that has to be switched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LampWrite {
    /// The lamp.
    pub lamp: LampName,
    /// Whether it is to be lit.
    pub lit: bool,
}

/// What is known about one lamp.
#[derive(Debug, Clone, Copy, Default)]
struct LampState {
    wanted: bool,
    /// What it shows. `None`: not known, as at the start and after a write that failed.
    shows: Option<bool>,
    failures: u32,
    again: Option<Mono>,
}

/// The lamps of the board.
#[derive(Debug)]
pub struct LampStates {
    fitted: FittedLamps,
    states: [LampState; 2],
}

impl LampStates {
    /// Lamps of which nobody knows what they show: a daemon that was killed could leave them lit. So the first
    /// [`due`](Self::due) switches each of them.
    pub fn new(fitted: FittedLamps) -> Self {
        Self { fitted, states: [LampState::default(); 2] }
    }

    /// The devices do something else now. What is not as it was is due at once.
    pub fn set(&mut self, used: DevicesInUse) {
        for lamp in LampName::ALL {
            let lit = self.fitted.is_lit(lamp, used);
            let known = self.state_mut(lamp);
            if known.wanted != lit {
                // Another write than the one that failed: it does not wait for that one's pause.
                *known = LampState { wanted: lit, again: None, ..*known };
            }
        }
    }

    /// What to switch now. The caller reports each one's end with [`wrote`](Self::wrote).
    pub fn due(&self, now: Mono) -> Vec<LampWrite> {
        let is_due = |lamp: &LampName| {
            let state = self.states[*lamp as usize];
            self.fitted.has(*lamp) && state.shows != Some(state.wanted) && state.again.is_none_or(|again| now >= again)
        };
        let write = |lamp: LampName| LampWrite { lamp, lit: self.states[lamp as usize].wanted };
        LampName::ALL.into_iter().filter(is_due).map(write).collect()
    }

    /// When `due` has something again, after a failure.
    pub fn deadline(&self) -> Option<Mono> {
        self.states.iter().filter_map(|state| state.again).min()
    }

    /// A lamp was switched, or could not be. Returns whether this is news: the first failure in a row, or its end.
    pub fn wrote(&mut self, write: LampWrite, worked: bool, now: Mono) -> bool {
        let state = self.state_mut(write.lamp);
        let failed_before = state.failures > 0;
        if worked {
            (state.shows, state.failures, state.again) = (Some(write.lit), 0, None);
            return failed_before;
        }
        let pause = if failed_before { PAUSE } else { FIRST_PAUSE };
        (state.shows, state.failures, state.again) = (None, state.failures.saturating_add(1), Some(now + pause));
        !failed_before
    }

    /// Whether a device may be opened: no lamp that must be lit is still to be switched. A lamp that does not work does
    /// not stop the camera: what failed is reported, and not waited for.
    pub fn shows_all(&self) -> bool {
        self.all(|state| !state.wanted || state.shows == Some(true) || state.failures > 0)
    }

    /// Whether each lamp is certainly dark, or does not work.
    pub fn is_dark(&self) -> bool {
        self.all(|state| state.shows == Some(false) || state.failures > 1)
    }

    fn all(&self, holds: impl Fn(LampState) -> bool) -> bool {
        LampName::ALL.into_iter().all(|lamp| !self.fitted.has(lamp) || holds(self.states[lamp as usize]))
    }

    fn state_mut(&mut self, lamp: LampName) -> &mut LampState {
        &mut self.states[lamp as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: FittedLamps = FittedLamps { picture: true, sound: true };
    /// How soon after the end of capture a lamp must be dark.
    const DARK_WITHIN: Duration = Duration::from_millis(100);

    fn ms(n: u64) -> Mono {
        Mono(n * 1_000_000)
    }

    fn used(camera: bool, microphone: bool, speaker: bool) -> DevicesInUse {
        DevicesInUse { camera, microphone, speaker }
    }

    /// Switches what is due; returns the lamps that are lit then.
    fn lit(lamps: &mut LampStates, now: Mono) -> (bool, bool) {
        for write in lamps.due(now) {
            lamps.wrote(write, true, now);
        }
        let shows = |lamp: LampName| lamps.states[lamp as usize].shows == Some(true);
        (shows(LampName::Picture), shows(LampName::Sound))
    }

    #[test]
    fn each_lamp_follows_its_devices() {
        for n in 0..8 {
            let devices = used(n & 1 != 0, n & 2 != 0, n & 4 != 0);
            let (camera, sound) = (n & 1 != 0, n & 6 != 0);
            for (picture_lamp, sound_lamp, expected) in [
                (true, true, (camera, sound)),
                // One lamp shows everything.
                (true, false, (camera || sound, false)),
                (false, true, (false, camera || sound)),
                (false, false, (false, false)),
            ] {
                let mut lamps = LampStates::new(FittedLamps { picture: picture_lamp, sound: sound_lamp });
                lamps.set(devices);
                assert_eq!(lit(&mut lamps, ms(0)), expected, "{devices:?}");
            }
        }
    }

    #[test]
    fn a_device_is_one_of_three() {
        let mut devices = DevicesInUse::default();
        for (device, expected) in [
            (LampDevice::Camera, used(true, false, false)),
            (LampDevice::Microphone, used(true, true, false)),
            (LampDevice::Speaker, used(true, true, true)),
        ] {
            devices.set(device, true);
            assert_eq!(devices, expected);
        }
        devices.set(LampDevice::Camera, false);
        assert_eq!(devices, used(false, true, true));
    }

    #[test]
    fn a_board_without_lamps_switches_none() {
        let mut lamps = LampStates::new(FittedLamps { picture: false, sound: false });
        lamps.set(used(true, true, true));
        assert!(lamps.due(ms(0)).is_empty() && lamps.shows_all() && lamps.is_dark());
        assert_eq!(lamps.deadline(), None);
    }

    #[test]
    fn a_start_switches_off_what_a_killed_daemon_left_lit() {
        let mut lamps = LampStates::new(BOTH);
        assert!(!lamps.is_dark(), "nobody knows");
        assert_eq!(lamps.due(ms(0)), LampName::ALL.map(|lamp| LampWrite { lamp, lit: false }));
        lit(&mut lamps, ms(0));
        assert!(lamps.is_dark() && lamps.due(ms(1)).is_empty(), "and only once");
    }

    #[test]
    fn the_lamp_is_lit_before_the_camera_opens_and_due_to_be_dark_as_soon_as_it_closed() {
        let mut lamps = LampStates::new(BOTH);
        lit(&mut lamps, ms(0));
        lamps.set(used(true, false, false));
        assert!(!lamps.shows_all(), "the camera waits for the lamp");
        assert_eq!(lit(&mut lamps, ms(1000)), (true, false));
        assert!(lamps.shows_all() && !lamps.is_dark());
        lamps.set(used(true, false, false));
        assert!(lamps.due(ms(2000)).is_empty(), "it stays lit");
        lamps.set(DevicesInUse::default());
        assert_eq!(lamps.due(ms(3000)), [LampWrite { lamp: LampName::Picture, lit: false }]);
    }

    #[test]
    fn a_write_that_failed_is_tried_again_in_time_and_reported_once() {
        let mut lamps = LampStates::new(BOTH);
        lamps.set(used(true, false, false));
        lit(&mut lamps, ms(0));
        lamps.set(DevicesInUse::default());
        let dark = LampWrite { lamp: LampName::Picture, lit: false };
        let mut at = ms(1000);
        for (n, pause) in [40, 1000, 1000, 1000].into_iter().enumerate() {
            assert_eq!(lamps.due(at), [dark], "try {n}");
            assert_eq!(lamps.wrote(dark, false, at), n == 0, "the first failure is news");
            let again = at + Duration::from_millis(pause);
            assert_eq!((lamps.due(at).len(), lamps.deadline()), (0, Some(again)));
            assert_eq!(lamps.is_dark(), n > 0, "two failures are enough to wait for");
            at = again;
        }
        assert!(FIRST_PAUSE * 2 < DARK_WITHIN, "the second try is within the promise");
        assert!(lamps.wrote(dark, true, at), "its end is news");
        assert_eq!((lamps.deadline(), lamps.due(at).len()), (None, 0));
        assert!(!lamps.wrote(dark, true, at));
    }

    #[test]
    fn a_change_does_not_wait_for_the_pause_of_a_failure_and_a_broken_lamp_stops_no_camera() {
        let mut lamps = LampStates::new(BOTH);
        lit(&mut lamps, ms(0));
        let write = |lit| LampWrite { lamp: LampName::Picture, lit };
        lamps.set(used(true, false, false));
        lamps.wrote(write(true), false, ms(0));
        assert!(lamps.shows_all(), "it does not work, and the camera opens");
        lamps.wrote(write(true), false, ms(40));
        lamps.set(DevicesInUse::default());
        assert_eq!(lamps.due(ms(50)), [write(false)], "nobody knows what it shows");
        lamps.set(used(true, false, false));
        assert_eq!(lamps.due(ms(60)), [write(true)]);
        assert!(!lamps.wrote(write(true), false, ms(60)), "still the same failure");
    }

    #[test]
    fn the_same_state_again_switches_nothing() {
        let mut lamps = LampStates::new(BOTH);
        for n in 0..100 {
            lamps.set(used(true, true, false));
            assert_eq!(lamps.due(ms(n)).len(), if n == 0 { 2 } else { 0 });
            lit(&mut lamps, ms(n));
        }
    }
}
