//! Imports compared with what qemu-img reads.

use super::*;
use crate::oracle::{content, qemu_img, same};
use anyhow::{Result, ensure};
use std::os::unix::fs::MetadataExt;

/// Imports an image and compares it with what QEMU reads from the raw file that it was made of.
fn judge(folder: &Path, image: &str, format: Format) -> Result<()> {
    let out = folder.join("imported.raw");
    let mut steps = Vec::new();
    let info = import(&folder.join(image), format, &out, &mut |done, total| steps.push((done, total)))?;
    let want = fs_err::read(folder.join("disk.raw"))?;
    let mut ours = fs_err::read(&out)?;
    ensure!(u64::try_from(ours.len())? == info.virtual_size);
    // VHD without force_size has the size of a geometry: a little more, and zeros.
    ensure!(ours.len() >= want.len() && ours[want.len()..].iter().all(|byte| *byte == 0));
    ours.truncate(want.len());
    same(&ours, &want)?;
    let used = fs_err::metadata(&out)?.blocks() * 512;
    ensure!(used < info.virtual_size / 2, "it is sparse: {used} of {}", info.virtual_size);
    ensure!(steps.is_sorted() && steps.last() == Some(&(info.virtual_size, info.virtual_size)), "{steps:?}");
    Ok(())
}

#[test]
fn every_format_comes_out_as_the_raw_disk_that_it_was() -> Result<()> {
    let folder = tempfile::tempdir()?;
    content(&folder.path().join("disk.raw"), (12 << 20) + 512 * 5, 3)?;
    let cases = [
        ("qcow2", ""),
        ("qcow2", "-o compat=0.10"),
        ("qcow2", "-o cluster_size=512"),
        ("qcow2", "-o cluster_size=2M"),
        ("qcow2", "-o extended_l2=on"),
        ("qcow2", "-c -o compression_type=zstd"),
        ("qcow2", "-c"),
        ("vmdk", ""),
        ("vmdk", "-o subformat=streamOptimized"),
        ("vpc", ""),
        ("vpc", "-o force_size=on"),
        ("vpc", "-o subformat=fixed,force_size=on"),
        ("vhdx", ""),
        ("vhdx", "-o subformat=fixed"),
    ];
    for (name, options) in cases {
        qemu_img(folder.path(), &format!("convert -f raw -O {name} {options} disk.raw image"))?;
        let format = crate::detect(&folder.path().join("image"))?;
        ensure!(format.qemu_name() == name, "{name} was taken for {format}");
        judge(folder.path(), "image", format).map_err(|error| error.context(format!("{name} {options}")))?;
    }
    judge(folder.path(), "disk.raw", Format::Raw)?;
    Ok(())
}

#[test]
fn an_active_state_over_a_snapshot() -> Result<()> {
    let folder = tempfile::tempdir()?;
    content(&folder.path().join("disk.raw"), 4 << 20, 9)?;
    qemu_img(folder.path(), "convert -f raw -O qcow2 disk.raw image")?;
    qemu_img(folder.path(), "bitmap --add image b0")?;
    qemu_img(folder.path(), "snapshot -c one image")?;
    judge(folder.path(), "image", Format::Qcow2)
}

#[test]
fn names_that_qemu_would_read_as_something_else() -> Result<()> {
    let folder = tempfile::tempdir()?;
    content(&folder.path().join("disk.raw"), 4 << 20, 9)?;
    for (made, named, format) in
        [("a.qcow2", "nbd:x,y=z.qcow2", Format::Qcow2), ("a.vhd", "json:{},file.filename=b.vhd", Format::Vhd)]
    {
        qemu_img(folder.path(), &format!("convert -f raw -O {} disk.raw {made}", format.qemu_name()))?;
        fs_err::rename(folder.path().join(made), folder.path().join(named))?;
        judge(folder.path(), named, format)?;
    }
    Ok(())
}

#[test]
fn a_raw_disk_gets_whole_sectors_and_keeps_its_holes() -> Result<()> {
    let folder = tempfile::tempdir()?;
    content(&folder.path().join("disk.raw"), (1 << 20) + 700, 5)?;
    let out = folder.path().join("out.raw");
    let info = import(&folder.path().join("disk.raw"), Format::Raw, &out, &mut |_, _| {})?;
    ensure!(info.virtual_size == (1 << 20) + 1024);
    let (ours, mut want) = (fs_err::read(&out)?, fs_err::read(folder.path().join("disk.raw"))?);
    want.resize(ours.len(), 0);
    same(&ours, &want)
}

#[test]
fn a_failure_leaves_nothing_and_keeps_the_old_file() -> Result<()> {
    let folder = tempfile::tempdir()?;
    content(&folder.path().join("disk.raw"), 8 << 20, 11)?;
    qemu_img(folder.path(), "convert -f raw -O qcow2 -c disk.raw image")?;
    // Compressed data that is none: the header stays sound.
    let mut bytes = fs_err::read(folder.path().join("image"))?;
    let middle = bytes.len() / 2;
    bytes[middle..].fill(0x55);
    fs_err::write(folder.path().join("image"), bytes)?;
    let out = folder.path().join("out.raw");
    fs_err::write(&out, "old")?;
    let failed = import(&folder.path().join("image"), Format::Qcow2, &out, &mut |_, _| {});
    ensure!(matches!(failed, Err(Error::QemuImg { .. })), "{failed:?}");
    ensure!(fs_err::read_to_string(&out)? == "old");
    let left: Vec<_> = fs_err::read_dir(folder.path())?.collect::<Result<_, _>>()?;
    ensure!(left.len() == 3, "{left:?}");
    Ok(())
}

/// Every kind of qcow2 that qemu-img can make and that stands alone.
#[test]
fn every_kind_of_qcow2_reads_as_qemu_reads_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    content(&folder.path().join("disk.raw"), (3 << 20) + 512 * 7, 21)?;
    let clusters = ["512", "4k", "64k", "2M"];
    let mut kinds: Vec<String> = Vec::new();
    for size in clusters {
        kinds.push(format!("-o cluster_size={size}"));
        kinds.push(format!("-o compat=0.10,cluster_size={size}"));
        kinds.push(format!("-c -o cluster_size={size}"));
        kinds.push(format!("-c -o compression_type=zstd,cluster_size={size}"));
        kinds.push(format!("-o lazy_refcounts=on,cluster_size={size}"));
        if !matches!(size, "512" | "4k") {
            kinds.push(format!("-o extended_l2=on,cluster_size={size}"));
            kinds.push(format!("-c -o extended_l2=on,compression_type=zstd,cluster_size={size}"));
        }
    }
    kinds.extend([1, 2, 4, 8, 32, 64].map(|bits| format!("-o refcount_bits={bits}")));
    kinds.extend(["metadata", "falloc"].map(|how| format!("-o preallocation={how}")));
    for kind in kinds {
        qemu_img(folder.path(), &format!("convert -f raw -O qcow2 {kind} disk.raw image"))?;
        judge(folder.path(), "image", Format::Qcow2).map_err(|error| error.context(kind))?;
    }
    Ok(())
}

#[test]
fn what_was_written_after_a_snapshot_and_zeroed_and_discarded_is_the_disk() -> Result<()> {
    let folder = tempfile::tempdir()?;
    content(&folder.path().join("disk.raw"), 6 << 20, 4)?;
    for options in
        ["-o cluster_size=4k", "-o extended_l2=on", "-o compat=0.10", "-c -o compression_type=zstd"]
    {
        qemu_img(folder.path(), &format!("convert -f raw -O qcow2 {options} disk.raw image"))?;
        qemu_img(folder.path(), "snapshot -c one image")?;
        let image = folder.path().join("image");
        let node =
            format!(r#"{{"driver":"qcow2","file":{{"driver":"file","filename":"{}"}}}}"#, image.display());
        let lines = ["write -P 5 1M 70k", "write -z 2M 300k", "discard 3M 1M", "write -P 6 5M 1"];
        crate::oracle::qemu_io(&node, &lines.map(|line| line.replace("5M 1", "5M 512")))?;
        // The disk itself, so that the judge compares with the image's own last state.
        fs_err::copy(folder.path().join("disk.raw"), folder.path().join("before.raw"))?;
        qemu_img(folder.path(), "convert -f qcow2 -O raw image disk.raw")?;
        judge(folder.path(), "image", Format::Qcow2).map_err(|error| error.context(options))?;
        fs_err::rename(folder.path().join("before.raw"), folder.path().join("disk.raw"))?;
    }
    Ok(())
}

#[test]
fn overlays_of_any_size_are_refused_and_leave_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    content(&folder.path().join("disk.raw"), 4 << 20, 2)?;
    let out = folder.path().join("out.raw");
    for size in ["2M", "4M", "8M"] {
        for options in ["", "-o extended_l2=on", "-o compat=0.10"] {
            qemu_img(
                folder.path(),
                &format!("create -q -f qcow2 {options} -b disk.raw -F raw overlay.qcow2 {size}"),
            )?;
            let refused = import(&folder.path().join("overlay.qcow2"), Format::Qcow2, &out, &mut |_, _| {});
            ensure!(matches!(refused, Err(Error::Refused { .. })), "{size} {options}: {refused:?}");
            ensure!(!out.exists());
        }
    }
    Ok(())
}

/// A damaged image is refused, or read as something: never a panic, a file left over, or this process's memory.
#[test]
fn damaged_images_are_imported_or_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    content(&folder.path().join("disk.raw"), 2 << 20, 13)?;
    let out = folder.path().join("out.raw");
    let (mut random, mut refused) = (crate::oracle::Random(7), 0);
    for (name, options) in [
        ("qcow2", "-o cluster_size=512"),
        ("qcow2", "-o extended_l2=on"),
        ("qcow2", "-c -o compression_type=zstd"),
        ("vmdk", "-o subformat=streamOptimized"),
        ("vpc", "-o force_size=on"),
        ("vhdx", ""),
    ] {
        qemu_img(folder.path(), &format!("convert -f raw -O {name} {options} disk.raw image"))?;
        let sound = fs_err::read(folder.path().join("image"))?;
        let format = crate::detect(&folder.path().join("image"))?;
        for _ in 0..10 {
            let mut bytes = sound.clone();
            // The tables stand at the front, and of a VHD at the end, too.
            for _ in 0..1 + random.below(16) {
                let front = if random.below(4) == 0 { bytes.len() } else { bytes.len().min(2048) };
                let at = usize::try_from(random.below(u64::try_from(front)?))?;
                bytes[at] = random.bytes(1)[0];
            }
            fs_err::write(folder.path().join("damaged"), &bytes)?;
            // A volume of many TiB is no damage that can be seen, and takes long to be found empty.
            match gate(&folder.path().join("damaged"), format) {
                Ok(info) if info.virtual_size > 1 << 30 => continue,
                _ => {}
            }
            match import(&folder.path().join("damaged"), format, &out, &mut |_, _| {}) {
                Ok(info) => ensure!(fs_err::metadata(&out)?.len() == info.virtual_size),
                Err(_) => refused += 1,
            }
            fs_err::remove_file(&out).or_else(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            })?;
            let left = fs_err::read_dir(folder.path())?.count();
            ensure!(left == 3, "{name} {options}: {left} files");
        }
    }
    ensure!(refused > 5, "damage is seen: {refused} of 60");
    Ok(())
}
