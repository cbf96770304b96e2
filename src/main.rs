//! The one binary: parse the command and run it.
//!
//! A message is a few dozen small allocations that one thread makes and another frees: with the system's allocator that was
//! an eighth of its CPU time.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    tidings::cli::main()
}
