//! The supervisor as a program, for this crate's tests; `kiln` holds its own.

use std::process::ExitCode;

fn main() -> ExitCode {
    kiln_machine::supervise_main(std::env::args_os().skip(1))
}
