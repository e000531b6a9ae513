//! What the first bytes of a kernel image say about it.
//!
//! ```text
//! x86 bzImage   202 "HdrS"   206 protocol: u16   20E place of the version's text, less 200: u16   236 flags: u16
//! arm64 Image    38 "ARM" 64
//! ```
//! Sources: the kernel's Documentation/arch/x86/boot.rst and Documentation/arch/arm64/booting.rst.

use kiln_types::Architecture;

/// The flag of an image that can be entered in 64-bit mode.
const XLF_KERNEL_64: u16 = 1;

/// Reads the version out of an x86 kernel image, like `6.1.0-37-cloud-amd64`; `None` for other images.
#[must_use]
pub fn kernel_version(image: &[u8]) -> Option<String> {
    let place = usize::from(x86_field(image, 0x20e)?) + 0x200;
    let text = image.get(place..)?.get(..256)?;
    let end = text.iter().position(|byte| matches!(byte, 0 | b' '))?;
    let version = std::str::from_utf8(&text[..end]).ok()?;
    (!version.is_empty()).then(|| version.to_owned())
}

/// Says what a kernel image is for, where that is known.
pub(super) fn architecture(image: &[u8]) -> Option<Architecture> {
    if image.get(0x38..0x3c) == Some(b"ARM\x64") {
        return Some(Architecture::Arm64);
    }
    // The flags are older than every kernel that has virtio 1.0.
    let flags = x86_field(image, 0x236).filter(|_| x86_field(image, 0x206) >= Some(0x20c))?;
    Some(if flags & XLF_KERNEL_64 == 0 { Architecture::I386 } else { Architecture::X86_64 })
}

fn x86_field(image: &[u8], at: usize) -> Option<u16> {
    let is_x86 = image.get(0x202..0x206) == Some(b"HdrS");
    image.get(at..).filter(|_| is_x86)?.first_chunk().map(|bytes| u16::from_le_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_and_nothing_else_is() {
        let mut image = vec![0; 0x1000];
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x206..0x208].copy_from_slice(&0x20f_u16.to_le_bytes());
        image[0x20e..0x210].copy_from_slice(&0x300_u16.to_le_bytes());
        image[0x236] = 0x7f;
        image[0x500..0x51a].copy_from_slice(b"6.1.0-56-cloud-amd64 (x@y)");
        assert_eq!(kernel_version(&image).as_deref(), Some("6.1.0-56-cloud-amd64"));
        assert_eq!(architecture(&image), Some(Architecture::X86_64));
        image[0x236] = 0x7e;
        assert_eq!(architecture(&image), Some(Architecture::I386));
        image[0x20f] = 0xff;
        assert_eq!(kernel_version(&image), None, "a place past the end");
        assert_eq!((kernel_version(b"\x7fELF"), architecture(b"\x7fELF")), (None, None));
    }
}
