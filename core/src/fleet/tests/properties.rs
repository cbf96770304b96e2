//! What holds whatever happens: random calls, outcomes, receipts and gossip.

use proptest::prelude::*;

use super::*;
use crate::select::Select;

/// One thing that happens to a fleet.
#[derive(Clone, Debug)]
enum Step {
    Call { outcome: Outcome, takes_ms: u64 },
    Pass { millis: u64 },
    Receipt { provider: usize, delivered: bool },
    Gossip,
}

fn step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        6 => Just(Outcome::Accepted),
        3 => Just(Outcome::Unavailable),
        2 => Just(Outcome::Ambiguous),
        1 => Just(Outcome::Throttled),
        1 => Just(Outcome::RejectedRecipient),
        1 => Just(Outcome::RejectedContent),
    ];
    prop_oneof![
        20 => (outcome, 1_u64..4_000).prop_map(|(outcome, takes_ms)| Step::Call { outcome, takes_ms }),
        10 => (1_u64..3_000).prop_map(|millis| Step::Pass { millis }),
        2 => (0_usize..3, any::<bool>()).prop_map(|(provider, delivered)| Step::Receipt { provider, delivered }),
        2 => Just(Step::Gossip),
    ]
}

/// Two processes with three providers, and the calls of the first that are out.
struct Play {
    fleet: Fleet,
    other: Fleet,
    now: Moment,
    out: Vec<(Moment, Ticket, Outcome)>,
}

const WEIGHTS: [u32; 3] = [100, 60, 10];
const THREE: Ask<'static> = Ask { candidates: &[0, 1, 2], ..ASK };

impl Play {
    fn new(seed: u64) -> Self {
        let three = [("a", WEIGHTS[0]), ("b", WEIGHTS[1]), ("c", WEIGHTS[2])];
        let config = || FleetConfig { providers: three.map(|(name, weight)| ProviderSpec { weight, receipts: true, ..spec(name) }).into() };
        let other = Fleet::new(config(), seed.wrapping_add(1), Moment::ZERO);
        Self { fleet: Fleet::new(config(), seed, Moment::ZERO), other, now: Moment::ZERO, out: Vec::new() }
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Call { outcome, takes_ms } => {
                self.now = self.now + Duration::from_millis(10);
                if let Choice::Call(ticket) = self.fleet.choose(self.now, &THREE) {
                    self.out.push((self.now + Duration::from_millis(takes_ms), ticket, outcome));
                }
            }
            Step::Pass { millis } => self.now = self.now + Duration::from_millis(millis),
            Step::Receipt { provider, delivered } => self.fleet.receipt(self.now, provider, self.now - Duration::from_secs(2), delivered),
            Step::Gossip => {
                let (told, heard) = (self.fleet.summary(self.now), self.other.summary(self.now));
                self.other.merge(self.now, &told, Duration::from_millis(200));
                self.fleet.merge(self.now, &heard, Duration::from_millis(200));
            }
        }
        let ended = self.out.extract_if(.., |(at, _, _)| *at <= self.now).collect::<Vec<_>>();
        for (at, ticket, outcome) in ended {
            self.fleet.ended(at.max(ticket.started), ticket, outcome, None);
        }
        self.fleet.tick(self.now);
        self.other.tick(self.now);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn shares_sum_to_one_and_no_weight_exceeds_the_configured(seed: u64, steps in prop::collection::vec(step(), 1..250)) {
        let mut play = Play::new(seed);
        for step in &steps {
            play.step(step);
            let views = play.fleet.view(play.now);
            let sum: f64 = views.iter().map(|view| view.effective_share).sum();
            let serving = views.iter().any(|view| view.score > 0);
            prop_assert!(if serving { (sum - 1.0).abs() < 1e-9 } else { sum == 0.0 }, "{sum}");
            for (member, configured) in play.fleet.members.iter().zip(WEIGHTS) {
                let factor = member.factor(play.now);
                prop_assert!((0.0..=1.0).contains(&factor) && f64::from(member.weight()) * factor <= f64::from(configured), "{factor}");
            }
            for view in &views {
                prop_assert!(view.score <= 100);
                prop_assert!(view.signals.len() == 5 && view.signals.iter().all(|signal| signal.value.is_finite()));
            }
            let out = u32::try_from(play.out.len()).unwrap();
            prop_assert_eq!(views.iter().map(|view| view.in_flight).sum::<u32>(), out);
        }
    }

    #[test]
    fn nobody_is_ejected_without_samples(seed: u64, steps in prop::collection::vec(step(), 1..250)) {
        let mut play = Play::new(seed);
        for step in &steps {
            play.step(step);
            for event in play.fleet.take_events() {
                if event.kind == EventKind::Ejected && !event.adopted {
                    let reading = event.reading.expect("a decision names its signal");
                    prop_assert!(event.again || reading.samples >= 3, "{reading:?}");
                    prop_assert!(reading.value > reading.baseline, "{reading:?}");
                }
            }
        }
    }

    /// The panic floor: however bad it was, a quiet wait later somebody may be called.
    #[test]
    fn somebody_can_always_be_called_after_a_short_wait(seed: u64, steps in prop::collection::vec(step(), 1..250)) {
        let mut play = Play::new(seed);
        steps.iter().for_each(|step| play.step(step));
        let waits = Duration::from_secs(5);
        let until = play.now + waits;
        let mut called = false;
        while play.now < until && !called {
            play.step(&Step::Pass { millis: 50 });
            called = matches!(play.fleet.choose(play.now, &THREE), Choice::Call(_));
        }
        prop_assert!(called);
    }

    #[test]
    fn summaries_of_processes_merge_in_any_order_and_old_ones_say_nothing(
        seed: u64,
        first in prop::collection::vec(step(), 1..80),
        second in prop::collection::vec(step(), 1..80),
        select in prop::sample::select(Select::ALL),
    ) {
        let (mut one, mut two) = (Play::new(seed), Play::new(seed ^ 0xABCD));
        first.iter().for_each(|step| one.step(step));
        second.iter().for_each(|step| two.step(step));
        let now = one.now.max(two.now);
        let mut summaries = vec![one.fleet.summary(now), two.fleet.summary(now)];
        one.step(&Step::Call { outcome: Outcome::Unavailable, takes_ms: 1 });
        summaries.push(one.fleet.summary(now));
        let listen = |order: &[usize]| {
            let mut fleet = Play::new(9).fleet;
            for at in order {
                fleet.merge(now, &summaries[*at], Duration::from_millis(200));
            }
            fleet.tick(now);
            fleet.tick(now + Duration::from_secs(2));
            let view = fleet.view(now + Duration::from_secs(2)).iter().map(|it| format!("{it:?}")).collect::<Vec<_>>();
            let choice = format!("{:?}", fleet.choose(now + Duration::from_secs(2), &Ask { select, ..THREE }));
            (view, choice)
        };
        let expected = listen(&[0, 1, 2]);
        for order in [&[1, 0, 2][..], &[0, 2, 1], &[0, 1, 2, 0, 1, 2], &[0, 2, 0, 1, 1]] {
            prop_assert_eq!(&listen(order), &expected);
        }
    }
}
