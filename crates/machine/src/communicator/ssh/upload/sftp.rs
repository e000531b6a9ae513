//! Files over SFTP. The server runs as root, whoever is logged in.

use super::{Entry, Kind, SshError, Target, beside, host, place_line, tree::Bytes};
use crate::communicator::ssh::{SshSession, channel::lost, root::quote};
use russh_sftp::{
    client::{Config, SftpSession, error::Error, fs::File},
    protocol::{FileAttributes, OpenFlags, StatusCode},
};
use std::path::Path;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Where distributions put OpenSSH's server.
const START: &str = r#"for server in /usr/lib/openssh /usr/libexec/openssh /usr/lib/ssh /usr/libexec /usr/lib/misc; do
    if [ -x "$server/sftp-server" ]; then exec "$server/sftp-server"; fi
done
exit 127"#;

/// How long one answer may take: the disk of a loaded host may be busy.
const ANSWER_WITHIN_SECONDS: u64 = 120;

/// Bytes that are read of a file at once.
const CHUNK: usize = 256 << 10;

/// The connection's SFTP.
pub(in crate::communicator::ssh) enum Sftp {
    Unknown,
    There(SftpSession),
    /// The guest has no server for it.
    Missing,
}

/// Starts the guest's server.
pub(in crate::communicator::ssh) async fn start(session: &SshSession) -> Option<SftpSession> {
    let stream = session.who.stream(&session.handle, START, "starting SFTP").await.ok()?;
    let config = Config { request_timeout_secs: ANSWER_WITHIN_SECONDS, ..Config::default() };
    SftpSession::new_with_config(stream, config).await.ok()
}

/// Puts everything there. Returns the commands for what SFTP cannot do: to replace what is in a place, and to give a link
/// away.
pub(super) async fn put(
    sftp: &SftpSession,
    target: &Target,
    entries: &[Entry],
    doing: &str,
) -> Result<String, SshError> {
    let mut rest = String::new();
    for entry in entries {
        let place = target.place(entry);
        let failed = |error| failed(error, doing);
        let temporary = beside(&place);
        match &entry.kind {
            Kind::Folder { mode } => {
                folder(sftp, &place, target, *mode).await.map_err(failed)?;
                continue;
            }
            Kind::Link { target: to } => {
                drop(sftp.remove_file(temporary.clone()).await);
                // OpenSSH takes the two the other way round than the draft has them.
                sftp.symlink(to.clone(), temporary.clone()).await.map_err(failed)?;
            }
            Kind::File { mode, bytes } => file(sftp, &temporary, target, *mode, bytes, doing).await?,
        }
        match sftp.rename(temporary.clone(), place.clone()).await {
            Ok(()) => {}
            // Something is there: SFTP's rename replaces nothing.
            Err(Error::Status(_)) => rest.push_str(&place_line(&temporary, &place)),
            Err(error) => return Err(failed(error)),
        }
        if matches!(entry.kind, Kind::Link { .. }) && (target.uid, target.gid) != (0, 0) {
            let owner = format!("chown -h {}:{} {}\n", target.uid, target.gid, quote(&place));
            rest.push_str(&owner);
        }
    }
    Ok(rest)
}

/// Makes a folder, unless there is one.
async fn folder(sftp: &SftpSession, place: &str, target: &Target, mode: u32) -> Result<(), Error> {
    match sftp.create_dir(place).await {
        Ok(()) => own(sftp, place, target, mode).await,
        Err(error @ Error::Status(_)) => match sftp.metadata(place).await {
            Ok(there) if there.is_dir() => Ok(()),
            _ => Err(error),
        },
        Err(error) => Err(error),
    }
}

async fn file(
    sftp: &SftpSession,
    temporary: &str,
    target: &Target,
    mode: u32,
    bytes: &Bytes,
    doing: &str,
) -> Result<(), SshError> {
    let failed = |error| failed(error, doing);
    drop(sftp.remove_file(temporary).await);
    let flags = OpenFlags::CREATE | OpenFlags::EXCLUDE | OpenFlags::WRITE;
    let private = FileAttributes { permissions: Some(0o600), ..FileAttributes::empty() };
    let open = sftp.open_with_flags_and_attributes(temporary, flags, private).await.map_err(failed)?;
    let written = write(open, bytes, doing).await;
    let owned = match written {
        Ok(()) => own(sftp, temporary, target, mode).await.map_err(failed),
        Err(error) => Err(error),
    };
    if owned.is_err() {
        drop(sftp.remove_file(temporary).await);
    }
    owned
}

async fn write(mut open: File, bytes: &Bytes, doing: &str) -> Result<(), SshError> {
    let refused = |error: std::io::Error| failed(error.into(), doing);
    match bytes {
        Bytes::Here(bytes) => open.write_all(bytes).await.map_err(refused)?,
        Bytes::In(path) => {
            let about = |source| host(path, source);
            let mut from = tokio::fs::File::open(path).await.map_err(about)?;
            let mut chunk = vec![0; CHUNK];
            loop {
                let count = from.read(&mut chunk).await.map_err(about)?;
                if count == 0 {
                    break;
                }
                open.write_all(chunk.get(..count).unwrap_or_default()).await.map_err(refused)?;
            }
        }
    }
    open.close().await.map_err(refused)
}

/// Sets owner and permissions, in this order: a change of owner takes set-user-id bits away.
async fn own(sftp: &SftpSession, path: &str, target: &Target, mode: u32) -> Result<(), Error> {
    let owner = FileAttributes { uid: Some(target.uid), gid: Some(target.gid), ..FileAttributes::empty() };
    sftp.set_metadata(path, owner).await?;
    sftp.set_metadata(path, FileAttributes { permissions: Some(mode & 0o7777), ..FileAttributes::empty() })
        .await
}

/// Copies a file of the guest to the host. `None` where the guest has it not as a file that SFTP can read.
pub(in crate::communicator::ssh) async fn get(
    sftp: &SftpSession,
    path: &str,
    to: &Path,
    doing: &str,
) -> Result<(), SshError> {
    let refused = |error: std::io::Error| failed(error.into(), doing);
    let about = |source| host(to, source);
    let mut from = sftp.open(path).await.map_err(|error| failed(error, doing))?;
    let mut into = tokio::fs::File::create(to).await.map_err(about)?;
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = from.read(&mut chunk).await.map_err(refused)?;
        if count == 0 {
            break;
        }
        into.write_all(chunk.get(..count).unwrap_or_default()).await.map_err(about)?;
    }
    into.flush().await.map_err(about)
}

fn failed(error: Error, doing: &str) -> SshError {
    match error {
        Error::Status(status) => {
            let message = match (status.status_code, status.error_message.as_str()) {
                (StatusCode::NoSuchFile, _) => "no such file or folder".to_owned(),
                (code, "" | "Failure") => format!("its SFTP server refused ({code})"),
                (_, said) => said.to_owned(),
            };
            SshError::Failed { doing: doing.to_owned(), message }
        }
        Error::IO(_) | Error::UnexpectedBehavior(_) | Error::UnexpectedPacket => {
            lost(doing, russh::Error::Disconnect)
        }
        Error::Timeout => {
            let message = "its SFTP server did not answer".to_owned();
            SshError::Failed { doing: doing.to_owned(), message }
        }
        error @ Error::Limited(_) => SshError::Failed { doing: doing.to_owned(), message: error.to_string() },
    }
}
