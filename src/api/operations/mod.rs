//! What those who run Tidings ask of it, without a key: alive, ready, metrics, documentation.

mod docs;
mod livez;
mod metrics;
mod openapi;
mod readyz;

pub(super) use self::{
    docs::{docs, problem_page},
    livez::livez,
    metrics::metrics,
    openapi::{Base, complete, served, with_query},
    readyz::readyz,
};
pub(super) use self::{livez::__path_livez, metrics::__path_metrics, readyz::__path_readyz};
pub use self::{
    metrics::text as metrics_text,
    readyz::{Dependency, DependencyStatus, Health, Readiness},
};
