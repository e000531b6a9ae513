//! The image's own users and groups.
//!
//! ```text
//! /etc/passwd  name:password:uid:gid:comment:home:shell
//! /etc/group   name:password:gid:member,member
//! ```
//! Read by hand: a static program cannot use the image's name service, and the C library's would look at the wrong root.

use super::failure::Failure;
use std::io;

/// Who runs a program or owns a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Supplementary groups.
    pub(crate) groups: Vec<u32>,
    pub(crate) name: String,
    pub(crate) home: String,
    pub(crate) shell: String,
}

impl Account {
    /// Finds `user[:group]`, by name or number; `None` is root. Reads the files of this thread's root.
    pub(crate) fn find(wanted: Option<&str>) -> Result<Self, Failure> {
        Self::find_in(wanted.unwrap_or("0"), &read("/etc/passwd")?, &read("/etc/group")?)
    }

    fn find_in(wanted: &str, passwd: &str, group: &str) -> Result<Self, Failure> {
        let (user, wanted_group) = match wanted.split_once(':') {
            Some((user, group)) => (user, Some(group).filter(|group| !group.is_empty())),
            None => (wanted, None),
        };
        let number = user.parse::<u32>().ok();
        let mut account = passwd
            .lines()
            .filter_map(Self::from_line)
            .find(|found| found.name == user || Some(found.uid) == number)
            .or_else(|| number.map(Self::nobody_known))
            .ok_or_else(|| Failure::new(format!("the image has no user {user:?}")))?;
        account.groups = members(group, &account.name);
        if let Some(wanted) = wanted_group {
            account.gid = group_number(group, wanted)?;
        }
        if !account.groups.contains(&account.gid) {
            account.groups.insert(0, account.gid);
        }
        Ok(account)
    }

    fn from_line(line: &str) -> Option<Self> {
        let fields: Vec<&str> = line.split(':').collect();
        let [name, _, uid, gid, _, home, shell] = fields[..] else { return None };
        let or = |value: &str, default: &str| if value.is_empty() { default } else { value }.to_owned();
        Some(Self {
            uid: uid.parse().ok()?,
            gid: gid.parse().ok()?,
            groups: Vec::new(),
            name: name.to_owned(),
            home: or(home, "/"),
            shell: or(shell, "/bin/sh"),
        })
    }

    /// A number without an entry. Root is known even to an image without `/etc/passwd`.
    fn nobody_known(uid: u32) -> Self {
        let (name, home) = if uid == 0 { ("root".to_owned(), "/root") } else { (uid.to_string(), "/") };
        let (home, shell) = (home.to_owned(), "/bin/sh".to_owned());
        Self { uid, gid: uid, groups: Vec::new(), name, home, shell }
    }
}

fn group_number(group: &str, wanted: &str) -> Result<u32, Failure> {
    let named = group.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == wanted).then_some(())?;
        fields.nth(1)?.parse().ok()
    });
    named
        .or_else(|| wanted.parse().ok())
        .ok_or_else(|| Failure::new(format!("the image has no group {wanted:?}")))
}

fn members(group: &str, name: &str) -> Vec<u32> {
    let lines = group.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let number = fields.nth(2)?.parse().ok()?;
        fields.next()?.split(',').any(|member| member == name).then_some(number)
    });
    lines.collect()
}

/// Reads a file of names; one that is not there is empty.
fn read(path: &str) -> Result<String, Failure> {
    match fs_err::read(path) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\n# comment\napp:x:1000:1001:,,,:/srv/app:\n\
        www:x:33:33:www:/var/www:/usr/sbin/nologin\n";
    const GROUP: &str = "root:x:0:\nwww-data:x:33:other,app\napp:x:1001:\ndocker:x:999:app\n";

    #[test]
    fn users_have_their_groups() {
        let app = Account::find_in("app", PASSWD, GROUP).unwrap();
        assert_eq!((app.uid, app.gid, app.groups), (1000, 1001, vec![1001, 33, 999]));
        assert_eq!((&*app.home, &*app.shell), ("/srv/app", "/bin/sh"));
        assert_eq!(Account::find_in("1000", PASSWD, GROUP).unwrap().name, "app");
        assert_eq!(Account::find_in("app:docker", PASSWD, GROUP).unwrap().gid, 999);
        assert_eq!(Account::find_in("root:7", PASSWD, GROUP).unwrap().gid, 7);
    }

    #[test]
    fn numbers_need_no_entry_and_names_do() {
        let account = Account::find_in("4711", PASSWD, GROUP).unwrap();
        assert_eq!((account.uid, account.gid, &*account.home), (4711, 4711, "/"));
        assert_eq!(Account::find_in("0", "", "").unwrap().name, "root");
        let error = Account::find_in("bob", PASSWD, GROUP).unwrap_err();
        assert_eq!(error.to_string(), "the image has no user \"bob\"");
        assert!(Account::find_in("app:nope", PASSWD, GROUP).is_err());
    }
}
