//! How a machine ends that was not told to.
//!
//! | what is seen | what it means |
//! |---|---|
//! | `GUEST_PANICKED`; or a restart, with the kernel's panic on the console | [`Cause::Panic`] |
//! | exit code 0, `SHUTDOWN` with `guest-shutdown` or `guest-reset` | [`Cause::GuestOff`], [`Cause::GuestRestarted`] |
//! | exit code 0, `SHUTDOWN` with `host-signal` | [`Cause::Terminated`] |
//! | another exit code, a signal | [`Cause::Exited`], [`Cause::Killed`], [`Cause::WatcherKilled`] |
//! | `BLOCK_IO_ERROR` that stopped the guest | [`Cause::DiskFull`], [`Cause::DiskFailed`] |

use crate::{
    console::{self, TAIL_LINES},
    diagnosis::{Diagnosis, Kind},
    qmp::Event,
    supervisor::SIGNALED,
};
use serde_json::Value;
use std::{
    fmt,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::ExitStatus,
};

/// Lines of QEMU's own log that are shown.
const LOG_LINES: usize = 10;

/// Lines of the console among which a panic is looked for: a trace of every processor may follow it.
const PANIC_LINES: usize = 200;

/// What ended a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The guest's kernel panicked.
    Panic,
    /// The guest turned itself off.
    GuestOff,
    /// The guest restarted, which ends a machine of ours.
    GuestRestarted,
    /// QEMU did what it was told to over QMP.
    Quit,
    /// QEMU was told to end, by a signal that it listens to.
    Terminated,
    /// QEMU exited with this code.
    Exited(i32),
    /// This signal killed QEMU.
    Killed(i32),
    /// This signal killed the process that watches over QEMU, and QEMU with it.
    WatcherKilled(i32),
    /// The host's disk is full, and the guest's writes cannot go on.
    DiskFull {
        /// The file that cannot grow.
        path: PathBuf,
    },
    /// The host's disk fails.
    DiskFailed {
        /// The file that cannot be read or written.
        path: PathBuf,
        /// QEMU's words: `read: Input/output error`.
        reason: String,
    },
    /// QEMU did not end when it was told to, and was killed.
    Stuck,
}

impl Cause {
    /// Says whether what the guest said can be why.
    const fn is_of_the_guest(&self) -> bool {
        matches!(self, Self::Panic | Self::GuestOff | Self::GuestRestarted | Self::Stuck)
    }

    /// Says whether the guest itself came to an orderly end, so that QEMU closed the disks whole.
    #[must_use]
    pub const fn is_orderly(&self) -> bool {
        matches!(self, Self::GuestOff | Self::GuestRestarted)
    }

    /// Tells the cause from how the supervisor ended, the reason that QEMU gave before, and the console.
    pub(crate) fn of_exit(status: ExitStatus, reason: Option<&str>, console: &Path) -> Self {
        let Some(code) = status.code() else {
            return Self::WatcherKilled(status.signal().unwrap_or_default());
        };
        let panicked = || {
            console::tail(console, PANIC_LINES).iter().any(|line| line.contains("Kernel panic - not syncing"))
        };
        match (code, reason) {
            (0, Some("host-signal")) => Self::Terminated,
            (0, Some("host-qmp-quit")) => Self::Quit,
            (0, Some("guest-panic")) => Self::Panic,
            (0, Some("guest-reset") | None) if panicked() => Self::Panic,
            (0, Some("guest-reset")) => Self::GuestRestarted,
            (0, _) => Self::GuestOff,
            (code, _) if code > SIGNALED => Self::Killed(code - SIGNALED),
            (code, _) => Self::Exited(code),
        }
    }

    /// Says what an event means where it means the end. `file_of` knows the file of a node.
    pub(crate) fn of_event<'a>(event: &Event, file_of: impl Fn(&str) -> Option<&'a Path>) -> Option<Self> {
        let text = |key: &str| event.data.get(key).and_then(Value::as_str).unwrap_or_default();
        match event.name.as_str() {
            "GUEST_PANICKED" => Some(Self::Panic),
            // An error that the guest is told of is the guest's to handle.
            "BLOCK_IO_ERROR" if text("action") == "stop" => {
                let path = file_of(text("node-name")).unwrap_or(Path::new("")).to_owned();
                if event.data.get("nospace").and_then(Value::as_bool) == Some(true) {
                    return Some(Self::DiskFull { path });
                }
                let reason = format!("{}: {}", text("operation"), text("reason"));
                Some(Self::DiskFailed { path, reason })
            }
            _ => None,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panic => f.write_str("the guest's kernel panicked"),
            Self::GuestOff => f.write_str("the guest turned itself off"),
            Self::GuestRestarted => f.write_str("the guest restarted"),
            Self::Quit => f.write_str("QEMU quit"),
            Self::Terminated => f.write_str("something on this host told QEMU to end"),
            Self::Exited(code) => write!(f, "QEMU ended with exit code {code}"),
            Self::Killed(signal) => write!(f, "QEMU was killed by signal {signal}"),
            Self::WatcherKilled(signal) => {
                write!(
                    f,
                    "the process that watches over QEMU was killed by signal {signal}, and QEMU with it"
                )
            }
            Self::DiskFull { path } => write!(f, "no space left on the disk that holds {}", path.display()),
            Self::DiskFailed { path, reason } => {
                write!(f, "the disk that holds {} fails: {reason}", path.display())
            }
            Self::Stuck => f.write_str("QEMU did not end when it was told to, and was killed"),
        }
    }
}

/// A machine's unexpected end, with everything that is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Death {
    /// What ended it.
    pub cause: Cause,
    /// What the console means, where the guest is to blame and its console tells.
    pub diagnosis: Option<Box<Diagnosis>>,
    /// The console's last lines.
    pub console: Vec<String>,
    /// What QEMU last said.
    pub said: Vec<String>,
}

impl Death {
    /// Gathers what is known.
    pub(crate) fn new(cause: Cause, console: &Path, log: &Path) -> Self {
        let diagnosis = cause.is_of_the_guest().then(|| Diagnosis::of(console)).flatten();
        Self {
            cause,
            diagnosis: diagnosis.filter(Diagnosis::ends_a_machine).map(Box::new),
            console: console::tail(console, TAIL_LINES),
            said: console::tail(log, LOG_LINES),
        }
    }

    /// Returns the cause, with the last that QEMU said of it.
    pub(crate) fn first_line(&self) -> String {
        self.said.last().map_or_else(|| self.cause.to_string(), |said| format!("{}: {said}", self.cause))
    }
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)?;
        match self.diagnosis.as_deref() {
            // The cause has said it already.
            Some(Diagnosis { kind: Kind::Panic, said, .. }) => write!(f, "\n  {said}")?,
            Some(diagnosis) => write!(f, "\n  {diagnosis}")?,
            None => {}
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
    use serde_json::json;

    #[test]
    fn an_exit_is_read_beside_the_reason_and_the_console() {
        let world = tempfile::tempdir().unwrap();
        let console = world.path().join("console.log");
        fs_err::write(&console, "booting\n").unwrap();
        let of = |code: i32, reason| Cause::of_exit(ExitStatus::from_raw(code << 8), reason, &console);
        assert_eq!(of(0, Some("guest-shutdown")), Cause::GuestOff);
        assert_eq!(of(0, Some("guest-reset")), Cause::GuestRestarted);
        assert_eq!(of(0, Some("host-signal")), Cause::Terminated);
        assert_eq!(of(1, None), Cause::Exited(1));
        // What came before does not matter to one that was killed.
        assert_eq!(of(137, Some("guest-shutdown")), Cause::Killed(9));
        assert_eq!(Cause::of_exit(ExitStatus::from_raw(9), None, &console), Cause::WatcherKilled(9));
        fs_err::write(&console, "[ 1.0] Kernel panic - not syncing: sysrq\n[ 1.1] Rebooting\n").unwrap();
        assert_eq!(of(0, Some("guest-reset")), Cause::Panic);
        assert_eq!(of(0, Some("guest-shutdown")), Cause::GuestOff);
    }

    #[test]
    fn a_death_says_what_the_console_means() {
        let world = tempfile::tempdir().unwrap();
        let console = world.path().join("console.log");
        let of = |cause, said: &str| {
            fs_err::write(&console, said).unwrap();
            Death::new(cause, &console, &world.path().join("none")).to_string()
        };
        let panicked = "[ 1.0] Kernel panic - not syncing: sysrq\n[ 1.1] Rebooting\n";
        assert_eq!(
            of(Cause::Panic, panicked),
            "the guest's kernel panicked\n  Kernel panic - not syncing: sysrq\n  the console's last lines:\n    \
             | [ 1.0] Kernel panic - not syncing: sysrq\n    | [ 1.1] Rebooting"
        );
        let no_root =
            "[ 1.0] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\n";
        let text = of(Cause::GuestRestarted, no_root);
        assert!(
            text.starts_with("the guest restarted\n  the root file system was not found: Kernel"),
            "{text}"
        );
        // What the guest said is not why QEMU was killed, and a login is not why a guest turned itself off.
        assert!(!of(Cause::Killed(9), no_root).contains("not found:"));
        assert!(!of(Cause::GuestOff, "guest login: ").contains("asks for a login"));
        assert_eq!(of(Cause::GuestOff, ""), "the guest turned itself off");
    }

    #[test]
    fn an_error_of_the_disk_ends_the_machine_only_where_the_guest_stands() {
        let of = |action, nospace| {
            let data = json!({"node-name": "disk0", "action": action, "nospace": nospace, "operation": "read",
                              "reason": "Input/output error"});
            let event = Event { name: "BLOCK_IO_ERROR".to_owned(), data };
            Cause::of_event(&event, |node| (node == "disk0").then_some(Path::new("/o/overlay")))
        };
        assert_eq!(of("report", true), None);
        assert_eq!(of("stop", true), Some(Cause::DiskFull { path: "/o/overlay".into() }));
        let failed = of("stop", false).unwrap().to_string();
        assert_eq!(failed, "the disk that holds /o/overlay fails: read: Input/output error");
    }
}
