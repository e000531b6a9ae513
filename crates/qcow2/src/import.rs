//! Makes a sparse raw file of a foreign image, once; all else in Kiln reads the raw file.
//!
//! ```text
//! gate ─→ stage beside the target ─→ raw: copy the data between holes
//!                                    other: a qemu-img child with limits ─→ sync ─→ rename
//! ```
//! A failure anywhere leaves nothing behind; a killed process may leave the staged file, whose name begins with
//! [`STAGED_PREFIX`].

mod copy;

use crate::{Conversion, Error, Format, ImageInfo, gate};
use std::{ops::ControlFlow, path::Path};

/// How the names of staged files begin.
pub(crate) const STAGED_PREFIX: &str = ".kiln-staged-";

/// Imports an image of a named format as a sparse raw file at `out`, which is replaced whole or not at all.
///
/// The result has whole sectors: a raw image that ends inside one gets zeros up to its end, so that every program
/// that opens the disk sees the same size. `progress` gets bytes of the volume that are done, and all of them.
///
/// # Errors
/// What [`gate()`] refuses; [`Error::QemuImgMissing`], [`Error::QemuImg`], [`Error::DiskFull`], or when files cannot be
/// read or written.
pub fn import(
    path: &Path,
    format: Format,
    out: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<ImageInfo, Error> {
    let info = gate(path, format)?;
    let size = info.virtual_size.next_multiple_of(512);
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let staged = stage(folder)?;
    match format {
        Format::Raw => copy::sparse(path, staged.as_file(), out, info.virtual_size, progress)?,
        Format::Qcow2 | Format::Vmdk | Format::Vhd | Format::Vhdx => {
            let (target, target_format, options) = (staged.path(), Format::Raw, &[][..]);
            let conversion = Conversion { source: path, format, target, target_format, options, size };
            let mut report = |done, total| {
                progress(done, total);
                ControlFlow::Continue(())
            };
            conversion.run(&mut report).map_err(|error| error.or_disk_full(out, size))?;
        }
    }
    let file = fs_err::OpenOptions::new().write(true).open(staged.path())?;
    file.set_len(size)?;
    file.sync_all()?;
    staged.persist(out).map_err(|failed| failed.error)?;
    progress(size, size);
    Ok(ImageInfo { format: Format::Raw, virtual_size: size })
}

fn stage(folder: &Path) -> Result<tempfile::NamedTempFile, Error> {
    use std::os::unix::fs::PermissionsExt;
    let mut builder = tempfile::Builder::new();
    // What the user's umask leaves of it, as for any new file.
    let permissions = std::fs::Permissions::from_mode(0o666);
    let staged = builder.prefix(STAGED_PREFIX).suffix(".raw").permissions(permissions).tempfile_in(folder);
    staged.map_err(|error| {
        let text = format!("cannot make a file in `{}`: {error}", folder.display());
        Error::Io(std::io::Error::new(error.kind(), text))
    })
}

#[cfg(test)]
mod tests;
