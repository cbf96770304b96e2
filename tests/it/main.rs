//! One binary for everything that needs more than a function: suites over every backend, journeys, faults.

mod suites;
