//! Conformance suites: every port, every backend, the same cases.

pub mod messages;
