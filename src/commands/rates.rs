//! How often each viewer gives each command. Pure: time is an argument.

use std::collections::{BTreeMap, HashMap};

use crate::{
    clock::Mono,
    config::Id,
    protocol::{
        ErrorName, Refusal,
        command::{BoardCommand, CommandRate},
    },
    rate_limit::RateLimit,
};

/// Viewers whose rates are remembered. The one that was silent for longest is forgotten first.
const VIEWERS: usize = 256;

/// The rates of all viewers.
#[derive(Debug, Default)]
pub(super) struct CommandRates {
    viewers: HashMap<Id, ViewerRates>,
}

#[derive(Debug)]
struct ViewerRates {
    /// Its last command.
    seen: Mono,
    /// By the name of the command.
    allowances: BTreeMap<&'static str, RateLimit>,
}

impl CommandRates {
    /// Counts a command. An error is the refusal to a viewer that gives it too often.
    pub(super) fn take(&mut self, viewer: &Id, command: &BoardCommand, now: Mono) -> Result<(), Refusal> {
        let Some(rate) = command.rate() else { return Ok(()) };
        if !self.viewers.contains_key(viewer) && self.viewers.len() >= VIEWERS {
            let silent = self.viewers.iter().min_by_key(|(_, rates)| rates.seen).map(|(id, _)| id.clone());
            silent.and_then(|id| self.viewers.remove(&id));
        }
        let fresh = || ViewerRates { seen: now, allowances: BTreeMap::new() };
        let rates = self.viewers.entry(viewer.clone()).or_insert_with(fresh);
        rates.seen = now;
        let CommandRate { per_minute, burst } = rate;
        let full = || RateLimit::per_minute(per_minute, burst, now);
        let allowance = rates.allowances.entry(command.name()).or_insert_with(full);
        if allowance.take(now) {
            return Ok(());
        }
        let message = format!("{}: {per_minute} a minute and {burst} at once are possible", command.name());
        Err(Refusal::new(ErrorName::RateLimited, message).retry_after(allowance.wait(now)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Mono {
        Mono(n * 1_000_000)
    }

    fn id(text: &str) -> Id {
        Id::new(text).unwrap()
    }

    #[test]
    fn each_command_of_each_viewer_has_its_own_rate() {
        let mut rates = CommandRates::default();
        let lift = BoardCommand::PrivacyOff { change: 1 };
        let camera = id("main");
        let keyframe = BoardCommand::Keyframe { camera };
        let mut given = |viewer: &str, command: &BoardCommand, at| {
            (0..100).filter(|_| rates.take(&id(viewer), command, ms(at)).is_ok()).count()
        };
        for (viewer, command, at, expected) in [
            ("anna", &BoardCommand::Stats, 0, 20),
            ("anna", &BoardCommand::Cameras, 0, 20),
            ("bert", &BoardCommand::Stats, 0, 20),
            ("anna", &BoardCommand::Stats, 500, 1),
            ("anna", &BoardCommand::Stats, 600, 0),
            ("anna", &BoardCommand::Stats, 60_000, 20),
            ("anna", &keyframe, 0, 4),
            ("anna", &keyframe, 1000, 1),
            ("anna", &lift, 0, 2),
            ("anna", &lift, 5000, 1),
            ("anna", &BoardCommand::PrivacyOn, 0, 100),
        ] {
            assert_eq!(given(viewer, command, at), expected, "{viewer} {} at {at} ms", command.name());
        }
    }

    #[test]
    fn a_refusal_says_how_long_to_wait_and_that_is_enough() {
        let mut rates = CommandRates::default();
        let lift = BoardCommand::PrivacyOff { change: 1 };
        while rates.take(&id("anna"), &lift, ms(0)).is_ok() {}
        let refusal = rates.take(&id("anna"), &lift, ms(1000)).unwrap_err();
        assert_eq!((refusal.name, refusal.retry_after_ms), (ErrorName::RateLimited, Some(4000)));
        assert!(refusal.message.starts_with("privacy.set: 12 a minute"), "{}", refusal.message);
        assert!(rates.take(&id("anna"), &lift, ms(5000)).is_ok());
    }

    #[test]
    fn the_memory_has_a_bound() {
        let mut rates = CommandRates::default();
        for n in 0..10_000 {
            rates.take(&id(&format!("viewer-{n}")), &BoardCommand::Stats, ms(n)).unwrap();
        }
        assert_eq!(rates.viewers.len(), VIEWERS);
        assert!(rates.viewers.contains_key(&id("viewer-9999")));
    }
}
