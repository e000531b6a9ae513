//! `quickstart`: from a fresh machine to an image.

use crate::{
    run::{Phases, cargo, root, succeed},
    setup::{self, For},
};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::process::{Command, Stdio};

/// The template that is built.
const TEMPLATE: &str = "templates/debian-web";

/// Installs, builds Kiln, builds the template. A second run finds everything there.
pub(crate) fn run() -> Result<()> {
    let mut phases = Phases::default();
    phases.part("packages", || setup::run(For::Running))?;
    phases.part("cargo build --release", || {
        succeed(&mut cargo(&["build", "--release", "--package", "kiln-cli"]))
    })?;
    let document = phases.part("kiln build templates/debian-web", build)?;
    phases.print();
    print_next(&document["Builds"][0])
}

fn build() -> Result<Value> {
    let mut kiln = Command::new(root().join("target/release/kiln"));
    kiln.args(["build", TEMPLATE, "--json"])
        .current_dir(root())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    let output = kiln.output().context("target/release/kiln cannot be run")?;
    ensure!(output.status.success(), "kiln build: {}", output.status);
    serde_json::from_slice(&output.stdout).context("kiln build --json printed no JSON")
}

fn print_next(build: &Value) -> Result<()> {
    let text = |value: &Value| value.as_str().map(str::to_owned).context("a field of the build is not there");
    let (image, name) = (text(&build["ImageId"])?, text(&build["Name"])?);
    let disk = text(&build["Exports"][0]["Path"])?;
    let what = if build["Unchanged"] == true { "nothing has changed since" } else { "built" };
    println!("\nimage  {image}  {name}  ({what})\nqcow2  {disk}\n\ntry next:");
    println!("  target/release/kiln image list");
    println!("  target/release/kiln image show {image}");
    println!(
        "  qemu-system-x86_64 -m 1024 -nographic -snapshot -drive file={disk},format=qcow2,if=virtio \\\n    \
         -nic user,model=virtio,hostfwd=tcp:127.0.0.1:8080-:80   # then open http://127.0.0.1:8080"
    );
    Ok(())
}
