//! Where distributions keep the firmware of UEFI machines.
//!
//! Each says it in files that QEMU's project has defined; a host without them has the firmware at one of the places that
//! are known. Code and variables belong together: code works only with variables of its own size.

mod descriptors;

use crate::Error;
use kiln_types::Architecture;
use std::path::{Path, PathBuf};

/// The firmware of UEFI machines: its code, and the variables that each machine starts with a copy of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UefiFirmware {
    /// The code.
    pub code: PathBuf,
    /// The variables' first state. Only ever copied.
    pub variables: PathBuf,
    /// Whether the code guards the variables by system management mode, and works only on a machine that has it. This is
    /// what [`Boot::Uefi`](crate::config::Boot::Uefi) is told as `secure`.
    pub guarded: bool,
}

/// Code, variables, and whether the code guards them.
type Known = (&'static str, &'static str, bool);

/// The 4 MiB builds come first, for newer distributions no longer have the others.
const X86_64: [Known; 6] = [
    // Debian and Ubuntu.
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd", false),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd", false),
    // Fedora.
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd", false),
    // Arch.
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd", false),
    // openSUSE.
    ("/usr/share/qemu/ovmf-x86_64-4m-code.bin", "/usr/share/qemu/ovmf-x86_64-4m-vars.bin", false),
    ("/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin", false),
];

/// With Microsoft's keys among the variables. Arch ships no such variables.
const X86_64_SECURE: [Known; 4] = [
    // Debian and Ubuntu.
    ("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "/usr/share/OVMF/OVMF_VARS_4M.ms.fd", true),
    ("/usr/share/OVMF/OVMF_CODE.secboot.fd", "/usr/share/OVMF/OVMF_VARS.ms.fd", true),
    // Fedora.
    ("/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd", "/usr/share/edk2/ovmf/OVMF_VARS.secboot.fd", true),
    // openSUSE.
    ("/usr/share/qemu/ovmf-x86_64-smm-ms-code.bin", "/usr/share/qemu/ovmf-x86_64-smm-ms-vars.bin", true),
];

const I386: [Known; 3] = [
    // Debian and Ubuntu, whose code can do Secure Boot; without keys it does none.
    ("/usr/share/OVMF/OVMF32_CODE_4M.secboot.fd", "/usr/share/OVMF/OVMF32_VARS_4M.fd", true),
    // Fedora.
    ("/usr/share/edk2/ovmf-ia32/OVMF_CODE.fd", "/usr/share/edk2/ovmf-ia32/OVMF_VARS.fd", false),
    // Arch.
    ("/usr/share/edk2/ia32/OVMF_CODE.4m.fd", "/usr/share/edk2/ia32/OVMF_VARS.4m.fd", false),
];

/// Each of 64 MiB, as QEMU's flash wants it.
const ARM64: [Known; 4] = [
    // Debian and Ubuntu.
    ("/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd", false),
    // Fedora.
    (
        "/usr/share/edk2/aarch64/QEMU_EFI-silent-pflash.raw",
        "/usr/share/edk2/aarch64/vars-template-pflash.raw",
        false,
    ),
    // Arch.
    ("/usr/share/edk2/aarch64/QEMU_CODE.fd", "/usr/share/edk2/aarch64/QEMU_VARS.fd", false),
    // openSUSE.
    ("/usr/share/qemu/aavmf-aarch64-code.bin", "/usr/share/qemu/aavmf-aarch64-vars.bin", false),
];

/// With Microsoft's keys among the variables. Nothing guards them: an emulated ARM has no place that its system cannot
/// write to.
const ARM64_SECURE: [Known; 1] =
    // Debian and Ubuntu.
    [("/usr/share/AAVMF/AAVMF_CODE.ms.fd", "/usr/share/AAVMF/AAVMF_VARS.ms.fd", false)];

/// Finds this host's firmware of UEFI machines. `secure` asks for Secure Boot, with Microsoft's keys.
///
/// # Errors
/// When none is installed.
pub fn uefi_firmware(architecture: Architecture, secure: bool) -> Result<UefiFirmware, Error> {
    find_below(Path::new("/"), architecture, secure)
}

fn find_below(root: &Path, architecture: Architecture, secure: bool) -> Result<UefiFirmware, Error> {
    let known = || known(architecture, secure).iter().map(|known| known_below(root, known));
    let found = descriptors::find(root, architecture, secure)
        .or_else(|| known().find(|firmware| firmware.code.is_file() && firmware.variables.is_file()));
    found.ok_or(Error::NoFirmware { architecture, secure })
}

const fn known(architecture: Architecture, secure: bool) -> &'static [Known] {
    match (architecture, secure) {
        (Architecture::X86_64, false) => &X86_64,
        (Architecture::X86_64, true) => &X86_64_SECURE,
        (Architecture::I386, false) => &I386,
        (Architecture::I386, true) => &[],
        (Architecture::Arm64, false) => &ARM64,
        (Architecture::Arm64, true) => &ARM64_SECURE,
    }
}

fn known_below(root: &Path, &(code, variables, guarded): &Known) -> UefiFirmware {
    UefiFirmware { code: below(root, code), variables: below(root, variables), guarded }
}

fn below(root: &Path, path: impl AsRef<Path>) -> PathBuf {
    let path = path.as_ref();
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// Says what to install.
pub(crate) const fn packages(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86_64 => {
            "apt-get install ovmf   # Fedora and Arch: edk2-ovmf, openSUSE: qemu-ovmf-x86_64"
        }
        Architecture::I386 => "apt-get install ovmf-ia32   # Fedora: edk2-ovmf-ia32, Arch: edk2-ovmf",
        Architecture::Arm64 => {
            "apt-get install qemu-efi-aarch64   # Fedora and Arch: edk2-aarch64, openSUSE: qemu-uefi-aarch64"
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_without_its_variables_is_passed_over() {
        let world = tempfile::tempdir().unwrap();
        let root = world.path();
        let missing = find_below(root, Architecture::X86_64, false).unwrap_err();
        assert_eq!(missing.to_string(), "no UEFI firmware of x86_64 machines was found");
        assert!(missing.hint().unwrap().starts_with("apt-get install ovmf   #"), "{missing:?}");
        let folder = root.join("usr/share/OVMF");
        fs_err::create_dir_all(&folder).unwrap();
        for file in ["OVMF_CODE_4M.fd", "OVMF_CODE.fd", "OVMF_VARS.fd", "OVMF_CODE_4M.secboot.fd"] {
            fs_err::write(folder.join(file), "").unwrap();
        }
        let find = |secure| find_below(root, Architecture::X86_64, secure);
        let (code, variables) = (folder.join("OVMF_CODE.fd"), folder.join("OVMF_VARS.fd"));
        assert_eq!(find(false).unwrap(), UefiFirmware { code, variables, guarded: false });
        let missing = find(true).unwrap_err().to_string();
        assert_eq!(
            missing,
            "no UEFI firmware of x86_64 machines with Secure Boot and Microsoft's keys was found"
        );
        fs_err::write(folder.join("OVMF_VARS_4M.ms.fd"), "").unwrap();
        let secure = find(true).unwrap();
        assert!(secure.code.ends_with("OVMF_CODE_4M.secboot.fd") && secure.guarded, "{secure:?}");
    }

    /// Debian's packages themselves are the oracle.
    #[test]
    fn this_hosts_firmware_is_the_same_by_both_ways() {
        for (architecture, secure) in [
            (Architecture::X86_64, false),
            (Architecture::X86_64, true),
            (Architecture::I386, false),
            (Architecture::Arm64, false),
            (Architecture::Arm64, true),
        ] {
            let described = uefi_firmware(architecture, secure).unwrap();
            let known = known(architecture, secure).iter().map(|known| known_below(Path::new("/"), known));
            let known = known.into_iter().find(|known| known.code.is_file()).unwrap();
            let read = |path: &Path| fs_err::read(path).unwrap();
            assert!(read(&described.code) == read(&known.code), "{described:?} {known:?}");
            assert_eq!((described.variables, described.guarded), (known.variables, known.guarded));
        }
    }
}
