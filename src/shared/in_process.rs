//! [`Allowances`] kept by one process: the embedded rung's, and everybody's while the shared keeper is away.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, RwLock},
};

use async_trait::async_trait;
use tidings_core::{id::AppId, time::Timestamp};

use super::{
    Away,
    allowance::{Allowance, Allowances, Calendar, Granted, Sent, Usage},
};
use crate::clock::Clock;

/// What apps have used, by this process's monotonic clock.
pub struct InProcess {
    clock: Clock,
    apps: RwLock<HashMap<AppId, Arc<Mutex<Usage>>>>,
}

impl InProcess {
    pub fn new(clock: Clock) -> Self {
        Self { clock, apps: RwLock::default() }
    }

    fn with<T>(&self, app: AppId, change: impl FnOnce(&mut Usage) -> T) -> T {
        let known = self.apps.read().unwrap_or_else(PoisonError::into_inner).get(&app).cloned();
        let usage = known.unwrap_or_else(|| self.apps.write().unwrap_or_else(PoisonError::into_inner).entry(app).or_default().clone());
        change(&mut usage.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn nanos(&self) -> i64 {
        i64::try_from(self.clock.moment().since_start().as_nanos()).unwrap_or(i64::MAX)
    }
}

#[async_trait]
impl Allowances for InProcess {
    async fn take(&self, app: AppId, allowance: Allowance, want: u32, now: Timestamp) -> Result<Granted, Away> {
        Ok(self.with(app, |usage| usage.take(allowance, want, Calendar::of(now), self.nanos())))
    }

    async fn give_back(&self, app: AppId, allowance: Allowance, count: u32, now: Timestamp) -> Result<(), Away> {
        self.with(app, |usage| usage.give_back(allowance, count, Calendar::of(now)));
        Ok(())
    }

    async fn learn(&self, app: AppId, sent: Sent, now: Timestamp) -> Result<(), Away> {
        self.with(app, |usage| usage.learn(sent, Calendar::of(now)));
        Ok(())
    }
}
