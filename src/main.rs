//! The one binary: parse the command and run it.
//!
//! A message is a few dozen small allocations that one thread makes and another frees: with the system's allocator that was
//! an eighth of its CPU time. This one's slabs are small, so a flood leaves little behind that is half used; how soon it gives
//! memory back stands in `.cargo/config.toml`. Huge pages are declined: they made no message quicker, and of every one that is
//! touched two megabytes stay resident.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // Where the kernel knows no such switch, the process is larger and nothing else.
    #[cfg(target_os = "linux")]
    rustix::thread::disable_transparent_huge_pages(true).ok();
    tidings::cli::main()
}
