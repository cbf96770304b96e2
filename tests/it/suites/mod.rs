//! Conformance suites: every port, every backend, the same cases.

/// Backends × cases, listed once: a backend is a function that makes an empty one, a case a function that is given it.
macro_rules! suite {
    (backends: $backends:tt, cases: $cases:tt $(,)?) => { $crate::suites::suite!(@backends $backends $cases); };
    (@backends [$($backend:ident),* $(,)?] $cases:tt) => { $( mod $backend { $crate::suites::suite!(@cases $backend $cases); } )* };
    (@cases $backend:ident [$($case:ident),* $(,)?]) => { $( #[test] fn $case() { super::run(super::$backend, super::cases::$case); } )* };
}
pub(crate) use suite;

mod control;
pub mod messages;
mod shared;
