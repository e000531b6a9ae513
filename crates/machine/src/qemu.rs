//! The QEMU of this host.

use crate::{Error, tpm};
use kiln_types::Architecture;
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The system emulator of an architecture, and the Debian package that holds it. The 64-bit one runs 32-bit guests as well,
/// and the 64-bit kernel that their builds need.
const fn system(architecture: Architecture) -> (&'static str, &'static str) {
    match architecture {
        Architecture::X86_64 | Architecture::I386 => ("qemu-system-x86_64", "qemu-system-x86"),
        Architecture::Arm64 => ("qemu-system-aarch64", "qemu-system-arm"),
    }
}

/// The disk image tool.
const IMG: &str = "qemu-img";

/// QEMU's programs.
#[derive(Debug, Clone)]
pub struct Qemu {
    /// The system emulator.
    pub system: PathBuf,
    /// The disk image tool.
    pub img: PathBuf,
    /// The TPM emulator, where it is installed: only machines with a TPM need it.
    pub swtpm: Option<PathBuf>,
}

impl Qemu {
    /// Finds QEMU's programs for guests of an architecture in these folders.
    ///
    /// # Errors
    /// When one is not there.
    pub fn find(folders: &[PathBuf], architecture: Architecture) -> Result<Self, Error> {
        let path = |program| folders.iter().map(|folder| folder.join(program)).find(|path| path.is_file());
        let find = |program, package| path(program).ok_or(Error::NoQemu { program, package });
        let (program, package) = system(architecture);
        Ok(Self { system: find(program, package)?, img: find(IMG, "qemu-utils")?, swtpm: path(tpm::PROGRAM) })
    }

    /// Asks the system emulator for its version: `10.0.2`.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn version(&self) -> Result<String, Error> {
        let output = run(&self.system, &["--version".as_ref()])?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = text.split_whitespace().skip_while(|word| *word != "version").nth(1);
        Ok(version.unwrap_or("unknown").to_owned())
    }

    /// Makes an empty overlay for a disk of this size. It names no backing file.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create_overlay(&self, path: &Path, size: u64) -> Result<(), Error> {
        let size = size.to_string();
        // With the protocol named, no path can be taken for another one: `nbd:…`, `json:{…`.
        let mut file = std::ffi::OsString::from("file:");
        file.push(path);
        let args = [
            "create".as_ref(),
            "-q".as_ref(),
            "-f".as_ref(),
            "qcow2".as_ref(),
            file.as_os_str(),
            size.as_ref(),
        ];
        let output = run(&self.img, &args)?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(Error::Tool { program: IMG, path: path.to_owned(), said })
    }
}

fn run(program: &Path, args: &[&std::ffi::OsStr]) -> Result<std::process::Output, Error> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output();
    output.map_err(|source| Error::Run { program: program.to_owned(), source })
}
