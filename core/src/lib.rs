//! The words of Tidings and every decision that delivery takes, as plain values and pure functions.
//!
//! Nothing here is async, opens a file or a socket, reads a clock or draws a random number: `now` and randomness come
//! in as arguments. That is why the same code runs in production, in property tests and in `tidings simulate`.
//!
//! Reading order: [`id`] and [`time`] are the atoms, [`message`] is what a team sends and the life it goes through,
//! [`attempt`] is one call to one provider. Then the decisions: [`fleet`] is what delivery asks, made of [`health`], [`limits`]
//! and [`select`]; [`retry`] says what follows an attempt; [`simulate`] runs them all against scripted providers.

pub mod attempt;
pub mod dice;
pub mod fleet;
pub mod health;
pub mod id;
pub mod limits;
pub mod message;
pub mod money;
pub mod recipient;
pub mod redact;
pub mod retry;
pub mod segments;
pub mod select;
pub mod simulate;
pub mod template;
pub mod time;
