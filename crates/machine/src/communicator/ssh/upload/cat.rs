//! Files through a shell and `cat`, for guests without an SFTP server: dropbear has none.

use super::{Entry, Kind, SshError, SshSession, Target, beside, finish, host, place_line, tree::Bytes};
use crate::communicator::ssh::root::quote;
use tokio::io::AsyncReadExt;

/// Bytes that are read of a file at once.
const CHUNK: usize = 64 << 10;

/// Puts everything there, one script a file.
pub(super) async fn put(
    session: &SshSession,
    target: &Target,
    entries: &[Entry],
    doing: &str,
) -> Result<(), SshError> {
    let owner = format!("{}:{}", target.uid, target.gid);
    for entry in entries {
        let at = target.place(entry);
        let temporary = beside(&at);
        let (made, named) = (quote(&temporary), quote(&at));
        match &entry.kind {
            Kind::Folder { mode } => {
                let script = format!(
                    "[ -d {named} ] || {{ mkdir -- {named} && chown {owner} {named} && chmod {mode:o} {named}; }}"
                );
                session.script(&script, &[], doing).await?;
                continue;
            }
            Kind::Link { target: to } => {
                let script = format!("ln -sfn -- {} {made} && chown -h {owner} {made}", quote(to));
                session.script(&script, &[], doing).await?;
            }
            Kind::File { mode, bytes } => {
                // Owner before mode: a change of owner takes set-user-id bits away.
                let script = format!(
                    "umask 077; rm -f -- {made}; cat >{made} && chown {owner} {made} && chmod {mode:o} {made} || \
                     {{ rm -f -- {made}; exit 1; }}"
                );
                file(session, &script, bytes, doing).await?;
            }
        }
        finish(session, &place_line(&temporary, &at), doing).await?;
    }
    Ok(())
}

async fn file(session: &SshSession, script: &str, bytes: &Bytes, doing: &str) -> Result<(), SshError> {
    let path = match bytes {
        Bytes::Here(bytes) => return session.script(script, bytes, doing).await.map(drop),
        Bytes::In(path) => path,
    };
    let about = |source| host(path, source);
    let mut open = tokio::fs::File::open(path).await.map_err(about)?;
    let program = session.start(script, doing).await?;
    let mut chunk = vec![0; CHUNK];
    loop {
        let count = open.read(&mut chunk).await.map_err(about)?;
        if count == 0 {
            break;
        }
        program.write(chunk.get(..count).unwrap_or_default().to_vec(), doing).await?;
    }
    program.end_input(doing).await?;
    SshSession::succeeded(program.finish(doing).await?, doing).map(drop)
}
