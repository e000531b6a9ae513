//! The shipped template for real, once: Debian is bootstrapped, nginx is installed, and the exported disk boots under
//! BIOS and under UEFI and serves the page.

mod i386;
mod launch;
mod ssh;
mod uefi;

use anyhow::{Context, Result, ensure};
use kiln_testkit::{Firmware, Guest, Kiln, tool};
use std::{
    io::{Read, Write},
    net::TcpStream,
    path::PathBuf,
    thread::sleep,
    time::{Duration, Instant},
};

/// A Debian boot to nginx takes one to three minutes without KVM on a quiet machine.
const BOOT: Duration = Duration::from_secs(900);

#[test]
fn debian_web_boots_under_bios_and_uefi_and_serves_its_page() -> Result<()> {
    let kiln = Kiln::new(env!("CARGO_BIN_EXE_kiln"))?;
    let folder = kiln.world.shipped("debian-web")?;
    let document = kiln.json(&["build", folder.to_str().context("a path")?, "--json"])?;
    let build = &document["Builds"][0];
    assert_eq!(build["StepsRun"], 3);
    let disk = PathBuf::from(build["Exports"][0]["Path"].as_str().context("a path")?);
    tool("qemu-img", &["check", "-f", "qcow2", disk.to_str().context("a path")?])?;

    serves(&Guest::boot(&disk, "qcow2", Firmware::Bios)?).context("under BIOS")?;
    serves(&Guest::boot(&disk, "qcow2", Firmware::Uefi)?).context("under UEFI")
}

/// What a step wrote into the page.
const PAGE: &str = "Baked by Kiln";

/// Waits until the guest's port 80 answers with the page.
fn serves(guest: &Guest) -> Result<()> {
    let start = Instant::now();
    loop {
        let answer = get(guest.http_port()).unwrap_or_default();
        if answer.contains(PAGE) {
            return Ok(());
        }
        let told = || guest.console().unwrap_or_default();
        ensure!(start.elapsed() < BOOT, "no page within {BOOT:?}: {answer:?}\n{}", told());
        sleep(Duration::from_secs(2));
    }
}

fn get(port: u16) -> Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
