//! How a build's events reach people: a small reader for a terminal, one for logs, one for nobody.

pub(crate) mod junit;
mod plain;
mod tail;
mod tty;

pub(crate) use plain::Plain;
pub(crate) use tail::printable;
pub(crate) use tty::Tty;

use crate::exit;
use kiln_builder::Events;
use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
    time::Duration,
};

/// What a person wants to see while something runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verbosity {
    /// Only errors.
    Quiet,
    /// Progress, and in logs every line of output.
    Normal,
}

/// Chooses the reader: nothing moves where there is no terminal.
pub(crate) fn events(verbosity: Verbosity) -> Events {
    match verbosity {
        Verbosity::Quiet => Events::ignored(),
        Verbosity::Normal if std::io::stderr().is_terminal() => Tty::events(),
        Verbosity::Normal => Plain::events(""),
    }
}

/// Returns the reader for one of several builds: lines that say whose they are, also on a terminal.
pub(crate) fn events_of(verbosity: Verbosity, build: &str) -> Events {
    match verbosity {
        Verbosity::Quiet => Events::ignored(),
        Verbosity::Normal => Plain::events(&format!("{build}: ")),
    }
}

/// Prints a command's result on standard output. A reader that went away (`| head`) has what it wanted.
pub(crate) fn print(text: &str) -> ExitCode {
    let mut out = anstream::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            anstream::eprintln!("error: standard output: {error}");
            ExitCode::from(exit::FAILED)
        }
        _ => ExitCode::from(exit::DONE),
    }
}

/// Prints a time for people: `0.4s`, `92.1s`, `12m 05s`.
pub(crate) fn seconds(took: Duration) -> String {
    let secs = took.as_secs();
    if secs < 120 {
        format!("{:.1}s", took.as_secs_f64())
    } else {
        format!("{}m {:02}s", secs / 60, secs % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_for_people() {
        assert_eq!(seconds(Duration::from_millis(440)), "0.4s");
        assert_eq!(seconds(Duration::from_millis(92_140)), "92.1s");
        assert_eq!(seconds(Duration::from_secs(725)), "12m 05s");
    }
}
