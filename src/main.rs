//! The one binary: parse the command and run it.
//!
//! A message is a few dozen small allocations that one thread makes and another frees: with the system's allocator that was
//! an eighth of its CPU time. Huge pages are declined: they made no message quicker, and of every one that is touched two megabytes
//! stay resident.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Where the kernel knows no such switch, the process is larger and nothing else.
    #[cfg(target_os = "linux")]
    rustix::thread::disable_transparent_huge_pages(true).ok();
    tidings::cli::main()
}
