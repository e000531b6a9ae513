//! Tasks for those who use and work on Kiln from its sources: `cargo xtask <task>`. One file a task.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "tasks talk to the person who runs them")]

mod apt;
mod bench;
mod fuzz;
mod packages;
mod quickstart;
mod run;
mod setup;
mod sources;
mod templates;
mod test;
mod tidy;

use crate::setup::For;
use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <task> [--no-install]

  quickstart   install what is missing, build Kiln, build templates/debian-web
  test         everything that the tests need, and the tests
  setup        install what is missing and nothing else
  bench        compare Kiln with Packer and virt-customize: cargo xtask bench build|bundle|layers|search|store
  fuzz         run every fuzz target for a minute, or so many seconds: cargo xtask fuzz 300
  templates    build the templates with their tests, one after the other: cargo xtask templates [NAME…] [--since=COMMIT]
  tidy         check what no compiler checks: edges between crates, headers, sizes

  --no-install  take it that everything is installed
";

/// This host cannot do it; the same code as the `kiln` command's.
const HOST_NOT_ABLE: u8 = 3;

fn main() -> ExitCode {
    let (flags, words): (Vec<String>, Vec<String>) =
        std::env::args().skip(1).partition(|word| word.starts_with("--"));
    let install = !flags.iter().any(|flag| flag == "--no-install");
    let known = flags.iter().all(|flag| flag == "--no-install" || flag == "--help");
    let help = words.is_empty() || flags.iter().any(|flag| flag == "--help");
    let task = if help { "help" } else { words.first().map_or("help", String::as_str) };
    let result = match task {
        "help" => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        "quickstart" if known => quickstart::run(install),
        "test" if known => test::run(install),
        "setup" if known => setup::run(For::Tests),
        "tidy" if known => tidy::run(),
        "fuzz" if known => fuzz::run(words.get(1..).unwrap_or_default()),
        "templates" => templates::run(words.get(1..).unwrap_or_default(), &flags),
        "bench" => bench::run(words.get(1..).unwrap_or_default(), &flags),
        _ => {
            eprint!("there is no task {:?}\n\n{USAGE}", [words, flags].concat().join(" "));
            return ExitCode::from(2);
        }
    };
    let Err(error) = result else { return ExitCode::SUCCESS };
    eprintln!("error: {error:#}");
    let host = error.downcast_ref::<setup::HostNotAble>().is_some();
    if host { ExitCode::from(HOST_NOT_ABLE) } else { ExitCode::FAILURE }
}
