//! Providers that verify and read receipts: those in force, and those of earlier revisions.
//!
//! A receipt may come days after its provider was taken out of routing, and still says what became of its messages. So a
//! name that no desk knows is looked for in the earlier revisions, the newest first, and built as it was there; nothing is
//! ever submitted through it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tidings_providers::{Context, Provider, registry};

use crate::{
    control::{Control, routing},
    delivery::Desks,
    receipts::Accounts,
};

/// Earlier providers that are kept built, at most.
const MOST: usize = 100;

/// A provider, and the revision that it was built from.
type Built = (u32, Arc<dyn Provider>);

/// Every provider that may still report.
pub struct Reporting {
    pub desks: Arc<Desks>,
    pub control: Arc<Control>,
    pub context: Context,
    former: Mutex<HashMap<String, Built>>,
}

impl Reporting {
    pub fn new(desks: Arc<Desks>, control: Arc<Control>, context: Context) -> Self {
        Self { desks, control, context, former: Mutex::default() }
    }

    fn former(&self, name: &str) -> Option<Arc<dyn Provider>> {
        let snapshot = self.control.snapshot();
        let of_name = |revision: &u32, snapshot: &crate::control::Snapshot| {
            snapshot.revision(*revision)?.document.providers.iter().find(|provider| provider.name == name).cloned()
        };
        let newest = snapshot.revisions().map(|revision| revision.number).filter(|number| of_name(number, &snapshot).is_some()).max()?;
        let mut former = self.former.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, built)) = former.get(name).filter(|(revision, _)| *revision == newest) {
            return Some(Arc::clone(built));
        }
        let provider = of_name(&newest, &snapshot)?;
        let settings = routing::open_settings(&provider, &self.control.sealing()).ok()?;
        let built = registry::build(&provider.kind, &provider.name, provider.channel, &settings, &self.context).ok()?;
        if former.len() < MOST {
            former.insert(name.to_owned(), (newest, Arc::clone(&built)));
        }
        Some(built)
    }
}

impl Accounts for Reporting {
    fn provider(&self, name: &str) -> Option<Arc<dyn Provider>> {
        self.desks.provider(name).or_else(|| self.former(name))
    }
}
