//! How many refusals of one viewer get a record: as many as lines of one source get into the log. Pure: time is an
//! argument. What is left out is counted, and the next record of this viewer has the count.

use std::{collections::HashMap, time::Duration};

use super::AuditRecord;
use crate::{clock::Mono, config::Id};

/// Records of one viewer at once.
const BURST: u32 = 30;
/// The time after which a viewer may have one more.
const EACH: Duration = Duration::from_secs(3);
/// How long a count waits for the next refusal, before it gets a record of its own.
const WAIT: Duration = Duration::from_secs(10);
/// Viewers that are remembered. The one that was refused longest ago is forgotten first.
const VIEWERS: usize = 256;

/// The refusals of one viewer.
#[derive(Debug)]
struct Account {
    /// Records that it may have now, and when that was counted.
    room: f64,
    seen: Mono,
    /// The newest refusal without a record, and how many there are.
    left_out: Option<(AuditRecord, u64)>,
}

impl Account {
    fn refill(&mut self, now: Mono) {
        let gained = now.since(self.seen).as_secs_f64() / EACH.as_secs_f64();
        (self.room, self.seen) = ((self.room + gained).min(f64::from(BURST)), self.seen.max(now));
    }
}

/// The refusals of all viewers.
#[derive(Debug, Default)]
pub(super) struct RefusalLimit {
    accounts: HashMap<Id, Account>,
}

impl RefusalLimit {
    /// The records to write for a refusal: none above the limit. A viewer that is forgotten for it may leave its count.
    pub(super) fn admit(&mut self, mut refusal: AuditRecord, now: Mono) -> Vec<AuditRecord> {
        let Some(viewer) = refusal.viewer.clone() else { return vec![refusal] };
        let mut admitted: Vec<_> = self.forget_one(&viewer).into_iter().collect();
        let new = || Account { room: f64::from(BURST), seen: now, left_out: None };
        let account = self.accounts.entry(viewer).or_insert_with(new);
        account.refill(now);
        if account.room >= 1.0 {
            account.room -= 1.0;
            refusal.left_out = account.left_out.take().map(|(_, count)| count);
            admitted.push(refusal);
        } else {
            let count = account.left_out.take().map_or(0, |(_, count)| count) + 1;
            account.left_out = Some((refusal, count));
        }
        admitted
    }

    /// Records of counts that have waited long enough. Each is the newest of the refusals that were left out.
    pub(super) fn overdue(&mut self, now: Mono) -> Vec<AuditRecord> {
        let mut records = Vec::new();
        for account in self.accounts.values_mut().filter(|account| account.left_out.is_some()) {
            if now.since(account.seen) >= WAIT {
                account.refill(now);
                account.room -= 1.0;
                records.extend(account.left_out.take().map(counted));
            }
        }
        records
    }

    /// Records of all counts: nothing comes any more.
    pub(super) fn rest(&mut self) -> Vec<AuditRecord> {
        self.accounts.values_mut().filter_map(|account| account.left_out.take()).map(counted).collect()
    }

    /// Makes room for another viewer.
    fn forget_one(&mut self, for_viewer: &Id) -> Option<AuditRecord> {
        if self.accounts.len() < VIEWERS || self.accounts.contains_key(for_viewer) {
            return None;
        }
        let oldest = self.accounts.iter().min_by_key(|(_, account)| account.seen).map(|(id, _)| id.clone())?;
        self.accounts.remove(&oldest)?.left_out.map(counted)
    }
}

/// A record for refusals that got none. It is one of them, so it has the count of the others.
fn counted((newest, count): (AuditRecord, u64)) -> AuditRecord {
    AuditRecord { left_out: (count > 1).then(|| count - 1), ..newest }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::ErrorName;

    fn s(n: u64) -> Mono {
        Mono(n * 1_000_000_000)
    }

    fn refusal(viewer: &str) -> AuditRecord {
        AuditRecord::refused(Id::new(viewer).unwrap(), None, ErrorName::Busy)
    }

    /// How many of `n` refusals at one moment get a record.
    fn written(limit: &mut RefusalLimit, viewer: &str, n: usize, now: Mono) -> usize {
        (0..n).map(|_| limit.admit(refusal(viewer), now).len()).sum()
    }

    #[test]
    fn thirty_at_once_then_one_each_three_seconds_for_each_viewer() {
        let mut limit = RefusalLimit::default();
        assert_eq!(written(&mut limit, "anna", 100, s(0)), 30);
        assert_eq!(written(&mut limit, "anna", 100, s(3)), 1);
        assert_eq!(written(&mut limit, "bert", 100, s(3)), 30);
        assert_eq!(written(&mut limit, "anna", 100, s(3600)), 30, "an hour of silence saves up no more");
    }

    #[test]
    fn what_is_left_out_is_counted_by_the_next_record() {
        let mut limit = RefusalLimit::default();
        written(&mut limit, "anna", 35, s(0));
        assert_eq!(limit.admit(refusal("anna"), s(4))[0].left_out, Some(5));
        assert_eq!(limit.admit(refusal("anna"), s(8))[0].left_out, None, "once");
    }

    #[test]
    fn a_count_gets_a_record_of_its_own_if_no_further_refusal_comes() {
        let mut limit = RefusalLimit::default();
        written(&mut limit, "anna", 35, s(0));
        written(&mut limit, "bert", 31, s(0));
        assert_eq!(limit.overdue(s(9)), []);
        let mut counts: Vec<_> = limit.overdue(s(10)).into_iter().map(|r| (r.viewer.unwrap(), r.left_out)).collect();
        counts.sort();
        let id = |viewer| Id::new(viewer).unwrap();
        assert_eq!(counts, [(id("anna"), Some(4)), (id("bert"), None)], "each is one of those that it counts");
        assert_eq!((limit.overdue(s(20)), limit.rest()), (vec![], vec![]));
    }

    #[test]
    fn memory_is_bounded_and_no_refusal_is_lost() {
        let mut limit = RefusalLimit::default();
        let mut seen = 0;
        for n in 0..2000_u64 {
            for _ in 0..32 {
                let records = limit.admit(refusal(&format!("v{n}")), Mono(n));
                seen += records.iter().map(|record| 1 + record.left_out.unwrap_or(0)).sum::<u64>();
            }
        }
        assert_eq!(limit.accounts.len(), VIEWERS);
        seen += limit.rest().iter().map(|record| 1 + record.left_out.unwrap_or(0)).sum::<u64>();
        assert_eq!(seen, 2000 * 32);
    }
}
