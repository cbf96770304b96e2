//! Getting messages out: the worker takes them, [`deliver`] is the story of one.
//!
//! Every decision is `core`'s (who is next, is there room, what follows from this outcome); this module does what was
//! decided, in an order that survives a crash at any point: the attempt is on disk before the wire is touched, and the
//! outcome is on disk before the message is let go. A [`Desk`] is a routing revision at work: its accounts, its routes and
//! the fleet that knows how they are. Permits come first: a message is only taken from the queue when somebody is free to
//! carry it, and each lane has permits of its own, so that none can starve another.

mod deliver;
mod desk;
mod intake;
mod journey;
mod lane;
mod pulse;
mod seats;
mod settle;
mod steer;
mod submit;
mod worker;

use std::sync::Arc;

use tidings_core::id::AppId;

pub use self::{
    desk::{Account, Callbacks, Desk, DeskSpec, Desks, Route, Routing},
    intake::{Intake, Seat},
    pulse::{EventLog, FleetEvent},
    steer::Steer,
    worker::{Settings, Worker},
};

/// What delivery must know of an app.
#[derive(Clone, Debug)]
pub struct AppEntry {
    pub name: Arc<str>,
    /// Its messages wait until it is allowed again, or expire.
    pub suspended: bool,
}

/// Who the apps are, from the node's snapshot.
pub trait Directory: Send + Sync {
    fn app(&self, id: AppId) -> Option<AppEntry>;
}
