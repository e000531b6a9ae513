//! What this host can do, and the command that mends each lack.

use crate::{Error, Events, Home, Kiln};
use kiln_machine::{KvmFacts, KvmProbe, Qemu, Wanted, choose, config::Accelerator, uefi_firmware};
use kiln_types::{Architecture, ByteSize};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Space below which a build of a Debian image will probably fail.
const LOW_SPACE: ByteSize = ByteSize::from_gib(5);

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Check {
    /// What was looked at.
    pub name: &'static str,
    /// How it stands.
    pub state: CheckState,
    /// What was found.
    pub finding: String,
    /// The command that mends a lack.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// How a thing stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckState {
    /// As it should be.
    Ok,
    /// Builds work; something is slower or not there.
    Warning,
    /// Builds do not work.
    Missing,
}

/// A program that is run, what for, and the Debian package that holds it.
struct Program {
    name: &'static str,
    needed_for: &'static str,
    package: &'static str,
    /// Whether no build works without it.
    essential: bool,
}

const PROGRAMS: [Program; 7] = [
    Program {
        name: "qemu-img",
        needed_for: "overlays and other disk formats",
        package: "qemu-utils",
        essential: true,
    },
    Program {
        name: "mmdebstrap",
        needed_for: "source.type = \"bootstrap\"",
        package: "mmdebstrap",
        essential: false,
    },
    Program {
        name: "mke2fs",
        needed_for: "source.type = \"bootstrap\"",
        package: "e2fsprogs",
        essential: false,
    },
    Program { name: "apt-get", needed_for: "the fallback kernel", package: "apt", essential: false },
    Program {
        name: "qemu-system-aarch64",
        needed_for: "machine.architecture = \"arm64\"",
        package: "qemu-system-arm",
        essential: false,
    },
    Program { name: "swtpm", needed_for: "machine.tpm", package: "swtpm", essential: false },
    Program {
        name: "ansible-playbook",
        needed_for: "provisioners of type \"ansible\"",
        package: "ansible-core",
        essential: false,
    },
];

impl Kiln {
    /// Looks at everything that builds need.
    #[must_use]
    pub fn doctor(&self) -> Vec<Check> {
        let mut checks = self.machine_checks();
        checks.extend(PROGRAMS.iter().map(|program| program_check(&self.programs, program)));
        checks.push(kernel_check(&self.home));
        checks.push(space_check(self.home.root()));
        checks
    }

    /// Fetches the kernel that the appliance boots where an image has none.
    ///
    /// # Errors
    /// When apt cannot fetch it.
    pub async fn fetch_kernel(&self, events: &Events) -> Result<String, Error> {
        let (kernels, events) = (self.home.cache(), events.clone());
        let fetch = move || kiln_disk::fetch_kernel(&kernels, &mut |line| events.output(line));
        let tree = tokio::task::spawn_blocking(fetch).await.map_err(Error::Task)??;
        Ok(tree.version().to_owned())
    }
}

impl Kiln {
    fn machine_checks(&self) -> Vec<Check> {
        let qemu = match Qemu::find(&self.programs, Architecture::X86_64).and_then(|qemu| qemu.version()) {
            Ok(version) => {
                Check { name: "qemu", state: CheckState::Ok, finding: format!("QEMU {version}"), fix: None }
            }
            Err(error) => {
                let fix = error.hint();
                Check { name: "qemu", state: CheckState::Missing, finding: error.to_string(), fix }
            }
        };
        let probe = KvmProbe::new(&self.home.kvm_probe());
        let accelerator = accelerator_check(&KvmFacts::of_this_host(), &probe);
        vec![
            qemu,
            accelerator,
            firmware_check("uefi firmware", false),
            firmware_check("secure boot firmware", true),
        ]
    }
}

fn accelerator_check(facts: &KvmFacts, probe: &KvmProbe) -> Check {
    let choice = choose(Wanted::Auto, Architecture::X86_64, facts, Some(probe));
    let state = if choice.accelerator == Accelerator::Kvm { CheckState::Ok } else { CheckState::Warning };
    Check { name: "accelerator", state, finding: choice.reason, fix: None }
}

fn firmware_check(name: &'static str, secure: bool) -> Check {
    match uefi_firmware(Architecture::X86_64, secure) {
        Ok(found) => {
            Check { name, state: CheckState::Ok, finding: found.code.display().to_string(), fix: None }
        }
        Err(error) => {
            Check { name, state: CheckState::Warning, finding: error.to_string(), fix: error.hint() }
        }
    }
}

/// Finds a program in the folders where programs are looked for.
pub(crate) fn find_program(folders: &[PathBuf], name: &str) -> Option<PathBuf> {
    folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file())
}

fn program_check(folders: &[PathBuf], program: &Program) -> Check {
    let Program { name, needed_for, package, essential } = *program;
    match find_program(folders, name) {
        Some(path) => Check { name, state: CheckState::Ok, finding: path.display().to_string(), fix: None },
        None => Check {
            name,
            state: if essential { CheckState::Missing } else { CheckState::Warning },
            finding: format!("not found; needed for {needed_for}"),
            fix: Some(format!("apt-get install {package}")),
        },
    }
}

fn kernel_check(home: &Home) -> Check {
    let name = "fallback kernel";
    match kiln_disk::cached_kernels(&home.cache()) {
        Ok(kernels) if !kernels.is_empty() => {
            Check { name, state: CheckState::Ok, finding: kernels[0].version().to_owned(), fix: None }
        }
        _ => Check {
            name,
            state: CheckState::Warning,
            finding: "none; images that hold no kernel cannot be built on".to_owned(),
            fix: Some("kiln doctor --fix".to_owned()),
        },
    }
}

fn space_check(home: &Path) -> Check {
    let name = "disk space";
    match rustix::fs::statvfs(home) {
        Ok(found) => {
            let free = ByteSize::from_bytes(found.f_bavail.saturating_mul(found.f_frsize));
            let low = free < LOW_SPACE;
            Check {
                name,
                state: if low { CheckState::Warning } else { CheckState::Ok },
                finding: format!("{} free in {}", free.approximate(), home.display()),
                fix: low.then(|| "kiln --home DIR …  # on a larger disk".to_owned()),
            }
        }
        Err(error) => Check { name, state: CheckState::Warning, finding: error.to_string(), fix: None },
    }
}
