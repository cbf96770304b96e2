//! The one binary: parse the command and run it.

use std::process::ExitCode;

fn main() -> ExitCode {
    tidings::cli::main()
}
