//! What survives which fault: the real binary, killed, starved of disk, watched for secrets.
//!
//! The verdict is never Tidings' own: a simulated vendor in the test's process, which no fault reaches, counts what it
//! processed by message id.

mod acl;
mod brokers;
mod clients;
mod consuming;
mod full_disk;
mod keys;
mod kill;
mod moving;
pub mod node;
mod redaction;
mod scheduled;
mod settings;
mod vendor;
mod waiting;
mod wall_clock;
mod wires;

pub use self::vendor::TestVendor;
