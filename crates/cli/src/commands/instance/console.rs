//! `kiln instance console`: what a guest said, and goes on to say.

use crate::{exit, failure::Failure, output};
use kiln_builder::{Kiln, StateName};
use kiln_types::InstanceId;
use std::{io::Read, time::Duration};

const PAUSE: Duration = Duration::from_millis(200);

/// Prints the console; with `follow` until the instance ends.
pub(super) async fn show(kiln: &Kiln, id: InstanceId, follow: bool) -> Result<String, Failure> {
    let failed = |error: std::io::Error| Failure::from_error(&error, None, exit::FAILED);
    let mut console = fs_err::File::open(kiln.instance_files(id).console()).map_err(failed)?;
    loop {
        // What it says in its last moment is read once more.
        let state = kiln.instance(&id.to_string())?.state.name;
        let ended = !matches!(state, StateName::Running | StateName::Stopping | StateName::Pending);
        let mut said = Vec::new();
        console.read_to_end(&mut said).map_err(failed)?;
        output::print(&String::from_utf8_lossy(&said));
        if !follow || ended {
            return Ok(String::new());
        }
        tokio::time::sleep(PAUSE).await;
    }
}
