//! The archive, read by another program.

use super::*;
use std::{io::Write, os::unix::fs::PermissionsExt, process::Command};

fn sample() -> Vec<u8> {
    let modules =
        [ModuleFile { name: "virtio", bytes: b"one" }, ModuleFile { name: "virtio_pci", bytes: &[7; 4097] }];
    initramfs(b"agent!", &modules).expect("small")
}

/// Any change here makes other initramfs files of the same agent and modules.
#[test]
fn entries_are_aligned_and_pinned() {
    let bytes = sample();
    assert_eq!(
        &bytes[..114],
        b"070701000000000000\
        41ed000000000000000000000002000000000000000000000000000000000000000000000000\
        0000000400000000dev\0"
            .as_slice()
    );
    assert_eq!(bytes.len() % 4, 0);
    let tail = &bytes[bytes.len() - 124..];
    assert!(tail.starts_with(b"07070100000000"), "{tail:?}");
    assert!(tail.ends_with(b"TRAILER!!!\0\0\0\0"), "{tail:?}");
}

#[test]
fn the_agent_is_static_and_small() {
    let agent = agent_program().expect("built with the agent");
    assert!(agent.starts_with(b"\x7fELF"));
    assert!(agent.len() < 2 << 20, "{} bytes", agent.len());
    // PT_INTERP would name a loader that no initramfs has.
    assert!(!agent.windows(11).any(|window| window == b"/ld-linux-x"), "dynamically linked");
}

/// An outside tool sees what was meant.
#[test]
fn cpio_reads_it() {
    let folder = tempfile::tempdir().unwrap();
    let cpio = Command::new("cpio")
        .args(["--extract", "--make-directories", "--quiet", "--no-preserve-owner", "init", "modules/*"])
        .current_dir(folder.path())
        .stdin(std::process::Stdio::piped())
        .spawn();
    let mut cpio = cpio.expect("cpio is installed: cargo xtask setup");
    cpio.stdin.take().unwrap().write_all(&sample()).unwrap();
    assert!(cpio.wait().unwrap().success());
    assert_eq!(fs_err::read(folder.path().join("init")).unwrap(), b"agent!");
    assert_eq!(fs_err::read(folder.path().join("modules/01-virtio_pci.ko")).unwrap(), vec![7; 4097]);
    assert!(fs_err::metadata(folder.path().join("init")).unwrap().permissions().mode() & 0o111 != 0);
}
