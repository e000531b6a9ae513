//! Where distributions keep the firmware of UEFI machines.

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
const KNOWN: [(&str, &str); 7] = [
    // Debian and Ubuntu.
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
    // Fedora.
    ("/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"),
    // Arch.
    ("/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"),
    ("/usr/share/edk2-ovmf/x64/OVMF_CODE.fd", "/usr/share/edk2-ovmf/x64/OVMF_VARS.fd"),
    // openSUSE.
    ("/usr/share/qemu/ovmf-x86_64-4m-code.bin", "/usr/share/qemu/ovmf-x86_64-4m-vars.bin"),
    ("/usr/share/qemu/ovmf-x86_64-code.bin", "/usr/share/qemu/ovmf-x86_64-vars.bin"),
];

impl UefiFirmware {
    /// Finds the firmware of this host.
    #[must_use]
    pub fn find() -> Option<Self> {
        Self::find_below(Path::new("/"))
    }

    fn find_below(root: &Path) -> Option<Self> {
        let below = |path: &str| root.join(path.trim_start_matches('/'));
        let pairs = KNOWN.iter().map(|(code, variables)| (below(code), below(variables)));
        let (code, variables) = pairs.into_iter().find(|(code, vars)| code.is_file() && vars.is_file())?;
        Some(Self { code, variables })
    }
}

/// Finds the code of the firmware of UEFI machines.
#[must_use]
pub fn uefi_firmware() -> Option<PathBuf> {
    UefiFirmware::find().map(|firmware| firmware.code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_without_its_variables_is_passed_over() {
        let world = tempfile::tempdir().unwrap();
        let root = world.path();
        assert_eq!(UefiFirmware::find_below(root), None);
        fs_err::create_dir_all(root.join("usr/share/OVMF")).unwrap();
        for file in ["OVMF_CODE_4M.fd", "OVMF_CODE.fd", "OVMF_VARS.fd"] {
            fs_err::write(root.join("usr/share/OVMF").join(file), "").unwrap();
        }
        let found = UefiFirmware::find_below(root).unwrap();
        assert!(
            found.code.ends_with("OVMF_CODE.fd") && found.variables.ends_with("OVMF_VARS.fd"),
            "{found:?}"
        );
    }
}
