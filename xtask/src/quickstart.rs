//! `quickstart`: from a fresh machine to an image.

use crate::{
    run::{Phases, cargo, root, shown, succeed, target},
    setup::{self, For, HostNotAble},
};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{
    path::Path,
    process::{Command, Stdio},
};

/// The template that is built.
const TEMPLATE: &str = "templates/debian-web";

/// Installs, builds Kiln, builds the template. A second run finds everything there.
pub(crate) fn run(install: bool) -> Result<()> {
    let mut phases = Phases::default();
    if install {
        phases.part("packages", || setup::run(For::Running))?;
    }
    phases.part("cargo build --release", || {
        succeed(&mut cargo(&["build", "--release", "--locked", "--package", "kiln-cli"]))
    })?;
    let kiln = target()?.join("release/kiln");
    let document = phases.part("kiln build templates/debian-web", || build(&kiln))?;
    phases.print();
    print_next(&shown(&kiln), &document["Builds"][0])
}

fn build(kiln: &Path) -> Result<Value> {
    let mut command = Command::new(kiln);
    command.args(["build", TEMPLATE, "--json"]).current_dir(root());
    command.stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().with_context(|| format!("{} cannot be run", shown(kiln)))?;
    match output.status.code() {
        Some(0) => serde_json::from_slice(&output.stdout).context("kiln build --json printed no JSON"),
        Some(3) => Err(HostNotAble("kiln build: this host lacks something".to_owned()).into()),
        _ => bail!("kiln build: {}", output.status),
    }
}

fn print_next(kiln: &str, build: &Value) -> Result<()> {
    let text = |value: &Value, name: &str| {
        value.as_str().map(str::to_owned).with_context(|| format!("kiln build --json printed no {name}"))
    };
    let image = text(&build["ImageId"], "ImageId")?;
    let name = text(&build["Name"], "Name")?;
    let disk = text(&build["Exports"][0]["Path"], "path of an export")?;
    let disk = shown(Path::new(&disk));
    let what = if build["Unchanged"] == true { "nothing has changed since it was built" } else { "built" };
    println!("\nimage  {image}  {name}  ({what})\nqcow2  {disk}\n\ntry next:");
    println!("  {kiln} image list");
    println!("  {kiln} image show {image}");
    println!(
        "  qemu-system-x86_64 -m 1024 -nographic -snapshot -drive file={disk},format=qcow2,if=virtio \\\n    \
         -nic user,model=virtio,hostfwd=tcp:127.0.0.1:8080-:80   # then open http://127.0.0.1:8080; Ctrl-A X ends it"
    );
    Ok(())
}
