//! Conformance suites: every port, every backend, the same cases.

/// Backends × cases, listed once: a backend is a function that makes an empty one, a case a function that is given it.
macro_rules! suite {
    (backends: [$($backend:ident),* $(,)?], cases: [$($case:ident),* $(,)?] $(,)?) => {
        $crate::suites::suite!(@backends [$($backend),*] [$($case),*]);
        /// Says what is run; without a server a backend's cases skip, and fail where nothing may be skipped.
        #[test]
        fn every_case_is_run_on_every_backend() {
            let (backends, cases) = ([$(stringify!($backend)),*], [$(stringify!($case)),*]);
            println!("{}: {} x {} cases\n{}", module_path!(), backends.join(", "), cases.len(), cases.join("\n"));
        }
    };
    (@backends [$($backend:ident),* $(,)?] $cases:tt) => { $( mod $backend { $crate::suites::suite!(@cases $backend $cases); } )* };
    (@cases $backend:ident [$($case:ident),* $(,)?]) => { $( #[test] fn $case() { super::run(super::$backend, super::cases::$case); } )* };
}
pub(crate) use suite;

mod allowances;
mod control;
pub mod messages;
pub mod queue;
mod shared;
