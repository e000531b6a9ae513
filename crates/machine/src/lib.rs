//! Machines: QEMU, the appliance that the agent runs in, and steps over it.
//!
//! **Invariant:** a machine listens on no address but loopback; its connections are socket pairs that QEMU inherits. Whatever kills
//! `kiln`, its QEMU dies too.

mod accelerator;
pub mod appliance;
mod command;
pub mod communicator;
pub mod config;
mod console;
mod death;
pub mod diagnosis;
mod error;
mod firmware;
pub mod http_server;
pub mod keyboard;
mod launch;
pub mod medium;
mod overlays;
pub mod provisioner;
mod qemu;
mod qmp;
mod running;
pub mod seed;
mod supervisor;
mod tpm;
mod warm;
mod watch;

pub use accelerator::{Choice, KvmFacts, KvmProbe, KvmVerdict, Wanted, choose};
pub use console::tail;
pub use death::{Cause, Death};
pub use diagnosis::{Diagnosis, diagnose};
pub use error::Error;
pub use firmware::{UefiFirmware, uefi_firmware};
pub use launch::start;
pub use qemu::Qemu;
pub use qmp::Qmp;
pub use running::{Rung, Running};
pub use supervisor::{Supervisor, supervise_main};
pub use warm::{Appliance, Start, start_appliance};
