//! How a machine ends that was not told to.

use crate::{
    console::{self, TAIL_LINES},
    supervisor::SIGNALED,
};
use std::{fmt, path::PathBuf};

/// Lines of QEMU's own log that are shown.
const LOG_LINES: usize = 10;

/// What ended a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The guest's kernel panicked.
    Panic,
    /// The guest turned itself off or restarted.
    GuestEnded,
    /// QEMU exited with this code.
    Exited(i32),
    /// This signal killed QEMU.
    Killed(i32),
    /// The host's disk is full, and the guest's writes cannot go on.
    DiskFull,
    /// The guest shows no sign of life.
    NoLife,
}

/// A machine's unexpected end, with everything that is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Death {
    /// What ended it.
    pub cause: Cause,
    /// The folder that holds the machine's files.
    pub folder: PathBuf,
    /// The console's last lines.
    pub console: Vec<String>,
    /// What QEMU last said.
    pub said: Vec<String>,
}

impl Death {
    /// Gathers what is known.
    pub(crate) fn new(cause: Cause, console: &std::path::Path, log: &std::path::Path) -> Self {
        let folder = console.parent().unwrap_or(console).to_owned();
        Self {
            cause,
            folder,
            console: console::tail(console, TAIL_LINES),
            said: console::tail(log, LOG_LINES),
        }
    }

    /// Tells the cause of an exit code as the supervisor gives it, seen beside the console.
    pub(crate) fn cause_of(code: i32, console: &std::path::Path) -> Cause {
        let panicked = || console::tail(console, 200).iter().any(|line| line.contains("Kernel panic"));
        match code {
            0 if panicked() => Cause::Panic,
            0 => Cause::GuestEnded,
            code if code > SIGNALED => Cause::Killed(code - SIGNALED),
            code => Cause::Exited(code),
        }
    }
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause {
            Cause::Panic => f.write_str("the guest's kernel panicked")?,
            Cause::GuestEnded => f.write_str("the guest turned itself off")?,
            Cause::Exited(code) => write!(f, "QEMU ended with exit code {code}")?,
            Cause::Killed(signal) => write!(f, "QEMU was killed by signal {signal}")?,
            Cause::DiskFull => write!(f, "no space left on the disk that holds {}", self.folder.display())?,
            Cause::NoLife => f.write_str("the guest showed no sign of life")?,
        }
        for (what, lines) in [("QEMU said", &self.said), ("the console's last lines", &self.console)] {
            if !lines.is_empty() {
                write!(f, "\n  {what}:")?;
                lines.iter().try_for_each(|line| write!(f, "\n    | {line}"))?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Death {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_from_a_shutdown() {
        let world = tempfile::tempdir().unwrap();
        let console = world.path().join("console.log");
        fs_err::write(&console, "booting\n").unwrap();
        assert_eq!(Death::cause_of(0, &console), Cause::GuestEnded);
        assert_eq!(Death::cause_of(137, &console), Cause::Killed(9));
        assert_eq!(Death::cause_of(1, &console), Cause::Exited(1));
        fs_err::write(&console, "[ 1.0] Kernel panic - not syncing: sysrq\n[ 1.1] Rebooting\n").unwrap();
        assert_eq!(Death::cause_of(0, &console), Cause::Panic);
        let text = Death::new(Cause::Panic, &console, &world.path().join("none")).to_string();
        assert!(
            text.starts_with("the guest's kernel panicked\n") && text.contains("| [ 1.0] Kernel panic"),
            "{text}"
        );
    }
}
