//! `qemu-img convert` as a child: the reader of every foreign format, and the writer of those that Kiln does not write.
//!
//! **Invariant:** the source's format is always named, and the source has passed the gate or was made by Kiln.

mod child;
mod percent;

use crate::{Error, Format};
use std::{
    ffi::{OsStr, OsString},
    ops::ControlFlow,
    path::Path,
};

/// One conversion of a whole image into a file that exists or can be made.
#[derive(Debug, Clone, Copy)]
pub struct Conversion<'a> {
    /// The image to read.
    pub source: &'a Path,
    /// Its format.
    pub format: Format,
    /// The file to write, replaced if it exists; the caller stages and renames.
    pub target: &'a Path,
    /// The format to write.
    pub target_format: Format,
    /// Options of the target's format, as `qemu-img convert -o` takes them: `subformat=dynamic`.
    pub options: &'a [&'a str],
    /// Bytes of the volume: what progress and limits count in.
    pub size: u64,
}

impl Conversion<'_> {
    /// Runs it to its end; the child is killed if this thread goes away. `progress` gets bytes done and all of them,
    /// and can give up.
    ///
    /// # Errors
    /// [`Error::QemuImgMissing`], [`Error::QemuImg`] with its last words, [`Error::Cancelled`] when `progress` broke
    /// off, or when a path cannot be resolved.
    pub fn run(&self, progress: &mut dyn FnMut(u64, u64) -> ControlFlow<()>) -> Result<(), Error> {
        // Absolute paths: QEMU takes `name:` at the start of a relative one for a protocol.
        let source = fs_err::canonicalize(self.source)?;
        let target = std::path::absolute(self.target)?;
        let mut arguments: Vec<OsString> =
            vec!["-p".into(), "-O".into(), self.target_format.qemu_name().into()];
        for option in self.options {
            arguments.extend(["-o".into(), (*option).into()]);
        }
        if self.format == Format::Vhd {
            // The footer's current size is the volume's; QEMU would take the geometry's for some creators.
            let fixed = "driver=vpc,force_size_calc=current_size,file.driver=file,file.filename=";
            let mut options = OsString::from(fixed);
            options.push(double_commas(source.as_os_str()));
            arguments.extend(["--image-opts".into(), options]);
        } else {
            arguments.extend(["-f".into(), self.format.qemu_name().into(), source.into_os_string()]);
        }
        arguments.push(target.into_os_string());
        let limits = child::Limits::for_volume(self.size);
        child::run("convert", &arguments, self.source, limits, |percent| {
            progress(self.size / 10_000 * u64::from(percent), self.size)
        })
    }
}

/// A comma ends an option's value; two of them are one in it.
fn double_commas(text: &OsStr) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let bytes = text.as_bytes().iter();
    let doubled = bytes.flat_map(|byte| std::iter::repeat_n(*byte, if *byte == b',' { 2 } else { 1 }));
    OsString::from_vec(doubled.collect())
}
