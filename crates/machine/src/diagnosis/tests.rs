//! The corpus of consoles, each beside what Kiln says of it, and what is said of consoles that no guest wrote.

use super::*;
use anyhow::{Result, ensure};
use proptest::prelude::*;
use std::{fmt::Write, path::PathBuf};

fn corpus() -> Result<Vec<PathBuf>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/console");
    let entries = fs_err::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    let mut logs: Vec<PathBuf> = entries.collect::<std::io::Result<_>>()?;
    logs.retain(|path| path.extension().is_some_and(|ending| ending == "log"));
    logs.sort();
    ensure!(logs.len() > 20, "the corpus is not there");
    Ok(logs)
}

fn written(diagnosis: Option<&Diagnosis>) -> String {
    diagnosis.map_or_else(
        || "nothing\n".to_owned(),
        |diagnosis| format!("{:?}\n{diagnosis}\nhint: {}\n", diagnosis.kind, diagnosis.hint),
    )
}

/// `KILN_BLESS=1` writes what is said now; read it before it is committed.
#[test]
#[expect(clippy::disallowed_methods, reason = "a test that is told to write its fixtures")]
fn every_console_of_the_corpus_is_understood() -> Result<()> {
    let bless = std::env::var_os("KILN_BLESS").is_some();
    let mut wrong = String::new();
    for log in corpus()? {
        let said = written(Diagnosis::of(&log).as_ref());
        let beside = log.with_extension("txt");
        if bless {
            fs_err::write(&beside, &said)?;
        } else if fs_err::read_to_string(&beside)? != said {
            writeln!(wrong, "{}:\n{said}", log.display())?;
        }
    }
    ensure!(wrong.is_empty(), "not as it is written beside:\n{wrong}");
    Ok(())
}

/// Every kind has a console that was really seen.
#[test]
fn every_rule_is_seen_in_the_corpus() -> Result<()> {
    let kinds: Vec<Kind> = corpus()?.iter().filter_map(|log| Some(Diagnosis::of(log)?.kind)).collect();
    let unseen: Vec<&Rule> = RULES.iter().filter(|rule| !kinds.contains(&rule.kind)).collect();
    // A starved guest cannot be made at will.
    ensure!(unseen.iter().all(|rule| rule.kind == Kind::Stalled), "{unseen:?}");
    Ok(())
}

#[test]
fn a_console_without_a_word() {
    for silent in [&b""[..], b"\r\n\x1b[2J\x1b[01;01H\r\n"] {
        assert_eq!(diagnose(silent).map(|found| found.kind), Some(Kind::Silent));
    }
    assert_eq!(Diagnosis::of(Path::new("/nowhere/at/all")), None);
}

const START: &str = "[    0.000000] Linux version 6.1.0-49-amd64\n";
const PANICKED: &str = "[    2.0] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00007f00\n";
const FIRMWARE: &str = "SeaBIOS (version 1.16.3)\nBooting from Hard Disk...\n";

fn kind(console: &str) -> Option<Kind> {
    diagnose(console.as_bytes()).map(|found| found.kind)
}

#[test]
fn only_the_last_boot_counts() {
    // It goes round in circles, until it does not.
    let circle = format!("{START}{PANICKED}{FIRMWARE}{START}{PANICKED}{FIRMWARE}");
    assert_eq!(kind(&circle), Some(Kind::InitDied));
    assert_eq!(kind(&format!("{circle}{START}[    1.0] x\n")), Some(Kind::InitDied));
    assert_eq!(kind(&format!("{circle}{START}guest login: ")), Some(Kind::LoginPrompt));
    assert_eq!(
        kind(&format!("{START}You are in emergency mode\n{FIRMWARE}{START}guest login: ")),
        Some(Kind::LoginPrompt)
    );
    assert_eq!(kind(&format!("{START}guest login: \n{FIRMWARE}{START}[    1.0] x")), None);
    assert_eq!(kind(&format!("{START}guest login: \n{FIRMWARE}")), Some(Kind::KernelSilent));
    // The firmware's failed attempts before the one that worked.
    let refused = "BdsDxe: failed to load Boot0001 \"UEFI Misc Device\" from PciRoot(0x0): Access Denied\n";
    assert_eq!(kind(&format!("{refused}{START}guest login: ")), Some(Kind::LoginPrompt));
    assert_eq!(kind(&format!("{START}guest login: \n{refused}")), Some(Kind::SecureBoot));
}

#[test]
fn a_guest_that_went_on_did_not_wait() {
    let waits = "[*  ] Job networking.service/start running (33s / 5min 10s)\n";
    assert_eq!(kind(&format!("{START}{waits}")), Some(Kind::Network));
    assert_eq!(kind(&format!("{START}{waits}[  OK  ] x\n[  OK  ] y\n[  OK  ] z\n")), None);
    assert_eq!(kind(&format!("{START}sshd[1]: Failed login: x\n")), None);
}

#[test]
fn a_phrase_fits_in_order() {
    assert!(has("BTRFS error: forced readonly", "BTRFS*forced readonly"));
    assert!(!has("forced readonly BTRFS", "BTRFS*forced readonly"));
    assert!(has("x", "") && !has("", "x"));
}

#[test]
fn what_is_shown_is_short_and_without_the_time() {
    assert_eq!(shown("[    2.271505] Kernel panic "), "Kernel panic");
    assert_eq!(shown("[FAILED] Failed to mount x"), "[FAILED] Failed to mount x");
    assert_eq!(shown(&"é".repeat(1000)).chars().count(), SHOWN + 1);
}

proptest! {
    #[test]
    fn anything_is_read(bytes in proptest::collection::vec(any::<u8>(), 0..500), words in "(Kernel panic - not syncing|grub rescue>|\
                        \\[    0.000000\\] Linux version |BdsDxe: |login:|\x1b\\[|\n|\r|é| |;|H){0,40}") {
        for console in [&bytes[..], words.as_bytes()] {
            if let Some(found) = diagnose(console) {
                prop_assert!(found.said.chars().count() <= SHOWN + 1 && !found.said.contains('\u{1b}'), "{found:?}");
            }
        }
    }
}
