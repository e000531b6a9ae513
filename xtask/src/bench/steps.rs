//! What every tool does in the guest: touch a file, upload a file, run three commands.

use super::Bench;
use serde_json::{Value, json};

/// What is shown of them.
pub(super) const TEXT: &str = "touch a file, upload a file of 1 MiB, run three commands";

/// The file that is touched.
pub(super) const TOUCHED: &str = "/opt/touched";

/// Where the file goes that is uploaded.
pub(super) const UPLOADED: &str = "/opt/uploaded";

/// The commands. The first fails where the steps before it did nothing.
pub(super) const COMMANDS: [&str; 3] = [
    "test -e /opt/touched && test -s /opt/uploaded",
    "dpkg-query -W >/opt/packages",
    "sha256sum /opt/packages /opt/uploaded >/opt/sums",
];

/// The same for Packer.
pub(super) fn packer(bench: &Bench) -> Value {
    json!([
        {"type": "shell", "inline": [format!("touch {TOUCHED}")]},
        {"type": "file", "source": bench.upload(), "destination": UPLOADED},
        {"type": "shell", "inline": COMMANDS},
    ])
}
