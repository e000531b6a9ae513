//! Which accelerator, and why: KVM only where it can work.

use crate::config::Accelerator;

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
    /// Whether the processor shows `vmx` or `svm`.
    pub flags: bool,
}

impl KvmFacts {
    /// Looks at this host.
    #[must_use]
    pub fn of_this_host() -> Self {
        let open = fs_err::OpenOptions::new().read(true).write(true).open("/dev/kvm");
        let cpuinfo = fs_err::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Self { device: open.err().map(|error| reason(&error)), flags: has_flags(&cpuinfo) }
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
    /// Whether a guest that shows no life may be tried again under TCG.
    pub may_fall_back: bool,
    /// Why, for people.
    pub reason: String,
}

/// Chooses.
#[must_use]
pub fn choose(wanted: Wanted, facts: &KvmFacts) -> Choice {
    match wanted {
        Wanted::This(accelerator) => Choice {
            accelerator,
            may_fall_back: false,
            reason: format!("{accelerator}, as the template asks"),
        },
        Wanted::Auto => match facts.problem() {
            None => Choice {
                accelerator: Accelerator::Kvm,
                may_fall_back: true,
                reason: "KVM works here".to_owned(),
            },
            Some(problem) => {
                let reason = format!("TCG, several times slower than KVM: {problem}");
                Choice { accelerator: Accelerator::Tcg, may_fall_back: false, reason }
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kvm_only_where_it_can_work() {
        let works = KvmFacts { device: None, flags: true };
        assert_eq!(choose(Wanted::Auto, &works).accelerator, Accelerator::Kvm);
        let hangs = KvmFacts { device: None, flags: false };
        let choice = choose(Wanted::Auto, &hangs);
        assert_eq!(choice.accelerator, Accelerator::Tcg);
        assert!(choice.reason.contains("vmx"), "{}", choice.reason);
        let forced = choose(Wanted::This(Accelerator::Kvm), &hangs);
        assert_eq!((forced.accelerator, forced.may_fall_back), (Accelerator::Kvm, false));
    }

    #[test]
    fn flags_are_whole_words() {
        assert!(has_flags("processor\t: 0\nflags\t\t: fpu svm sse\n"));
        assert!(!has_flags("flags\t\t: fpu svm_lock vmxoff\nbugs: svm\n"));
    }
}
