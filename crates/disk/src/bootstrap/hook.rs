//! The script that mmdebstrap runs on the finished tree, inside its namespace.

use super::Bootstrap;
use crate::{Error, Geometry, firmware::Firmware};

/// What is new on each disk, however equal the rest is.
pub(super) struct Identity {
    /// The root's UUID.
    root: String,
    /// The seed of its folder hashes.
    hash_seed: String,
    /// The EFI system partition's volume number.
    pub(super) esp: u32,
}

impl Identity {
    pub(super) fn random() -> Result<Self, Error> {
        let esp = getrandom::u32().map_err(no_random)?;
        Ok(Self { root: random_uuid()?, hash_seed: random_uuid()?, esp })
    }
}

/// A random UUID (version 4).
fn random_uuid() -> Result<String, Error> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes).map_err(no_random)?;
    let number = u128::from_be_bytes(bytes);
    let number = number & !(0xf << 76) | 4 << 76;
    let number = number & !(0x3 << 62) | 2 << 62;
    let digits = format!("{number:032x}");
    let (a, b, c) = (&digits[..8], &digits[8..12], &digits[12..16]);
    Ok(format!("{a}-{b}-{c}-{}-{}", &digits[16..20], &digits[20..]))
}

fn no_random(error: getrandom::Error) -> Error {
    Error::io("get random numbers", std::io::Error::other(error))
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
    fn uuids_are_of_version_4() -> Result<(), Error> {
        let uuid = random_uuid()?;
        assert_eq!((uuid.len(), &uuid[14..15]), (36, "4"), "{uuid}");
        assert!(["8", "9", "a", "b"].contains(&&uuid[19..20]), "{uuid}");
        Ok(())
    }
}
