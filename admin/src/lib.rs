//! The operators' pages at `/admin`: are messages getting out, what happened to this one, who may send what.
//!
//! Pages are rendered on the server and work without script, by keyboard, on a phone, in light and dark. What they show
//! comes through one trait, [`Backend`], whose view types hold masked recipients only: this crate could not leak a number
//! if it tried, except where a person gives a reason ([`Backend::reveal`]), which is recorded.
//!
//! Reading order: [`router()`] is the table of contents, [`backend`] and [`views`] say what a page may know, [`visit`] who is
//! looking, `pages/` holds one file per page with its struct beside its handler, `templates/` what it looks like.
//!
//! There is no clock and no randomness here: both come from the backend, so that every page can be rendered from
//! [`samples`] byte for byte.

pub mod backend;
mod chart;
mod diff;
mod guard;
mod page;
mod pages;
pub mod router;
pub mod samples;
mod sealed;
mod search;
mod times;
pub mod views;
mod visit;
mod wording;

pub use self::{
    backend::{Actor, Backend, Error},
    router::{Settings, router},
    visit::Origin,
};

/// A signal's number with its unit, as the pages write it.
pub fn signal_value(signal: views::SignalName, value: f64) -> String {
    wording::signal_value(&signal, &value)
}
