//! Steps that change the image, run over any communicator.
//!
//! A step does not end the guest's processes: call [`Session::end_step`](crate::communicator::Session::end_step) after each.

mod ansible;
mod download;
mod failure;
mod file;
mod lines;
mod reboot;
mod shell;

pub use ansible::{AnsibleHost, AnsibleStep};
pub use download::DownloadStep;
pub use failure::{Cause, StepError, StepFailed};
pub use file::{FileSource, FileStep};
pub use kiln_agent::Stream;
pub use reboot::RebootStep;
pub use shell::{ShellSource, ShellStep};
