//! How a program of the guest comes to run as root, and how it is told what to do without other users seeing it.
//!
//! The command that the SSH server runs, and that `ps` shows, is always the same: a shell that reads one line and does
//! what stands there. Scripts, variables and bytes for a program come over its standard input.

use super::{
    Credential, Password, SshError, Target,
    channel::{self, Output, Program, lost},
    connect::Client,
};
use russh::{
    ChannelStream,
    client::{Handle, Msg},
};

/// Reads one line byte by byte, so that what follows it is there for the program, and runs it.
pub(super) const SHELL: &str = r#"sh -c 'IFS= read -r line; eval "$line"'"#;

/// As whom a connection is logged in.
#[derive(Debug, Clone)]
pub(super) enum LoggedInAs {
    /// Root.
    Root,
    /// A user whom `sudo` asks nothing.
    Sudo,
    /// A user whom `sudo` asks for this.
    SudoWithPassword(Password),
}

impl LoggedInAs {
    /// Finds out how the user becomes root.
    pub(super) async fn find(handle: &Handle<Client>, target: &Target) -> Result<Self, SshError> {
        let id = run(handle, "id -u", b"", "asking who is logged in").await?;
        if id.out.trim_ascii() == b"0" {
            return Ok(Self::Root);
        }
        let doing = "becoming root";
        let asked = run(handle, "sudo -n true", b"", doing).await?;
        if asked.status.success() {
            return Ok(Self::Sudo);
        }
        for credential in &target.credentials {
            let Credential::Password(password) = credential else { continue };
            let typed = format!("{}\n", password.0);
            if run(handle, "sudo -k -S -p '' true", typed.as_bytes(), doing).await?.status.success() {
                return Ok(Self::SudoWithPassword(password.clone()));
            }
        }
        Err(SshError::Sudo { user: target.user.clone(), said: asked.complaint() })
    }

    /// Returns the command that runs another as root.
    pub(super) fn command(&self, command: &str) -> String {
        match self {
            Self::Root => format!("exec {command}"),
            Self::Sudo => format!("exec sudo -n {command}"),
            // -k: it asks every time, so that what answers it is never taken for something else.
            Self::SudoWithPassword(_) => format!("exec sudo -k -S -p '' {command}"),
        }
    }

    /// Returns what the command is given before everything else.
    pub(super) fn typed_first(&self) -> Vec<u8> {
        match self {
            Self::SudoWithPassword(password) => format!("{}\n", password.0).into_bytes(),
            Self::Root | Self::Sudo => Vec::new(),
        }
    }

    /// Starts a shell as root that does a script; what is written to it afterwards is the script's input.
    pub(super) async fn start<'a>(
        &self,
        handle: &'a Handle<Client>,
        script: &str,
        doing: &str,
    ) -> Result<Program<'a>, SshError> {
        let program = Program::start(handle, &self.command(SHELL), doing).await?;
        program.write(self.typed(script), doing).await?;
        Ok(program)
    }

    /// The same, as a stream of bytes both ways.
    pub(super) async fn stream(
        &self,
        handle: &Handle<Client>,
        script: &str,
        doing: &str,
    ) -> Result<ChannelStream<Msg>, SshError> {
        let channel = channel::run(handle, &self.command(SHELL), doing).await?;
        channel.data_bytes(self.typed(script)).await.map_err(|error| lost(doing, error))?;
        Ok(channel.into_stream())
    }

    fn typed(&self, script: &str) -> Vec<u8> {
        let mut typed = self.typed_first();
        typed.extend_from_slice(line(script).as_bytes());
        typed
    }
}

/// Runs a command as the user and gives it this input.
async fn run(handle: &Handle<Client>, command: &str, input: &[u8], doing: &str) -> Result<Output, SshError> {
    let program = Program::start(handle, command, doing).await?;
    if !input.is_empty() {
        program.write(input.to_vec(), doing).await?;
    }
    program.end_input(doing).await?;
    program.finish(doing).await
}

/// Quotes a text for the shell.
pub(super) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// Puts a script on one line.
fn line(script: &str) -> String {
    format!("n=$(printf '\\nx'); n=${{n%x}}; eval {}\n", quote(script).replace('\n', r#"'"$n"'"#))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn quoted_text_is_what_it_was() {
        for text in ["", "plain", "it's", "a\nb\n", "\n", "$x `id` \\ \"q\" !", "'\n'"] {
            let line = line(&format!("printf %s {}\n", quote(text)));
            assert_eq!(line.find('\n'), Some(line.len() - 1));
            for shell in ["dash", "bash"] {
                let out = Command::new(shell).args(["-c", &line]).output().unwrap();
                assert_eq!(String::from_utf8_lossy(&out.stdout), text, "{shell}: {line}");
            }
        }
    }
}
