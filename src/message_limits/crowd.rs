//! The rate of viewers that are not known now. They share it, and none of them gets more than a small part of it: where
//! the broker lets each login write on one topic only, one stranger does not keep others out.

use std::collections::HashMap;

use crate::{clock::Mono, config::Id, rate_limit::RateLimit};

/// Messages of all: per second, and at once.
const OF_ALL: u32 = 10;
/// Messages on one topic: per second, and at once. A new viewer needs only one valid message.
const OF_ONE: (u32, u32) = (1, 5);

/// A shared rate, and the part of each topic.
#[derive(Debug)]
pub(super) struct CrowdRate {
    all: RateLimit,
    /// Topics that used some of their part and did not get it back yet. The rate of all is the bound: a part is full
    /// again after five seconds.
    used: HashMap<Id, RateLimit>,
}

impl CrowdRate {
    pub(super) fn new(now: Mono) -> Self {
        Self { all: RateLimit::new(OF_ALL, OF_ALL, now), used: HashMap::new() }
    }

    /// Counts a message on this topic. Returns whether it is within both rates.
    pub(super) fn take(&mut self, topic: &Id, now: Mono) -> bool {
        if self.used.get_mut(topic).is_some_and(|own| own.is_empty(now)) || !self.all.take(now) {
            return false;
        }
        self.used.retain(|_, own| !own.is_full(now));
        let own = self.used.entry(topic.clone()).or_insert_with(|| RateLimit::new(OF_ONE.0, OF_ONE.1, now));
        own.take(now)
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
    fn one_topic_gets_a_part_and_all_get_the_rate() {
        let mut rate = CrowdRate::new(ms(0));
        let mut taken =
            |topics: &[&str], n: usize, at| (0..n).filter(|n| rate.take(&id(topics[n % topics.len()]), ms(at))).count();
        for (topics, at, expected) in [
            (&["mallory"][..], 0, 5),
            (&["mallory", "anna"], 0, 5),
            (&["mallory", "anna", "bert"], 0, 0),
            (&["mallory"], 1000, 1),
            (&["bert"], 1000, 5),
            (&["a", "b", "c", "d", "e", "f"], 1000, 4),
            (&["mallory"], 3_600_000, 5),
        ] {
            assert_eq!(taken(topics, 1000, at), expected, "{topics:?} at {at} ms");
        }
    }

    /// How many of 60 viewers that come one each second are read at their first attempt, while strangers have sent a
    /// thousand messages a second on so many topics for a minute.
    #[test]
    fn a_newcomer_is_read_unless_strangers_have_many_topics() {
        for (topics, expected) in [(1, 60), (8, 60), (1000, 0)] {
            let mut rate = CrowdRate::new(ms(0));
            let mut read = 0;
            for n in 0..120_000_u64 {
                rate.take(&id(&format!("flood-{}", n % topics)), ms(n));
                if n >= 60_000 && n % 1000 == 999 {
                    read += usize::from(rate.take(&id(&format!("new-{n}")), ms(n)));
                }
                assert!(rate.used.len() <= 60, "{} topics are remembered", rate.used.len());
            }
            assert_eq!(read, expected, "{topics} topics");
        }
    }
}
