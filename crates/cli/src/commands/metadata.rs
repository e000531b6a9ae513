//! The hidden command that tells a guest about itself: QEMU starts it for each connection to the metadata address.

use kiln_builder::{METADATA, serve_metadata};
use std::{io, os::fd::AsFd, path::PathBuf, process::ExitCode};

/// Answers a guest if that was asked for, before anything else of the command is set up. Nobody reads what it says.
pub(crate) fn if_asked() -> Option<ExitCode> {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_none_or(|first| first != METADATA) {
        return None;
    }
    let folder = PathBuf::from(args.next()?);
    let connection = io::stdin().as_fd().try_clone_to_owned();
    let served = connection.map(|connection| serve_metadata(&folder, connection));
    Some(if matches!(served, Ok(Ok(()))) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
