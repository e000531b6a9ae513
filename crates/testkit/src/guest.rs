//! A guest that boots a disk by itself under QEMU, on a throw-away overlay.

use anyhow::{Context, Result, bail, ensure};
use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// What starts the disk's boot loader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Firmware {
    /// SeaBIOS.
    Bios,
    /// OVMF, from the package `ovmf`.
    Uefi,
}

const OVMF_CODE: &str = "/usr/share/OVMF/OVMF_CODE_4M.fd";
const OVMF_VARS: &str = "/usr/share/OVMF/OVMF_VARS_4M.fd";

/// A running QEMU (TCG, so that it runs everywhere); killed when dropped. The disk itself is not written to.
#[derive(Debug)]
pub struct Guest {
    qemu: Child,
    folder: tempfile::TempDir,
    http_port: u16,
}

impl Guest {
    /// Boots a disk; `format` is `raw` or `qcow2`. Port 80 of the guest is forwarded to [`Guest::http_port`].
    ///
    /// # Errors
    /// When QEMU does not start.
    pub fn boot(disk: &Path, format: &str, firmware: Firmware) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("kiln-guest-").tempdir()?;
        let overlay = folder.path().join("overlay.qcow2");
        let made = Command::new("qemu-img")
            .args(["create", "-q", "-f", "qcow2", "-F", format, "-b"])
            .arg(fs_err::canonicalize(disk)?)
            .arg(&overlay)
            .status()
            .context("qemu-img (package qemu-utils)")?;
        ensure!(made.success(), "qemu-img create failed");
        let http_port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let mut command = Command::new("qemu-system-x86_64");
        // One processor: with several, QEMU 10 under TCG now and then fails an assertion of its own at a guest's start.
        command
            .args([
                "-nodefaults",
                "-no-user-config",
                "-machine",
                "q35",
                "-accel",
                "tcg,thread=multi",
                "-smp",
                "1",
            ])
            .args(["-m", "1024", "-display", "none", "-no-reboot", "-device", "virtio-rng-pci"])
            .args(["-nic", &format!("user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:{http_port}-:80")])
            .arg("-drive")
            .arg(format!("file={},format=qcow2,if=virtio", overlay.display()))
            .arg("-serial")
            .arg(format!("file:{}", folder.path().join("console").display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs_err::File::create(folder.path().join("stderr"))?.into_file());
        if firmware == Firmware::Uefi {
            let variables = folder.path().join("vars.fd");
            fs_err::copy(OVMF_VARS, &variables).context("OVMF (package ovmf)")?;
            command
                .args(["-drive", &format!("if=pflash,unit=0,format=raw,readonly=on,file={OVMF_CODE}")])
                .args(["-drive", &format!("if=pflash,unit=1,format=raw,file={}", variables.display())]);
        }
        let qemu = command.spawn().context("qemu-system-x86_64 (package qemu-system-x86)")?;
        Ok(Self { qemu, folder, http_port })
    }

    /// Waits until the console has said `text`; the error holds the console's last lines.
    ///
    /// # Errors
    /// When the time is over or QEMU ended without the text having come.
    pub fn wait_for_console(&mut self, text: &str, timeout: Duration) -> Result<()> {
        let start = Instant::now();
        loop {
            // The order matters: what QEMU wrote before it ended must be read after it is known to have ended.
            let ended = self.qemu.try_wait()?;
            if self.console()?.contains(text) {
                return Ok(());
            }
            if let Some(status) = ended {
                let stderr = fs_err::read_to_string(self.folder.path().join("stderr"))?;
                bail!("QEMU ended ({status}) before {text:?}: {stderr}\n{}", self.last_lines()?);
            }
            if start.elapsed() > timeout {
                bail!("no {text:?} within {timeout:?}; the console last said:\n{}", self.last_lines()?);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Returns everything the console said so far.
    ///
    /// # Errors
    /// When the console's file cannot be read.
    pub fn console(&self) -> Result<String> {
        let path = self.folder.path().join("console");
        match fs_err::read(&path) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            // QEMU has not made it yet.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            Err(e) => Err(e.into()),
        }
    }

    /// Returns the loopback port that is forwarded to the guest's port 80.
    #[must_use]
    pub fn http_port(&self) -> u16 {
        self.http_port
    }

    fn last_lines(&self) -> Result<String> {
        let console = self.console()?;
        let lines: Vec<_> = console.lines().collect();
        Ok(lines[lines.len().saturating_sub(30)..].join("\n"))
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Both fail only when QEMU is gone already.
        self.qemu.kill().ok();
        self.qemu.wait().ok();
    }
}
