//! A folder with a disk, three pairs of keys that openssl made, and bundles.

use anyhow::{Context, Result, ensure};
use kiln_bundle::{
    Certificate, MachineConfiguration, Manifest, Place, PrivateKey, RawImage, Secret, Settings, Watch, create,
};
use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// A manifest as other tools write it, by hand.
pub(crate) const MANIFEST: &str = concat!(
    "<?xml version=\"1.0\" encoding='ASCII'?>\n<manifest><version>2007-10-10</version>",
    "<bundler><name>euca2ools</name><version>3.4</version><release>0</release></bundler>",
    "<machine_configuration><architecture>x86_64</architecture></machine_configuration>",
    "<image><name>disk</name><user>123456789012</user><type>machine</type>",
    "<digest algorithm=\"SHA1\">da39a3ee5e6b4b0d3255bfef95601890afd80709</digest><size>100</size>",
    "<bundled_size>32</bundled_size><ec2_encrypted_key algorithm=\"AES-128-CBC\">00ff</ec2_encrypted_key>",
    "<user_encrypted_key algorithm=\"AES-128-CBC\">00ff</user_encrypted_key>",
    "<ec2_encrypted_iv>00ff</ec2_encrypted_iv><user_encrypted_iv>00ff</user_encrypted_iv>",
    "<parts count=\"1\"><part index=\"0\"><filename>disk.part.0</filename>",
    "<digest algorithm=\"SHA1\">da39a3ee5e6b4b0d3255bfef95601890afd80709</digest></part></parts></image>",
    "<signature>00ff</signature></manifest>"
);

pub(crate) struct World(tempfile::TempDir);

/// Runs a script in a folder and returns what it prints.
pub(crate) fn sh(folder: &Path, script: &str) -> Result<String> {
    let out = Command::new("sh").args(["-c", script]).current_dir(folder).output()?;
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    ensure!(out.status.success(), "{script}: {} {said}", out.status);
    Ok(String::from_utf8(out.stdout)?)
}

pub(crate) fn same(world: &World, one: &str, other: &str) -> Result<bool> {
    Ok(fs_err::read(world.file(one))? == fs_err::read(world.file(other))?)
}

/// The pairs are made once for all tests of a process.
fn pairs() -> Result<&'static Path> {
    static PAIRS: OnceLock<tempfile::TempDir> = OnceLock::new();
    if PAIRS.get().is_none() {
        let folder = tempfile::tempdir()?;
        let make = "for who in user ec2 other; do openssl req -x509 -newkey rsa:2048 -nodes -keyout $who.key \
                    -out $who.pem -subj /CN=$who -days 1 2>/dev/null || exit 1; done";
        sh(folder.path(), make)?;
        drop(PAIRS.set(folder));
    }
    Ok(PAIRS.get().context("pairs")?.path())
}

impl World {
    pub(crate) fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        for entry in fs_err::read_dir(pairs()?)? {
            let entry = entry?;
            fs_err::copy(entry.path(), folder.path().join(entry.file_name()))?;
        }
        fs_err::create_dir(folder.path().join("b"))?;
        Ok(Self(folder))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn key(&self, who: &str) -> Result<PrivateKey> {
        Ok(PrivateKey::read(&self.file(&format!("{who}.key")))?)
    }

    pub(crate) fn user(&self) -> Result<PrivateKey> {
        self.key("user")
    }

    pub(crate) fn ec2(&self) -> Result<PrivateKey> {
        self.key("ec2")
    }

    pub(crate) fn certificate_of(&self, who: &str) -> Result<Certificate> {
        Ok(Certificate::read(&self.file(&format!("{who}.pem")))?)
    }

    pub(crate) fn certificate(&self) -> Result<Certificate> {
        self.certificate_of("user")
    }

    pub(crate) fn ec2_certificate(&self) -> Result<Certificate> {
        self.certificate_of("ec2")
    }

    /// Makes a disk of stretches of bytes that hardly compress, with holes between them.
    pub(crate) fn disk(&self, name: &str, data: &[(u64, u64)], size: u64) -> Result<()> {
        let file = File::create_new(self.file(name)).or_else(|_there| {
            fs_err::remove_file(self.file(name))?;
            File::create_new(self.file(name))
        })?;
        let mut state = 1_u64;
        for (offset, length) in data {
            let bytes: Vec<u8> = (0..*length)
                .map(|_| {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    state.to_be_bytes()[0]
                })
                .collect();
            file.write_all_at(&bytes, *offset)?;
        }
        Ok(file.set_len(size)?)
    }

    pub(crate) fn settings(&self, prefix: &str) -> Result<Settings> {
        Ok(Settings {
            prefix: prefix.to_owned(),
            user: "123456789012".parse()?,
            machine: MachineConfiguration {
                architecture: "x86_64".to_owned(),
                ..MachineConfiguration::default()
            },
            certificate: self.certificate()?,
            key: self.user()?,
            ec2_certificate: self.ec2_certificate()?,
            part_size: kiln_bundle::DEFAULT_PART_SIZE,
            level: 6,
            dense: false,
            secret: Secret::random()?,
        })
    }

    pub(crate) fn create(
        &self,
        disk: &str,
        settings: &Settings,
    ) -> Result<(Manifest, String), kiln_bundle::Error> {
        create(&RawImage::open(&self.file(disk))?, settings, &self.bundles(), &Watch::default())
    }

    /// Where the bundles are made.
    pub(crate) fn bundles(&self) -> Place {
        Place::folder(&self.file("b"))
    }

    /// Forgets all bundles.
    pub(crate) fn clear(&self) -> Result<()> {
        fs_err::remove_dir_all(self.file("b"))?;
        Ok(fs_err::create_dir(self.file("b"))?)
    }
}
