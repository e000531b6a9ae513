//! Packer with its QEMU builder: a copy of the same base, booted, the steps over SSH, shut down.

use super::{Bench, contender::Contender};
use crate::run::{output, program};
use anyhow::Result;
use serde_json::{Value, json};
use std::process::Command;

/// Returns Packer with these provisioners, in a folder of its own, or why it takes no part.
pub(super) fn contender(
    bench: &Bench,
    folder: &str,
    provisioners: &Value,
) -> Result<Result<Contender, String>> {
    let Some(packer) = program("packer") else {
        return Ok(Err("it is not installed (Debian's package packer)".to_owned()));
    };
    let version = output("packer", &["version"]).unwrap_or_default();
    let version = version.lines().next().unwrap_or_default().trim_start_matches("Packer v").to_owned();
    let folder = bench.path(folder);
    fs_err::create_dir_all(&folder)?;
    let file = folder.join("template.json");
    fs_err::write(&file, serde_json::to_vec_pretty(&template(bench, provisioners))?)?;
    let prepare = move |_| {
        if folder.join("output").exists() {
            fs_err::remove_dir_all(folder.join("output"))?;
        }
        let mut command = Command::new(&packer);
        command.args(["build", "-color=false"]).arg(&file).current_dir(&folder);
        // It asks its maker for newer versions, and keeps things in the home folder.
        command.env("CHECKPOINT_DISABLE", "1").env("PACKER_CONFIG", folder.join("config"));
        command.env("PACKER_CONFIG_DIR", &folder).env("PACKER_CACHE_DIR", folder.join("cache"));
        Ok(command)
    };
    Ok(Ok(Contender { version, prepare: Box::new(prepare), check: |_| Ok(()) }))
}

/// The template. What Packer waits for without need is switched off: ten seconds before it types a boot command,
/// of which there is none, and compaction. It copies the base, since its overlays (`use_backing_file`) name no format
/// for their backing file, which QEMU refuses since 6.1.
fn template(bench: &Bench, provisioners: &Value) -> Value {
    let cpu = if bench.accelerator == "kvm" { "host" } else { "max" };
    json!({
        "builders": [{
            "type": "qemu",
            "accelerator": bench.accelerator,
            "machine_type": "q35",
            "cpus": bench.cpus,
            "memory": bench.memory_mib,
            "headless": true,
            "disable_vnc": true,
            "boot_wait": "-1s",
            "disk_image": true,
            "skip_compaction": true,
            "skip_resize_disk": true,
            "format": "qcow2",
            "disk_interface": "virtio",
            "net_device": "virtio-net",
            "iso_url": bench.base(),
            "iso_checksum": "none",
            "output_directory": "output",
            "vm_name": "disk.qcow2",
            "ssh_username": "root",
            "ssh_private_key_file": bench.key(),
            "ssh_timeout": "25m",
            "shutdown_command": "poweroff",
            "qemuargs": [["-cpu", cpu], ["-device", "virtio-rng-pci"], ["-serial", "file:console.log"]],
        }],
        "provisioners": provisioners,
    })
}
