//! QEMU's firmware descriptors, as `docs/interop/firmware.json` of QEMU defines them.
//!
//! ```text
//! /usr/share/qemu/firmware/60-edk2-x86_64.json      a distribution's
//! /etc/qemu/firmware/60-edk2-x86_64.json            an administrator's, in its place; an empty one hides it
//! ```
//! The first that fits is taken, by the files' names. One that cannot be read is no firmware.

use super::{UefiFirmware, below};
use kiln_types::Architecture;
use serde::Deserialize;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The folders, those that count less first.
const FOLDERS: [&str; 3] =
    ["/usr/share/qemu/firmware", "/usr/local/share/qemu/firmware", "/etc/qemu/firmware"];

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Descriptor {
    interface_types: Vec<String>,
    mapping: Mapping,
    targets: Vec<Target>,
    features: Vec<String>,
}

#[derive(Deserialize)]
#[serde(tag = "device", rename_all = "kebab-case")]
enum Mapping {
    #[serde(rename_all = "kebab-case")]
    Flash {
        /// Whether code and variables are two files; older descriptors, which do not say so, mean that.
        mode: Option<String>,
        executable: File,
        nvram_template: Option<File>,
    },
    /// Code alone, without variables.
    #[serde(other)]
    Memory,
}

#[derive(Deserialize)]
struct File {
    filename: PathBuf,
    format: String,
}

#[derive(Deserialize)]
struct Target {
    architecture: String,
    machines: Vec<String>,
}

/// Finds the firmware that this host's descriptors name.
pub(super) fn find(root: &Path, architecture: Architecture, secure: bool) -> Option<UefiFirmware> {
    let mut files = BTreeMap::new();
    for folder in FOLDERS.map(|folder| below(root, folder)) {
        let entries = fs_err::read_dir(folder).into_iter().flatten().flatten();
        let entries = entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "json"));
        files.extend(entries.map(|entry| (entry.file_name(), entry.path())));
    }
    let descriptors = files.values().filter_map(|path| {
        let text = fs_err::read(path).ok()?;
        serde_json::from_slice::<Descriptor>(&text).ok()
    });
    let fit = descriptors.filter(|descriptor| descriptor.fits(architecture, secure));
    // The plainest: code that could do more than is asked needs more of the machine.
    let mut found: Vec<_> = fit.filter_map(|fit| Some((fit.extras(), fit.firmware(root)?))).collect();
    found.sort_by_key(|(extras, _)| *extras);
    found.into_iter().next().map(|(_, firmware)| firmware)
}

impl Descriptor {
    fn fits(&self, architecture: Architecture, secure: bool) -> bool {
        let (processor, machine) = match architecture {
            Architecture::X86_64 => ("x86_64", "pc-q35-"),
            Architecture::I386 => ("i386", "pc-q35-"),
            Architecture::Arm64 => ("aarch64", "virt-"),
        };
        let target = |target: &Target| {
            target.architecture == processor && target.machines.iter().any(|name| name.starts_with(machine))
        };
        let boots_signed_alone = self.has("secure-boot") && self.has("enrolled-keys");
        self.interface_types.iter().any(|interface| interface == "uefi")
            && self.targets.iter().any(target)
            && boots_signed_alone == secure
    }

    fn has(&self, feature: &str) -> bool {
        self.features.iter().any(|has| has == feature)
    }

    fn extras(&self) -> (bool, bool) {
        (self.has("requires-smm"), self.has("secure-boot"))
    }

    fn firmware(self, root: &Path) -> Option<UefiFirmware> {
        let guarded = self.has("requires-smm");
        let Mapping::Flash { mode, executable, nvram_template: Some(variables) } = self.mapping else {
            return None;
        };
        let file = |file: File| (file.format == "raw").then(|| below(root, file.filename));
        let (code, variables) = (file(executable)?, file(variables)?);
        let are_there = code.is_file() && variables.is_file();
        let two_files = mode.is_none_or(|mode| mode == "split");
        (are_there && two_files).then_some(UefiFirmware { code, variables, guarded })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    struct World(tempfile::TempDir);

    impl World {
        fn new() -> Self {
            let world = Self(tempfile::tempdir().unwrap());
            for name in ["code", "variables"] {
                fs_err::write(world.0.path().join(name), "").unwrap();
            }
            world
        }

        fn describe(&self, folder: &str, name: &str, text: &str) {
            let folder = below(self.0.path(), folder);
            fs_err::create_dir_all(&folder).unwrap();
            fs_err::write(folder.join(name), text).unwrap();
        }

        fn find(&self, architecture: Architecture, secure: bool) -> Option<UefiFirmware> {
            find(self.0.path(), architecture, secure)
        }
    }

    fn descriptor(features: &[&str]) -> Value {
        json!({
            "description": "", "interface-types": ["uefi"], "tags": [], "features": features,
            "mapping": {"device": "flash", "executable": {"filename": "/code", "format": "raw"},
                        "nvram-template": {"filename": "/variables", "format": "raw"}},
            "targets": [{"architecture": "x86_64", "machines": ["pc-i440fx-*", "pc-q35-*"]}],
        })
    }

    #[test]
    fn keys_decide_and_the_plainest_is_taken() {
        let world = World::new();
        let secure = descriptor(&["secure-boot", "enrolled-keys", "requires-smm"]).to_string();
        world.describe(FOLDERS[0], "40.json", &secure);
        assert_eq!(world.find(Architecture::X86_64, false), None);
        assert!(world.find(Architecture::X86_64, true).unwrap().guarded);
        world.describe(FOLDERS[0], "50.json", &descriptor(&["secure-boot", "requires-smm"]).to_string());
        assert!(world.find(Architecture::X86_64, false).unwrap().guarded);
        world.describe(FOLDERS[0], "60.json", &descriptor(&["acpi-s3"]).to_string());
        assert!(!world.find(Architecture::X86_64, false).unwrap().guarded);
        assert_eq!(world.find(Architecture::Arm64, false), None);
    }

    #[test]
    fn an_administrator_decides() {
        let world = World::new();
        world.describe(FOLDERS[0], "60.json", &descriptor(&[]).to_string());
        world.describe(FOLDERS[2], "60.json", "");
        assert_eq!(world.find(Architecture::X86_64, false), None);
        world.describe(FOLDERS[2], "61.json", &descriptor(&[]).to_string());
        assert!(world.find(Architecture::X86_64, false).is_some());
    }

    #[test]
    fn what_this_machine_cannot_use_is_passed_over() {
        let changes: [(&str, Value); 6] = [
            ("/interface-types/0", json!("bios")),
            ("/mapping/device", json!("memory")),
            ("/mapping/executable/format", json!("qcow2")),
            ("/mapping/nvram-template/filename", json!("/gone")),
            ("/mapping/mode", json!("stateless")),
            ("/targets/0/machines", json!(["microvm"])),
        ];
        for (pointer, value) in changes {
            let world = World::new();
            let mut changed = descriptor(&[]);
            changed["mapping"]["mode"] = json!("split");
            world.describe(FOLDERS[0], "60.json", &changed.to_string());
            assert!(world.find(Architecture::X86_64, false).is_some());
            *changed.pointer_mut(pointer).unwrap() = value;
            world.describe(FOLDERS[0], "60.json", &changed.to_string());
            assert_eq!(world.find(Architecture::X86_64, false), None, "{pointer}");
        }
    }
}
