//! Machines: QEMU, the appliance that the agent runs in, and steps over it.

pub mod appliance;
pub mod communicator;
pub mod provisioner;
