//! What a guest's console means, for people: a name for what went wrong, the line that says so, and what to do.
//!
//! ```text
//! console ─▶ lines without control ─▶ the last boot ─▶ the first rule that fits (`rules.rs`, gravest first)
//! ```
//! A guest may have booted several times. Only its last boot counts, unless that has just begun and the one before ended
//! in a panic: such a guest goes round in circles. Nothing here trusts the guest: lines are cut, counted and cleaned.

mod rules;

use crate::console;
use rules::{HANDED_OVER, LINUX, LOGIN_HINT, PANIC, Place, RULES, Rule, SILENT_HINT};
use std::{fmt, path::Path};

/// Bytes of the console's end that are read: a whole boot of a talkative guest.
const READ: u64 = 256 << 10;

/// Characters of a line that are shown.
const SHOWN: usize = 240;

/// Lines at the end of a boot in which a guest stands that does not go on.
const END_LINES: usize = 3;

/// What a guest came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Nothing was ever said on the console.
    Silent,
    /// The boot loader handed over, and the kernel says nothing on this console.
    KernelSilent,
    /// The firmware found nothing to boot.
    NoBootDevice,
    /// UEFI's own shell runs, since nothing else could be started.
    UefiShell,
    /// Secure Boot refused what was to be started.
    SecureBoot,
    /// GRUB did not find its own files.
    GrubRescue,
    /// GRUB found no menu and waits at its prompt.
    GrubPrompt,
    /// GRUB cannot load the kernel that its menu names.
    NoKernel,
    /// The kernel, or its initramfs, did not find the root file system.
    NoRoot,
    /// The root file system has no init that runs.
    NoInit,
    /// The init ended or froze.
    InitDied,
    /// The kernel panicked for another reason.
    Panic,
    /// The initramfs of the guest opened a shell.
    InitramfsShell,
    /// A file system is damaged, and its check asks for a person.
    Fsck,
    /// systemd opened its emergency shell.
    EmergencyMode,
    /// The memory is used up.
    OutOfMemory,
    /// A file system failed while it was in use.
    FileSystemFailed,
    /// cloud-init failed.
    CloudInit,
    /// cloud-init found no data to go by.
    NoCloudData,
    /// The guest waits for its network, or could not bring it up.
    Network,
    /// The guest is up and asks for a login.
    LoginPrompt,
    /// The processors of the guest do not get to run.
    Stalled,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silent => "the guest never said anything on its console",
            Self::KernelSilent => "the kernel says nothing on the serial console",
            Self::NoBootDevice => "the firmware found nothing to boot",
            Self::UefiShell => "the firmware found nothing to boot and opened its own shell",
            Self::SecureBoot => "Secure Boot refused what was to be booted",
            Self::GrubRescue => "GRUB did not find its own files",
            Self::GrubPrompt => "GRUB found no menu",
            Self::NoKernel => "GRUB cannot load the kernel",
            Self::NoRoot => "the root file system was not found",
            Self::NoInit => "the root file system holds no init that runs",
            Self::InitDied => "the guest's init died",
            Self::Panic => "the guest's kernel panicked",
            Self::InitramfsShell => "the guest's initramfs gave up and opened a shell",
            Self::Fsck => "a file system is damaged and has to be repaired by hand",
            Self::EmergencyMode => "the guest is in emergency mode",
            Self::OutOfMemory => "the guest ran out of memory",
            Self::FileSystemFailed => "a file system of the guest failed",
            Self::CloudInit => "cloud-init failed",
            Self::NoCloudData => "cloud-init found no data",
            Self::Network => "the guest's network does not come up",
            Self::LoginPrompt => "the guest is up and asks for a login",
            Self::Stalled => "the guest's processors are starved",
        })
    }
}

/// What a console means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// What the guest came to.
    pub kind: Kind,
    /// The line of the console that says so; empty where nothing was said.
    pub said: String,
    /// What to do about it.
    pub hint: String,
}

impl Diagnosis {
    /// Reads the end of a console. A console that cannot be read tells nothing.
    #[must_use]
    pub fn of(console: &Path) -> Option<Self> {
        diagnose(&console::end_of(console, READ).ok()?)
    }

    /// Says whether this can be why a machine ended, not only why nothing came of it.
    pub(crate) const fn ends_a_machine(&self) -> bool {
        !matches!(self.kind, Kind::Silent | Kind::KernelSilent | Kind::LoginPrompt | Kind::Stalled)
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind.fmt(f)?;
        if self.said.is_empty() { Ok(()) } else { write!(f, ": {}", self.said) }
    }
}

/// Says what a console means; `None` where nothing on it is out of the ordinary.
#[must_use]
pub fn diagnose(console: &[u8]) -> Option<Diagnosis> {
    let lines = console::lines(console);
    let boots = boots(&lines);
    let Some((last, before)) = boots.split_last() else {
        return Some(Diagnosis { kind: Kind::Silent, said: String::new(), hint: SILENT_HINT.to_owned() });
    };
    // Between two starts of Linux stands the firmware's own.
    let circle = || {
        let panics = |boot: &&[String]| boot.iter().any(|line| line.contains(PANIC));
        before.iter().copied().rev().take(2).find(panics).and_then(|boot| apply(RULES, boot))
    };
    apply(RULES, last).or_else(|| login(last)).or_else(circle).or_else(|| apply(&[HANDED_OVER], last))
}

/// Cuts a console where a machine started anew: the firmware's first line, and the kernel's.
fn boots(lines: &[String]) -> Vec<&[String]> {
    let mut in_linux = false;
    let starts = |line: &String| {
        let firmware = line.starts_with("SeaBIOS (version") || (in_linux && line.starts_with("BdsDxe: "));
        let kernel = line.starts_with(LINUX);
        in_linux = kernel || (in_linux && !firmware);
        firmware || kernel
    };
    let mut starts: Vec<usize> =
        lines.iter().map(starts).enumerate().filter_map(|(at, new)| new.then_some(at)).collect();
    starts.insert(0, 0);
    starts.push(lines.len());
    let cut = starts.windows(2).filter_map(|pair| lines.get(*pair.first()?..*pair.last()?));
    cut.filter(|boot| !boot.is_empty()).collect()
}

/// Returns what the first rule that fits says.
fn apply(rules: &[Rule], boot: &[String]) -> Option<Diagnosis> {
    let end = boot.get(boot.len().saturating_sub(END_LINES)..).unwrap_or_default();
    rules.iter().find_map(|rule| {
        let any = |line: &&String| rule.phrases.iter().any(|phrase| has(line, phrase));
        let fits = match rule.place {
            Place::Anywhere => boot.iter().find(any),
            Place::End => end.iter().rev().find(any),
        }?;
        let cause = rule.causes.iter().find_map(|phrase| boot.iter().find(|line| has(line, phrase)));
        Some(Diagnosis { kind: rule.kind, said: shown(cause.unwrap_or(fits)), hint: rule.hint.to_owned() })
    })
}

/// Finds `name login:`; the kernel may go on behind it.
fn login(boot: &[String]) -> Option<Diagnosis> {
    let prompt = boot.iter().rev().find_map(|line| {
        let (name, _) = line.trim_start().split_once(" login:")?;
        (!name.is_empty() && !name.contains(char::is_whitespace)).then(|| format!("{name} login:"))
    })?;
    Some(Diagnosis { kind: Kind::LoginPrompt, said: shown(&prompt), hint: LOGIN_HINT.to_owned() })
}

/// Says whether a line has the parts of a phrase, in their order.
fn has(line: &str, phrase: &str) -> bool {
    let mut rest = line;
    phrase.split('*').all(|part| match rest.split_once(part) {
        Some((_, after)) => {
            rest = after;
            true
        }
        None => false,
    })
}

/// Takes the kernel's time stamp off a line, and what is too much.
fn shown(line: &str) -> String {
    let line = line.trim();
    let line = match line.strip_prefix('[').and_then(|rest| rest.split_once("] ")) {
        Some((stamp, rest)) if stamp.trim().chars().all(|c| c.is_ascii_digit() || c == '.') => rest.trim(),
        _ => line,
    };
    let mut shown: String = line.chars().take(SHOWN).collect();
    if shown.len() < line.len() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests;
