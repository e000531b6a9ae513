//! The agent's side: everything that happens in the guest.
//!
//! ```text
//! boot ── mounts, modules ── port opens ── Hello ── Mount ── SetUp ── (Exec | Upload | Download)* EndStep … ── Finish ── PowerOff
//!                                                                                                        └── Mount again
//! ```
//! Whatever fails is answered with words and leaves the agent obeying; what fails before there is a port, or breaks the
//! agent itself, goes to the console and switches the guest off, which the host sees at once.

mod accounts;
mod authorities;
pub mod boot;
mod chroot;
mod disks;
mod download;
mod exec;
mod failure;
mod grow;
mod kernel;
mod mounts;
mod network;
mod outbox;
mod output;
mod reaper;
mod selinux;
mod session;
mod sweep;
mod system;
mod terminal;
mod transients;
mod upload;

pub use session::{End, serve};
pub use system::System;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes a lock, also after a thread broke down while it held it: what these protect is valid at each step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
