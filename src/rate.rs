//! Many networks, one encoder: which bitrate, frame rate and size serve all viewers best. Pure: time is an argument.
//!
//! The picture is made for the weakest network that is *measured*. A viewer that says nothing, has lost its path, or has
//! not reported yet does not count beside one that reports: silence tells nothing of a network.
//!
//! A network is *thin*, and given key frames alone, where serving it would cost the others too much:
//! - it is in a minority of a third and would take more than half from the others, or
//! - it carries less than the floor, a share of the configured bitrate, and at least as many logins carry the floor as do
//!   not. So one login, true or lying, never lowers the picture of another one below the floor, or below three quarters of
//!   what that other one's own network carries, whichever is less.
//!
//! Down at once, up when there has been room for a while; up at once when whoever held the picture down is gone.

use std::time::Duration;

use crate::{
    clock::Mono,
    feed::{Estimate, Evidence},
};

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
/// One that was below the floor has to exceed it by this factor.
const NOT_BELOW: f64 = 1.1;
/// Who carries this share of what the best network carries is served with it, whatever the floor is.
const NEARLY: f64 = 0.75;
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

/// What the configuration asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wanted {
    /// Bits per second at most.
    pub ceiling: u32,
    /// The share of that, 0 to 1, below which one viewer's network does not lower the picture of the others.
    pub floor: f64,
}

/// One network that counts.
#[derive(Debug, Clone, Copy)]
struct Share {
    id: u64,
    login: u64,
    /// Bits per second that it leaves for the picture.
    bits: u32,
}

/// A network that is thin or about to be.
#[derive(Debug)]
struct KeyframeOnlyViewer {
    id: u64,
    /// Since when it has been below its bound, or, once it is thin, above it.
    since: Mono,
    thin: bool,
}

/// The state between two plans.
#[derive(Debug, Default)]
pub struct Rate {
    step: usize,
    /// The network that the last plan was made for.
    weakest: Option<u64>,
    /// Since when there has been room for the next better step.
    room: Option<Mono>,
    bitrate: u32,
    thin: Vec<KeyframeOnlyViewer>,
}

impl Rate {
    /// The plan for these networks; and which of them are thin, in their order.
    pub fn plan(&mut self, networks: &[Estimate], full: Full, wanted: Wanted, now: Mono) -> (Plan, Vec<bool>) {
        let ceiling = wanted.ceiling;
        let with = |evidence| -> Vec<Share> {
            networks.iter().filter(|e| e.evidence == evidence).map(|e| share(e, ceiling)).collect()
        };
        let measured = with(Evidence::Measured);
        self.judge(&measured, wanted, now);
        // Guesses count where nothing is known: a viewer who joins changes nothing for the others until it has been heard.
        let counted = if measured.is_empty() { with(Evidence::Guessed) } else { measured };
        // Who is about to be thin does not count either: the others would lose pictures for a moment's weakness of one.
        let spared = |id: u64| self.thin.iter().any(|other| other.id == id);
        let weakest = counted.iter().filter(|share| !spared(share.id)).min_by_key(|share| share.bits);
        // Where all are silent nothing is known that was not known before: the plan stays.
        let held = || if networks.is_empty() || self.bitrate == 0 { ceiling } else { self.bitrate.min(ceiling) };
        let bitrate = weakest.map_or_else(held, |share| share.bits).max(LEAST.min(ceiling));
        let change = f64::from(bitrate.abs_diff(self.bitrate));
        if change > SMALL * f64::from(self.bitrate) || bitrate == ceiling {
            self.bitrate = bitrate;
        }
        let released = self.weakest.is_some_and(|id| counted.iter().all(|share| share.id != id) || spared(id));
        if weakest.is_some() || networks.is_empty() {
            self.weakest = weakest.map(|share| share.id);
            self.climb(released, f64::from(ceiling), full, now);
        }
        let (_, every, shrink) = STEPS[self.step];
        let plan =
            Plan { bitrate: self.bitrate, every: fit_rate(every, full.fps), shrink: fit_size(shrink, full.size) };
        let is_keyframe_only = |id: u64| self.thin.iter().any(|other| other.id == id && other.thin);
        (plan, networks.iter().map(|e| is_keyframe_only(e.id)).collect())
    }

    /// Down at once to the step that the bitrate feeds; up by one when there has been room for a while, since a network that
    /// grew may shrink again. Where the network that held the picture down is gone (`released`), up at once as far as there
    /// is room.
    ///
    /// Whoever wishes a large picture of few bits gets it: what a step needs is measured by the wish.
    fn climb(&mut self, released: bool, ceiling: f64, full: Full, now: Mono) {
        let bitrate = f64::from(self.bitrate);
        let pixels = f64::from(full.size.0) * f64::from(full.size.1) * full.fps;
        let pixels = pixels.min(ceiling / STEPS[0].0 / (1.05 * CLIMB_ROOM));
        let fed = |step: usize, room: f64| bitrate >= STEPS[step].0 * pixels * room;
        let first = |room: f64| (0..STEPS.len()).find(|step| fed(*step, room)).unwrap_or(STEPS.len() - 1);
        if first(1.0) > self.step {
            (self.step, self.room) = (first(1.0), None);
        } else if released && first(CLIMB_ROOM) < self.step {
            (self.step, self.room) = (first(CLIMB_ROOM), None);
        } else if self.step > 0 && fed(self.step - 1, CLIMB_ROOM) {
            let since = *self.room.get_or_insert(now);
            if now.since(since) >= CLIMB_AFTER {
                (self.step, self.room) = (self.step - 1, Some(now));
            }
        } else {
            self.room = None;
        }
    }

    /// Finds who is thin, or about to be.
    fn judge(&mut self, measured: &[Share], wanted: Wanted, now: Mono) {
        let bounds = bounds(measured, wanted);
        let of = |id: u64| {
            let place = measured.iter().position(|share| share.id == id)?;
            Some((f64::from(measured[place].bits), bounds[place]?))
        };
        // Only a change that lasts is one.
        self.thin.retain_mut(|KeyframeOnlyViewer { id, since, thin }| {
            let Some((bits, Bound { below, above })) = of(*id) else { return false };
            if !*thin {
                if now.since(*since) >= THIN_AFTER {
                    (*since, *thin) = (now, true);
                }
                return bits < below;
            }
            if bits < above {
                *since = now;
            }
            now.since(*since) < THIN_AFTER
        });
        for Share { id, .. } in measured {
            if of(*id).is_some_and(|(bits, bound)| bits < bound.below) && !self.thin.iter().any(|other| other.id == *id)
            {
                self.thin.push(KeyframeOnlyViewer { id: *id, since: now, thin: false });
            }
        }
    }
}

/// Below what a network can be thin, and from where on it counts again.
#[derive(Debug, Clone, Copy)]
struct Bound {
    below: f64,
    above: f64,
}

/// The bound of each network; `None` where it counts whatever it carries.
fn bounds(measured: &[Share], wanted: Wanted) -> Vec<Option<Bound>> {
    let mut sorted: Vec<&Share> = measured.iter().collect();
    sorted.sort_by_key(|share| share.bits);
    let best = sorted.last().map_or(0, |share| share.bits);
    // At most a third of all, so never one of two.
    let most = measured.len() / 3;
    // What the weakest of those has who would be served in any case.
    let served = sorted.get(most).map_or(0.0, |share| f64::from(share.bits));
    let minority = Bound { below: THIN * served, above: NOT_THIN * served };
    // Where nobody carries much more than the floor, a little less for all is better than nothing for one.
    let floor = (wanted.floor * f64::from(wanted.ceiling)).min(NEARLY * f64::from(best));
    let logins = |carries: bool| {
        let mut logins: Vec<_> =
            measured.iter().filter(|s| (f64::from(s.bits) >= floor) == carries).map(Share::who).collect();
        logins.sort_unstable();
        logins.dedup();
        logins
    };
    let (above, mut below) = (logins(true), logins(false));
    // A login that is on both sides has one bad network of its own; it is no other viewer.
    below.retain(|login| !above.contains(login));
    let floored = below.len() <= above.len();
    let bound = |share: &Share| {
        let in_minority = sorted.iter().take(most).any(|other| other.id == share.id);
        let floor = Bound { below: floor, above: NOT_BELOW * floor };
        match (in_minority, floored) {
            (true, true) => {
                Some(Bound { below: minority.below.max(floor.below), above: minority.above.max(floor.above) })
            }
            (true, false) => Some(minority),
            (false, true) => Some(floor),
            (false, false) => None,
        }
    };
    measured.iter().map(bound).collect()
}

impl Share {
    /// Whose it is; a network of an unknown login is a viewer of its own.
    fn who(&self) -> (u64, u64) {
        if self.login == 0 { (0, self.id) } else { (self.login, 0) }
    }
}

/// What a network leaves for the picture.
fn share(estimate: &Estimate, ceiling: u32) -> Share {
    let sound = if estimate.bits < WEAK { LITTLE_SOUND } else { SOUND };
    let own = OWN - estimate.loss.min(0.1);
    let bits = ((f64::from(estimate.bits.saturating_sub(sound)) * own) as u32).min(ceiling);
    Share { id: estimate.id, login: estimate.login, bits }
}

/// How the sound is coded for these networks: bits per second, `full` of them where nothing is in the way, and the loss in per
/// cent that it is prepared for. Sound is small: nobody is too thin for it. But nobody lowers it for somebody better off
/// below 24 kbit/s, which still fits into the least that an estimate can be. Only viewers that report count.
pub fn sound(networks: &[Estimate], full: u32) -> (u32, u8) {
    let known = || networks.iter().filter(|e| e.evidence == Evidence::Measured);
    let (weakest, best) = (known().map(|e| e.bits).min(), known().map(|e| e.bits).max());
    let bits = match weakest.zip(best) {
        Some((weakest, best)) if weakest < WEAKEST && best < WEAK => full.min(LEAST_SOUND),
        Some((weakest, _)) if weakest < WEAK => full.min(LITTLE),
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
mod tests;
