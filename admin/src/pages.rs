//! One file per page: its struct, its handler, and what it decides about how to say things.

pub mod apps;
pub mod assets;
pub mod audit;
pub mod home;
pub mod login;
pub mod message;
pub mod messages;
pub mod problem;
pub mod provider;
pub mod providers;
pub mod requests;
pub mod routing;
pub mod sign_on;
pub mod suppressions;
pub mod templates;
pub mod users;
