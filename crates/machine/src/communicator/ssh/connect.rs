//! One try to get into a guest: a connection, the server's word that it is one, its key, a login.

use super::{Credential, HostKey, Reached, SshError, Target};
use russh::{
    Disconnect, MethodKind, MethodSet,
    client::{AuthResult, Config, Handle, Handler, KeyboardInteractiveAuthResponse, connect_stream},
    keys::{
        PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate,
        agent::{AgentIdentity, client::AgentClient},
    },
};
use std::{
    borrow::Cow,
    collections::BTreeSet,
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{net::TcpStream, time::timeout};

/// How long a connection may stay silent: QEMU takes it before the guest has a network. A guest under TCG on a busy host
/// needs seconds for its first word.
pub(super) const SILENT_WITHIN: Duration = Duration::from_secs(15);

/// Exchanging keys takes a guest under TCG a second or two, and a loaded one several times as long.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(60);

/// How often a connection is looked at that has not said a whole line.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A server may say other lines before the one that counts (RFC 4253, 4.2); nobody says more than this.
const MOST_SAID: usize = 4096;

/// Times that a lost connection is asked whether it lives.
const KEEPALIVES: usize = 3;

/// A connection whose server said that it is one.
#[derive(Debug)]
pub(super) struct Greeted {
    stream: TcpStream,
    /// `SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u7`.
    pub(super) version: String,
}

/// Waits until the server at the other end says what it is.
pub(super) async fn greet(stream: TcpStream, port: u16) -> Result<Greeted, SshError> {
    let connect = |source| SshError::Connect { source };
    let said = async {
        stream.set_nodelay(true).map_err(connect)?;
        let mut bytes = [0; MOST_SAID];
        loop {
            let count = stream.peek(&mut bytes).await.map_err(connect)?;
            let text = String::from_utf8_lossy(bytes.get(..count).unwrap_or_default()).into_owned();
            let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
            if let Some(line) = whole.into_iter().find(|line| line.starts_with("SSH-")) {
                return Ok(Greeted { stream, version: line.trim_end().to_owned() });
            }
            if count == 0 {
                return Err(connect(io::Error::from(io::ErrorKind::UnexpectedEof)));
            }
            let first = text.lines().next().unwrap_or_default();
            // Other lines may come first, but no web server's.
            if count == MOST_SAID || first.starts_with("HTTP/") {
                return Err(SshError::NoSsh { port, said: first.chars().take(120).collect() });
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    let within = timeout(SILENT_WITHIN, said).await;
    within.unwrap_or(Err(SshError::Silent { port, waited: SILENT_WITHIN }))
}

/// What the library asks while a connection is set up.
#[derive(Debug)]
pub(super) struct Client {
    pinned: Option<HostKey>,
    shown: Arc<Mutex<Option<HostKey>>>,
}

impl Handler for Client {
    type Error = russh::Error;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        let key = match key {
            PublicKeyOrCertificate::PublicKey { key, .. } => HostKey::of(key),
            PublicKeyOrCertificate::Certificate(certificate) => {
                HostKey::of(&PublicKey::new(certificate.public_key().clone(), ""))
            }
        };
        let known = self.pinned.as_ref().is_none_or(|pinned| *pinned == key);
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(key);
        Ok(known)
    }
}

/// A connection that is set up and logged in.
pub(super) struct LoggedIn {
    pub(super) handle: Handle<Client>,
    pub(super) host_key: HostKey,
}

/// Sets the connection up and logs in. `on_reached` learns how far it came.
pub(super) async fn log_in(
    greeted: Greeted,
    target: &Target,
    mut on_reached: impl FnMut(Reached),
) -> Result<LoggedIn, SshError> {
    let shown = Arc::new(Mutex::new(None));
    let client = Client { pinned: target.host_key.clone(), shown: Arc::clone(&shown) };
    let shaken = timeout(HANDSHAKE_WITHIN, connect_stream(config(target), greeted.stream, client)).await;
    let shaken = shaken.map_err(|_elapsed| SshError::Slow { waited: HANDSHAKE_WITHIN })?;
    let shown = shown.lock().unwrap_or_else(PoisonError::into_inner).take();
    let mut handle = match (shaken, &target.host_key, &shown) {
        (Ok(handle), ..) => handle,
        (Err(_), Some(expected), Some(shown)) if shown != expected => {
            return Err(SshError::HostKey { expected: expected.fingerprint(), shown: shown.fingerprint() });
        }
        (Err(error), ..) => return Err(handshake(error)),
    };
    let host_key = shown.ok_or_else(|| handshake(russh::Error::UnknownKey))?;
    on_reached(Reached::Login);
    let entered = timeout(HANDSHAKE_WITHIN, authenticate(&mut handle, target)).await;
    match entered.unwrap_or(Err(SshError::Slow { waited: HANDSHAKE_WITHIN })) {
        Ok(()) => Ok(LoggedIn { handle, host_key }),
        Err(error) => {
            drop(handle.disconnect(Disconnect::ByApplication, "", "en").await);
            Err(error)
        }
    }
}

fn config(target: &Target) -> Arc<Config> {
    let mut config = Config {
        keepalive_interval: Some(target.keepalive),
        keepalive_max: KEEPALIVES,
        nodelay: true,
        ..Config::default()
    };
    if let Some(key) = &target.host_key {
        // A guest with several keys shows the one that is asked for.
        let algorithm = key.algorithm();
        let ours = config.preferred.key.iter().filter(|known| known.as_str() == algorithm.as_str());
        let ours: Vec<_> = ours.cloned().collect();
        // RSA is named after its hashes.
        if !ours.is_empty() && !algorithm.is_rsa() {
            config.preferred.key = Cow::Owned(ours);
        }
    }
    Arc::new(config)
}

/// Tries one credential after the other.
async fn authenticate(handle: &mut Handle<Client>, target: &Target) -> Result<(), SshError> {
    let mut accepts = BTreeSet::new();
    for credential in &target.credentials {
        let tried = match credential {
            Credential::Key(pair) => {
                let hash = handle.best_supported_rsa_hash().await.map_err(handshake)?.flatten();
                let key = PrivateKeyWithHashAlg::new(pair.private(), hash);
                handle.authenticate_publickey(&target.user, key).await.map_err(handshake)?
            }
            Credential::Password(password) => by_password(handle, &target.user, &password.0).await?,
            Credential::Agent(socket) => by_agent(handle, &target.user, socket).await?,
        };
        match tried {
            AuthResult::Success => return Ok(()),
            AuthResult::Failure { remaining_methods, .. } => accepts.extend(names(&remaining_methods)),
        }
    }
    let list = |names: Vec<&'static str>, none: &str| {
        if names.is_empty() { none.to_owned() } else { names.join(", ") }
    };
    Err(SshError::Refused {
        user: target.user.clone(),
        tried: list(target.credentials.iter().map(Credential::name).collect(), "no credential"),
        accepts: list(accepts.into_iter().collect(), "nothing more"),
    })
}

fn handshake(error: russh::Error) -> SshError {
    SshError::Handshake { source: Box::new(error) }
}

fn names(methods: &MethodSet) -> impl Iterator<Item = &'static str> {
    methods.iter().map(<&'static str>::from)
}

/// Gives the password, and gives it again to a server that asks for it question by question, as one with PAM does.
async fn by_password(
    handle: &mut Handle<Client>,
    user: &str,
    password: &str,
) -> Result<AuthResult, SshError> {
    let plain = handle.authenticate_password(user, password).await.map_err(handshake)?;
    let AuthResult::Failure { remaining_methods, .. } = &plain else { return Ok(plain) };
    if !remaining_methods.contains(&MethodKind::KeyboardInteractive) {
        return Ok(plain);
    }
    let begun = handle.authenticate_keyboard_interactive_start(user, None).await;
    let mut asked = begun.map_err(handshake)?;
    // The password answers one round; a server that asks on wants something else.
    for _round in 0..3 {
        let prompts = match asked {
            KeyboardInteractiveAuthResponse::Success => return Ok(AuthResult::Success),
            KeyboardInteractiveAuthResponse::Failure { .. } => break,
            KeyboardInteractiveAuthResponse::InfoRequest { prompts, .. } => prompts,
        };
        let answers = prompts.iter().map(|_| password.to_owned()).collect();
        let answered = handle.authenticate_keyboard_interactive_respond(answers).await;
        asked = answered.map_err(handshake)?;
    }
    Ok(plain)
}

async fn by_agent(
    handle: &mut Handle<Client>,
    user: &str,
    socket: &std::path::Path,
) -> Result<AuthResult, SshError> {
    let agent = |problem: String| SshError::SshAgent { socket: socket.to_owned(), problem };
    let silent = |error: russh::keys::Error| agent(format!("does not answer: {error}"));
    let mut client = AgentClient::connect_uds(socket).await.map_err(silent)?;
    let mut last = None;
    for identity in client.request_identities().await.map_err(silent)? {
        let AgentIdentity::PublicKey { key, .. } = identity else { continue };
        let hash = handle.best_supported_rsa_hash().await.map_err(handshake)?.flatten();
        let tried = handle.authenticate_publickey_with(user, key, hash, &mut client).await;
        match tried.map_err(|error| agent(format!("did not sign: {error}")))? {
            AuthResult::Success => return Ok(AuthResult::Success),
            failure @ AuthResult::Failure { .. } => last = Some(failure),
        }
    }
    last.ok_or_else(|| agent("holds no keys".to_owned()))
}
