//! Where the root lies: a GPT or MBR partition, the whole disk; with a kernel of its own or without.

use crate::{cache, world};
use anyhow::{Context, Result};
use kiln_testkit::{Kiln, Run, Variant, tiny_base_variant, tiny_template, tool};

/// The first line goes into the template's last table, `[machine]`.
const STEP: &str = r#"network = "none"

[[provisioner]]
type = "shell"
inline = ["uname -r > /kernel", "test -e /etc/os-release"]

[[export]]
format = "raw"
path = "dist/out.raw"
"#;

fn build(kiln: &Kiln, variant: Variant) -> Result<Run> {
    let base = tiny_base_variant(&cache()?, variant)?;
    let folder = kiln.world.template("tiny", &tiny_template(&base, STEP))?;
    kiln.run(&["build", folder.to_str().context("a path")?])
}

/// Reads a file of the export's root, which starts at this byte.
fn read(kiln: &Kiln, path: &str, offset: u64) -> Result<String> {
    let raw = kiln.world.path().join("templates/tiny/dist/out.raw");
    tool("debugfs", &["-R", &format!("cat {path}"), &format!("{}?offset={offset}", raw.display())])
}

#[test]
fn on_an_mbr_partition() -> Result<()> {
    let kiln = world()?;
    let run = build(&kiln, Variant::Mbr)?;
    assert_eq!(run.code, Some(0), "{run:?}");
    let raw = kiln.world.path().join("templates/tiny/dist/out.raw");
    let layout = tool("sfdisk", &["--json", raw.to_str().context("a path")?])?;
    let layout: serde_json::Value = serde_json::from_str(&layout)?;
    assert_eq!(layout["partitiontable"]["label"], "dos");
    let start = layout["partitiontable"]["partitions"][0]["start"].as_u64().context("a start")?;
    assert!(read(&kiln, "/kernel", start * 512)?.contains("amd64"));
    Ok(())
}

#[test]
fn on_the_whole_disk() -> Result<()> {
    let kiln = world()?;
    let run = build(&kiln, Variant::WholeDisk)?;
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stderr.contains("the image's own"), "{}", run.stderr);
    assert!(read(&kiln, "/kernel", 0)?.contains("amd64"));
    Ok(())
}

#[test]
fn without_a_kernel_the_fallback_is_asked_for_and_then_used() -> Result<()> {
    let kiln = world()?;
    let run = build(&kiln, Variant::WholeDiskNoKernel)?;
    assert_eq!(run.code, Some(3), "{run:?}");
    assert!(run.stderr.ends_with("hint: kiln doctor --fix\n"), "{}", run.stderr);
    let doctor = kiln.run(&["doctor", "--fix"])?;
    assert_eq!(doctor.code, Some(0), "{doctor:?}");
    let run = build(&kiln, Variant::WholeDiskNoKernel)?;
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stderr.contains("the fallback"), "{}", run.stderr);
    assert!(read(&kiln, "/kernel", 0)?.contains("amd64"));
    with_a_kernel_of_the_templates(&kiln)
}

/// The same kernel, named by its file; its modules are found by its version.
fn with_a_kernel_of_the_templates(kiln: &Kiln) -> Result<()> {
    let kernels = kiln.world.home().join("cache/kernels");
    let folder = fs_err::read_dir(&kernels)?.next().context("a kernel")??.path();
    let version = folder.file_name().context("a version")?.to_string_lossy().into_owned();
    let base = tiny_base_variant(&cache()?, Variant::WholeDiskNoKernel)?;
    let kernel = format!("kernel = \"{}/boot/vmlinuz-{version}\"\n{STEP}", folder.display());
    let template = kiln.world.template("named", &tiny_template(&base, &kernel))?;
    let run = kiln.run(&["build", template.to_str().context("a path")?, "--new"])?;
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stderr.contains("(the template's)"), "{}", run.stderr);
    Ok(())
}

/// The partition, its file system and the backup of the partition table at the end of the disk grow.
#[test]
fn a_base_that_grows() -> Result<()> {
    let kiln = world()?;
    let base = tiny_base_variant(&cache()?, Variant::Gpt)?;
    let template = tiny_template(&base, STEP).replace("[machine]", "disk_size = \"1GiB\"\n\n[machine]");
    let folder = kiln.world.template("tiny", &template)?;
    let run = kiln.run(&["build", folder.to_str().context("a path")?])?;
    assert_eq!(run.code, Some(0), "{run:?}");
    let raw = folder.join("dist/out.raw");
    assert_eq!(fs_err::metadata(&raw)?.len(), 1 << 30);
    let path = raw.to_str().context("a path")?;
    let verified = tool("sfdisk", &["--verify", path])?;
    assert!(verified.contains("No errors detected"), "{verified}");
    let layout: serde_json::Value = serde_json::from_str(&tool("sfdisk", &["--json", path])?)?;
    let root =
        layout["partitiontable"]["partitions"].as_array().and_then(|all| all.last()).context("a root")?;
    let sectors = |key: &str| root[key].as_u64().context("a number");
    let (start, size) = (sectors("start")?, sectors("size")?);
    assert!((start + size) * 512 > (1 << 30) - (2 << 20), "{root}");
    let disk = format!("{path}?offset={}", start * 512);
    tool("e2fsck", &["-f", "-n", &disk])?;
    let stats = tool("debugfs", &["-R", "stats -h", &disk])?;
    let blocks = stats.lines().find_map(|line| line.strip_prefix("Block count:")).context("a count")?;
    let blocks: u64 = blocks.trim().parse()?;
    assert!(blocks * 4096 > size * 512 - (1 << 20), "{blocks} blocks");
    assert!(read(&kiln, "/kernel", start * 512)?.contains("amd64"));
    Ok(())
}

#[test]
fn on_btrfs_and_on_xfs() -> Result<()> {
    let kiln = world()?;
    assert_eq!(kiln.run(&["doctor", "--fix"])?.code, Some(0));
    let checks: [(_, _, &str, &[&str]); 2] = [
        (Variant::Btrfs, "btrfs", "btrfs", &["check", "--readonly"]),
        (Variant::Xfs, "xfs", "xfs_repair", &["-n", "-f"]),
    ];
    for (variant, kind, checker, words) in checks {
        let base = tiny_base_variant(&cache()?, variant)?;
        let steps = STEP
            .replace("uname -r > /kernel", "grep ' / ' /proc/mounts > /mounted && uname -r >> /mounted")
            + "[[provisioner]]\ntype = \"download\"\nsource = \"/mounted\"\ndestination = \"fetched/\"\n";
        let folder = kiln.world.template(kind, &tiny_template(&base, &steps))?;
        let run = kiln.run(&["build", folder.to_str().context("a path")?, "--new"])?;
        assert_eq!(run.code, Some(0), "{run:?}");
        let mounted = fs_err::read_to_string(folder.join("fetched/mounted"))?;
        assert!(mounted.contains(&format!(" / {kind} ")) && mounted.contains("cloud-amd64"), "{mounted}");
        let raw = folder.join("dist/out.raw");
        tool(checker, &[words, &[raw.to_str().context("a path")?]].concat())?;
    }
    Ok(())
}
