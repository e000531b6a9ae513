//! Where distributions keep the firmware of UEFI machines.

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
}

/// Pairs that belong together: a code file works only with variables of its own size. The 4 MiB builds come first, for
/// newer distributions no longer have the others.
const X86: [(&str, &str); 8] = [
    // Debian and Ubuntu.
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    // Fedora.
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    // Arch.
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    ("/usr/share/edk2-ovmf/x64/OVMF_CODE.4m.fd", "/usr/share/edk2-ovmf/x64/OVMF_VARS.4m.fd"),
    ("/usr/share/edk2-ovmf/x64/OVMF_CODE.fd", "/usr/share/edk2-ovmf/x64/OVMF_VARS.fd"),
    // openSUSE.
    ("/usr/share/qemu/ovmf-x86_64-4m-code.bin", "/usr/share/qemu/ovmf-x86_64-4m-vars.bin"),
    ("/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin"),
];

/// Code that guards its variables by system management mode, and variables in which Microsoft's keys are enrolled. Arch
/// ships such code, and no variables with keys.
const X86_SECURE: [(&str, &str); 5] = [
    // Debian and Ubuntu.
    ("/usr/share/OVMF/OVMF_CODE_4M.ms.fd", "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"),
    ("/usr/share/OVMF/OVMF_CODE_4M.secboot.fd", "/usr/share/OVMF/OVMF_VARS_4M.ms.fd"),
    ("/usr/share/OVMF/OVMF_CODE.ms.fd", "/usr/share/OVMF/OVMF_VARS.ms.fd"),
    // Fedora.
    ("/usr/share/edk2/ovmf/OVMF_CODE.secboot.fd", "/usr/share/edk2/ovmf/OVMF_VARS.secboot.fd"),
    // openSUSE.
    ("/usr/share/qemu/ovmf-x86_64-smm-ms-code.bin", "/usr/share/qemu/ovmf-x86_64-smm-ms-vars.bin"),
];

const ARM: [(&str, &str); 4] = [
    // Debian and Ubuntu.
    ("/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),
    // Fedora: the `.raw` files, whose size is what QEMU's flash wants.
    (
        "/usr/share/edk2/aarch64/QEMU_EFI-silent-pflash.raw",
        "/usr/share/edk2/aarch64/vars-template-pflash.raw",
    ),
    // Arch.
    ("/usr/share/edk2/aarch64/QEMU_CODE.fd", "/usr/share/edk2/aarch64/QEMU_VARS.fd"),
    // openSUSE.
    ("/usr/share/qemu/aavmf-aarch64-code.bin", "/usr/share/qemu/aavmf-aarch64-vars.bin"),
];

/// Finds this host's firmware of UEFI machines; `secure` asks for Secure Boot.
///
/// # Errors
/// When none is installed, or none is known for such a machine.
pub fn uefi_firmware(architecture: Architecture, secure: bool) -> Result<UefiFirmware, Error> {
    find_below(Path::new("/"), architecture, secure)
}

fn find_below(root: &Path, architecture: Architecture, secure: bool) -> Result<UefiFirmware, Error> {
    let known: &[_] = match (architecture, secure) {
        (Architecture::X86_64, false) => &X86,
        (Architecture::X86_64, true) => &X86_SECURE,
        (Architecture::Arm64, false) => &ARM,
        (Architecture::Arm64, true) | (Architecture::I386, _) => &[],
    };
    let below = |path: &str| root.join(path.trim_start_matches('/'));
    let mut pairs = known.iter().map(|(code, variables)| (below(code), below(variables)));
    let found = pairs.find(|(code, variables)| code.is_file() && variables.is_file());
    let (code, variables) = found.ok_or(Error::NoFirmware { architecture, secure })?;
    Ok(UefiFirmware { code, variables })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_without_its_variables_is_passed_over() {
        let world = tempfile::tempdir().unwrap();
        let root = world.path();
        let missing = find_below(root, Architecture::X86_64, false).unwrap_err();
        assert_eq!(
            missing.hint().unwrap(),
            "apt-get install ovmf   # on Fedora edk2-ovmf, on Arch edk2-ovmf"
        );
        fs_err::create_dir_all(root.join("usr/share/OVMF")).unwrap();
        for file in ["OVMF_CODE_4M.fd", "OVMF_CODE.fd", "OVMF_VARS.fd", "OVMF_CODE_4M.secboot.fd"] {
            fs_err::write(root.join("usr/share/OVMF").join(file), "").unwrap();
        }
        let found = find_below(root, Architecture::X86_64, false).unwrap();
        assert!(
            found.code.ends_with("OVMF_CODE.fd") && found.variables.ends_with("OVMF_VARS.fd"),
            "{found:?}"
        );
        assert!(find_below(root, Architecture::X86_64, true).is_err());
        fs_err::write(root.join("usr/share/OVMF/OVMF_VARS_4M.ms.fd"), "").unwrap();
        assert!(
            find_below(root, Architecture::X86_64, true).unwrap().code.ends_with("OVMF_CODE_4M.secboot.fd")
        );
    }

    #[test]
    fn some_machines_have_none() {
        let error = find_below(Path::new("/"), Architecture::I386, false).unwrap_err();
        assert_eq!(error.to_string(), "there is no UEFI firmware for i386 machines");
        assert!(
            find_below(Path::new("/"), Architecture::Arm64, true)
                .unwrap_err()
                .to_string()
                .contains("Secure Boot")
        );
    }
}
