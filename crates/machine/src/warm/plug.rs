//! Disks that are plugged into a machine that runs.

use crate::{
    Error, Running,
    command::{self, disk_device, disk_node, disk_nodes},
    config::MachineConfig,
};
use serde_json::json;
use std::ffi::OsString;

/// Ports that every machine which can be saved has: one state serves machines of one disk and of several.
const PORTS: usize = 4;

/// More disks than this need as many places on the machine's first bus, where other devices are, too.
pub(super) const MOST_DISKS: usize = 16;

/// Returns QEMU's arguments of a machine that has no disk yet, and ports for them.
pub(crate) fn arguments(config: &MachineConfig) -> Vec<OsString> {
    let ports = config.disks.len().max(PORTS);
    let without = MachineConfig { disks: Vec::new(), ..config.clone() };
    let mut arguments = command::arguments(&without);
    for number in 0..ports {
        let port = format!("pcie-root-port,id={},chassis={}", port(number), number + 1);
        arguments.extend(["-device".into(), port.into()]);
    }
    arguments
}

fn port(number: usize) -> String {
    format!("port{number}")
}

/// Plugs all of a machine's disks in.
pub(super) async fn disks(running: &Running, config: &MachineConfig) -> Result<(), Error> {
    for (number, disk) in config.disks.iter().enumerate() {
        for node in disk_nodes(number, disk) {
            running.qmp().execute("blockdev-add", node).await?;
        }
        let mut device = disk_device(number, disk);
        device["id"] = json!(format!("{}-device", disk_node(number)));
        device["bus"] = json!(port(number));
        running.qmp().execute("device_add", device).await?;
    }
    Ok(())
}
