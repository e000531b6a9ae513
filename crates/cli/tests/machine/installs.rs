//! An installation from a CD: its prompts are answered by the keyboard, its answers fetched over HTTP; the build goes on
//! from the disk, and the next one finds the installation done.

use crate::{cache, world};
use anyhow::{Context, Result, ensure};
use kiln_testkit::{INSTALLED, PARTITION, QUESTION, installer, tool};

#[test]
fn an_installed_disk_is_built_on() -> Result<()> {
    let kiln = world()?;
    let cd = installer(&cache()?)?;
    let folder = kiln.world.template("installed", &template(&cd.iso.display().to_string(), &cd.sha256))?;
    let folder = folder.to_str().context("a path")?;
    // What it installs has no kernel.
    let doctor = kiln.run(&["doctor", "--fix"])?;
    ensure!(doctor.code == Some(0), "{doctor:?}");
    let run = kiln.run(&["build", folder])?;
    ensure!(run.code == Some(0), "{run:?}");
    ensure!(run.stderr.contains("the guest fetched: GET /answers"), "{}", run.stderr);
    let raw = kiln.world.path().join("templates/installed/dist/out.raw");
    let disk = format!("{}?offset={PARTITION}", raw.display());
    let read = |path: &str| {
        let shown = tool("debugfs", &["-R", &format!("cat {path}"), &disk])?;
        // It names itself, too.
        anyhow::Ok(shown.lines().filter(|line| !line.starts_with("debugfs ")).collect::<String>())
    };
    assert_eq!(read("/etc/name")?, "golden");
    assert_eq!(read("/etc/answers")?, "role = web");
    assert_eq!(read("/built-on")?, "golden");

    let again = kiln.run(&["build", folder, "--new"])?;
    ensure!(again.code == Some(0), "{again:?}");
    ensure!(!again.stderr.contains("the guest fetched"), "installed twice: {}", again.stderr);
    ensure!(again.stderr.contains("restored from a booted one"), "{}", again.stderr);
    Ok(())
}

fn template(iso: &str, sha256: &str) -> String {
    format!(
        r#"
[template]
name = "installed"

[source]
type = "iso"
path = "{iso}"
checksum = "sha256:{sha256}"
disk_size = "128MiB"
boot_command = [
    "<waitFor 'boot:'>install url=http://${{http.address}}/answers<enter>",
    "<waitFor '{QUESTION}'>golden<enter>",
    "<waitFor '{INSTALLED}'>",
]
http_content = {{ "/answers" = "role = web\n" }}

[machine]
cpus = 1
memory = "512MiB"

[[provisioner]]
type = "shell"
inline = ["cp /etc/name /built-on"]

[[export]]
format = "raw"
path = "dist/out.raw"
"#
    )
}
