//! Keys: those that Kiln makes for one build, and those that a person has.

use super::SshError;
use russh::keys::{Algorithm, HashAlg, PrivateKey, PublicKey, key::safe_rng, ssh_key::LineEnding};
use std::{fmt, path::Path, sync::Arc};

/// A pair of keys. Where it is shown, only its fingerprint is.
#[derive(Clone)]
pub struct KeyPair(Arc<PrivateKey>);

impl KeyPair {
    /// Makes a new Ed25519 pair: for one build, or for one guest.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn generate() -> Result<Self, SshError> {
        let key = PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519);
        key.map(|key| Self(Arc::new(key))).map_err(|source| SshError::MakeKey { source })
    }

    /// Reads a private key as `ssh-keygen` writes it, in OpenSSH's own form or in PEM.
    ///
    /// # Errors
    /// When it cannot be read, is protected by a passphrase, or is no private key.
    pub fn read(path: &Path) -> Result<Self, SshError> {
        let at = |source| SshError::ReadKey { path: path.to_owned(), source: Box::new(source) };
        let key = russh::keys::load_secret_key(path, None).map_err(|error| at(error.into()))?;
        Ok(Self(Arc::new(key)))
    }

    /// Returns the public key as a line of `authorized_keys`, of `known_hosts` without the host, or of a `.pub` file.
    #[must_use]
    pub fn public_line(&self, comment: &str) -> String {
        let line = PublicKey::new(self.0.public_key().key_data().clone(), "").to_openssh();
        // Only memory that runs out keeps a key from being written.
        format!("{} {comment}", line.unwrap_or_default().trim_end()).trim_end().to_owned()
    }

    /// Returns the private key in OpenSSH's form, without a passphrase.
    ///
    /// # Errors
    /// When the key is of a kind that the form does not know.
    pub fn private_openssh(&self) -> Result<String, SshError> {
        let text = self.0.to_openssh(LineEnding::LF).map_err(|source| SshError::MakeKey { source })?;
        Ok(text.to_string())
    }

    /// Returns what a guest that has this key is recognised by.
    #[must_use]
    pub fn host_key(&self) -> HostKey {
        HostKey(PublicKey::new(self.0.public_key().key_data().clone(), ""))
    }

    pub(super) fn private(&self) -> Arc<PrivateKey> {
        Arc::clone(&self.0)
    }
}

impl fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyPair({})", self.host_key().fingerprint())
    }
}

/// The public key that a guest must show.
#[derive(Clone, PartialEq, Eq)]
pub struct HostKey(PublicKey);

impl HostKey {
    /// Reads a line `ssh-ed25519 AAAA… comment`, as `/etc/ssh/ssh_host_*.pub` has it. The host name that `ssh-keyscan`
    /// and `known_hosts` put before it may stay.
    ///
    /// # Errors
    /// When it is no public key.
    pub fn parse(line: &str) -> Result<Self, SshError> {
        let bare = || PublicKey::from_openssh(line.trim());
        let behind_host =
            || PublicKey::from_openssh(line.trim().split_once(char::is_whitespace)?.1.trim()).ok();
        let key = bare().or_else(|error| behind_host().ok_or(error));
        let key = key.map_err(|source| SshError::ParseHostKey { line: line.to_owned(), source })?;
        Ok(Self(PublicKey::new(key.key_data().clone(), "")))
    }

    /// Returns the fingerprint, as `ssh-keygen -l` prints it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.0.fingerprint(HashAlg::Sha256).to_string()
    }

    /// Returns the key as a line without comment.
    #[must_use]
    pub fn line(&self) -> String {
        self.0.to_openssh().unwrap_or_default().trim_end().to_owned()
    }

    pub(super) fn of(key: &PublicKey) -> Self {
        Self(PublicKey::new(key.key_data().clone(), ""))
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.0.algorithm()
    }
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HostKey({})", self.fingerprint())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{os::unix::fs::PermissionsExt, process::Command};

    /// OpenSSH's own tool reads what is made here.
    #[test]
    fn pairs_are_of_opensshs_form() {
        let world = tempfile::tempdir().unwrap();
        let path = world.path().join("key");
        let pair = KeyPair::generate().unwrap();
        fs_err::write(&path, pair.private_openssh().unwrap()).unwrap();
        fs_err::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        let keygen = |args: &[&str]| {
            let out = Command::new("ssh-keygen").args(args).arg("-f").arg(&path).output().unwrap();
            assert!(out.status.success(), "{out:?}");
            String::from_utf8(out.stdout).unwrap()
        };
        assert_eq!(keygen(&["-y"]).trim(), pair.public_line(""));
        assert!(keygen(&["-l"]).contains(&pair.host_key().fingerprint()));
        assert_eq!(KeyPair::read(&path).unwrap().public_line("a b"), pair.public_line("a b"));
        assert_ne!(KeyPair::generate().unwrap().public_line(""), pair.public_line(""));
        let shown = format!("{pair:?}");
        assert!(shown.starts_with("KeyPair(SHA256:"), "{shown}");
    }

    #[test]
    fn keys_of_other_kinds_are_read() {
        let world = tempfile::tempdir().unwrap();
        for (kind, form) in [("rsa", "RFC4716"), ("rsa", "PEM"), ("ecdsa", "RFC4716"), ("ecdsa", "PKCS8")] {
            let path = world.path().join(format!("{kind}-{form}"));
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", kind, "-m", form, "-N", "", "-C", "me", "-f"])
                .arg(&path)
                .status();
            assert!(made.unwrap().success());
            let public = fs_err::read_to_string(path.with_extension("pub")).unwrap();
            assert_eq!(KeyPair::read(&path).unwrap().public_line("me"), public.trim(), "{kind} {form}");
        }
    }

    #[test]
    fn what_is_no_key_is_said() {
        let world = tempfile::tempdir().unwrap();
        let path = world.path().join("key");
        fs_err::write(&path, "nothing").unwrap();
        let error = KeyPair::read(&path).unwrap_err();
        assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
        let locked = world.path().join("locked");
        let args = ["-q", "-t", "ed25519", "-N", "secret", "-f"];
        assert!(Command::new("ssh-keygen").args(args).arg(&locked).status().unwrap().success());
        let error = KeyPair::read(&locked).unwrap_err();
        assert!(error.hint().unwrap().contains("ssh-add"), "{error:?}");
    }

    #[test]
    fn host_keys_are_read_with_and_without_a_host() {
        let pair = KeyPair::generate().unwrap();
        let line = pair.public_line("");
        for written in [line.clone(), format!("{line} root@guest\n"), format!("[127.0.0.1]:22 {line}")] {
            assert_eq!(HostKey::parse(&written).unwrap(), pair.host_key(), "{written}");
        }
        assert_eq!(HostKey::parse(&line).unwrap().line(), line);
        assert!(HostKey::parse("ssh-ed25519 nothing").is_err());
        assert!(HostKey::parse("").is_err());
    }
}
