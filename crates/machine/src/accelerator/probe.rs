//! What was seen of KVM since this host booted.
//!
//! ```text
//! kvm-probe.json    {"boot": "2c3f…", "problem": null}
//! ```
//! A new boot may bring another kernel or other settings of the firmware, so that what was seen before says nothing.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// A number of this boot that no other has.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// A note of whether KVM works here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvmProbe(PathBuf);

/// Whether KVM works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KvmVerdict {
    /// An agent answered under it.
    Works,
    /// None did: why.
    Fails(String),
}

impl KvmProbe {
    /// Keeps the note in this file.
    #[must_use]
    pub fn new(file: &Path) -> Self {
        Self(file.to_owned())
    }

    /// Returns what was seen since this host booted.
    #[must_use]
    pub fn recall(&self) -> Option<KvmVerdict> {
        let note: Value = serde_json::from_str(&fs_err::read_to_string(&self.0).ok()?).ok()?;
        if note.get("boot")?.as_str()? != boot()? {
            return None;
        }
        match note.get("problem")? {
            Value::Null => Some(KvmVerdict::Works),
            Value::String(why) => Some(KvmVerdict::Fails(why.clone())),
            _ => None,
        }
    }

    /// Notes that KVM works, or why not. Where that fails it is tried again the next time.
    pub(crate) fn remember(&self, problem: Option<&str>) {
        let Some(boot) = boot() else { return };
        let folder = self.0.parent().unwrap_or(Path::new("."));
        let written = tempfile::NamedTempFile::new_in(folder).and_then(|file| {
            fs_err::write(file.path(), json!({"boot": boot, "problem": problem}).to_string())?;
            Ok(file.persist(&self.0)?)
        });
        drop(written);
    }
}

fn boot() -> Option<String> {
    Some(fs_err::read_to_string(BOOT_ID).ok()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_good_for_one_boot() {
        let folder = tempfile::tempdir().unwrap();
        let probe = KvmProbe::new(&folder.path().join("probe"));
        assert_eq!(probe.recall(), None);
        probe.remember(Some("it hung"));
        assert_eq!(probe.recall(), Some(KvmVerdict::Fails("it hung".to_owned())));
        probe.remember(None);
        assert_eq!(probe.recall(), Some(KvmVerdict::Works));
        fs_err::write(&probe.0, json!({"boot": "another", "problem": null}).to_string()).unwrap();
        assert_eq!(probe.recall(), None);
        fs_err::write(&probe.0, "{").unwrap();
        assert_eq!(probe.recall(), None);
    }
}
