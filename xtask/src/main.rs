//! Tasks for those who use and work on Kiln from its sources: `cargo xtask <task>`. One file a task.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "tasks talk to the person who runs them")]

mod apt;
mod packages;
mod quickstart;
mod run;
mod setup;
mod test;
mod tidy;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <task>

  quickstart   install what is missing, build Kiln, build templates/debian-web
  test         everything that the tests need, and the tests
  setup        install what is missing and nothing else
  tidy         check what no compiler checks: edges between crates, headers, sizes
";

/// This host cannot do it; the same code as the `kiln` command's.
const HOST_NOT_ABLE: u8 = 3;

fn main() -> ExitCode {
    let task = std::env::args().nth(1).unwrap_or_default();
    let result = match task.as_str() {
        "quickstart" => quickstart::run(),
        "test" => test::run(),
        "setup" => setup::run(setup::For::Tests),
        "tidy" => tidy::run(),
        "" | "help" | "-h" | "--help" => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        other => {
            eprint!("there is no task {other:?}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            let host = error.downcast_ref::<setup::HostNotAble>().is_some();
            if host { ExitCode::from(HOST_NOT_ABLE) } else { ExitCode::FAILURE }
        }
    }
}
