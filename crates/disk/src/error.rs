//! Everything that can go wrong with a disk.

use kiln_types::Architecture;
use std::path::PathBuf;

/// What went wrong with a disk, a kernel or a bootstrap.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(
    clippy::error_impl_error,
    reason = "a crate has one error, and its path names it: `kiln_disk::Error`"
)]
pub enum Error {
    /// A file of the host could not be read or written.
    #[error("cannot {action}")]
    Io {
        /// What was being done, with its subject.
        action: String,
        /// The cause; it names the file where there is one.
        #[source]
        source: std::io::Error,
    },
    /// A partition table contradicts itself or the disk.
    #[error("{}: the {table} partition table is damaged: {reason}", path.display())]
    Table {
        /// The disk.
        path: PathBuf,
        /// `GPT` or `MBR`.
        table: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// No file system on the disk looks like a root.
    #[error("{}: no root file system found (looked at: {looked_at})", path.display())]
    NoRoot {
        /// The disk.
        path: PathBuf,
        /// What there was instead, one entry a partition.
        looked_at: String,
    },
    /// The root must be in an LVM volume or an encrypted container.
    #[error("{}: {place} holds {found}, and kiln's agent opens neither volume groups nor encryption", path.display())]
    UnsupportedRoot {
        /// The disk.
        path: PathBuf,
        /// `partition 3` or `the whole disk`.
        place: String,
        /// What was found there.
        found: crate::FileSystem,
    },
    /// Several file systems look like a root, and nothing says which one is.
    #[error("{}: several file systems could be the root: {places}", path.display())]
    SeveralRoots {
        /// The disk.
        path: PathBuf,
        /// Where they are.
        places: String,
    },
    /// The last partition of a disk cannot be made larger.
    #[error("{}: cannot grow {place}: {reason}", path.display())]
    CannotGrow {
        /// The disk.
        path: PathBuf,
        /// `partition 3` or `the whole disk`.
        place: String,
        /// Why not.
        reason: String,
    },
    /// A file system inside the disk could not be read.
    #[error("{}: cannot read {subject}", path.display())]
    FileSystem {
        /// The disk or folder.
        path: PathBuf,
        /// What was being read, like `/etc/fstab on partition 3`.
        subject: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A kernel module that the appliance needs is neither a file nor built in.
    #[error("kernel {kernel} has no module {module}")]
    MissingModule {
        /// The kernel's version.
        kernel: String,
        /// The module, or the dependency of it that is missing.
        module: String,
    },
    /// A module could not be unpacked.
    #[error("kernel {kernel}: cannot unpack {path}: {reason}")]
    BadModule {
        /// The kernel's version.
        kernel: String,
        /// The module's path in the tree.
        path: String,
        /// Why not.
        reason: String,
    },
    /// The host's package lists know no kernel for virtual machines.
    #[error("apt knows no kernel package that could be unpacked (tried {names})")]
    NoKernelPackage {
        /// The packages that were looked for.
        names: String,
    },
    /// A program that this step runs is not installed.
    #[error("{program} is not installed: {purpose}")]
    MissingTool {
        /// The program.
        program: &'static str,
        /// What it is for.
        purpose: &'static str,
        /// The Debian package that holds it.
        package: &'static str,
    },
    /// The host cannot run programs of another architecture, which a bootstrap of it does.
    #[error("this host cannot run programs for {architecture}: {reason}")]
    Foreign {
        /// The architecture.
        architecture: Architecture,
        /// What was tried.
        reason: String,
    },
    /// A program ended with a failure; its last lines are kept.
    #[error("{program} failed ({status}); it last said:\n{last_lines}")]
    Tool {
        /// The program.
        program: String,
        /// `exit status 1` or the signal.
        status: String,
        /// The last lines of its output.
        last_lines: String,
    },
    /// The asker wanted the work to stop.
    #[error("interrupted")]
    Cancelled,
    /// The parts of a disk do not fit into it or into one another.
    #[error("{what}: needs {needed} bytes, there are {available}")]
    TooSmall {
        /// What does not fit.
        what: String,
        /// Bytes needed.
        needed: u64,
        /// Bytes there.
        available: u64,
    },
}

impl Error {
    pub(crate) fn io(action: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io { action: action.into(), source }
    }

    /// Returns a command that mends this, where one is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::MissingTool { package, .. } => Some(format!("apt-get install {package}")),
            Self::CannotGrow { .. } => Some(
                "without `source.grow` the disk becomes larger and its partitions stay as they are"
                    .to_owned(),
            ),
            Self::UnsupportedRoot { .. } | Self::SeveralRoots { .. } => {
                Some("let the image boot itself: communicator.type = \"ssh\"".to_owned())
            }
            // It brings an interpreter for each architecture and tells the kernel of them.
            Self::Foreign { .. } => Some("apt-get install qemu-user-static".to_owned()),
            Self::NoKernelPackage { .. } => Some("apt-get update".to_owned()),
            _ => None,
        }
    }
}
