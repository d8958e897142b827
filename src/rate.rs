//! Rate control for many networks and one encoder: the bitrate, frame rate and size that serve all viewers best.
//! Pure: time is an argument.
//!
//! The picture is made for the slowest network that is *measured*. A viewer that is silent, has lost its path, or has
//! not reported yet does not count beside one that reports. Silence says nothing about a network.
//!
//! A viewer gets *keyframes only* if serving it would cost the others too much:
//! - its network is in a minority of at most a third, and would take more than half from the others, or
//! - its network carries less than the floor (a share of the configured bitrate), and at least as many logins carry
//!   the floor as do not. So one login, honest or lying, never lowers the picture of another one below the floor, or
//!   below three quarters of what that other network carries, whichever is less.
//!
//! The rate goes down at once. It goes up when there has been room for a while, and at once when the viewer that held
//! it down is gone.

use std::time::Duration;

use crate::{
    clock::Mono,
    feed::{Estimate, Evidence},
    units::Bitrate,
};

/// The share of an estimate that is left for the picture. The rest is for headers and retransmissions.
const OWN: f64 = 0.93;
/// What audio takes on the wire: Opus at 48 kbit/s, and 50 packets a second with their headers.
const SOUND: Bitrate = Bitrate::from_kbps(75);
/// The same on a slow network, and below which estimate a network is slow.
const LITTLE_SOUND: Bitrate = Bitrate::from_kbps(51);
const WEAK: Bitrate = Bitrate::from_kbps(250);
/// The bitrate of audio on a slow network.
const LITTLE: Bitrate = Bitrate::from_kbps(24);
/// The bitrate of audio on the slowest networks, and below which estimate a network is one of them.
const LEAST_SOUND: Bitrate = Bitrate::from_kbps(16);
const WEAKEST: Bitrate = Bitrate::from_kbps(120);
/// The least and the most loss, in per cent, that audio is prepared for.
const LOSS: std::ops::RangeInclusive<f64> = 5.0..=30.0;
/// The least bitrate of a picture.
const LEAST: Bitrate = Bitrate::from_kbps(40);
/// Below this share of the others' bitrate a viewer can become keyframe-only.
const THIN: f64 = 0.5;
/// A keyframe-only viewer has to reach this share to count again.
const NOT_THIN: f64 = 0.75;
/// One that was below the floor has to exceed it by this factor.
const NOT_BELOW: f64 = 1.1;
/// A network that carries this share of the best one is always served, whatever the floor.
const NEARLY: f64 = 0.75;
/// A viewer becomes keyframe-only after this long below its bound, and counts again after this long above it.
const KEYFRAME_ONLY_AFTER: Duration = Duration::from_secs(2);
/// Room for a better step has to last this long, and has to exceed its need by this factor.
const CLIMB_AFTER: Duration = Duration::from_secs(4);
const CLIMB_ROOM: f64 = 1.2;
/// Smaller changes than this fraction are not passed to the encoder.
const SMALL: f64 = 0.05;
/// The frame rate is not halved below this.
const FEWEST: f64 = 5.0;

/// Steps of quality: the bits per pixel and frame (of the full size and rate) that a step needs, its divisor of the
/// frame rate, and its divisor of width and height.
const STEPS: [(f64, u32, u32); 6] =
    [(0.022, 1, 1), (0.016, 2, 1), (0.0075, 1, 2), (0.004, 2, 2), (0.0025, 3, 2), (0.0, 4, 4)];

/// What the encoder should make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncoderPlan {
    /// The bitrate, without headers.
    pub bitrate: Bitrate,
    /// One frame in this many is coded.
    pub every: u32,
    /// The divisor of width and height.
    pub shrink: u32,
}

/// What the source delivers without limits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Full {
    /// Width and height.
    pub size: (u32, u32),
    /// Frames per second.
    pub fps: f64,
}

/// What the configuration asks for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateLimits {
    /// The highest bitrate, without headers.
    pub ceiling: Bitrate,
    /// The floor, 0 to 1: the share of that bitrate that one slow viewer cannot take from the others.
    pub floor: f64,
}

/// One network that counts.
#[derive(Debug, Clone, Copy)]
struct Share {
    id: u64,
    login: u64,
    /// The bitrate that it leaves for the picture.
    bitrate: Bitrate,
}

/// A viewer that is keyframe-only, or about to be.
#[derive(Debug)]
struct KeyframeOnlyViewer {
    id: u64,
    /// Since when its network has been below its bound; once it is keyframe-only, above it.
    since: Mono,
    is_keyframe_only: bool,
}

/// The state between two plans.
#[derive(Debug, Default)]
pub struct RatePlanner {
    step: usize,
    /// The network that the last plan was made for.
    weakest: Option<u64>,
    /// Since when there has been room for the next better step.
    room: Option<Mono>,
    /// The bitrate of the last plan.
    bitrate: Bitrate,
    keyframe_only: Vec<KeyframeOnlyViewer>,
}

impl RatePlanner {
    /// The plan for these networks, and which of them get keyframes only, in their order.
    pub fn plan(
        &mut self,
        networks: &[Estimate],
        full: Full,
        wanted: RateLimits,
        now: Mono,
    ) -> (EncoderPlan, Vec<bool>) {
        let ceiling = wanted.ceiling;
        let with = |evidence| -> Vec<Share> {
            networks.iter().filter(|e| e.evidence == evidence).map(|e| share(e, ceiling)).collect()
        };
        let measured = with(Evidence::Measured);
        self.judge(&measured, wanted, now);
        // Guesses count only if nothing is measured: a viewer that joins changes nothing for the others until it
        // reports.
        let counted = if measured.is_empty() { with(Evidence::Guessed) } else { measured };
        // A viewer that is about to become keyframe-only does not count either. Otherwise one short weakness would
        // cost the others frames.
        let spared = |id: u64| self.keyframe_only.iter().any(|other| other.id == id);
        let weakest = counted.iter().filter(|share| !spared(share.id)).min_by_key(|share| share.bitrate);
        // If all are silent, nothing new is known: the plan stays.
        let held =
            || if networks.is_empty() || self.bitrate == Bitrate::ZERO { ceiling } else { self.bitrate.min(ceiling) };
        let bitrate = weakest.map_or_else(held, |share| share.bitrate).max(LEAST.min(ceiling));
        if bitrate.abs_diff(self.bitrate) > self.bitrate * SMALL || bitrate == ceiling {
            self.bitrate = bitrate;
        }
        let released = self.weakest.is_some_and(|id| counted.iter().all(|share| share.id != id) || spared(id));
        if weakest.is_some() || networks.is_empty() {
            self.weakest = weakest.map(|share| share.id);
            self.climb(released, ceiling, full, now);
        }
        let (_, every, shrink) = STEPS[self.step];
        let plan = EncoderPlan {
            bitrate: self.bitrate,
            every: fit_rate(every, full.fps),
            shrink: fit_size(shrink, full.size),
        };
        let is_keyframe_only =
            |id: u64| self.keyframe_only.iter().any(|other| other.id == id && other.is_keyframe_only);
        (plan, networks.iter().map(|e| is_keyframe_only(e.id)).collect())
    }

    /// Goes down at once to the step that the bitrate allows. Goes up by one step when there has been room for a
    /// while, because a network that grew may shrink again. If the network that held the rate down is gone
    /// (`released`), goes up at once as far as there is room.
    ///
    /// The need of a step is relative to the configured bitrate. So an owner who configures a large picture with few
    /// bits gets it.
    fn climb(&mut self, released: bool, ceiling: Bitrate, full: Full, now: Mono) {
        let bitrate = self.bitrate.as_bps_f64();
        let pixels = f64::from(full.size.0) * f64::from(full.size.1) * full.fps;
        let pixels = pixels.min(ceiling.as_bps_f64() / STEPS[0].0 / (1.05 * CLIMB_ROOM));
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

    /// Finds the viewers that are keyframe-only, or about to be.
    fn judge(&mut self, measured: &[Share], wanted: RateLimits, now: Mono) {
        let bounds = bounds(measured, wanted);
        let of = |id: u64| {
            let place = measured.iter().position(|share| share.id == id)?;
            Some((measured[place].bitrate, bounds[place]?))
        };
        // Only a change that lasts counts.
        self.keyframe_only.retain_mut(|KeyframeOnlyViewer { id, since, is_keyframe_only }| {
            let Some((bitrate, Bound { below, above })) = of(*id) else { return false };
            if !*is_keyframe_only {
                if now.since(*since) >= KEYFRAME_ONLY_AFTER {
                    (*since, *is_keyframe_only) = (now, true);
                }
                return bitrate < below;
            }
            if bitrate < above {
                *since = now;
            }
            now.since(*since) < KEYFRAME_ONLY_AFTER
        });
        for Share { id, .. } in measured {
            if of(*id).is_some_and(|(bitrate, bound)| bitrate < bound.below)
                && !self.keyframe_only.iter().any(|other| other.id == *id)
            {
                self.keyframe_only.push(KeyframeOnlyViewer { id: *id, since: now, is_keyframe_only: false });
            }
        }
    }
}

/// The value below which a viewer can become keyframe-only, and from which on it counts again.
#[derive(Debug, Clone, Copy)]
struct Bound {
    below: Bitrate,
    above: Bitrate,
}

/// The bound of each network; `None` if it always counts.
fn bounds(measured: &[Share], wanted: RateLimits) -> Vec<Option<Bound>> {
    let mut sorted: Vec<&Share> = measured.iter().collect();
    sorted.sort_by_key(|share| share.bitrate);
    let best = sorted.last().map_or(Bitrate::ZERO, |share| share.bitrate);
    // At most a third of all, so never one of two.
    let most = measured.len() / 3;
    // What the slowest network carries among those that are served in any case.
    let served = sorted.get(most).map_or(Bitrate::ZERO, |share| share.bitrate);
    let minority = Bound { below: served * THIN, above: served * NOT_THIN };
    // If no network carries much more than the floor, a little less for all is better than nothing for one.
    let floor = (wanted.ceiling * wanted.floor).min(best * NEARLY);
    let logins = |carries: bool| {
        let mut logins: Vec<_> = measured.iter().filter(|s| (s.bitrate >= floor) == carries).map(Share::who).collect();
        logins.sort_unstable();
        logins.dedup();
        logins
    };
    let (above, mut below) = (logins(true), logins(false));
    // A login that is on both sides has one slow network of its own; it is not another viewer.
    below.retain(|login| !above.contains(login));
    let floored = below.len() <= above.len();
    let bound = |share: &Share| {
        let in_minority = sorted.iter().take(most).any(|other| other.id == share.id);
        let floor = Bound { below: floor, above: floor * NOT_BELOW };
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
    /// The owner of a network. A network of an unknown login is a viewer of its own.
    fn who(&self) -> (u64, u64) {
        if self.login == 0 { (0, self.id) } else { (self.login, 0) }
    }
}

/// What a network leaves for the picture.
fn share(estimate: &Estimate, ceiling: Bitrate) -> Share {
    let sound = if estimate.bitrate < WEAK { LITTLE_SOUND } else { SOUND };
    let own = OWN - estimate.loss.min(0.1);
    let bitrate = ((estimate.bitrate - sound) * own).floor().min(ceiling);
    Share { id: estimate.id, login: estimate.login, bitrate }
}

/// How audio is coded for these networks: the bitrate (`full` without limits), and the loss in per cent that it is
/// prepared for. Audio is small, so every viewer gets it. No viewer lowers it below 24 kbit/s for a faster one;
/// that still fits into the least estimate. Only viewers that report count.
pub fn sound(networks: &[Estimate], full: Bitrate) -> (Bitrate, u8) {
    let known = || networks.iter().filter(|e| e.evidence == Evidence::Measured);
    let (weakest, best) = (known().map(|e| e.bitrate).min(), known().map(|e| e.bitrate).max());
    let bitrate = match weakest.zip(best) {
        Some((weakest, best)) if weakest < WEAKEST && best < WEAK => full.min(LEAST_SOUND),
        Some((weakest, _)) if weakest < WEAK => full.min(LITTLE),
        _ => full,
    };
    let loss = known().map(|e| (e.loss * 100.0).ceil()).fold(0.0, f64::max);
    (bitrate, loss.clamp(*LOSS.start(), *LOSS.end()) as u8)
}

/// The divisor of the frame rate, at most `every`, that leaves enough frames for motion.
fn fit_rate(every: u32, fps: f64) -> u32 {
    (1..=every).rev().find(|n| fps / f64::from(*n) >= FEWEST).unwrap_or(1)
}

/// The divisor of width and height, at most `shrink`, that leaves a picture that can be recognised: the sides are at
/// least 160 and 90, and even.
fn fit_size(shrink: u32, (width, height): (u32, u32)) -> u32 {
    let fits = |n: &u32| width / n >= 160 && height / n >= 90 && width % (2 * n) == 0 && height % (2 * n) == 0;
    [4, 2].into_iter().filter(|n| *n <= shrink).find(fits).unwrap_or(1)
}

#[cfg(test)]
mod tests;
