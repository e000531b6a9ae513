//! Base disks in every format, through the gate and back out as the same bytes; and one that names another file.

use crate::{tiny, world};
use anyhow::{Context, Result};
use kiln_testkit::{Kiln, Run, tool};
use sha2::{Digest, Sha256};
use std::path::Path;

fn build(kiln: &Kiln, disk: &Path) -> Result<Run> {
    let digest = Sha256::digest(fs_err::read(disk)?);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let toml = format!(
        "[template]\nname = \"disk\"\n[source]\ntype = \"disk\"\npath = \"{}\"\nchecksum = \"sha256:{hex}\"\n\
         [image]\nname = \"disk-{}\"\n[[export]]\nformat = \"raw\"\npath = \"dist/out.raw\"\n",
        disk.display(),
        &hex[..8],
    );
    let folder = kiln.world.template("disk", &toml)?;
    kiln.run(&["build", folder.to_str().context("a path")?])
}

#[test]
fn a_base_of_every_format_is_read_as_qemu_reads_it() -> Result<()> {
    let base = tiny()?.disk;
    let base = base.to_str().context("a path")?;
    for (format, options) in [
        ("qcow2", "compression_type=zstd"),
        ("vmdk", "subformat=streamOptimized"),
        ("vpc", "force_size=on"),
        ("vhdx", "subformat=dynamic"),
    ] {
        let kiln = world()?;
        let disk = kiln.world.path().join(format!("base.{format}"));
        let target = disk.to_str().context("a path")?;
        tool("qemu-img", &["convert", "-f", "raw", "-O", format, "-o", options, base, target])?;
        let run = build(&kiln, &disk)?;
        assert_eq!(run.code, Some(0), "{format}: {run:?}");
        let out = kiln.world.path().join("templates/disk/dist/out.raw");
        tool("qemu-img", &["compare", "-f", "raw", "-F", "raw", base, out.to_str().context("a path")?])?;
    }
    Ok(())
}

#[test]
fn an_image_that_names_another_file_is_refused() -> Result<()> {
    let kiln = world()?;
    let disk = kiln.world.path().join("overlay.qcow2");
    let target = disk.to_str().context("a path")?;
    tool("qemu-img", &["create", "-q", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", target, "1M"])?;
    let run = build(&kiln, &disk)?;
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("backing file"), "{}", run.stderr);
    let disk = kiln.world.file(
        "passwd.vmdk",
        "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n\
         RW 16 FLAT \"/etc/passwd\" 0\n",
    )?;
    let run = build(&kiln, &disk)?;
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("names"), "{}", run.stderr);
    assert!(!kiln.world.path().join("templates/disk/dist/out.raw").exists());
    Ok(())
}
