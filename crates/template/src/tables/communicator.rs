//! `[communicator]`.

use crate::{
    interpolation::Style,
    model::{Communicator, Ssh, SshSetup},
    names::words,
    reader::{Field, Kind, Table, quoted},
    report::{Checked, Diagnostic},
};

words! {
    /// The types of `[communicator]`.
    pub(crate) enum CommunicatorKind {
        /// A small program started in place of the image's init.
        Agent = "agent",
        /// The image is booted, and reached over SSH.
        Ssh = "ssh",
    }
}

/// Keys that only `ssh` has.
const SSH_KEYS: [&str; 9] =
    ["username", "password", "private_key", "agent", "port", "timeout", "keepalive", "setup", "host_key"];

/// What stands at the start of a public key, by its algorithm.
const ALGORITHMS: [&str; 3] = ["ssh-", "ecdsa-sha2-", "sk-"];

/// Reads the communicator.
pub(crate) fn read(field: &Field<'_>) -> Checked<Communicator> {
    let mut table = field.table("`[communicator]`")?;
    let (kind, known) = match table.get("type") {
        Some(_) => table.kind("ssh")?,
        None => (CommunicatorKind::Agent, Ok(())),
    };
    let communicator = match kind {
        CommunicatorKind::Agent => {
            table.elsewhere(&SSH_KEYS, "communicators of type `ssh`: add `type = \"ssh\"`");
            table.finish().map(|()| Communicator::Agent)
        }
        CommunicatorKind::Ssh => ssh(table).map(Communicator::Ssh),
    };
    known.and(communicator)
}

fn ssh(mut table: Table<'_>) -> Checked<Ssh> {
    let default = Ssh::default();
    let username = table.or("username", default.username, Field::account);
    let setup = table.or("setup", default.setup, Field::word);
    own_account(&mut table, setup);
    let password = table.optional("password", |field| {
        let password = field.text(Style::Strict)?;
        if password.expose().is_empty() {
            return Err(field.wrong("`password` is empty", "expected a password"));
        }
        Ok(password)
    });
    let private_key = table.optional("private_key", |field| field.host_path(Kind::File));
    let agent = table.or("agent", false, Field::boolean);
    let port = table.or("port", default.port, |field| {
        let port = field.integer(1..=65_535)?;
        Ok(u16::try_from(port).expect("the range fits"))
    });
    let timeout = table.or("timeout", default.timeout, Field::time_limit);
    let keepalive = table.or("keepalive", default.keepalive, Field::time_limit);
    let host_key = table.optional("host_key", host_key);
    table.finish()?;
    Ok(Ssh {
        username: username?,
        password: password?,
        private_key: private_key?,
        agent: agent?,
        port: port?,
        timeout: timeout?,
        keepalive: keepalive?,
        setup: setup?,
        host_key: host_key?,
    })
}

/// Compares `setup` with the keys of an account that the image has: they are needed where Kiln makes none, and
/// would never be used where it does.
fn own_account(table: &mut Table<'_>, setup: Checked<SshSetup>) {
    let ways_in = ["password", "private_key", "agent"].map(|key| table.get(key));
    let host_key = table.get("host_key");
    match setup {
        Ok(SshSetup::None) if ways_in.iter().all(Option::is_none) => {
            let title = "`setup = \"none\"` needs a way into the guest";
            let help = "add `password = \"…\"`, `private_key = \"…\"` or `agent = true`";
            table.report(table.mistake(title).help(help));
        }
        Ok(SshSetup::None) | Err(_) => {}
        Ok(_) => {
            for field in ways_in.into_iter().chain([host_key]).flatten() {
                let title = format!("`{}` is of an account that the image has", field.name);
                let diagnostic = Diagnostic::at(field.key.clone(), title)
                    .label("not used: Kiln puts keys of its own into the guest")
                    .help("add `setup = \"none\"`, or leave this out");
                table.report(diagnostic);
            }
        }
    }
}

/// Reads a public key as OpenSSH writes it: algorithm, base64, perhaps a comment.
fn host_key(field: &Field<'_>) -> Checked<String> {
    let line = field.string()?;
    let mut words = line.split_whitespace();
    let (algorithm, key) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    // Every key starts with the length of its algorithm's name, four bytes that begin with zeros.
    let well_made = ALGORITHMS.iter().any(|start| algorithm.starts_with(start))
        && key.starts_with("AAAA")
        && key.chars().all(base64)
        && !line.contains('\n');
    if well_made {
        return Ok(line);
    }
    let title = format!("{} is not a public key", quoted(&line));
    Err(field.wrong(title, "expected a line like `ssh-ed25519 AAAA…`"))
}
