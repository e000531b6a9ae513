//! Exports judged by qemu-img: the same bytes as the volume, and the same file each time.

use super::*;
use anyhow::{Context, Result, ensure};
use kiln_qcow2::{BlockSource, Chain, Format, RawDisk};
use kiln_store::{Location, NewSnapshot, Verify};
use kiln_types::{AccountId, BLOCK_SIZE, ByteSize, RegionName, SnapshotId};
use std::{
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    process::Command,
};

/// A region and disks in a folder.
struct World {
    folder: tempfile::TempDir,
    region: Region,
}

impl World {
    async fn new() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let location = Location::Folder(folder.path().join("region"));
        let region = Region::open_or_create(&location, &RegionName::local(), AccountId::LOCAL).await?;
        fs_err::create_dir(folder.path().join("out"))?;
        Ok(Self { folder, region })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Makes a disk with text, noise that does not compress, zeros that are data, and holes.
    fn disk(&self, name: &str, size: u64) -> Result<PathBuf> {
        let path = self.path(name);
        let file = fs_err::File::create(&path)?;
        file.set_len(size)?;
        let mut state = 88_172_645_463_325_252_u64;
        for block in 0..size.div_ceil(BLOCK_SIZE) {
            let length = usize::try_from((size - block * BLOCK_SIZE).min(BLOCK_SIZE))?;
            let line = format!("block {block} of a text that compresses\n");
            let bytes: Vec<u8> = match block % 5 {
                0 | 1 => line.bytes().cycle().take(length).collect(),
                2 => std::iter::repeat_with(|| xorshift(&mut state)).take(length).collect(),
                3 => vec![0; length],
                _ => continue,
            };
            file.file().write_all_at(&bytes, block * BLOCK_SIZE)?;
        }
        // One page of data in a block of zeros.
        file.file().write_all_at(&[1; 4096], 3 * BLOCK_SIZE + 8192)?;
        Ok(path)
    }

    async fn snapshot(
        &self,
        source: impl BlockSource + 'static,
        parent: Option<SnapshotId>,
    ) -> Result<SnapshotId> {
        let new = NewSnapshot {
            source: Box::new(source),
            parent,
            owner: AccountId::LOCAL,
            description: String::new(),
            tags: Vec::new(),
        };
        Ok(self.region.create_snapshot(new, |_| {}).await?.snapshot_id)
    }

    async fn export(
        &self,
        snapshot: SnapshotId,
        target: Target,
        name: &str,
        verify: Verify,
    ) -> Result<Exported> {
        let request = ExportRequest { snapshot, target, path: self.path(name), verify, sha256: true };
        let mut steps = Vec::new();
        let exported = export(&self.region, &request, |done, total| steps.push((done, total))).await?;
        ensure!(steps.is_sorted() && steps.last().is_none_or(|(done, total)| done == total), "{steps:?}");
        ensure!(steps.iter().all(|(done, total)| done <= total && *total == steps[0].1), "{steps:?}");
        Ok(exported)
    }

    /// Lets others judge an export: QEMU its content, sha256sum its digest.
    fn judge(&self, exported: &Exported, target: &Target, want: &Path) -> Result<()> {
        let file = exported.path.display().to_string();
        let sums = run("sha256sum", &[&file])?;
        ensure!(exported.sha256.is_some_and(|digest| sums.starts_with(&digest.to_string())), "{sums}");
        ensure!(fs_err::metadata(&exported.path)?.len() == exported.size);
        let (disk, format) = self.disk_in(exported, target)?;
        let (file, name) = (disk.display().to_string(), format.qemu_name());
        let want = want.display().to_string();
        if !matches!(format, Format::Raw | Format::Vhd) {
            let said = run("qemu-img", &["check", "-f", name, &file])?;
            ensure!(!said.contains("leaked"), "{said}");
        }
        run("qemu-img", &["compare", "-f", name, "-F", "raw", &file, &want])?;
        let size = target.volume_size(fs_err::metadata(want)?.len());
        let parent = matches!(target, Target::Qcow2(Qcow2 { parent: Some(_), .. }));
        let info = if parent { None } else { Some(kiln_qcow2::gate(&disk, format)?) };
        ensure!(info.is_none_or(|info| info.virtual_size == size), "{info:?} and not {size}");
        Ok(())
    }

    /// Unpacks the disk where an export holds one in an archive.
    fn disk_in(&self, exported: &Exported, target: &Target) -> Result<(PathBuf, Format)> {
        let format = match target {
            Target::Qcow2(_) => Format::Qcow2,
            Target::Raw => Format::Raw,
            Target::Vmdk(_) => Format::Vmdk,
            Target::Vhd(_) => Format::Vhd,
            Target::Vhdx => Format::Vhdx,
            Target::Ova(_) | Target::Gce => return self.unpacked(exported),
        };
        Ok((exported.path.clone(), format))
    }

    fn unpacked(&self, exported: &Exported) -> Result<(PathBuf, Format)> {
        let folder = self.path("unpacked");
        fs_err::create_dir_all(&folder)?;
        let (archive, to) = (exported.path.display().to_string(), folder.display().to_string());
        let list = run("tar", &["-tf", &archive])?;
        run("tar", &["-C", &to, "-xf", &archive])?;
        if exported.kind == Kind::Gce {
            ensure!(list == "disk.raw\n", "{list}");
            run("gzip", &["-t", &archive])?;
            return Ok((folder.join("disk.raw"), Format::Raw));
        }
        ensure!(list == "disk.ovf\ndisk.mf\ndisk.vmdk\n", "{list}");
        // The manifest's lines, as sha256sum reads them.
        let manifest = fs_err::read_to_string(folder.join("disk.mf"))?;
        ensure!(manifest.lines().count() == 2, "{manifest}");
        for line in manifest.lines() {
            let (name, digest) = line.split_once(")= ").context("a line of a manifest")?;
            let name = folder.join(name.trim_start_matches("SHA256("));
            ensure!(run("sha256sum", &[&name.display().to_string()])?.starts_with(digest), "{line}");
        }
        let ovf = fs_err::read_to_string(folder.join("disk.ovf"))?;
        let size = fs_err::metadata(folder.join("disk.vmdk"))?.len();
        ensure!(ovf.contains(&format!("ovf:size=\"{size}\"")) && ovf.contains("a &amp; b"), "{ovf}");
        Ok((folder.join("disk.vmdk"), Format::Vmdk))
    }

    fn nothing_is_left(&self) -> Result<()> {
        let left: Vec<_> = fs_err::read_dir(self.path("out"))?.collect::<Result<_, _>>()?;
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    }
}

fn xorshift(state: &mut u64) -> u8 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    state.to_le_bytes()[3]
}

fn run(tool: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(tool).args(arguments).output().with_context(|| tool.to_owned())?;
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{tool} {arguments:?}: {errors}");
    Ok(String::from_utf8(output.stdout)?)
}

/// Every format, in every form that can be chosen.
fn targets() -> Result<Vec<Target>> {
    let word = |text: &str| Some(text.to_owned());
    let mut targets: Vec<Target> = Vec::new();
    for kind in Kind::ALL {
        let machine = Machine { name: "a & b".to_owned(), ..Machine::default() };
        targets.push(Target::new(kind, Options { machine, ..Options::default() })?);
    }
    for (kind, subformat) in [(Kind::Vmdk, "sparse"), (Kind::Vhd, "fixed")] {
        targets.push(Target::new(kind, Options { subformat: word(subformat), ..Options::default() })?);
    }
    for (compression, kib, compat) in [
        ("zstd", 64, "1.1"),
        ("zlib", 64, "1.1"),
        ("zlib", 512, "0.10"),
        ("none", 4, "1.1"),
        ("none", 64, "0.10"),
    ] {
        let cluster_size = Some(ByteSize::from_bytes(kib << 10));
        let options = Options {
            compression: word(compression),
            compat: word(compat),
            cluster_size,
            ..Options::default()
        };
        targets.push(Target::new(Kind::Qcow2, options)?);
    }
    Ok(targets)
}

#[tokio::test]
async fn every_format_holds_the_volume() -> Result<()> {
    let world = World::new().await?;
    // Ends inside a sector, inside a block.
    let disk = world.disk("disk.raw", 23 * BLOCK_SIZE + 512 * 9 + 100)?;
    let snapshot = world.snapshot(RawDisk::open(&disk)?, None).await?;
    let targets = targets()?;
    for (number, target) in targets.iter().enumerate() {
        let name = format!("out/{number}.{}", target.kind());
        let first = world.export(snapshot, target.clone(), &name, Verify::Length).await?;
        world.judge(&first, target, &disk).with_context(|| format!("{target:?}"))?;
        let mode = fs_err::metadata(&first.path)?.mode() & 0o777;
        ensure!(mode & 0o600 == 0o600 && mode & 0o111 == 0, "{mode:o}");
        // Over the old file, with every digest compared: the same bytes.
        let second = world.export(snapshot, target.clone(), &name, Verify::Digest).await?;
        ensure!(first == second, "{target:?}: the same snapshot gives the same bytes");
    }
    ensure!(fs_err::read_dir(world.path("out"))?.count() == targets.len(), "nothing else is left");
    let used = fs_err::metadata(world.path("out/1.raw"))?.blocks() * 512;
    ensure!(used < 16 * BLOCK_SIZE, "holes stay holes, {used} bytes are used");
    Ok(())
}

#[tokio::test]
async fn a_stream_has_every_byte() -> Result<()> {
    let world = World::new().await?;
    let disk = world.disk("disk.raw", 13 * BLOCK_SIZE + 100)?;
    let snapshot = world.snapshot(RawDisk::open(&disk)?, None).await?;
    let out = fs_err::File::create(world.path("out/stream"))?;
    let sent = stream(&world.region, snapshot, out, |_, _| {}).await?;
    ensure!(sent == 13 * BLOCK_SIZE + 100);
    ensure!(fs_err::read(world.path("out/stream"))? == fs_err::read(&disk)?);
    // A reader that has gone, as of `| head`.
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    let failed = stream(&world.region, snapshot, writer, |_, _| {}).await;
    ensure!(matches!(failed, Err(Error::Write { .. })), "{failed:?}");
    Ok(())
}

#[tokio::test]
async fn a_raw_file_need_not_be_hashed() -> Result<()> {
    let world = World::new().await?;
    fs_err::File::create(world.path("disk.raw"))?.set_len(1 << 40)?;
    let snapshot = world.snapshot(RawDisk::open(&world.path("disk.raw"))?, None).await?;
    let path = world.path("out/disk.raw");
    let request =
        ExportRequest { snapshot, target: Target::Raw, path, verify: Verify::Digest, sha256: false };
    let exported = export(&world.region, &request, |_, _| {}).await?;
    ensure!(exported.size == 1 << 40 && exported.sha256.is_none());
    Ok(())
}

#[tokio::test]
async fn qcow2_holds_the_regions_frames() -> Result<()> {
    let world = World::new().await?;
    let disk = world.disk("disk.raw", 40 * BLOCK_SIZE)?;
    let snapshot = world.snapshot(RawDisk::open(&disk)?, None).await?;
    let exported =
        world.export(snapshot, Target::Qcow2(Qcow2::default()), "out/a.qcow2", Verify::Length).await?;
    let file = fs_err::read(&exported.path)?;
    let map = world.region.block_map(snapshot).await?;
    let (_, frame) = map.data().next().context("a block")?;
    let bytes = world.region.read_frame(&frame).await?;
    ensure!(file.windows(bytes.len()).any(|window| window == bytes), "the frame is in the file as it was");
    let json =
        run("qemu-img", &["check", "--output=json", "-f", "qcow2", &exported.path.display().to_string()])?;
    ensure!(json.contains("\"check-errors\": 0") && !json.contains("leaks"), "{json}");
    Ok(())
}

#[tokio::test]
async fn a_child_made_of_overlays() -> Result<()> {
    let world = World::new().await?;
    let disk = world.disk("disk.raw", 16 * BLOCK_SIZE)?;
    let parent = world.snapshot(RawDisk::open(&disk)?, None).await?;
    let (base, top) = (disk.display().to_string(), world.path("top.qcow2"));
    let name = top.display().to_string();
    run("qemu-img", &["create", "-q", "-f", "qcow2", "-b", &base, "-F", "raw", &name, "12M"])?;
    let writes = ["write -P 9 1M 4k", "discard 2560k 1M", "write -z 5M 64k", "write -P 7 11M 600k"];
    for write in writes {
        run("qemu-io", &["-d", "unmap", "-f", "qcow2", "-c", write, &name])?;
    }
    let child = world.snapshot(Chain::open(&disk, std::slice::from_ref(&top))?, Some(parent)).await?;
    run(
        "qemu-img",
        &["convert", "-f", "qcow2", "-O", "raw", &name, &world.path("want.raw").display().to_string()],
    )?;
    let want = world.path("want.raw");
    let whole = Target::Qcow2(Qcow2::default());
    for target in [whole.clone(), Target::Raw] {
        let name = format!("out/child.{}", target.kind());
        let exported = world.export(child, target.clone(), &name, Verify::Digest).await?;
        world.judge(&exported, &target, &want).with_context(|| format!("{target:?}"))?;
    }
    let exported = world.export(parent, whole.clone(), "out/parent.qcow2", Verify::Digest).await?;
    world.judge(&exported, &whole, &disk)?;
    world.export(parent, Target::Raw, "out/parent.raw", Verify::Digest).await?;
    // What the child wrote, over the parent's file; zeros hide what that has.
    for (below, kib) in [("parent.qcow2", 512), ("parent.raw", 64)] {
        let cluster_size = Some(ByteSize::from_bytes(kib << 10));
        let incremental = Some(below.to_owned());
        let target = Target::new(Kind::Qcow2, Options { cluster_size, incremental, ..Options::default() })?;
        let top = world.export(child, target.clone(), "out/top.qcow2", Verify::Digest).await?;
        world.judge(&top, &target, &want).with_context(|| format!("{target:?}"))?;
        let whole = fs_err::metadata(world.path("out/child.qcow2"))?.len();
        ensure!(top.size < whole, "{} and {whole}", top.size);
        let orphan = world.export(parent, target, "out/orphan.qcow2", Verify::Digest).await;
        ensure!(orphan.is_err_and(|error| matches!(error.downcast_ref(), Some(Error::NoParent))));
    }
    Ok(())
}

#[tokio::test]
async fn an_empty_volume_and_an_unknown_snapshot() -> Result<()> {
    let world = World::new().await?;
    fs_err::File::create(world.path("empty.raw"))?.set_len(3 << 30)?;
    let snapshot = world.snapshot(RawDisk::open(&world.path("empty.raw"))?, None).await?;
    let exported =
        world.export(snapshot, Target::Qcow2(Qcow2::default()), "out/empty.qcow2", Verify::Length).await?;
    world.judge(&exported, &Target::Qcow2(Qcow2::default()), &world.path("empty.raw"))?;
    fs_err::remove_file(&exported.path)?;
    let unknown = world.export(SnapshotId::from_bits(1), Target::Raw, "out/x.raw", Verify::Length).await;
    ensure!(unknown.is_err_and(|error| matches!(error.downcast_ref(), Some(Error::Store(_)))));
    world.nothing_is_left()
}

#[tokio::test]
async fn damage_in_the_region_is_found_and_leaves_nothing() -> Result<()> {
    let world = World::new().await?;
    let disk = world.disk("disk.raw", 10 * BLOCK_SIZE)?;
    let snapshot = world.snapshot(RawDisk::open(&disk)?, None).await?;
    let packs = fs_err::read_dir(world.path("region/packs"))?.collect::<Result<Vec<_>, _>>()?;
    let pack = packs.first().context("a pack")?.path();
    let map = world.region.block_map(snapshot).await?;
    let (_, frame) = map.data().max_by_key(|(_, frame)| frame.length).context("a block")?;
    let file = fs_err::OpenOptions::new().write(true).open(&pack)?;
    // Noise is stored as it is, so that a wrong byte in it decodes: only the digest tells.
    file.file().write_all_at(b"wrong", frame.offset + u64::from(frame.length) / 2)?;
    for target in targets()? {
        let failed = world.export(snapshot, target.clone(), "out/a", Verify::Digest).await;
        ensure!(
            failed.is_err_and(|error| matches!(error.downcast_ref(), Some(Error::Store(_)))),
            "{target:?}"
        );
    }
    // A frame that is none is found without decoding.
    for (_, frame) in map.data() {
        file.file().write_all_at(&[0x55; 16], frame.offset)?;
    }
    let failed = world.export(snapshot, Target::Qcow2(Qcow2::default()), "out/a", Verify::Length).await;
    let error = failed.err().context("the frames are damaged")?;
    ensure!(matches!(error.downcast_ref(), Some(Error::Store(_))), "{error:?}");
    world.nothing_is_left()
}

#[tokio::test]
async fn a_target_that_cannot_be_written() -> Result<()> {
    let world = World::new().await?;
    let disk = world.disk("disk.raw", 2 * BLOCK_SIZE)?;
    let snapshot = world.snapshot(RawDisk::open(&disk)?, None).await?;
    for name in ["missing/a.qcow2", "out"] {
        let failed = world.export(snapshot, Target::Qcow2(Qcow2::default()), name, Verify::Length).await;
        let error = failed.err().context("it cannot be written")?;
        ensure!(format!("{error:#}").contains(name), "{error:#}");
    }
    world.nothing_is_left()
}

#[test]
fn a_full_file_system_is_told_with_the_path_and_the_need() -> Result<()> {
    use kiln_qcow2::writer::Output;
    let folder = tempfile::tempdir()?;
    let staged = staged::Staged::beside(&folder.path().join("a.qcow2"))?;
    let full = fs_err::OpenOptions::new().write(true).open("/dev/full")?;
    let error = file::HashedFile::new(full.into(), true).bytes(b"x").err().context("/dev/full is full")?;
    let told = staged.failure(12_345).write(error);
    ensure!(matches!(&told, Error::DiskFull { needed: 12_345, .. }), "{told}");
    ensure!(
        told.to_string().contains("a.qcow2") && told.hint().is_some_and(|hint| hint.starts_with("df -h"))
    );
    Ok(())
}
