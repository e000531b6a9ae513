//! The hidden command that keeps a machine from outliving `kiln`; see `kiln_machine`'s supervisor.

use kiln_builder::Supervisor;
use std::{ffi::OsString, path::PathBuf, process::ExitCode};

/// What `kiln` calls itself with. No command of that name is shown to people.
const NAME: &str = "__supervise";

/// Returns how this program is started as a supervisor.
pub(crate) fn command(program: PathBuf) -> Supervisor {
    Supervisor { program, args: vec![OsString::from(NAME)] }
}

/// Acts as a supervisor if that was asked for, before anything else of the command is set up.
pub(crate) fn if_asked() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_none_or(|first| first != NAME) {
        return None;
    }
    Some(kiln_builder::supervise_main(args))
}
