//! Which accelerator, and why: KVM only where it can work.
//!
//! ```text
//! another architecture │ no device │ no vmx, svm │ it hung before ─▶ TCG, and why
//! it worked since this host booted ───────────────────────────────▶ KVM
//! nobody tried yet ───────────────────────────────────────────────▶ KVM, which `start_appliance` tries and notes
//! ```

mod probe;

use crate::config::Accelerator;
use kiln_types::Architecture;
pub use probe::{KvmProbe, KvmVerdict};

/// What a template asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// KVM where it can work, TCG otherwise.
    Auto,
    /// This one.
    This(Accelerator),
}

/// What this host has for KVM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvmFacts {
    /// Why `/dev/kvm` does not open; nothing where it does.
    pub device: Option<String>,
    /// Whether the processor shows `vmx` or `svm`, or is of an architecture without such flags.
    pub flags: bool,
}

impl KvmFacts {
    /// Looks at this host.
    #[must_use]
    pub fn of_this_host() -> Self {
        let open = fs_err::OpenOptions::new().read(true).write(true).open("/dev/kvm");
        let cpuinfo = fs_err::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let flags = !cfg!(target_arch = "x86_64") || has_flags(&cpuinfo);
        Self { device: open.err().map(|error| reason(&error)), flags }
    }

    /// Says why KVM cannot work here; nothing where it can.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        match (&self.device, self.flags) {
            (Some(reason), _) => Some(reason.clone()),
            (None, false) => Some(
                "/dev/kvm opens, but /proc/cpuinfo shows neither vmx nor svm: guests would hang".to_owned(),
            ),
            (None, true) => None,
        }
    }
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no /dev/kvm".to_owned(),
        std::io::ErrorKind::PermissionDenied => {
            "/dev/kvm may not be opened: add the user to the group kvm".to_owned()
        }
        _ => format!("/dev/kvm cannot be opened: {error}"),
    }
}

fn has_flags(cpuinfo: &str) -> bool {
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags"));
    flags.is_some_and(|line| line.split_whitespace().any(|flag| matches!(flag, "vmx" | "svm")))
}

/// The accelerator chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// What runs the machine.
    pub accelerator: Accelerator,
    /// Whether nobody knows yet that KVM works, so that a machine which does not come up is tried again under TCG.
    pub may_fall_back: bool,
    /// Why, for people.
    pub reason: String,
    /// Where it is noted how that went.
    pub probe: Option<KvmProbe>,
}

impl Choice {
    /// Notes that KVM works, or why it does not.
    pub(crate) fn remember(&self, problem: Option<&str>) {
        if let Some(probe) = &self.probe {
            probe.remember(problem);
        }
    }
}

/// Chooses for a guest of this architecture. `probe` knows what was seen of KVM since this host booted.
#[must_use]
pub fn choose(
    wanted: Wanted,
    architecture: Architecture,
    facts: &KvmFacts,
    probe: Option<&KvmProbe>,
) -> Choice {
    let choice = |accelerator, reason| Choice { accelerator, may_fall_back: false, reason, probe: None };
    let slow = |problem| choice(Accelerator::Tcg, format!("TCG, several times slower than KVM: {problem}"));
    if let Wanted::This(accelerator) = wanted {
        return choice(accelerator, format!("{accelerator}, as the template asks"));
    }
    if !runs_here(architecture) {
        return slow(format!("the guest is {architecture}, and this host is {}", std::env::consts::ARCH));
    }
    if let Some(problem) = facts.problem() {
        return slow(problem);
    }
    match probe.and_then(KvmProbe::recall) {
        Some(KvmVerdict::Works) => choice(Accelerator::Kvm, "KVM works here".to_owned()),
        Some(KvmVerdict::Fails(why)) => slow(format!("it did not work when it was tried: {why}")),
        None => Choice {
            may_fall_back: true,
            probe: probe.cloned(),
            ..choice(
                Accelerator::Kvm,
                "KVM, which is tried for the first time since this host booted".to_owned(),
            )
        },
    }
}

/// Says whether this host's processor runs a guest's instructions itself.
fn runs_here(architecture: Architecture) -> bool {
    match architecture {
        Architecture::X86_64 | Architecture::I386 => cfg!(target_arch = "x86_64"),
        Architecture::Arm64 => cfg!(target_arch = "aarch64"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKS: KvmFacts = KvmFacts { device: None, flags: true };

    fn auto(facts: &KvmFacts, probe: Option<&KvmProbe>) -> Choice {
        choose(Wanted::Auto, Architecture::X86_64, facts, probe)
    }

    #[test]
    fn kvm_only_where_it_can_work() {
        assert_eq!(auto(&WORKS, None).accelerator, Accelerator::Kvm);
        let hangs = KvmFacts { device: None, flags: false };
        let choice = auto(&hangs, None);
        assert_eq!(choice.accelerator, Accelerator::Tcg);
        assert!(choice.reason.contains("vmx"), "{}", choice.reason);
        let forced = choose(Wanted::This(Accelerator::Kvm), Architecture::X86_64, &hangs, None);
        assert_eq!((forced.accelerator, forced.may_fall_back), (Accelerator::Kvm, false));
        let foreign = choose(Wanted::Auto, Architecture::Arm64, &WORKS, None);
        assert_eq!(foreign.accelerator, Accelerator::Tcg);
        assert!(foreign.reason.contains("the guest is arm64"), "{}", foreign.reason);
        assert_eq!(choose(Wanted::Auto, Architecture::I386, &WORKS, None).accelerator, Accelerator::Kvm);
    }

    #[test]
    fn what_was_seen_of_kvm_decides_the_next_time() {
        let folder = tempfile::tempdir().unwrap();
        let probe = KvmProbe::new(&folder.path().join("kvm-probe.json"));
        let first = auto(&WORKS, Some(&probe));
        assert_eq!((first.accelerator, first.may_fall_back), (Accelerator::Kvm, true));
        first.remember(Some("the agent did not answer"));
        let second = auto(&WORKS, Some(&probe));
        assert_eq!((second.accelerator, second.may_fall_back), (Accelerator::Tcg, false));
        assert!(second.reason.ends_with("the agent did not answer"), "{}", second.reason);
        first.remember(None);
        let third = auto(&WORKS, Some(&probe));
        assert_eq!((third.accelerator, third.may_fall_back), (Accelerator::Kvm, false));
    }

    #[test]
    fn flags_are_whole_words() {
        assert!(has_flags("processor\t: 0\nflags\t\t: fpu svm sse\n"));
        assert!(!has_flags("flags\t\t: fpu svm_lock vmxoff\nbugs: svm\n"));
    }
}
