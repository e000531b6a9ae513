//! The `kiln` command: golden images from templates, on this machine.

mod args;
mod commands;
mod exit;
mod failure;
mod output;
mod settings;
mod table;
mod terminal;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    if let Some(code) = commands::supervise::if_asked().or_else(commands::metadata::if_asked) {
        return code;
    }
    settings::start_logging();
    let args = args::Args::parse();
    match commands::run(args) {
        Ok(text) => output::print(&text),
        Err(failure) => failure.report(),
    }
}
