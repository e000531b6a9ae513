//! The disk, and the installation that holds its snapshots; made once, and kept while the disk stays the same.

use crate::bench::{Bench, measure};
use crate::run::{cargo, output, shown, succeed, target};
use anyhow::{Context, Result, ensure};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// A Debian server of about 500 MB.
const TEMPLATE: &str = r#"[template]
name = "bench-store"

[source]
type = "bootstrap"
suite = "bookworm"
disk_size = "4GiB"
packages = ["openssh-server"]

[[export]]
format = "raw"
path = "disk.raw"
"#;

/// How many snapshots the lineage has.
const LINEAGE: usize = 100;
/// One block of a hundred is changed, by a page.
const STEP: u64 = 100;
const BLOCK: u64 = 512 << 10;

/// Where everything lies.
pub(super) struct World {
    pub(super) kiln: PathBuf,
    pub(super) overlay_program: PathBuf,
    /// The disk, sparse and raw.
    pub(super) disk: PathBuf,
    /// The same as a compressed qcow2.
    pub(super) packed: PathBuf,
    /// The same, grown to 1 TiB.
    pub(super) sparse: PathBuf,
    /// The changes, and the disk with them.
    pub(super) overlay: PathBuf,
    pub(super) changed: PathBuf,
    pub(super) home: PathBuf,
    pub(super) fresh: PathBuf,
    pub(super) out: PathBuf,
    /// Ids of the disk's snapshot, of the last of its lineage, and of the sparse disk's.
    pub(super) first: String,
    pub(super) hundredth: String,
    pub(super) sparse_snapshot: String,
}

impl World {
    pub(super) fn make(bench: &Bench) -> Result<Self> {
        eprintln!("== cargo build --release");
        let build = |words: &[&str]| {
            let mut cargo = cargo(&["build", "--quiet", "--release", "--locked"]);
            succeed(cargo.args(words).stdout(std::io::stderr()))
        };
        build(&["--package", "kiln-cli"])?;
        build(&["--package", "kiln-export", "--example", "overlay"])?;
        let folder = bench.path("store");
        for name in ["base", "fresh", "out"] {
            fs_err::create_dir_all(folder.join(name))?;
        }
        let mut world = Self {
            kiln: target()?.join("release/kiln"),
            overlay_program: target()?.join("release/examples/overlay"),
            disk: folder.join("base/disk.raw"),
            packed: folder.join("base/disk.qcow2"),
            sparse: folder.join("base/sparse.raw"),
            overlay: folder.join("out/overlay.qcow2"),
            changed: folder.join("out/changed.raw"),
            home: folder.join("home"),
            fresh: folder.join("fresh"),
            out: folder.join("out"),
            first: String::new(),
            hundredth: String::new(),
            sparse_snapshot: String::new(),
        };
        world.ensure_disk()?;
        world.ensure_snapshots()?;
        Ok(world)
    }

    /// Where the installation keeps its snapshots.
    pub(super) fn region(&self) -> PathBuf {
        self.home.join("regions/local")
    }

    /// Says how large the disk is.
    pub(super) fn facts(&self) -> String {
        use std::os::unix::fs::MetadataExt;
        let used = fs_err::metadata(&self.disk).map_or(0, |metadata| metadata.blocks() * 512);
        format!("a Debian of {} MB of data on a disk of 4 GiB", used / 1_000_000)
    }

    fn ensure_disk(&self) -> Result<()> {
        if self.sparse.exists() {
            eprintln!("== disk: {} is there; remove it to make it anew", shown(&self.sparse));
            return Ok(());
        }
        eprintln!("== disk: made by Kiln, once");
        let folder = self.disk.parent().context("the disk lies in a folder")?;
        fs_err::write(folder.join("template.toml"), TEMPLATE)?;
        let home = folder.join("home");
        let mut build = Command::new(&self.kiln);
        succeed(build.arg("--home").arg(&home).arg("build").arg(folder).stdout(std::io::stderr()))?;
        fs_err::remove_dir_all(&home)?;
        let options = ["-f", "raw", "-O", "qcow2", "-c", "-o", "compression_type=zstd"];
        succeed(Command::new("qemu-img").arg("convert").args(options).arg(&self.disk).arg(&self.packed))?;
        succeed(Command::new("cp").arg("--sparse=always").arg(&self.disk).arg(&self.sparse))?;
        fs_err::OpenOptions::new().write(true).open(&self.sparse)?.set_len(1 << 40)?;
        Ok(())
    }

    /// Makes the snapshots anew: a program that has changed may store them otherwise.
    fn ensure_snapshots(&mut self) -> Result<()> {
        eprintln!("== {LINEAGE} snapshots");
        if self.home.exists() {
            fs_err::remove_dir_all(&self.home)?;
        }
        self.first = self.import("flat", &self.disk)?;
        self.sparse_snapshot = self.import("sparse", &self.sparse)?;
        self.hundredth = self.first.clone();
        let overlay = self.out.join("lineage.qcow2");
        create_overlay(&overlay, &self.disk)?;
        for number in 1..LINEAGE {
            let at = u64::try_from(number)? * STEP * BLOCK / 3 % (4 << 30);
            write(&overlay, &[at], number)?;
            let [region, base, top] = [self.region(), self.disk.clone(), overlay.clone()];
            let mut command = Command::new(&self.overlay_program);
            let said = command.arg(region).arg(&self.hundredth).arg(base).arg(top).output()?;
            ensure!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
            let said = String::from_utf8(said.stdout)?;
            self.hundredth = said.split(' ').next().context("a snapshot's id")?.to_owned();
        }
        fs_err::remove_file(&overlay)?;
        Ok(())
    }

    /// Imports a disk and returns its snapshot's id.
    fn import(&self, name: &str, disk: &Path) -> Result<String> {
        let (kiln, home) = (self.kiln.to_str().context("a path")?, self.home.to_str().context("a path")?);
        let disk = disk.to_str().context("a path")?;
        let arguments =
            ["--quiet", "--home", home, "image", "import", "--format", "raw", "--json", "--name", name, disk];
        let said = output(kiln, &arguments).context("kiln image import failed")?;
        let said: serde_json::Value = serde_json::from_str(&said)?;
        let id = &said["Images"][0]["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"];
        Ok(id.as_str().context("an image without a snapshot")?.to_owned())
    }
}

fn create_overlay(overlay: &Path, base: &Path) -> Result<()> {
    let mut create = Command::new("qemu-img");
    create.args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"]).arg(base).arg(overlay);
    succeed(&mut create)
}

/// Writes a page at each place.
fn write(overlay: &Path, places: &[u64], seed: usize) -> Result<()> {
    let mut command = Command::new("qemu-io");
    command.args(["-f", "qcow2"]);
    for (number, at) in places.iter().enumerate() {
        let pattern = (seed + number * 7) % 255 + 1;
        command.args(["-c", &format!("write -q -P {pattern} {at} 4k")]);
    }
    succeed(command.arg(overlay).stdout(std::process::Stdio::null()))
}

/// Makes an overlay that changes one block of a hundred of those that hold data.
pub(super) fn write_overlay(overlay: &Path, base: &Path) -> Result<()> {
    create_overlay(overlay, base)?;
    let mut map = Command::new("qemu-img");
    let said = map.args(["map", "--output=json", "-f", "raw"]).arg(base).output()?;
    let extents: Vec<serde_json::Value> = serde_json::from_slice(&said.stdout).context("qemu-img map")?;
    let data = extents.iter().filter(|extent| extent["data"] == true);
    let blocks = data.flat_map(|extent| {
        let (start, length) = (extent["start"].as_u64().unwrap_or(0), extent["length"].as_u64().unwrap_or(0));
        start.div_ceil(BLOCK)..(start + length) / BLOCK
    });
    let places: Vec<u64> = blocks.step_by(usize::try_from(STEP)?).map(|block| block * BLOCK).collect();
    let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH)?;
    // Other bytes in every run: the region would know these blocks otherwise.
    write(overlay, &places, usize::try_from(now.subsec_nanos())?)?;
    ensure!(measure::bytes(overlay)? > 0);
    Ok(())
}
