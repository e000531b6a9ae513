//! Saving a machine to a file and taking it in again: QEMU's migration, to and from a file.
//!
//! With `mapped-ram` every page has its place in the file, those that hold nothing but zeros take none, and memory that was
//! written often is written once (QEMU 9.0).

use super::states::{Staged, States};
use crate::{Error, Qmp};
use serde_json::{Value, json};
use std::{
    path::Path,
    time::{Duration, Instant},
};

/// QEMU's own limit is 128 MiB a second, meant for networks.
const NO_LIMIT: u64 = 1 << 40;

/// A gigabyte takes less than a second; a slow disk takes longer.
const WITHIN: Duration = Duration::from_secs(60);

const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Saves a machine, which stands still afterwards: see [`go_on`].
pub(super) async fn save(qmp: &Qmp, states: &States) -> Result<Staged, Error> {
    let staged = states.stage()?;
    prepare(qmp).await?;
    qmp.execute("stop", json!({})).await?;
    qmp.execute("migrate", json!({"channels": [channel(&staged.memory())]})).await?;
    completed(qmp, "migrate").await?;
    Ok(staged)
}

/// Lets a machine that stands still go on.
pub(super) async fn go_on(qmp: &Qmp) -> Result<(), Error> {
    qmp.execute("cont", json!({})).await.map(drop)
}

/// Takes in what was saved, and lets it go on.
pub(super) async fn restore(qmp: &Qmp, memory: &Path) -> Result<(), Error> {
    prepare(qmp).await?;
    qmp.execute("migrate-incoming", json!({"channels": [channel(memory)]})).await?;
    completed(qmp, "migrate-incoming").await?;
    go_on(qmp).await
}

async fn prepare(qmp: &Qmp) -> Result<(), Error> {
    let capabilities = json!({"capabilities": [{"capability": "mapped-ram", "state": true}]});
    qmp.execute("migrate-set-capabilities", capabilities).await?;
    qmp.execute("migrate-set-parameters", json!({"max-bandwidth": NO_LIMIT})).await?;
    Ok(())
}

/// By its parts: in a URI a comma would end the file's name.
fn channel(memory: &Path) -> Value {
    json!({"channel-type": "main", "addr": {"transport": "file", "filename": memory, "offset": 0}})
}

async fn completed(qmp: &Qmp, command: &str) -> Result<(), Error> {
    let started = Instant::now();
    loop {
        let told = qmp.execute("query-migrate", json!({})).await?;
        match told.get("status").and_then(Value::as_str).unwrap_or_default() {
            "completed" => return Ok(()),
            status @ ("failed" | "cancelled") => {
                let why = told.get("error-desc").and_then(Value::as_str).unwrap_or(status).to_owned();
                return Err(Error::Qmp { command: command.to_owned(), why });
            }
            _ if started.elapsed() > WITHIN => {
                return Err(Error::QmpSilent { command: command.to_owned(), waited: WITHIN });
            }
            _ => tokio::time::sleep(LOOK_EVERY).await,
        }
    }
}
