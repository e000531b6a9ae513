//! What a bootstrap that cannot work says, and what it leaves behind.

use anyhow::Result;
use kiln_disk::{Bootstrap, Error, build};
use kiln_types::{Architecture, ByteSize, Digest};
use std::sync::atomic::AtomicBool;

fn bootstrap(disk_size: ByteSize) -> Bootstrap {
    Bootstrap {
        architecture: Architecture::X86_64,
        suite: "bookworm".to_owned(),
        // Nothing listens on this port.
        mirror: Some("http://127.0.0.1:1/debian".to_owned()),
        components: Vec::new(),
        variant: "minbase".to_owned(),
        packages: Vec::new(),
        apt_keyring: None,
        disk_size,
        cloud_init: false,
        hostname: "debian".to_owned(),
        snapshot: None,
        seed: Digest::from_bytes([7; 32]),
    }
}

#[test]
fn an_unreachable_mirror_is_told_by_apt() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (out, work) = (folder.path().join("out.raw"), folder.path().join("work"));
    fs_err::create_dir(&work)?;
    let mut lines = Vec::new();
    let mut on_line = |line: &str| lines.push(line.to_owned());
    let result = build(&bootstrap(ByteSize::from_gib(2)), &out, &work, &mut on_line, &AtomicBool::new(false));
    let Err(Error::Tool { program, last_lines, .. }) = &result else { anyhow::bail!("{result:?}") };
    assert_eq!(program, "mmdebstrap");
    assert!(last_lines.contains("127.0.0.1"), "{last_lines}");
    assert!(lines.iter().any(|line| line.contains("apt-get update")), "{lines:?}");
    assert!(!out.exists());
    Ok(())
}

#[test]
fn a_cancelled_bootstrap_ends_at_once() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (out, work) = (folder.path().join("out.raw"), folder.path().join("work"));
    fs_err::create_dir(&work)?;
    let result = build(&bootstrap(ByteSize::from_gib(2)), &out, &work, &mut |_| {}, &AtomicBool::new(true));
    assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
    assert!(!out.exists());
    Ok(())
}

#[test]
fn a_small_disk_is_refused_before_anything_runs() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let out = folder.path().join("out.raw");
    let result =
        build(&bootstrap(ByteSize::from_mib(512)), &out, folder.path(), &mut |_| {}, &AtomicBool::new(false));
    assert!(matches!(result, Err(Error::TooSmall { .. })), "{result:?}");
    assert_eq!(fs_err::read_dir(folder.path())?.count(), 0);
    Ok(())
}
