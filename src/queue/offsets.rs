//! How far a partition is done: records are worked on side by side, and what is committed is the lowest offset below
//! which everything is finished.
//!
//! So a slow message holds up no other, and a crash repeats what was not finished but never skips it.

use std::collections::BTreeMap;

/// The offsets of one assigned partition.
#[derive(Debug, Default)]
pub struct Offsets {
    /// Taken and not yet passed: whether each is finished.
    taken: BTreeMap<i64, bool>,
    /// Everything below is finished.
    passed: Option<i64>,
    committed: Option<i64>,
    /// The lowest offset that was given up: nothing beyond it is passed any more.
    forgotten: Option<i64>,
}

impl Offsets {
    /// A record was taken. Taking one again that is under way changes nothing.
    pub fn took(&mut self, offset: i64) {
        if self.passed.is_none_or(|passed| offset >= passed) {
            self.taken.entry(offset).or_insert(false);
        }
    }

    /// A record is finished. Offsets that were never taken are ignored.
    pub fn finished(&mut self, offset: i64) {
        if let Some(done) = self.taken.get_mut(&offset) {
            *done = true;
        }
        while let Some(first) = self.taken.first_entry() {
            if !*first.get() || self.forgotten.is_some_and(|forgotten| *first.key() > forgotten) {
                break;
            }
            self.passed = Some(first.key() + 1);
            first.remove();
        }
    }

    /// A record is given up unfinished: whoever has the partition next takes it again. What comes after it is not passed.
    pub fn forget(&mut self, offset: i64) {
        if self.taken.remove(&offset).is_some() {
            let end = self.forgotten.map_or(offset, |forgotten| forgotten.min(offset));
            self.forgotten = Some(end);
        }
    }

    /// Records that are under way.
    pub fn under_way(&self) -> usize {
        self.taken.values().filter(|done| !**done).count()
    }

    /// What to commit, if there is news; [`Self::was_committed`] tells that it was.
    pub fn to_commit(&self) -> Option<i64> {
        self.passed.filter(|passed| Some(*passed) != self.committed)
    }

    pub fn was_committed(&mut self, offset: i64) {
        self.committed = Some(offset);
    }

    /// The brokers did not take what was committed last.
    pub fn was_not_committed(&mut self) {
        self.committed = None;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_committed_never_passes_an_unfinished_record(order in Just((0_i64..40).collect::<Vec<_>>()).prop_shuffle(), finished in 0_usize..40) {
            let mut offsets = Offsets::default();
            (0..40).for_each(|offset| offsets.took(offset));
            let (done, open) = order.split_at(finished);
            done.iter().for_each(|offset| offsets.finished(*offset));
            let lowest_open = open.iter().min().copied().unwrap_or(40);
            prop_assert_eq!(offsets.to_commit(), (lowest_open > 0).then_some(lowest_open));
            prop_assert_eq!(offsets.under_way(), open.len());
        }

        #[test]
        fn what_was_not_committed_is_committed_again(offset in 0_i64..100) {
            let mut offsets = Offsets::default();
            offsets.took(offset);
            offsets.finished(offset);
            offsets.was_committed(offset + 1);
            prop_assert_eq!(offsets.to_commit(), None);
            offsets.was_not_committed();
            prop_assert_eq!(offsets.to_commit(), Some(offset + 1));
        }

        #[test]
        fn gaps_in_the_log_hold_nothing_up(present in proptest::collection::btree_set(0_i64..200, 1..50)) {
            let mut offsets = Offsets::default();
            present.iter().for_each(|offset| offsets.took(*offset));
            present.iter().rev().for_each(|offset| offsets.finished(*offset));
            prop_assert_eq!(offsets.to_commit(), present.last().map(|last| last + 1));
        }
    }

    #[test]
    fn nothing_beyond_a_record_that_was_given_up_is_committed() {
        let mut offsets = Offsets::default();
        (0..4).for_each(|offset| offsets.took(offset));
        offsets.forget(2);
        [0, 1, 3].iter().for_each(|offset| offsets.finished(*offset));
        assert_eq!((offsets.to_commit(), offsets.under_way()), (Some(2), 0));
    }

    #[test]
    fn a_commit_is_asked_for_once() {
        let mut offsets = Offsets::default();
        offsets.took(5);
        offsets.finished(5);
        assert_eq!(offsets.to_commit(), Some(6));
        offsets.was_committed(6);
        assert_eq!(offsets.to_commit(), None);
        offsets.took(3);
        assert_eq!(offsets.under_way(), 0, "what was passed is not taken again");
    }
}
