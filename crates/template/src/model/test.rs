//! `[[test]]`: what must be true of the finished image before it is available.

use crate::model::{Owner, ShellStep};
use kiln_types::TimeSpan;
use serde::Serialize;
use std::collections::BTreeSet;

/// A test of the finished image, and where it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Test {
    /// The name as written, or one made from what it checks: `service: nginx`.
    pub name: String,
    /// The line of its `[[test]]`, from 1.
    pub line: usize,
    /// Names of the variables that it uses, directly or through locals.
    pub variables: BTreeSet<String>,
    /// Why this run leaves it out; nothing means that it runs.
    pub skipped: Option<String>,
    /// How long it may take; what a machine needs time for is looked at again until then.
    pub timeout: TimeSpan,
    /// What is checked. Its serialised form says what is meant, without secrets.
    pub check: Check,
}

/// What a test checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Check {
    /// Commands end well.
    Shell(ShellStep),
    /// The image starts by its own boot loader, and its system comes up.
    Boots,
    /// Somebody listens on a TCP port.
    Port {
        /// The port.
        port: u16,
    },
    /// A service runs.
    Service {
        /// Its unit.
        service: String,
        /// Whether it starts when the machine does; nothing where that is not asked.
        enabled: Option<bool>,
    },
    /// A file or folder is there, or is not.
    File(FileCheck),
    /// A package is installed, or is not.
    Package {
        /// Its name.
        package: String,
        /// A pattern of its version, with `*` and `?`.
        version: Option<String>,
        /// Whether it must not be there.
        absent: bool,
    },
    /// A program ends as it should, and says what it should.
    Command {
        /// The program and its arguments.
        command: Vec<String>,
        /// The status that it ends with.
        exit_code: u8,
        /// A text of its output.
        contains: Option<String>,
    },
    /// No unit of systemd failed.
    NoFailedUnits,
    /// The image has no machine id: every machine gets one of its own.
    UniqueMachineId,
}

/// What must be true of a file of the guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileCheck {
    /// An absolute path.
    pub path: String,
    /// Its permission bits.
    pub mode: Option<u32>,
    /// Who owns it.
    pub owner: Option<Owner>,
    /// A text that is in it.
    pub contains: Option<String>,
    /// Whether it must not be there.
    pub absent: bool,
}

impl Check {
    /// Says whether it is about a system that runs: the image is booted for it.
    #[must_use]
    pub const fn needs_boot(&self) -> bool {
        matches!(self, Self::Boots | Self::Port { .. } | Self::Service { .. } | Self::NoFailedUnits)
    }
}
