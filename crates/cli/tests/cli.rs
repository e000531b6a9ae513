//! The command without a machine: help, mistakes, failures before anything starts. Standard output, standard error
//! and exit code together.

use anyhow::{Context, Result};
use kiln_testkit::{Kiln, Run, tool};

fn world() -> Result<Kiln> {
    Kiln::new(env!("CARGO_BIN_EXE_kiln"))
}

fn shown(kiln: &Kiln, run: &Run) -> String {
    let text = format!("exit {:?}\n--- stdout\n{}--- stderr\n{}", run.code, run.stdout, run.stderr);
    text.replace(&*kiln.world.path().to_string_lossy(), "WORLD")
}

#[test]
fn help() -> Result<()> {
    let kiln = world()?;
    for args in [
        &["--help"][..],
        &["build", "--help"],
        &["plan", "--help"],
        &["test", "--help"],
        &["lifecycle", "apply", "--help"],
        &["validate", "--help"],
        &["image", "--help"],
        &["image", "list", "--help"],
        &["image", "show", "--help"],
        &["image", "diff", "--help"],
        &["image", "import", "--help"],
        &["image", "copy", "--help"],
        &["snapshot", "--help"],
        &["snapshot", "create", "--help"],
        &["snapshot", "list", "--help"],
        &["snapshot", "show", "--help"],
        &["snapshot", "share", "--help"],
        &["region", "add", "--help"],
        &["launch", "--help"],
        &["instance", "--help"],
        &["gc", "--help"],
        &["fsck", "--help"],
        &["export", "--help"],
        &["bundle", "--help"],
        &["bundle", "create", "--help"],
        &["bundle", "extract", "--help"],
        &["bundle", "migrate", "--help"],
        &["bundle", "upload", "--help"],
        &["doctor", "--help"],
    ] {
        let run = kiln.run(args)?;
        assert_eq!(run.code, Some(0), "{args:?}");
        insta::assert_snapshot!(args.join(" ").replace("--", ""), run.stdout);
    }
    Ok(())
}

#[test]
fn usage_is_exit_2() -> Result<()> {
    let kiln = world()?;
    for args in
        [&["biuld"][..], &["build"], &["snapshot", "show", "snap-1"], &["build", "x", "--var", "novalue"]]
    {
        assert_eq!(kiln.run(args)?.code, Some(2), "{args:?}");
    }
    Ok(())
}

#[test]
fn no_template() -> Result<()> {
    let kiln = world()?;
    let run = kiln.run(&["build", "no/such/template"])?;
    insta::assert_snapshot!(shown(&kiln, &run));
    Ok(())
}

#[test]
fn five_mistakes_at_once() -> Result<()> {
    let kiln = world()?;
    let folder = kiln.world.template(
        "wrong",
        r#"[template]
name = "Wrong Name"

[source]
type = "bootstrap"
suite = "${var.relaese}"
disk_sise = "4GiB"

[variables]
release = { default = "bookworm" }

[machine]
memory = "1GB"

[[provisioner]]
type = "shel"
inline = ["true"]
"#,
    )?;
    let mut run = kiln.run(&["validate", folder.to_str().context("a path")?])?;
    assert_eq!(run.code, Some(2));
    assert_eq!(run.stderr.matches("error").count(), 5, "{}", run.stderr);
    run.stderr = run.stderr.replace('\\', "/");
    insta::assert_snapshot!(shown(&kiln, &run));
    Ok(())
}

#[test]
fn a_wrong_checksum() -> Result<()> {
    let kiln = world()?;
    kiln.world.file("templates/disk/base.raw", vec![1; 1 << 20])?;
    let run = build_disk(&kiln, "base.raw")?;
    let text = shown(&kiln, &run);
    // How long it took is another time each time.
    let lines: Vec<_> = text.lines().filter(|line| !line.contains("failed in ")).collect();
    insta::assert_snapshot!(lines.join("\n"));
    Ok(())
}

#[test]
fn a_missing_base() -> Result<()> {
    let kiln = world()?;
    let run = build_disk(&kiln, "gone.qcow2")?;
    insta::assert_snapshot!(shown(&kiln, &run));
    Ok(())
}

fn build_disk(kiln: &Kiln, path: &str) -> Result<Run> {
    let toml = format!(
        "[template]\nname = \"disk\"\n[source]\ntype = \"disk\"\npath = \"{path}\"\nchecksum = \"sha256:{}\"\n",
        "0".repeat(64)
    );
    let folder = kiln.world.template("disk", &toml)?;
    kiln.run(&["build", folder.to_str().context("a path")?])
}

#[test]
fn no_qemu_is_exit_3() -> Result<()> {
    let kiln = world()?;
    kiln.world.file("templates/disk/base.raw", vec![1; 1 << 20])?;
    let folder = kiln.world.path().join("templates/disk");
    kiln.world.file(
        "templates/disk/template.toml",
        format!(
            "[template]\nname = \"disk\"\n[source]\ntype = \"disk\"\npath = \"base.raw\"\nchecksum = \"sha256:{}\"\n",
            "0".repeat(64)
        ),
    )?;
    let empty = kiln.world.path().join("no-programs");
    fs_err::create_dir(&empty)?;
    let output = kiln.command(&["build", folder.to_str().context("a path")?]).env("PATH", &empty).output()?;
    let run = Run::from(output);
    insta::assert_snapshot!(shown(&kiln, &run));
    Ok(())
}

#[test]
fn empty_lists() -> Result<()> {
    let kiln = world()?;
    assert_eq!(kiln.json(&["image", "list", "--json"])?, serde_json::json!({"Images": []}));
    assert_eq!(kiln.json(&["snapshot", "list", "--json"])?, serde_json::json!({"Snapshots": []}));
    let run = kiln.run(&["image", "show", "ami-00000000000000000"])?;
    assert_eq!(run.code, Some(1));
    insta::assert_snapshot!(shown(&kiln, &run));
    Ok(())
}

/// Runs a command that must succeed, and returns what it printed.
fn done(kiln: &Kiln, args: &[&str]) -> Result<String> {
    let run = kiln.run(args)?;
    anyhow::ensure!(run.code == Some(0), "{args:?}: {run:?}");
    Ok(run.stdout)
}

#[test]
fn a_disk_goes_in_and_comes_out() -> Result<()> {
    let kiln = world()?;
    let disk = kiln.world.file("disk.raw", "a disk with text in it\n".repeat(100_000))?;
    let disk = disk.to_str().context("a path")?;
    let path = |name: &str| kiln.world.path().join(name).display().to_string();
    tool("qemu-img", &["convert", "-f", "raw", "-O", "vmdk", disk, &path("disk.vmdk")])?;
    for (name, file) in [("from-raw", disk.to_owned()), ("from-vmdk", path("disk.vmdk"))] {
        let said =
            done(&kiln, &["image", "import", &file, "--name", name, "--architecture", "arm64", "--uefi"])?;
        assert!(said.starts_with("ami-") && said.ends_with(&format!("  {name}\n")), "{said}");
        let out = path("out.qcow2");
        done(&kiln, &["export", name, "-o", &out, "--compression", "zlib"])?;
        tool("qemu-img", &["compare", "-f", "qcow2", "-F", "raw", &out, disk])?;
    }
    let shown = done(&kiln, &["image", "show", "from-raw", "--json"])?;
    assert!(
        shown.contains("\"Architecture\": \"arm64\"") && shown.contains("\"BootMode\": \"uefi\""),
        "{shown}"
    );
    // The stream is the disk and nothing else; its events are elsewhere.
    assert_eq!(done(&kiln, &["export", "from-raw", "-o", "-"])?, fs_err::read_to_string(disk)?);
    // What cannot be: a name twice, an overlay, options that belong to another format.
    for (args, code, says) in [
        (vec!["image", "import", disk, "--name", "from-raw"], 1, "from-raw"),
        (vec!["image", "import", "/dev/null", "--name", "nothing"], 1, "regular file"),
        (vec!["export", "from-raw", "-o", "-", "--format", "vhd"], 2, "raw disk"),
        (vec!["export", "from-raw", "-o", "x.vhd", "--compression", "zlib"], 2, "compression"),
        (vec!["export", "from-raw", "-o", "x.qcow2", "--incremental", "p.qcow2"], 1, "no parent"),
    ] {
        let run = kiln.run(&args)?;
        assert_eq!(run.code, Some(code), "{args:?}: {run:?}");
        assert!(run.stderr.contains(says), "{args:?}: {run:?}");
    }
    Ok(())
}
