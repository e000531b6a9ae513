//! Files that are written under another kernel's policy have no label of the image's.

use std::path::Path;

/// Says whether an image's configuration has its kernel look at labels.
///
/// ```text
/// /etc/selinux/config    SELINUX=enforcing      permissive looks, too, and fills the log
/// ```
fn looks_at_labels(config: &str) -> bool {
    let setting = config.lines().filter_map(|line| line.trim().strip_prefix("SELINUX=")).next_back();
    setting.is_some_and(|mode| matches!(mode.trim(), "enforcing" | "permissive"))
}

/// Has this thread's root label its files when it first boots, where it looks at labels; says whether that is so.
pub(crate) fn relabel() -> std::io::Result<bool> {
    let config = fs_err::read_to_string("/etc/selinux/config").unwrap_or_default();
    if !looks_at_labels(&config) {
        return Ok(false);
    }
    let mark = Path::new("/.autorelabel");
    if !mark.exists() {
        fs_err::write(mark, "")?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_setting_counts() {
        assert!(looks_at_labels("# SELINUX= can be\nSELINUX=enforcing\nSELINUXTYPE=targeted\n"));
        assert!(looks_at_labels("SELINUX=disabled\n SELINUX=permissive \n"));
        assert!(!looks_at_labels("SELINUX=disabled\nSELINUXTYPE=targeted\n"));
        assert!(!looks_at_labels("#SELINUX=enforcing\n"));
        assert!(!looks_at_labels(""));
    }
}
