//! Putting files and folders into the guest, over SFTP where the guest has a server for it.
//!
//! ```text
//! target.sh: where it goes ─▶ folders, files under `.kiln-…` names, links ─▶ renamed where nothing is in their way
//!                                                                          ─▶ place.sh: the rest
//! ```

mod cat;
mod sftp;
mod tree;

use super::{
    SshError, SshSession,
    channel::{Output, Said},
    host,
    root::quote,
};
use crate::communicator::agent::Upload;
pub(super) use sftp::{Sftp, start as start_sftp};
use std::{io::Write, path::Path};
use tree::{Entry, Kind, entries, name};

/// Finds out where an upload goes and who owns it; see the script.
const TARGET: &str = include_str!("upload/target.sh");

/// Puts files and links that are whole into their places.
const PLACE: &str = include_str!("upload/place.sh");

/// Where an upload goes, and whose it will be.
struct Target {
    base: String,
    uid: u32,
    gid: u32,
}

/// Uploads; see [`SshSession::upload`].
pub(super) async fn upload(session: &mut SshSession, upload: &Upload) -> Result<(), SshError> {
    let doing = format!("writing {}", upload.destination);
    let content = upload.content.clone();
    let mode = upload.mode;
    let read = tokio::task::spawn_blocking(move || Ok((name(&content)?, entries(content, mode)?)));
    let (name, entries) =
        read.await.map_err(|_panic| SshError::Disconnected { doing: doing.clone(), source: None })??;
    let is_file = entries.first().is_some_and(|first| matches!(first.kind, Kind::File { .. }));
    let target = target(session, upload, name.as_deref(), is_file, &doing).await?;
    match session.sftp().await {
        Some(sftp) => {
            let rest = sftp::put(sftp, &target, &entries, &doing).await?;
            finish(session, &rest, &doing).await
        }
        None => cat::put(session, &target, &entries, &doing).await,
    }
}

async fn target(
    session: &SshSession,
    upload: &Upload,
    name: Option<&str>,
    is_file: bool,
    doing: &str,
) -> Result<Target, SshError> {
    let owner = upload.owner.as_deref().unwrap_or("root");
    let (user, group) = owner.split_once(':').unwrap_or((owner, ""));
    let script = format!(
        "destination={} name={} is_file={} user={} group={}\n{TARGET}",
        quote(&upload.destination),
        quote(name.unwrap_or_default()),
        if is_file { "yes" } else { "''" },
        quote(user),
        quote(group)
    );
    let told = session.script(&script, &[], doing).await?;
    let told = String::from_utf8_lossy(&told).into_owned();
    let parsed = || {
        let (ids, base) = told.split_once('\n')?;
        let (uid, gid) = ids.split_once(' ')?;
        let base = base.strip_suffix('\n')?.to_owned();
        Some(Target { base, uid: uid.parse().ok()?, gid: gid.parse().ok()? })
    };
    let message = "it did not say where the upload goes".to_owned();
    parsed().ok_or_else(|| SshError::Failed { doing: doing.to_owned(), message })
}

impl Target {
    /// Returns the place of an entry.
    fn place(&self, entry: &Entry) -> String {
        if entry.relative.is_empty() {
            self.base.clone()
        } else {
            format!("{}/{}", self.base, entry.relative)
        }
    }
}

/// Returns the name under which something is made until it is whole.
fn beside(place: &str) -> String {
    match place.rsplit_once('/') {
        Some((folder, name)) => format!("{folder}/.kiln-{name}"),
        None => format!(".kiln-{place}"),
    }
}

/// Returns the command that puts what is whole into its place.
fn place_line(temporary: &str, place: &str) -> String {
    format!("place {} {}\n", quote(temporary), quote(place))
}

/// Runs the commands that are left.
async fn finish(session: &SshSession, commands: &str, doing: &str) -> Result<(), SshError> {
    if commands.is_empty() {
        return Ok(());
    }
    session.script(&format!("{PLACE}{commands}"), &[], doing).await.map(drop)
}

/// Copies a file of the guest to the host.
pub(super) async fn download(session: &mut SshSession, path: &str, to: &Path) -> Result<(), SshError> {
    if let Some(sftp) = session.sftp().await {
        return sftp::get(sftp, path, to, &format!("reading {path}")).await;
    }
    let mut file = fs_err::File::create(to).map_err(|source| host(to, source))?;
    read(session, path, |bytes| file.write_all(bytes).map_err(|source| host(to, source))).await
}

/// Reads a file of the guest as `cat` does: one of `/proc`, too, whose size nobody knows.
pub(super) async fn read(
    session: &SshSession,
    path: &str,
    mut on_bytes: impl FnMut(&[u8]) -> Result<(), SshError> + Send,
) -> Result<(), SshError> {
    let doing = format!("reading {path}");
    let mut program = session.start(&format!("exec cat -- {} </dev/null", quote(path)), &doing).await?;
    let mut said = Vec::new();
    loop {
        match program.next(&doing).await? {
            Said::Out(bytes) => on_bytes(&bytes)?,
            Said::Error(bytes) => said.extend_from_slice(&bytes),
            Said::Ended(status) if status.success() => return Ok(()),
            Said::Ended(status) => {
                let message = Output { status, out: Vec::new(), said }.complaint();
                return Err(SshError::Failed { doing, message });
            }
        }
    }
}
