//! Conformance suites: every port, every backend, the same cases.

use std::{any::Any, future::Future};

/// What a case is given, and what that lives in: dropping it removes it.
pub type Backend<T> = (T, Box<dyn Any>);

/// A backend that lives in nothing of its own.
pub fn anywhere<T>(port: T) -> Backend<T> {
    (port, Box::new(()))
}

/// One case on one backend; without its server it skips.
pub fn run<T, F: Future<Output = Option<Backend<T>>>, C: Future<Output = ()>>(backend: impl FnOnce() -> F, case: impl FnOnce(T) -> C) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        if let Some((port, _home)) = backend().await {
            case(port).await;
        }
    });
}

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
    (@cases $backend:ident [$($case:ident),* $(,)?]) => { $( #[test] fn $case() { $crate::suites::run(super::$backend, super::cases::$case); } )* };
}
pub(crate) use suite;

mod allowances;
mod control;
pub mod messages;
pub mod queue;
mod shared;
