//! What a machine keeps beside its disks: the variables of its UEFI firmware, the state of its TPM.
//!
//! ```text
//! <folder>/uefi-variables.fd     this machine's own copy
//! <folder>/tpm/…                 swtpm's files
//! ```
//! Both begin as the base's where the base has them (an install leaves boot entries there), or as new, and end in the
//! image's record: a machine launched from the image goes on with them.

use crate::Error;
use base64::{Engine, engine::general_purpose::STANDARD};
use kiln_machine::{config::Boot, uefi_firmware};
use kiln_template::{Firmware, Machine};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

const VARIABLES: &str = "uefi-variables.fd";
const TPM: &str = "tpm";

/// Compression of what goes into a record: variables are 0xff for the most part.
const LEVEL: i32 = 9;

/// No firmware's variables are larger: those of arm64 have 64 MiB. A record that unpacks to more is refused.
const LARGEST: usize = 64 << 20;

/// The state of one machine, in a folder of its build.
#[derive(Debug, Clone)]
pub(crate) struct MachineState {
    firmware: Boot,
    tpm: Option<PathBuf>,
}

/// The state as a record holds it: zstd, then base64.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SavedState {
    pub(crate) uefi_data: Option<String>,
    pub(crate) tpm_data: BTreeMap<String, String>,
}

impl MachineState {
    /// Makes the state of a new machine in `folder`, from the base's where `base` holds some.
    pub(crate) fn new(machine: &Machine, base: &Path, folder: &Path) -> Result<Self, Error> {
        let secure = machine.firmware == Firmware::UefiSecure;
        let firmware = match machine.firmware {
            Firmware::Bios => Boot::Bios,
            Firmware::Uefi | Firmware::UefiSecure => {
                let found = uefi_firmware(machine.architecture, secure)?;
                let variables = folder.join(VARIABLES);
                let kept = base.join(VARIABLES);
                fs_err::copy(if kept.is_file() { &kept } else { &found.variables }, &variables)?;
                owner_may_write(&variables)?;
                Boot::Uefi { code: found.code, variables, secure: found.guarded }
            }
        };
        let tpm = machine.tpm.then(|| folder.join(TPM));
        if let Some(tpm) = &tpm {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(tpm)?;
            copy_files(&base.join(TPM), tpm)?;
        }
        Ok(Self { firmware, tpm })
    }

    /// Finds the state of a machine that ran before, in its own folder.
    pub(crate) fn again(machine: &Machine, folder: &Path) -> Result<Self, Error> {
        let firmware = match machine.firmware {
            Firmware::Bios => Boot::Bios,
            Firmware::Uefi | Firmware::UefiSecure => {
                let secure = machine.firmware == Firmware::UefiSecure;
                let found = uefi_firmware(machine.architecture, secure)?;
                Boot::Uefi { code: found.code, variables: folder.join(VARIABLES), secure: found.guarded }
            }
        };
        Ok(Self { firmware, tpm: machine.tpm.then(|| folder.join(TPM)) })
    }

    /// Returns the way in which the machine starts by its own firmware.
    pub(crate) fn boot(&self) -> Boot {
        self.firmware.clone()
    }

    /// Returns the folder of the TPM.
    pub(crate) fn tpm(&self) -> Option<PathBuf> {
        self.tpm.clone()
    }

    /// Keeps the state beside a base.
    pub(crate) fn keep(&self, folder: &Path) -> Result<(), Error> {
        if let Boot::Uefi { variables, .. } = &self.firmware {
            fs_err::copy(variables, folder.join(VARIABLES))?;
        }
        if let Some(tpm) = &self.tpm {
            let kept = folder.join(TPM);
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&kept)?;
            copy_files(tpm, &kept)?;
        }
        Ok(())
    }

    /// Says whether a state was kept in this folder.
    pub(crate) fn is_in(folder: &Path) -> bool {
        folder.join(VARIABLES).is_file()
    }

    /// Copies a state that was kept, where one was.
    pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), Error> {
        if Self::is_in(from) {
            fs_err::copy(from.join(VARIABLES), to.join(VARIABLES))?;
        }
        Ok(())
    }

    /// Reads the state for a record.
    pub(crate) fn saved(&self) -> Result<SavedState, Error> {
        let uefi_data = match &self.firmware {
            Boot::Uefi { variables, .. } => Some(packed(&fs_err::read(variables)?)?),
            Boot::Bios | Boot::Kernel { .. } => None,
        };
        let tpm_data = self.tpm.as_deref().map(packed_files).transpose()?.unwrap_or_default();
        Ok(SavedState { uefi_data, tpm_data })
    }
}

impl SavedState {
    /// Reads the state that is kept beside a base or in a layer, if one is.
    pub(crate) fn kept_in(folder: &Path) -> Result<Self, Error> {
        let variables = folder.join(VARIABLES);
        let uefi_data = variables.is_file().then(|| packed(&fs_err::read(&variables)?)).transpose()?;
        Ok(Self { uefi_data, tpm_data: packed_files(&folder.join(TPM))? })
    }

    /// Lays the state beside a base, where [`MachineState::new`] finds it.
    pub(crate) fn unpack(&self, folder: &Path) -> Result<(), Error> {
        if let Some(text) = &self.uefi_data {
            fs_err::write(folder.join(VARIABLES), unpacked(text)?)?;
        }
        let kept = folder.join(TPM);
        for (name, text) in &self.tpm_data {
            // A record is not ours alone: its names lead nowhere else.
            if Path::new(name).file_name() != Some(name.as_ref()) {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    format!("the TPM has no file {name:?}"),
                )
                .into());
            }
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&kept)?;
            fs_err::write(kept.join(name), unpacked(text)?)?;
        }
        Ok(())
    }
}

fn unpacked(text: &str) -> Result<Vec<u8>, Error> {
    let bytes = STANDARD.decode(text).map_err(|source| io::Error::new(io::ErrorKind::InvalidData, source))?;
    Ok(zstd::bulk::decompress(&bytes, LARGEST)?)
}

fn packed_files(folder: &Path) -> Result<BTreeMap<String, String>, Error> {
    files(folder).into_iter().map(|(name, path)| Ok((name, packed(&fs_err::read(path)?)?))).collect()
}

fn packed(bytes: &[u8]) -> Result<String, Error> {
    Ok(STANDARD.encode(zstd::bulk::compress(bytes, LEVEL)?))
}

/// A distribution's variables are read-only.
fn owner_may_write(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs_err::set_permissions(path, std::fs::Permissions::from_mode(0o600))?)
}

fn copy_files(from: &Path, to: &Path) -> Result<(), Error> {
    for (name, path) in files(from) {
        fs_err::copy(path, to.join(name))?;
    }
    Ok(())
}

/// Lists the TPM's state: `tpm2-00.permall`; not the lock that swtpm leaves beside it.
fn files(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = std::fs::read_dir(folder).map(|entries| entries.flatten().collect::<Vec<_>>());
    let paths = entries.unwrap_or_default().into_iter().map(|entry| entry.path());
    let states = paths.filter(|path| path.is_file() && path.extension().is_some_and(|end| end == "permall"));
    states.map(|path| (path.file_name().unwrap_or_default().to_string_lossy().into_owned(), path)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_goes_on_with_what_the_base_left() {
        let world = tempfile::tempdir().unwrap();
        let (base, first, second) =
            (world.path().join("base"), world.path().join("first"), world.path().join("second"));
        for folder in [&base, &first, &second] {
            fs_err::create_dir(folder).unwrap();
        }
        let variables = first.join(VARIABLES);
        fs_err::write(&variables, b"boot entries").unwrap();
        fs_err::create_dir(first.join(TPM)).unwrap();
        fs_err::write(first.join(TPM).join("tpm2-00.permall"), b"seeds").unwrap();
        fs_err::write(first.join(TPM).join(".lock"), b"").unwrap();
        let boot = Boot::Uefi { code: "/code.fd".into(), variables, secure: false };
        let state = MachineState { firmware: boot, tpm: Some(first.join(TPM)) };
        state.keep(&base).unwrap();
        assert!(!base.join(TPM).join(".lock").exists());
        copy_files(&base.join(TPM), &second).unwrap();
        assert_eq!(fs_err::read(second.join("tpm2-00.permall")).unwrap(), b"seeds");
        let saved = state.saved().unwrap();
        let bytes = STANDARD.decode(saved.uefi_data.as_ref().unwrap()).unwrap();
        assert_eq!(zstd::bulk::decompress(&bytes, 100).unwrap(), b"boot entries");
        assert_eq!(saved.tpm_data.keys().collect::<Vec<_>>(), ["tpm2-00.permall"]);

        let third = world.path().join("third");
        fs_err::create_dir(&third).unwrap();
        saved.unpack(&third).unwrap();
        assert_eq!(fs_err::read(third.join(VARIABLES)).unwrap(), b"boot entries");
        assert_eq!(fs_err::read(third.join(TPM).join("tpm2-00.permall")).unwrap(), b"seeds");
        for name in ["../escaped", "/escaped", "..", ""] {
            let tpm_data = BTreeMap::from([(name.to_owned(), packed(b"x").unwrap())]);
            assert!(SavedState { uefi_data: None, tpm_data }.unpack(&third).is_err(), "{name:?}");
        }
        assert!(!third.join("escaped").exists());
    }
}
