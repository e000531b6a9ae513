//! Whether a disk holds the id of one machine.

use super::{Root, TEXT_LIMIT};
use crate::{Disk, Error, FileSystem, tree::Place};

/// Where systemd and D-Bus keep it; either takes the other's where it has none.
const PLACES: [&str; 2] = ["/etc/machine-id", "/var/lib/dbus/machine-id"];

/// Says whether there is a machine id (machine-id(5)), which all machines made of the disk would share; `None` when the root's
/// file system is not one that can be read here.
///
/// # Errors
/// When the file system is damaged.
pub fn has_machine_id(disk: impl Into<Disk>, root: &Root) -> Result<Option<bool>, Error> {
    if root.filesystem != FileSystem::Ext4 {
        return Ok(None);
    }
    let tree = Place::Ext4 { disk: disk.into(), offset: root.offset, size: root.size }.open()?;
    for place in PLACES {
        // Empty, or this word where the first boot is to be told from others.
        let id = tree.read_text(place, TEXT_LIMIT)?;
        if id.is_some_and(|id| !matches!(id.trim(), "" | "uninitialized")) {
            return Ok(Some(true));
        }
    }
    Ok(Some(false))
}
