//! What can go wrong with a machine.

use crate::{Cause, Death, communicator::AgentError, firmware::packages};
use kiln_types::Architecture;
use std::{io, path::PathBuf, time::Duration};

/// An operation on a machine that failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(clippy::error_impl_error, reason = "one error enum a crate, called by the crate's name")]
pub enum Error {
    /// QEMU is not installed.
    #[error("{program} was not found")]
    NoQemu {
        /// The program looked for.
        program: &'static str,
        /// The Debian package that holds it.
        package: &'static str,
    },
    /// No firmware of such machines is installed, or none is known.
    #[error("{}", no_firmware(*.architecture, *.secure))]
    NoFirmware {
        /// The machine's architecture.
        architecture: Architecture,
        /// Whether it was to have Secure Boot.
        secure: bool,
    },
    /// The TPM emulator is not installed.
    #[error("the machine has a TPM, and swtpm was not found")]
    NoTpm,
    /// A program could not be run.
    #[error("{} cannot be run", program.display())]
    Run {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A program that makes a file failed.
    #[error("{program} failed on {}: {said}", path.display())]
    Tool {
        /// The program.
        program: &'static str,
        /// The file.
        path: PathBuf,
        /// What it said.
        said: String,
    },
    /// A file could not be read or written; the source names it.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// QEMU refused a command.
    #[error("QEMU refused {command}: {why}")]
    Qmp {
        /// The command.
        command: String,
        /// QEMU's description.
        why: String,
    },
    /// QEMU ended before it answered.
    #[error("QEMU ended before it answered {command}")]
    QmpGone {
        /// The command.
        command: String,
    },
    /// QEMU runs and does not answer.
    #[error("QEMU did not answer {command} within {} s", waited.as_secs())]
    QmpSilent {
        /// The command.
        command: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// A forwarded port is not among those that QEMU listens on.
    #[error("QEMU forwards no port to the guest's port {guest_port}")]
    NotForwarded {
        /// The guest's port.
        guest_port: u16,
    },
    /// A machine without a port for the agent was to be an appliance.
    #[error("the machine has no port for the agent")]
    NoAgentPort,
    /// The agent did not answer as it must.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The machine died.
    #[error(transparent)]
    Died(#[from] Death),
}

impl Error {
    /// Returns what to type next, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoQemu { package, .. } => {
                Some(format!("apt-get install {package}   # kiln doctor shows what else is missing"))
            }
            Self::NoTpm => Some("apt-get install swtpm   # on Fedora, Arch and openSUSE: swtpm".to_owned()),
            // There are no variables with keys to install.
            Self::NoFirmware { architecture: Architecture::I386, secure: true } => None,
            Self::NoFirmware { architecture, .. } => Some(packages(*architecture).to_owned()),
            Self::Died(Death { cause: Cause::DiskFull { path }, .. }) => {
                let folder = path.parent().unwrap_or(path);
                Some(format!("df -h {}   # or kiln --home DIR on a larger disk", folder.display()))
            }
            Self::Died(Death { diagnosis: Some(diagnosis), .. }) => Some(diagnosis.hint.clone()),
            _ => None,
        }
    }

    /// Says whether the host lacks something that could be installed.
    #[must_use]
    pub const fn host_lacks(&self) -> bool {
        matches!(self, Self::NoQemu { .. } | Self::NoFirmware { .. } | Self::NoTpm)
    }
}

fn no_firmware(architecture: Architecture, secure: bool) -> String {
    let with = if secure { " with Secure Boot and Microsoft's keys" } else { "" };
    format!("no UEFI firmware of {architecture} machines{with} was found")
}
