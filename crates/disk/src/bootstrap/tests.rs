//! What mmdebstrap is asked for.

use super::*;

fn bootstrap(architecture: Architecture) -> Bootstrap {
    Bootstrap {
        architecture,
        suite: "bookworm".to_owned(),
        mirror: Some("http://mirror.example/debian".to_owned()),
        components: vec!["main".to_owned(), "contrib".to_owned()],
        variant: "minbase".to_owned(),
        packages: vec!["vim-tiny".to_owned()],
        apt_keyring: None,
        disk_size: ByteSize::from_gib(2),
        cloud_init: false,
        hostname: "it's".to_owned(),
        snapshot: None,
        seed: Digest::from_bytes([7; 32]),
    }
}

#[test]
fn each_architecture_gets_its_kernel_and_its_boot_loader() -> Result<(), Error> {
    for (architecture, port, packages) in [
        (
            Architecture::X86_64,
            "amd64",
            "linux-image-cloud-amd64,grub-pc-bin,grub-efi-amd64-bin,grub2-common,",
        ),
        (Architecture::I386, "i386", "linux-image-686-pae,grub-pc-bin,grub-efi-ia32-bin,grub2-common,"),
        (Architecture::Arm64, "arm64", "linux-image-cloud-arm64,grub-efi-arm64-bin,grub2-common,"),
    ] {
        let arguments = arguments(&bootstrap(architecture))?;
        assert!(arguments.contains(&format!("--architectures={port}")), "{arguments:?}");
        let include = arguments.iter().find_map(|argument| argument.strip_prefix("--include="));
        let include = include.unwrap_or_default();
        assert!(include.starts_with(packages) && include.ends_with(",vim-tiny"), "{include}");
        assert!(arguments.contains(&"--components=main,contrib".to_owned()), "{arguments:?}");
        assert_eq!(arguments[arguments.len() - 3..], ["bookworm", "-", "http://mirror.example/debian"]);
    }
    Ok(())
}

#[test]
fn an_old_archive_is_taken_from_where_debian_keeps_it() -> Result<(), Error> {
    let snapshot = "2026-01-02T03:04:05Z".parse().ok();
    let arguments = arguments(&Bootstrap { mirror: None, snapshot, ..bootstrap(Architecture::X86_64) })?;
    assert_eq!(
        arguments.last().map(String::as_str),
        Some("https://snapshot.debian.org/archive/debian/20260102T030405Z/")
    );
    assert!(arguments.iter().any(|argument| argument.contains("Check-Valid-Until")), "{arguments:?}");
    Ok(())
}

#[test]
fn the_hook_knows_the_platforms() -> Result<(), Error> {
    let geometry = Geometry::new(2 << 30, LEAST_ROOT)?;
    let identity = hook::Identity::of(&Digest::from_bytes([7; 32]));
    let arm64 = hook::script(&bootstrap(Architecture::Arm64), &geometry, &identity);
    for line in
        ["host_name='it'\\''s'", "console='ttyAMA0,115200'", "bios=''", "efi='arm64-efi'", "grub_serial=''"]
    {
        assert!(arm64.lines().any(|have| have == line), "{line} in {arm64}");
    }
    let i386 = hook::script(&bootstrap(Architecture::I386), &geometry, &identity);
    for line in ["console='ttyS0,115200'", "bios='i386-pc'", "efi='i386-efi'", "grub_serial='yes'"] {
        assert!(i386.lines().any(|have| have == line), "{line} in {i386}");
    }
    Ok(())
}
