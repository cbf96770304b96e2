//! A routing revision at work: accounts at providers, routes to them, and the fleet that knows how they are.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use smallvec::SmallVec;
use tidings_core::{
    attempt::Outcome,
    dice::{Dice, mix},
    fleet::{Ask, Choice, Departs, Fleet, FleetConfig, ProviderSpec, ProviderView, Ticket},
    id::AppId,
    limits::ASK_AGAIN,
    message::{Category, Channel, Lane, Message},
    redact::Redacted,
    retry::{BudgetSettings, Budgets},
    select::Select,
    time::{Moment, Timestamp},
};
use tidings_providers::{Provider, VendorTemplate};
use tokio::sync::Notify;

use super::{EventLog, Steer};
use crate::{clock::Clock, telemetry::metrics};

/// One configured account at a vendor, ready to be called.
pub struct Account {
    /// What choosing it takes: name, weight, limits, timeout, price, thresholds.
    pub spec: ProviderSpec,
    pub channel: Channel,
    /// Reaches nobody: the only ones that test messages go to.
    pub simulated: bool,
    /// Not part of the revision, made for test messages.
    pub built_in: bool,
    pub provider: Arc<dyn Provider>,
    pub currency: Arc<str>,
    pub templates: BTreeMap<String, Arc<VendorTemplate>>,
    pub signatures: BTreeMap<String, Arc<str>>,
    /// Where the vendor shall report, token included.
    pub callback: Option<Redacted<String>>,
    pub metrics: Arc<metrics::Provider>,
}

/// Which messages go to which accounts. All that is given must hold.
#[derive(Clone, Debug)]
pub struct Route {
    pub channel: Option<Channel>,
    pub category: Option<Category>,
    pub prefixes: Vec<String>,
    pub apps: Vec<String>,
    pub select: Select,
    /// Places of accounts, in the route's order.
    pub places: Vec<usize>,
}

impl Route {
    fn matches(&self, message: &Message, app: &str) -> bool {
        let to = message.to.expose();
        self.channel.is_none_or(|channel| channel == message.channel)
            && self.category.is_none_or(|category| category == message.category)
            && (self.prefixes.is_empty() || self.prefixes.iter().any(|prefix| to.starts_with(prefix.as_str())))
            && (self.apps.is_empty() || self.apps.iter().any(|name| name == app))
    }
}

/// Who may take a message, in order, and how one of them is chosen.
#[derive(Clone, Debug)]
pub struct Routing {
    pub select: Select,
    pub places: SmallVec<[usize; 8]>,
}

/// What a desk is made of.
pub struct DeskSpec {
    pub revision: u32,
    pub accounts: Vec<Account>,
    /// First match wins; without any route every account of the channel is a candidate.
    pub routes: Vec<Route>,
    pub budget: BudgetSettings,
    pub seed: u64,
    /// This process makes no calls: its fleet follows what others decide.
    pub listens: bool,
}

/// Tells those who wait for room that there may be some: one of each lane, so that nobody's crowd stands before a better lane.
#[derive(Default)]
pub(super) struct Freed([Notify; Lane::ALL.len()]);

impl Freed {
    fn one(&self) {
        self.0.iter().for_each(Notify::notify_one);
    }

    pub(super) fn all(&self) {
        self.0.iter().for_each(Notify::notify_waiters);
    }

    async fn waited(&self, lane: Lane) {
        self.0[lane.index()].notified().await;
    }
}

/// Those of a lane who wait for a provider's next place. All of them are told the same time; one watches the clock, and wakes the next when
/// it lets go: were all to wake, hundreds would ask a thousand times a second for what one of them gets.
#[derive(Default)]
struct Line {
    is_watched: AtomicBool,
    next: Notify,
}

impl Line {
    fn watch(&self) -> Option<Watch<'_>> {
        (!self.is_watched.swap(true, Ordering::AcqRel)).then(|| Watch(self))
    }
}

struct Watch<'a>(&'a Line);

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        self.0.is_watched.store(false, Ordering::Release);
        self.0.next.notify_one();
    }
}

/// A routing revision at work.
pub struct Desk {
    pub revision: u32,
    pub accounts: Vec<Account>,
    routes: Vec<Route>,
    fleet: Mutex<Fleet>,
    /// Who may be tried again, and the luck of backoffs.
    retry: Mutex<(Budgets<AppId>, Dice)>,
    /// The desk that took the fleet over. Set while the fleet is locked.
    successor: OnceLock<Arc<Self>>,
    /// A call has ended: somebody who waits for room may look again.
    pub(super) freed: Freed,
    /// By place and lane.
    lines: Vec<[Line; Lane::ALL.len()]>,
    /// Some provider is out or held back because calls hang; otp calls look whether to leave.
    pub(super) trouble: AtomicBool,
}

impl Desk {
    pub fn new(spec: DeskSpec, now: Moment) -> Self {
        let providers = spec.accounts.iter().map(|account| account.spec.clone()).collect();
        let fleet = Fleet::writing_first(FleetConfig { providers }, spec.seed, now);
        let accounts = spec.accounts.len();
        Self {
            revision: spec.revision,
            routes: spec.routes,
            fleet: Mutex::new(if spec.listens { fleet.listening() } else { fleet }),
            retry: Mutex::new((Budgets::new(spec.budget), Dice::new(mix(spec.seed)))),
            accounts: spec.accounts,
            successor: OnceLock::new(),
            freed: Freed::default(),
            lines: std::iter::repeat_with(Default::default).take(accounts).collect(),
            trouble: AtomicBool::new(false),
        }
    }

    /// Hands the fleet, with what it knows of the accounts that both have and the calls that are out, to `successor`.
    fn hand_over(&self, successor: &Arc<Self>, now: Moment) {
        let providers = successor.accounts.iter().map(|account| account.spec.clone()).collect();
        let mut own = self.fleet();
        if self.successor.set(Arc::clone(successor)).is_ok() {
            let mut fleet = std::mem::replace(&mut *own, Fleet::writing_first(FleetConfig::default(), 0, now));
            fleet.reconfigure(FleetConfig { providers }, now);
            *successor.fleet() = fleet;
            let mut budgets = self.retry().0.clone();
            budgets.move_providers(|place| successor.place(&self.accounts.get(place)?.spec.name));
            successor.retry().0 = budgets;
        }
    }

    /// Asks the fleet for a call that is written down before it is made; nothing if another desk has the fleet now.
    pub(super) fn reserve(&self, now: Moment, ask: &Ask<'_>) -> Option<Choice> {
        let mut fleet = self.fleet();
        let choice = self.successor.get().is_none().then(|| fleet.choose(now, ask));
        drop(fleet);
        // A call that ends wakes one message, but may have made room for many: a suspicion dissolves with it, or a cap has grown.
        if let Some(Choice::Call(ticket)) = &choice
            && ticket.leaves_room()
        {
            self.freed.one();
        }
        choice
    }

    /// Waits until it is worth asking again, for somebody of `lane` who was told to do so `at` some time, when there may be room at `place`.
    /// Nobody waits beyond `latest`.
    pub(super) async fn room(&self, clock: Clock, lane: Lane, place: Option<usize>, at: Moment, latest: Moment) {
        let line = place.and_then(|place| self.lines.get(place)).map(|lanes| &lanes[lane.index()]);
        let watch = line.and_then(Line::watch);
        let behind = line.filter(|_| watch.is_none());
        let until = if behind.is_some() { at.max(clock.moment() + ASK_AGAIN) } else { at }.min(latest);
        let turn = async {
            match behind {
                Some(line) => line.next.notified().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.freed.waited(lane) => {}
            () = turn => {}
            () = tokio::time::sleep_until(clock.instant(until)) => {}
        }
    }

    /// Whether the call of a ticket may depart that is ready now; nothing while this process has nothing of the contract.
    pub(super) fn departs(&self, now: Moment, ticket: &mut Ticket) -> Option<Departs> {
        let mut departs = None;
        self.at_the_fleet(|fleet, _| departs = fleet.departs(now, ticket));
        departs
    }

    /// The call of a ticket goes out now.
    pub(super) fn sent(&self, now: Moment, ticket: &mut Ticket) {
        self.at_the_fleet(|fleet, _| fleet.sent(now, ticket));
    }

    /// The call of a ticket has ended.
    pub(super) fn ended(&self, now: Moment, ticket: Ticket, outcome: Outcome, retry_after: Option<Duration>) {
        self.at_the_fleet(|fleet, desk| {
            fleet.ended(now, ticket, outcome, retry_after);
            desk.freed.one();
        });
    }

    /// The call of a ticket is not made.
    pub(super) fn abandon(&self, ticket: Ticket) {
        self.at_the_fleet(|fleet, desk| {
            fleet.abandoned(ticket);
            desk.freed.one();
        });
    }

    /// A ticket outlives its desk: what becomes of it is told to whoever has the fleet now.
    fn at_the_fleet(&self, tell: impl FnOnce(&mut Fleet, &Self)) {
        let mut desk = self;
        loop {
            let mut fleet = desk.fleet();
            match desk.successor.get() {
                None => return tell(&mut fleet, desk),
                Some(successor) => {
                    drop(fleet);
                    desk = successor;
                }
            }
        }
    }

    /// Who may take this message. Empty: no route.
    pub fn routing(&self, message: &Message, app: &str) -> Routing {
        let fits = |place: &usize| self.accounts[*place].channel == message.channel;
        if message.test {
            return self.test_routing(message, app);
        }
        let real = |place: &usize| fits(place) && !self.accounts[*place].built_in;
        if self.routes.is_empty() {
            return Routing { select: Select::Weighted, places: (0..self.accounts.len()).filter(real).collect() };
        }
        match self.routes.iter().find(|route| route.matches(message, app)) {
            Some(route) => Routing { select: route.select, places: route.places.iter().copied().filter(real).collect() },
            None => Routing { select: Select::Weighted, places: SmallVec::new() },
        }
    }

    /// Only simulated accounts, whatever the routes say: those of the route that matches, else all, else the built-in one.
    fn test_routing(&self, message: &Message, app: &str) -> Routing {
        let fits = |place: &usize| self.accounts[*place].channel == message.channel && self.accounts[*place].simulated;
        if let Some(route) = self.routes.iter().find(|route| route.matches(message, app)) {
            let places: SmallVec<_> = route.places.iter().copied().filter(fits).collect();
            if !places.is_empty() {
                return Routing { select: route.select, places };
            }
        }
        let own = |place: &usize| fits(place) && !self.accounts[*place].built_in;
        let places: SmallVec<_> = (0..self.accounts.len()).filter(own).collect();
        let places = if places.is_empty() { (0..self.accounts.len()).filter(fits).collect() } else { places };
        Routing { select: Select::Weighted, places }
    }

    pub fn place(&self, name: &str) -> Option<usize> {
        self.accounts.iter().position(|account| &*account.spec.name == name)
    }

    /// Every account as it is now, by place. Shares are of the configured accounts: what only tests use has none.
    pub fn view(&self, now: Moment) -> Vec<ProviderView> {
        let mut views = self.fleet().view(now);
        for (view, _) in views.iter_mut().zip(&self.accounts).filter(|(_, account)| account.built_in) {
            view.effective_share = 0.0;
        }
        let total: f64 = views.iter().map(|view| view.effective_share).sum();
        if total > 0.0 {
            views.iter_mut().for_each(|view| view.effective_share /= total);
        }
        views
    }

    /// The fleet, for a moment: nothing is awaited while it is held.
    pub fn fleet(&self) -> MutexGuard<'_, Fleet> {
        self.fleet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn retry(&self) -> MutexGuard<'_, (Budgets<AppId>, Dice)> {
        self.retry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn in_trouble(&self) -> bool {
        self.trouble.load(Ordering::Relaxed)
    }
}

/// The revisions in force: one for everybody, and one that is tried on a share of the recipients.
pub struct Desks {
    base: ArcSwap<Desk>,
    trial: ArcSwap<Option<(u8, Arc<Desk>)>>,
    pub events: EventLog,
    /// What people said, by provider, with the revision of their last word.
    obeyed: Mutex<HashMap<String, (i64, Steer)>>,
}

impl Desks {
    pub fn new(base: Desk) -> Self {
        Self {
            base: ArcSwap::from_pointee(base),
            trial: ArcSwap::from_pointee(None),
            events: EventLog::default(),
            obeyed: Mutex::default(),
        }
    }

    pub fn base(&self) -> Arc<Desk> {
        self.base.load_full()
    }

    /// All desks, the one for everybody first.
    pub fn all(&self) -> SmallVec<[Arc<Desk>; 2]> {
        let trial = self.trial.load();
        std::iter::once(self.base()).chain(trial.as_ref().as_ref().map(|(_, desk)| Arc::clone(desk))).collect()
    }

    /// The desk for a recipient, whose `bucket` is 0–99.
    pub fn for_bucket(&self, bucket: u8) -> Arc<Desk> {
        match self.trial.load().as_ref() {
            Some((percent, desk)) if bucket < *percent => Arc::clone(desk),
            _ => self.base(),
        }
    }

    /// A final receipt for a message that was submitted at `submitted_at`: the fleets learn from it.
    pub fn receipt(&self, clock: &Clock, provider: &str, submitted_at: Timestamp, delivered: bool) {
        let now = clock.moment();
        let submitted = now - clock.now().since(submitted_at);
        for desk in self.all() {
            if let Some(place) = desk.place(provider) {
                desk.fleet().receipt(now, place, submitted, delivered);
            }
        }
    }

    /// Puts revisions into force. A call that is out ends where it began; whoever needs another one after it goes on at
    /// the new desk.
    pub fn replace(&self, base: Desk, trial: Option<(u8, Desk)>, now: Moment) {
        let base = Arc::new(base);
        self.base().hand_over(&base, now);
        self.base.store(base);
        self.trial.store(Arc::new(trial.map(|(percent, desk)| (percent, Arc::new(desk)))));
        // A new desk has heard nothing yet.
        self.obeyed().clear();
    }

    pub(super) fn obeyed(&self) -> MutexGuard<'_, HashMap<String, (i64, Steer)>> {
        self.obeyed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Addresses that vendors call.
#[derive(Clone, Debug)]
pub struct Callbacks {
    pub public_url: String,
}

impl Callbacks {
    /// Where a provider's receipts come in, with the token that a vendor without signatures must bring.
    pub fn address(&self, provider: &str, token: Option<&Redacted<String>>) -> Redacted<String> {
        let base = self.public_url.trim_end_matches('/');
        Redacted::new(match token {
            Some(token) => format!("{base}/v1/receipts/{provider}?token={}", token.expose()),
            None => format!("{base}/v1/receipts/{provider}"),
        })
    }
}

#[cfg(test)]
mod tests;
