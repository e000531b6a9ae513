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
