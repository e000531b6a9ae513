//! Exit codes. Scripts depend on them: they stand in the README.

/// Everything asked for was done.
pub(crate) const DONE: u8 = 0;
/// Something failed: a step, a machine, a download, a file.
pub(crate) const FAILED: u8 = 1;
/// The command line or the template is not valid; nothing was started.
pub(crate) const USAGE: u8 = 2;
/// This host lacks what the command needs; `kiln doctor` says what.
pub(crate) const HOST: u8 = 3;
/// Interrupted with Ctrl-C or a termination signal.
pub(crate) const INTERRUPTED: u8 = 130;
