//! Many networks, one encoder: which bitrate, frame rate and size serve all viewers best. Pure: time is an argument.
//!
//! The picture is made for the weakest network, unless that would take more than half from the others and it is in a
//! minority: then it is *thin*, and given key frames alone. Down at once, up when there has been room for a while.

use std::time::Duration;

use crate::{clock::Mono, feed::Estimate};

/// Of what a network carries, the part that is the picture's own bytes: the rest is headers and room for what is sent again.
const OWN: f64 = 0.93;
/// What the sound takes on the wire, in bits per second: Opus at 48 kbit/s, and 50 packets with their headers.
const SOUND: u32 = 75_000;
/// The same where a network is weak, and how weak it has to be.
const LITTLE_SOUND: u32 = 51_000;
const WEAK: u32 = 250_000;
/// The sound's own bitrate there, and on networks that are weaker still.
const LITTLE: u32 = 24_000;
const LEAST_SOUND: u32 = 16_000;
const WEAKEST: u32 = 120_000;
/// Loss in per cent that the sound is prepared for at least and at most.
const LOSS: std::ops::RangeInclusive<f64> = 5.0..=30.0;
/// The least bitrate of a picture.
const LEAST: u32 = 40_000;
/// Below this share of the others' bitrate a network can be thin.
const THIN: f64 = 0.5;
/// A thin network has to reach this share to count again.
const NOT_THIN: f64 = 0.75;
/// A network is thin after so long below, and counts again after so long above.
const THIN_AFTER: Duration = Duration::from_secs(2);
/// Room for a better step has to last so long, and to be larger by this factor than the step needs.
const CLIMB_AFTER: Duration = Duration::from_secs(4);
const CLIMB_ROOM: f64 = 1.2;
/// Changes smaller than this fraction are not worth telling the encoder.
const SMALL: f64 = 0.05;
/// Pictures a second are not halved below this.
const FEWEST: f64 = 5.0;

/// Steps of quality: bits for each pixel and picture of the full size and rate that a step needs, each how many pictures are
/// coded, and by what width and height are divided.
const STEPS: [(f64, u32, u32); 6] =
    [(0.022, 1, 1), (0.016, 2, 1), (0.0075, 1, 2), (0.004, 2, 2), (0.0025, 3, 2), (0.0, 4, 4)];

/// What the encoder shall make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Bits per second.
    pub bitrate: u32,
    /// Each how many-th picture is coded.
    pub every: u32,
    /// What width and height are divided by.
    pub shrink: u32,
}

/// What the source gives when nothing is in the way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Full {
    /// Width and height.
    pub size: (u32, u32),
    /// Pictures a second.
    pub fps: f64,
}

/// The state between two plans.
#[derive(Debug, Default)]
pub struct Rate {
    step: usize,
    /// Since when there has been room for the next better step.
    room: Option<Mono>,
    bitrate: u32,
    /// Networks that are thin or about to be: who, since when below or above, whether thin.
    thin: Vec<(u64, Mono, bool)>,
}

impl Rate {
    /// The plan for these networks, with no more than `ceiling` bits per second; and which of them are thin, in their order.
    pub fn plan(&mut self, networks: &[Estimate], full: Full, ceiling: u32, now: Mono) -> (Plan, Vec<bool>) {
        let share = |e: &Estimate| {
            let sound = if e.bits < WEAK { LITTLE_SOUND } else { SOUND };
            let own = OWN - e.loss.min(0.1);
            ((f64::from(e.bits.saturating_sub(sound)) * own) as u32).min(ceiling)
        };
        let known: Vec<(u64, u32)> = networks.iter().filter(|e| e.known).map(|e| (e.id, share(e))).collect();
        self.judge(&known, now);
        // Who is about to be thin does not count either: the others would lose pictures for a moment's weakness of one.
        let spared = |id: u64| self.thin.iter().any(|(other, ..)| *other == id);
        let counted = known.iter().filter(|(id, _)| !spared(*id)).map(|(_, bits)| *bits).min();
        // Guesses count where nothing is known: a viewer who joins changes nothing for the others until it has been heard.
        let guessed = || networks.iter().map(share).min();
        let bitrate = counted.or_else(guessed).unwrap_or(ceiling).max(LEAST.min(ceiling));
        let change = f64::from(bitrate.abs_diff(self.bitrate));
        if change > SMALL * f64::from(self.bitrate) || bitrate == ceiling {
            self.bitrate = bitrate;
        }
        self.climb(f64::from(self.bitrate), f64::from(ceiling), full, now);
        let (_, every, shrink) = STEPS[self.step];
        let plan =
            Plan { bitrate: self.bitrate, every: fit_rate(every, full.fps), shrink: fit_size(shrink, full.size) };
        let is_thin = |id: u64| self.thin.iter().any(|(other, _, thin)| *other == id && *thin);
        (plan, networks.iter().map(|e| is_thin(e.id)).collect())
    }

    /// Down at once to the step that the bitrate feeds; up by one when there has been room for a while.
    ///
    /// Whoever wishes a large picture of few bits gets it: what a step needs is measured by the wish.
    fn climb(&mut self, bitrate: f64, ceiling: f64, full: Full, now: Mono) {
        let pixels = f64::from(full.size.0) * f64::from(full.size.1) * full.fps;
        let pixels = pixels.min(ceiling / STEPS[0].0 / (1.05 * CLIMB_ROOM));
        let fed = |step: usize, room: f64| bitrate >= STEPS[step].0 * pixels * room;
        let first = (0..STEPS.len()).find(|step| fed(*step, 1.0)).unwrap_or(STEPS.len() - 1);
        if first > self.step {
            (self.step, self.room) = (first, None);
        } else if self.step > 0 && fed(self.step - 1, CLIMB_ROOM) {
            let since = *self.room.get_or_insert(now);
            if now.since(since) >= CLIMB_AFTER {
                (self.step, self.room) = (self.step - 1, Some(now));
            }
        } else {
            self.room = None;
        }
    }

    /// Finds who is thin, or about to be. At most a third of all, so never one of two: both are worth the same.
    fn judge(&mut self, known: &[(u64, u32)], now: Mono) {
        let mut sorted: Vec<(u64, u32)> = known.to_vec();
        sorted.sort_by_key(|(_, bits)| *bits);
        let most = known.len() / 3;
        // What the weakest of those has who would be served in any case.
        let served = sorted.get(most).map_or(0, |(_, bits)| *bits);
        let weak = &sorted[..most];
        let bits_of = |id: u64| weak.iter().find(|(other, _)| *other == id).map(|(_, bits)| f64::from(*bits));
        let (below, above) = (THIN * f64::from(served), NOT_THIN * f64::from(served));
        // Only a change that lasts is one.
        self.thin.retain_mut(|(id, since, thin)| {
            let Some(bits) = bits_of(*id) else { return false };
            if !*thin {
                if now.since(*since) >= THIN_AFTER {
                    (*since, *thin) = (now, true);
                }
                return bits < below;
            }
            if bits <= above {
                *since = now;
            }
            now.since(*since) < THIN_AFTER
        });
        for (id, bits) in weak {
            if f64::from(*bits) < below && !self.thin.iter().any(|(other, ..)| other == id) {
                self.thin.push((*id, now, false));
            }
        }
    }
}

/// How the sound is coded for these networks: bits per second, `full` of them where nothing is in the way, and the loss in per
/// cent that it is prepared for. Sound is small: nobody is too thin for it.
pub fn sound(networks: &[Estimate], full: u32) -> (u32, u8) {
    let known = || networks.iter().filter(|e| e.known);
    let bits = match known().map(|e| e.bits).min() {
        Some(bits) if bits < WEAKEST => full.min(LEAST_SOUND),
        Some(bits) if bits < WEAK => full.min(LITTLE),
        _ => full,
    };
    let loss = known().map(|e| (e.loss * 100.0).ceil()).fold(0.0, f64::max);
    (bits, loss.clamp(*LOSS.start(), *LOSS.end()) as u8)
}

/// Not so few pictures that nothing moves.
fn fit_rate(every: u32, fps: f64) -> u32 {
    (1..=every).rev().find(|n| fps / f64::from(*n) >= FEWEST).unwrap_or(1)
}

/// Not so small that nothing is seen: sides of 160 and 90 at the least, and even ones.
fn fit_size(shrink: u32, (width, height): (u32, u32)) -> u32 {
    let fits = |n: &u32| width / n >= 160 && height / n >= 90 && width % (2 * n) == 0 && height % (2 * n) == 0;
    [4, 2].into_iter().filter(|n| *n <= shrink).find(fits).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: Full = Full { size: (1280, 720), fps: 30.0 };
    const CEILING: u32 = 2_000_000;

    fn network(id: u64, bits: u32) -> Estimate {
        Estimate { id, bits, loss: 0.0, known: true }
    }

    fn seconds(n: f64) -> Mono {
        Mono((n * 1e9) as u64)
    }

    /// Plans each tenth of a second from `from` to `to`; the last one.
    fn play(rate: &mut Rate, bits: &[u32], from: f64, to: f64) -> (Plan, Vec<bool>) {
        let networks: Vec<_> = bits.iter().zip(1..).map(|(bits, id)| network(id, *bits)).collect();
        let mut last = None;
        for n in (from * 10.0) as u32..=(to * 10.0) as u32 {
            last = Some(rate.plan(&networks, FULL, CEILING, seconds(f64::from(n) / 10.0)));
        }
        last.unwrap()
    }

    #[test]
    fn the_picture_is_made_for_the_weakest_network() {
        for (bits, bitrate, every, shrink) in [
            (&[3_000_000][..], 2_000_000, 1, 1),
            (&[3_000_000, 1_000_000], 860_250, 1, 1),
            (&[3_000_000, 600_000], 488_250, 2, 1),
            (&[500_000], 395_250, 1, 2),
            (&[300_000], 209_250, 1, 2),
            (&[200_000], 138_570, 2, 2),
            (&[150_000], 92_070, 3, 2),
            (&[60_000], 40_000, 4, 4),
            (&[], 2_000_000, 1, 1),
        ] {
            let (plan, thin) = play(&mut Rate::default(), bits, 0.0, 10.0);
            assert_eq!(plan, Plan { bitrate, every, shrink }, "{bits:?}");
            assert!(thin.iter().all(|thin| !thin), "{bits:?}");
        }
    }

    #[test]
    fn a_minority_that_would_take_more_than_half_is_thin() {
        let mut rate = Rate::default();
        let (plan, thin) = play(&mut rate, &[3_000_000, 300_000, 3_000_000, 3_000_000], 0.0, 1.0);
        assert_eq!((plan.bitrate, thin), (CEILING, vec![false; 4]), "not at once, and nobody else pays meanwhile");
        let (plan, thin) = play(&mut rate, &[3_000_000, 300_000, 3_000_000, 3_000_000], 1.1, 5.0);
        assert_eq!((plan.bitrate, thin), (CEILING, vec![false, true, false, false]));
        let (_, thin) = play(&mut rate, &[3_000_000, 1_200_000, 3_000_000, 3_000_000], 5.1, 9.0);
        assert!(thin[1], "three quarters are asked of those who come back");
        let (_, thin) = play(&mut rate, &[3_000_000, 1_900_000, 3_000_000, 3_000_000], 9.1, 13.0);
        assert!(!thin[1]);
        let mut rate = Rate::default();
        play(&mut rate, &[3_000_000, 300_000, 3_000_000], 0.0, 1.0);
        let (plan, thin) = play(&mut rate, &[3_000_000, 1_500_000, 3_000_000], 1.1, 9.0);
        assert_eq!((plan.bitrate, thin), (1_325_250, vec![false; 3]), "a moment's weakness");
        let (plan, thin) = play(&mut Rate::default(), &[3_000_000, 300_000], 0.0, 9.0);
        assert_eq!((plan.bitrate, thin), (209_250, vec![false; 2]), "one of two is no minority");
        let (_, thin) = play(&mut Rate::default(), &[3_000_000, 300_000, 300_000], 0.0, 9.0);
        assert_eq!(thin, [false; 3], "nor are two of three");
    }

    #[test]
    fn steps_are_climbed_one_by_one_and_fallen_at_once() {
        let mut rate = Rate::default();
        play(&mut rate, &[3_000_000], 0.0, 1.0);
        let (plan, _) = play(&mut rate, &[300_000], 1.1, 1.1);
        assert_eq!((plan.every, plan.shrink), (1, 2), "at once");
        let (plan, _) = play(&mut rate, &[3_000_000], 1.2, 5.0);
        assert_eq!((plan.every, plan.shrink), (1, 2), "not yet");
        let (plan, _) = play(&mut rate, &[3_000_000], 5.1, 9.1);
        assert_eq!((plan.every, plan.shrink), (2, 1));
        let (plan, _) = play(&mut rate, &[3_000_000], 9.2, 13.2);
        assert_eq!((plan.every, plan.shrink), (1, 1));
        // Just enough for a better step is not enough room.
        play(&mut rate, &[600_000], 13.3, 13.4);
        let (plan, _) = play(&mut rate, &[780_000], 13.5, 30.0);
        assert_eq!(plan.every, 2);
    }

    #[test]
    fn a_large_picture_of_few_bits_is_somebodys_wish() {
        let mut rate = Rate::default();
        let plan = |rate: &mut Rate, bits, at| rate.plan(&[network(1, bits)], FULL, 100_000, seconds(at)).0;
        assert_eq!(plan(&mut rate, 500_000, 0.0), Plan { bitrate: 100_000, every: 1, shrink: 1 });
        assert_eq!(plan(&mut rate, 90_000, 1.0), Plan { bitrate: 40_000, every: 1, shrink: 2 });
        plan(&mut rate, 500_000, 2.0);
        plan(&mut rate, 500_000, 6.1);
        assert_eq!(plan(&mut rate, 500_000, 10.2), Plan { bitrate: 100_000, every: 1, shrink: 1 });
    }

    #[test]
    fn who_has_not_been_heard_counts_only_where_nobody_has() {
        let guess = Estimate { known: false, ..network(9, 1_000_000) };
        let plan = |networks: &[Estimate]| Rate::default().plan(networks, FULL, CEILING, seconds(0.0)).0.bitrate;
        assert_eq!(plan(&[guess]), 860_250);
        assert_eq!(plan(&[guess, network(1, 3_000_000)]), CEILING);
    }

    #[test]
    fn sound_is_made_for_the_weakest_and_prepared_for_what_gets_lost() {
        let lossy = Estimate { loss: 0.123, ..network(2, 1_000_000) };
        let guess = Estimate { known: false, ..network(3, 60_000) };
        for (networks, expected) in [
            (&[][..], (48_000, 5)),
            (&[network(1, 3_000_000), lossy], (48_000, 13)),
            (&[network(1, 3_000_000), network(2, 200_000)], (24_000, 5)),
            (&[network(1, 100_000)], (16_000, 5)),
            (&[network(1, 3_000_000), guess], (48_000, 5)),
            (&[Estimate { loss: 0.9, ..network(1, 3_000_000) }], (48_000, 30)),
        ] {
            assert_eq!(sound(networks, 48_000), expected, "{networks:?}");
        }
        assert_eq!(sound(&[network(1, 200_000)], 12_000).0, 12_000, "never more than is wished");
    }

    #[test]
    fn small_pictures_and_slow_sources_are_left_as_they_are() {
        assert_eq!((fit_rate(6, 30.0), fit_rate(6, 15.0), fit_rate(2, 8.0)), (6, 3, 1));
        assert_eq!((fit_size(4, (1280, 720)), fit_size(4, (640, 360)), fit_size(2, (322, 242))), (4, 4, 1));
    }
}
