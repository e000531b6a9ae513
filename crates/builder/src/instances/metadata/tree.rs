//! What an instance can ask about itself: leaves by their paths, and what lies in a folder of them.

use crate::instances::{Instance, Volume};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// QEMU's DHCP gives a network's fifteenth address to its first guest, and its first card has this hardware address.
const ADDRESS: &str = "169.254.0.15";
const CARD: &str = "52:54:00:12:34:56";

/// The leaves, below the version.
#[derive(Debug)]
pub(super) struct Tree {
    leaves: BTreeMap<String, Vec<u8>>,
}

impl Tree {
    /// Says of an instance what it may know: `key` is its owner's public key.
    pub(super) fn new(instance: &Instance, hostname: &str, key: &str, user_data: Option<Vec<u8>>) -> Self {
        let mut tree = Self { leaves: BTreeMap::new() };
        let region = instance.region_name.to_string();
        tree.metadata("ami-id", &instance.image_id);
        tree.metadata("ami-launch-index", &0);
        tree.metadata("hostname", &hostname);
        tree.metadata("instance-action", &"none");
        tree.metadata("instance-id", &instance.instance_id);
        tree.metadata("instance-life-cycle", &"on-demand");
        tree.metadata("local-hostname", &hostname);
        tree.metadata("local-ipv4", &ADDRESS);
        tree.metadata("mac", &CARD);
        tree.metadata("placement/region", &region);
        tree.metadata("public-keys/0/openssh-key", &key.trim());
        for tag in &instance.tags {
            tree.metadata(&format!("tags/instance/{}", tag.key), &tag.value);
        }
        tree.devices(instance);
        let document = json!({
            "accountId": instance.owner_id,
            "architecture": instance.architecture,
            "imageId": instance.image_id,
            "instanceId": instance.instance_id,
            "pendingTime": instance.launch_time,
            "privateIp": ADDRESS,
            "region": region,
            "version": "2017-09-30",
        });
        let document = format!("{document:#}").into_bytes();
        tree.leaves.insert("dynamic/instance-identity/document".to_owned(), document);
        if let Some(user_data) = user_data {
            tree.leaves.insert("user-data".to_owned(), user_data);
        }
        tree
    }

    fn metadata(&mut self, path: &str, value: &impl ToString) {
        self.leaves.insert(format!("meta-data/{path}"), value.to_string().into_bytes());
    }

    /// EC2 counts the volumes beside the root from one, and those of the instance store from nought.
    fn devices(&mut self, instance: &Instance) {
        let name = |volume: &Volume| volume.device_name.to_string().replacen("/dev/", "", 1);
        let is_root = |volume: &Volume| volume.device_name == instance.root_device_name;
        self.metadata("block-device-mapping/root", &instance.root_device_name);
        let (mut volumes, mut ephemeral) = (1_u32.., 0_u32..);
        for volume in &instance.volumes {
            let called = if is_root(volume) {
                "ami".to_owned()
            } else if volume.ephemeral {
                format!("ephemeral{}", ephemeral.next().unwrap_or_default())
            } else {
                format!("ebs{}", volumes.next().unwrap_or_default())
            };
            self.metadata(&format!("block-device-mapping/{called}"), &name(volume));
        }
    }

    /// Returns a leaf, or the names in a folder, a line each; folders among them end with a slash.
    pub(super) fn find(&self, path: &str) -> Option<Vec<u8>> {
        let path = path.trim_end_matches('/');
        if let Some(leaf) = self.leaves.get(path) {
            return Some(leaf.clone());
        }
        let folder = if path.is_empty() { String::new() } else { format!("{path}/") };
        let below = self.leaves.keys().filter_map(|leaf| leaf.strip_prefix(&folder));
        let name = |rest: &str| match rest.split_once('/') {
            None => rest.to_owned(),
            // EC2 lists the first folders without a slash, and keys with what their owner calls them.
            Some((name, _)) if path.is_empty() => name.to_owned(),
            Some((number, _)) if path == "meta-data/public-keys" => format!("{number}=kiln"),
            Some((name, _)) => format!("{name}/"),
        };
        let names: BTreeSet<String> = below.map(name).collect();
        if names.is_empty() {
            return None;
        }
        Some(names.into_iter().collect::<Vec<_>>().join("\n").into_bytes())
    }
}
