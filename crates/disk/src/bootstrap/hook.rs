//! The script that mmdebstrap runs on the finished tree, inside its namespace.

use super::Bootstrap;
use crate::{Geometry, firmware::Firmware};
use kiln_types::Digest;

/// The ids of a disk's file systems.
pub(super) struct Identity {
    /// The root's UUID.
    root: String,
    /// The seed of its folder hashes.
    hash_seed: String,
    /// The EFI system partition's volume number.
    pub(super) esp: u32,
}

impl Identity {
    /// Makes them of what the disk depends on: bases of different inputs never share one.
    pub(super) fn of(seed: &Digest) -> Self {
        let number = u128::from_be_bytes(*seed.as_bytes().first_chunk().expect("a digest has 32 bytes"));
        let hashes = u128::from_be_bytes(*seed.as_bytes().last_chunk().expect("a digest has 32 bytes"));
        Self { root: uuid(number), hash_seed: uuid(hashes), esp: crc32fast::hash(seed.as_bytes()) }
    }
}

/// Writes a number as a UUID whose bits mean nothing (version 4).
fn uuid(number: u128) -> String {
    let number = number & !(0xf << 76) | 4 << 76;
    let number = number & !(0x3 << 62) | 2 << 62;
    let digits = format!("{number:032x}");
    let (a, b, c) = (&digits[..8], &digits[8..12], &digits[12..16]);
    format!("{a}-{b}-{c}-{}-{}", &digits[16..20], &digits[20..])
}

/// Puts this disk's values in front of the script.
pub(super) fn script(bootstrap: &Bootstrap, geometry: &Geometry, identity: &Identity) -> String {
    let esp = format!("{:04X}-{:04X}", identity.esp >> 16, identity.esp & 0xffff);
    let firmware = Firmware::of(bootstrap.architecture);
    let values = [
        ("root_uuid", identity.root.as_str()),
        ("hash_seed", &identity.hash_seed),
        ("esp_uuid", &esp),
        ("root_offset", &geometry.root.offset.to_string()),
        ("root_kib", &(geometry.root.size >> 10).to_string()),
        ("host_name", &bootstrap.hostname),
        ("console", firmware.console),
        ("bios", firmware.bios.unwrap_or_default()),
        ("efi", firmware.efi),
        ("grub_serial", if firmware.grub_serial { "yes" } else { "" }),
    ];
    // In single quotes everything is itself but the quote.
    let assignments = values.map(|(name, value)| format!("{name}='{}'\n", value.replace('\'', "'\\''")));
    assignments.concat() + include_str!("hook.sh")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuids_are_of_version_4_and_come_from_the_seed() {
        let of = |byte: u8| Identity::of(&Digest::from_bytes([byte; 32]));
        assert_eq!(of(0).root, "00000000-0000-4000-8000-000000000000");
        assert_eq!(of(0xff).hash_seed, "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!((of(7).root, of(7).esp), (of(7).root, of(7).esp));
        assert!(of(7).root != of(8).root && of(7).esp != of(8).esp);
    }
}
