//! Wrong passwords, counted by name and by address: from the sixth within a minute nobody gets in until it ends, with the
//! right password neither, or guessing would be told apart from knowing.
//!
//! Counted here by one node for itself; [`super::log_in`] counts the same for all nodes together where they share something.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use tidings_core::time::Moment;

/// Wrong passwords in a window before the door closes.
pub const MAX_WRONG: u32 = 5;
pub const WINDOW: Duration = Duration::from_secs(60);
/// More names and addresses than this at once are an attack; the oldest windows make room.
const MAX_KEYS: usize = 100_000;

#[derive(Clone, Copy, Debug)]
struct Window {
    since: Moment,
    wrong: u32,
}

#[derive(Debug, Default)]
pub struct Throttle {
    windows: Mutex<HashMap<(Kind, String), Window>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Name,
    Address,
}

/// The door is closed for so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    pub retry_after: Duration,
}

impl Throttle {
    /// Whether a try may be made now. It counts as wrong until [`Self::right`] takes it back, so that tries made at the
    /// same moment cannot all slip through.
    ///
    /// # Errors
    /// Too many wrong ones for this name or from this address.
    pub fn enter(&self, name: &str, address: Option<&str>, now: Moment) -> Result<(), Closed> {
        let mut windows = self.windows.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if windows.len() >= MAX_KEYS {
            windows.retain(|_, window| now.since(window.since) < WINDOW);
            if windows.len() >= MAX_KEYS {
                windows.clear();
            }
        }
        let keys = keys(name, address);
        let closed = keys.iter().filter_map(|key| windows.get(key)).filter_map(|window| {
            let left = WINDOW.checked_sub(now.since(window.since)).filter(|left| !left.is_zero())?;
            (window.wrong >= MAX_WRONG).then_some(left)
        });
        if let Some(retry_after) = closed.max() {
            return Err(Closed { retry_after });
        }
        for key in keys {
            let window = windows.entry(key).or_insert(Window { since: now, wrong: 0 });
            if now.since(window.since) >= WINDOW {
                *window = Window { since: now, wrong: 0 };
            }
            window.wrong += 1;
        }
        Ok(())
    }

    /// The try was right after all.
    pub fn right(&self, name: &str, address: Option<&str>) {
        let mut windows = self.windows.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for key in keys(name, address) {
            if let Some(window) = windows.get_mut(&key) {
                window.wrong = window.wrong.saturating_sub(1);
            }
        }
    }
}

pub(super) fn keys(name: &str, address: Option<&str>) -> Vec<(Kind, String)> {
    let name = name.chars().take(64).collect::<String>().to_lowercase();
    let mut keys = vec![(Kind::Name, name)];
    keys.extend(address.map(|address| (Kind::Address, address.to_owned())));
    keys
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_start(Duration::from_secs(seconds))
    }

    #[test]
    fn the_sixth_try_in_a_minute_waits_until_the_minute_ends() {
        let throttle = Throttle::default();
        for second in 0..5 {
            assert_eq!(throttle.enter("root", Some("10.0.0.1"), at(second)), Ok(()));
        }
        assert_eq!(throttle.enter("root", Some("10.0.0.2"), at(10)), Err(Closed { retry_after: Duration::from_secs(50) }));
        assert_eq!(throttle.enter("ada", Some("10.0.0.1"), at(20)), Err(Closed { retry_after: Duration::from_secs(40) }));
        assert_eq!(throttle.enter("ada", Some("10.0.0.3"), at(20)), Ok(()));
        assert_eq!(throttle.enter("root", Some("10.0.0.1"), at(60)), Ok(()));
    }

    #[test]
    fn right_passwords_are_not_counted() {
        let throttle = Throttle::default();
        for second in 0..50 {
            assert_eq!(throttle.enter("root", Some("10.0.0.1"), at(second)), Ok(()));
            throttle.right("root", Some("10.0.0.1"));
        }
    }
}
