//! Conformance suites: every port, every backend, the same cases.

mod messages;
