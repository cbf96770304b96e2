//! The port to what apps may send: the same steps wherever it is kept.

use std::{sync::Arc, time::Duration};

use tidings::{
    clock::Clock,
    shared::{
        InProcess, Redis,
        allowance::{Allowance, Allowances, Bound, Granted, Sent, Stop},
    },
};
use tidings_core::{id::AppId, time::Timestamp};

use super::messages::postgres_on;
use crate::{
    servers,
    suites::{self, anywhere},
};

pub struct Keepers {
    keeper: Arc<dyn Allowances>,
    /// Another process with the same keeper, where there can be one.
    other: Arc<dyn Allowances>,
}

type Backend = suites::Backend<Keepers>;

async fn in_process() -> Option<Backend> {
    let keeper: Arc<dyn Allowances> = Arc::new(InProcess::new(Clock::system()));
    Some(anywhere(Keepers { other: Arc::clone(&keeper), keeper }))
}

async fn redis() -> Option<Backend> {
    on_redis(servers::redis()?).await
}

async fn redis_cluster() -> Option<Backend> {
    on_redis(servers::redis_cluster()?).await
}

async fn on_redis(url: String) -> Option<Backend> {
    let prefix = servers::fresh_name();
    let connect = async || {
        let redis = Redis::connect(&url, &prefix).unwrap();
        redis.returns().wait_for(|count| *count > 0).await.unwrap();
        Arc::new(redis)
    };
    Some(anywhere(Keepers { keeper: connect().await, other: connect().await }))
}

async fn postgres() -> Option<Backend> {
    let database = servers::database().await?;
    let (keeper, other) = (postgres_on(&database).await, postgres_on(&database).await);
    Some(anywhere(Keepers { keeper: Arc::new(keeper), other: Arc::new(other) }))
}

crate::suites::suite! {
    backends: [in_process, redis, redis_cluster, postgres],
    cases: [
        a_rate_is_one_for_all_processes,
        a_quota_is_not_guessed_and_is_one_for_all_processes,
        a_new_day_and_a_new_month_begin_at_nothing,
        what_is_given_back_can_be_taken_again,
        concurrent_requests_never_get_more_than_there_is,
        whoever_tells_first_is_believed,
    ]
}

mod cases {
    use super::*;

    fn app() -> AppId {
        AppId::new(Timestamp::default(), [1; 10])
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn noon() -> Timestamp {
        at("2026-06-15T12:00:00Z")
    }

    fn granted(granted: Granted) -> (u32, Option<Stop>) {
        match granted {
            Granted::All => panic!("more was asked for than there is"),
            Granted::Some(count, stop) => (count, Some(stop)),
            Granted::NotCounted => panic!("it has been counted"),
        }
    }

    pub async fn a_rate_is_one_for_all_processes(Keepers { keeper, other }: Keepers) {
        let rate = Allowance { per_s: 1, daily: 0, monthly: 0 };
        let clock = Clock::system();
        // A machine that takes as long as the rate does has shown nothing.
        let mut asked_in_time = false;
        for number in 3..30 {
            let (app, began) = (AppId::new(Timestamp::default(), [number; 10]), clock.moment());
            assert_eq!(keeper.take(app, rate, 1, noon()).await.unwrap(), Granted::All);
            let answer = other.take(app, rate, 5, noon()).await.unwrap();
            if clock.moment().since(began) > Duration::from_millis(500) {
                continue;
            }
            let (count, stop) = granted(answer);
            let stop = stop.unwrap();
            assert_eq!((count, stop.bound), (0, Bound::Second));
            assert!(stop.reset <= Duration::from_secs(1) && stop.retry_after <= Duration::from_secs(1), "{stop:?}");
            assert!(stop.retry_after > Duration::from_millis(100), "{stop:?}");
            asked_in_time = true;
            break;
        }
        assert!(asked_in_time);
        let hundred = Allowance { per_s: 100, daily: 0, monthly: 0 };
        let another = AppId::new(Timestamp::default(), [2; 10]);
        let (count, _) = granted(keeper.take(another, hundred, 1_000, noon()).await.unwrap());
        assert_eq!(count, 100, "a second's worth at once");
    }

    pub async fn a_quota_is_not_guessed_and_is_one_for_all_processes(Keepers { keeper, other }: Keepers) {
        let quota = Allowance { per_s: 0, daily: 10, monthly: 100 };
        assert_eq!(keeper.take(app(), quota, 1, noon()).await.unwrap(), Granted::NotCounted);
        keeper.learn(app(), Sent { today: 4, this_month: 50 }, noon()).await.unwrap();
        assert_eq!(keeper.take(app(), quota, 4, noon()).await.unwrap(), Granted::All);
        let (count, stop) = granted(other.take(app(), quota, 9, noon()).await.unwrap());
        assert_eq!((count, stop.unwrap()), (2, Stop { bound: Bound::Day, reset: hours(12), retry_after: hours(12) }));
    }

    pub async fn a_new_day_and_a_new_month_begin_at_nothing(Keepers { keeper, other }: Keepers) {
        let quota = Allowance { per_s: 0, daily: 3, monthly: 4 };
        let evening = at("2026-06-29T23:00:00Z");
        keeper.learn(app(), Sent { today: 0, this_month: 0 }, evening).await.unwrap();
        assert_eq!(keeper.take(app(), quota, 3, evening).await.unwrap(), Granted::All);
        let (count, stop) = granted(other.take(app(), quota, 3, evening + hours(2)).await.unwrap());
        assert_eq!((count, stop.unwrap().bound, stop.unwrap().reset), (1, Bound::Month, hours(23)));
        assert_eq!(keeper.take(app(), quota, 3, evening + hours(26)).await.unwrap(), Granted::All);
    }

    pub async fn what_is_given_back_can_be_taken_again(Keepers { keeper, other }: Keepers) {
        let quota = Allowance { per_s: 1, daily: 5, monthly: 5 };
        keeper.learn(app(), Sent::default(), noon()).await.unwrap();
        assert_eq!(keeper.take(app(), quota, 1, noon()).await.unwrap(), Granted::All);
        keeper.give_back(app(), quota, 1, noon()).await.unwrap();
        assert_eq!(other.take(app(), quota, 1, noon()).await.unwrap(), Granted::All);
        let unpaced = Allowance { per_s: 0, ..quota };
        assert_eq!(granted(other.take(app(), unpaced, 9, noon()).await.unwrap()).0, 4);
    }

    pub async fn concurrent_requests_never_get_more_than_there_is(Keepers { keeper, other }: Keepers) {
        let quota = Allowance { per_s: 0, daily: 50, monthly: 0 };
        keeper.learn(app(), Sent::default(), noon()).await.unwrap();
        let takes = (0..40).map(|number| {
            let keeper = if number % 2 == 0 { Arc::clone(&keeper) } else { Arc::clone(&other) };
            tokio::spawn(async move {
                match keeper.take(app(), quota, 3, noon()).await.unwrap() {
                    Granted::All => 3,
                    Granted::Some(count, _) => count,
                    Granted::NotCounted => panic!("it has been counted"),
                }
            })
        });
        let mut all = 0;
        for take in takes.collect::<Vec<_>>() {
            all += take.await.unwrap();
        }
        assert_eq!(all, 50);
    }

    pub async fn whoever_tells_first_is_believed(Keepers { keeper, other }: Keepers) {
        let quota = Allowance { per_s: 0, daily: 10, monthly: 0 };
        keeper.learn(app(), Sent { today: 9, this_month: 9 }, noon()).await.unwrap();
        assert_eq!(keeper.take(app(), quota, 1, noon()).await.unwrap(), Granted::All);
        other.learn(app(), Sent { today: 3, this_month: 3 }, noon()).await.unwrap();
        assert_eq!(granted(other.take(app(), quota, 1, noon()).await.unwrap()).0, 0);
    }

    const fn hours(count: u64) -> Duration {
        Duration::from_secs(count * 3_600)
    }
}
