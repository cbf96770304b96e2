//! A sequential test for a share: failures among calls, slow ones among calls.
//!
//! Page's CUSUM on the log likelihood ratio between a share that is bearable and one that is not: every call moves it,
//! nothing waits for a window to fill, and one number sets the rate of false alarms. Once the alarm is up, the illness is
//! estimated from the last calls, and the same ratio turned round, with the illness as null, takes the alarm back.

/// Evidence (nats) that takes an alarm back.
const CLEAR_AT: f64 = 4.0;
/// Calls over which the present share is estimated while the alarm is up.
const MEMORY_CALLS: f64 = 60.0;
/// Nothing is so ill that a single good call proves the contrary.
const MOST_ILL: f64 = 0.9;

/// The two hypotheses and when to believe the second.
#[derive(Clone, Copy, Debug)]
pub struct Hypotheses {
    /// A bearable share.
    pub well: f64,
    pub ill: f64,
    /// Evidence in nats.
    pub alarm_at: f64,
}

impl Hypotheses {
    fn evidence(&self, hits: f64, misses: f64) -> f64 {
        hits * (self.ill / self.well).ln() + misses * ((1.0 - self.ill) / (1.0 - self.well)).ln()
    }
}

/// The test of one share.
#[derive(Clone, Debug, Default)]
pub struct ShareTest {
    evidence: f64,
    /// Since the evidence was zero, or (alarm up) the last calls.
    hits: f64,
    calls: f64,
    alarm: Option<Alarm>,
}

#[derive(Clone, Copy, Debug)]
struct Alarm {
    /// The worst estimate, slowly forgotten.
    illness: f64,
    against: f64,
}

impl ShareTest {
    /// Calls have ended, so many of them hits.
    pub fn observe(&mut self, hits: f64, calls: f64, hypotheses: Hypotheses) {
        let misses = calls - hits;
        match &mut self.alarm {
            None => {
                self.evidence += hypotheses.evidence(hits, misses);
                self.hits += hits;
                self.calls += calls;
                if self.evidence <= 0.0 {
                    *self = Self::default();
                } else if self.evidence >= hypotheses.alarm_at {
                    self.alarm = Some(Alarm { illness: self.hits / self.calls, against: 0.0 });
                }
            }
            Some(alarm) => {
                let keep = (-calls / MEMORY_CALLS).exp();
                self.hits = self.hits * keep + hits;
                self.calls = self.calls * keep + calls;
                alarm.illness = (alarm.illness * keep.sqrt().sqrt()).max(self.hits / self.calls);
                let ill = alarm.illness.clamp((hypotheses.well * 1.5).min(MOST_ILL), MOST_ILL);
                let turned = Hypotheses { ill, ..hypotheses };
                alarm.against = (alarm.against - turned.evidence(hits, misses)).max(0.0);
                if alarm.against >= CLEAR_AT {
                    *self = Self::default();
                }
            }
        }
    }

    pub const fn is_up(&self) -> bool {
        self.alarm.is_some()
    }

    /// The present share, drawn towards `expected` as if that had been seen in `weight` calls.
    pub fn estimate(&self, expected: f64, weight: f64) -> f64 {
        (self.hits + expected * weight) / (self.calls + weight).max(1.0)
    }

    pub fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;

    const TAIL: Hypotheses = Hypotheses { well: 0.045, ill: 0.12, alarm_at: 7.0 };

    fn feed(test: &mut ShareTest, share: f64, calls: usize, dice: &mut Dice) -> Option<usize> {
        (0..calls).find(|_| {
            test.observe(f64::from(u8::from(dice.happens(share))), 1.0, TAIL);
            test.is_up()
        })
    }

    #[test]
    fn an_ill_share_raises_the_alarm_and_a_well_one_takes_it_back() {
        let (mut test, mut dice) = (ShareTest::default(), Dice::new(3));
        assert_eq!(feed(&mut test, 0.03, 20_000, &mut dice), None);
        assert!(feed(&mut test, 0.15, 400, &mut dice).is_some());
        assert!((0..300).any(|_| {
            test.observe(f64::from(u8::from(dice.happens(0.01))), 1.0, TAIL);
            !test.is_up()
        }));
    }
}
