//! The base: a Debian with sshd that a key opens, made once by Kiln and kept as an uncompressed qcow2 file.

use super::{Bench, kiln};
use crate::run::{shown, succeed};
use anyhow::{Context, Result};
use std::{path::Path, process::Command};

/// Bytes of the file that is uploaded.
const UPLOAD: usize = 1 << 20;

const TEMPLATE: &str = r#"[template]
name = "bench-base"

[source]
type = "bootstrap"
suite = "bookworm"
disk_size = "3GiB"
packages = ["openssh-server"]

# The base keeps the host keys that openssh-server made: nothing would make them anew.
[sysprep]
enabled = false

[[provisioner]]
type = "shell"
inline = ["install -d -m 0700 /root/.ssh"]

[[provisioner]]
type = "file"
source = "key.pub"
destination = "/root/.ssh/authorized_keys"
mode = "0600"

[[export]]
format = "qcow2"
path = "exported.qcow2"
"#;

/// Makes the base where it is not there yet.
pub(super) fn ensure(bench: &Bench, kiln: &Path) -> Result<()> {
    let (folder, base) = (bench.path("base"), bench.base());
    if base.exists() {
        eprintln!("== base: {} is there; remove it to make it anew", shown(&base));
        return Ok(());
    }
    eprintln!("== base: made by Kiln, once");
    if !bench.key().exists() {
        succeed(
            Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", "bench", "-f"])
                .arg(bench.key()),
        )
        .context("ssh-keygen (package openssh-client)")?;
    }
    // Bytes that do not compress, the same in every run.
    let mut state = 1u32;
    let bytes = std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    });
    fs_err::write(bench.upload(), bytes.take(UPLOAD).collect::<Vec<u8>>())?;
    fs_err::write(folder.join("template.toml"), TEMPLATE)?;
    let mut build = Command::new(kiln);
    build.arg("--home").arg(kiln::home(bench)).arg("build").arg(&folder);
    succeed(build.stdout(std::io::stderr()))?;
    // The peers read it slowly where it is compressed, and Kiln reads it but once.
    let (exported, whole) = (folder.join("exported.qcow2"), folder.join("base.new"));
    succeed(Command::new("qemu-img").args(["convert", "-O", "qcow2"]).arg(&exported).arg(&whole))?;
    fs_err::remove_file(&exported)?;
    fs_err::rename(&whole, &base)?;
    let sums =
        Command::new("sha256sum").arg("base.qcow2").current_dir(&folder).output().context("sha256sum")?;
    fs_err::write(folder.join("SHA256SUMS"), sums.stdout)?;
    Ok(())
}
