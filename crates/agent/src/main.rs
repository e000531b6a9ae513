//! The first process of the appliance.

use std::process::ExitCode;

fn main() -> ExitCode {
    kiln_agent::guest::boot::run()
}
