//! What a worker looks at again later, kept in its memory: records whose time has not come, by lane.
//!
//! Their offsets are not finished, so whoever gets the partition finds them again. There is an end to how many a lane may
//! have: from there on it takes nothing new from Kafka, whose buffer fills and whose partitions pause, so that a backlog that
//! nobody may deliver stays there.

use tidings_core::{message::Lane, time::Timestamp};

/// Records of one lane, at most. An entry is a message and some hundred bytes.
const MOST: usize = 10_000;

#[derive(Debug)]
pub struct PutOff<T> {
    lanes: [Vec<(Timestamp, T)>; Lane::ALL.len()],
    most: usize,
}

impl<T> Default for PutOff<T> {
    fn default() -> Self {
        Self::bounded(MOST)
    }
}

impl<T> PutOff<T> {
    fn bounded(most: usize) -> Self {
        Self { lanes: std::array::from_fn(|_| Vec::new()), most }
    }

    /// Whether the lane may take more that it would perhaps have to keep.
    pub fn has_room(&self, lane: Lane) -> bool {
        self.lanes[lane.index()].len() < self.most
    }

    /// Keeps what was taken, also beyond the bound: it has nowhere else to go.
    pub fn add(&mut self, lane: Lane, until: Timestamp, item: T) {
        self.lanes[lane.index()].push((until, item));
    }

    /// Up to `most` whose time has come, those that wait longest first.
    pub fn due(&mut self, lane: Lane, now: Timestamp, most: usize) -> Vec<T> {
        let lane = &mut self.lanes[lane.index()];
        lane.sort_by_key(|(until, _)| *until);
        let due = lane.partition_point(|(until, _)| *until <= now).min(most);
        lane.drain(..due).map(|(_, item)| item).collect()
    }

    /// When the next one's time comes.
    pub fn next(&self, lane: Lane) -> Option<Timestamp> {
        self.lanes[lane.index()].iter().map(|(until, _)| *until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    #[test]
    fn what_was_put_off_comes_back_in_the_order_of_its_time_and_not_before() {
        let mut put_off = PutOff::default();
        for (until, item) in [(30, 'c'), (10, 'a'), (20, 'b'), (40, 'd')] {
            put_off.add(Lane::Urgent, at(until), item);
        }
        assert_eq!(put_off.next(Lane::Urgent), Some(at(10)));
        assert!(put_off.due(Lane::Urgent, at(9), 10).is_empty());
        assert!(put_off.due(Lane::Bulk, at(99), 10).is_empty(), "another lane's");
        assert_eq!(put_off.due(Lane::Urgent, at(30), 2), ['a', 'b']);
        assert_eq!(put_off.due(Lane::Urgent, at(30), 2), ['c']);
        assert_eq!(put_off.next(Lane::Urgent), Some(at(40)));
    }

    #[test]
    fn a_lane_that_keeps_all_it_may_takes_nothing_new_until_some_have_gone() {
        let mut put_off = PutOff::bounded(2);
        put_off.add(Lane::Normal, at(1), 'a');
        assert!(put_off.has_room(Lane::Normal));
        put_off.add(Lane::Normal, at(2), 'b');
        assert!(!put_off.has_room(Lane::Normal) && put_off.has_room(Lane::Urgent), "each lane by itself");
        put_off.add(Lane::Normal, at(3), 'c');
        assert_eq!(put_off.due(Lane::Normal, at(2), 10), ['a', 'b'], "also what is beyond it is kept");
        assert!(put_off.has_room(Lane::Normal));
    }
}
