//! Sharing, searching, deprecating, disabling, protecting, deregistering and restoring: a rule a row.

use super::{catalog, lend, name, new};
use crate::{
    Catalog, DeregistrationProtection, Error, Filter, Image, ImageEdit, ImageQuery, ImageState,
    LaunchPermission, Owner, StateReason, Tag, Viewer,
};
use kiln_types::{AccountId, Grantee, ImageId, TimeSpan, Timestamp};

fn account(text: &str) -> AccountId {
    text.parse().unwrap()
}

fn friend() -> AccountId {
    account("111111111111")
}

fn stranger() -> AccountId {
    account("222222222222")
}

async fn registered() -> (Catalog, Image) {
    let (catalog, snapshot) = catalog().await;
    let image = catalog.register(new("web", snapshot), false).await.unwrap();
    (catalog, image)
}

fn share(text: &str) -> ImageEdit {
    ImageEdit { share_with: vec![text.parse().unwrap()], ..ImageEdit::default() }
}

async fn sees(catalog: &Catalog, viewer: impl Into<Viewer>, id: ImageId) -> (bool, bool) {
    let catalog = catalog.clone().acting_as(viewer);
    let listed = catalog.describe(&ImageQuery::default()).await.unwrap();
    (listed.iter().any(|image| image.image_id == id), catalog.get(id).await.is_ok())
}

#[tokio::test]
async fn who_may_see_an_image() {
    let (catalog, Image { image_id: id, .. }) = registered().await;
    let organization = "arn:aws:organizations::333333333333:organization/o-1";
    let member = Viewer { account: stranger(), organizations: vec![organization.to_owned()] };
    assert_eq!(sees(&catalog, AccountId::LOCAL, id).await, (true, true), "implicit");
    assert_eq!(sees(&catalog, friend(), id).await, (false, false), "nobody else");
    let as_friend = catalog.clone().acting_as(friend());
    assert!(matches!(as_friend.get(id).await, Err(Error::ImageNotFound { .. })), "never forbidden");
    let by_id = ImageQuery { ids: vec![id], ..ImageQuery::default() };
    assert!(matches!(as_friend.describe(&by_id).await, Err(Error::ImageNotFound { .. })));

    catalog.edit(id, &share("account:111111111111")).await.unwrap();
    catalog.edit(id, &share(organization)).await.unwrap();
    assert_eq!(sees(&catalog, friend(), id).await, (true, true), "explicit");
    assert_eq!(sees(&catalog, stranger(), id).await, (false, false));
    assert_eq!(sees(&catalog, member.clone(), id).await, (true, true), "by its organization");
    let theirs = as_friend.get(id).await.unwrap();
    assert!(theirs.tags.is_empty() && theirs.launch_permissions.is_empty() && !theirs.public);
    assert!(matches!(as_friend.edit(id, &share("public")).await, Err(Error::NotAuthorized { .. })));
    assert!(matches!(as_friend.deregister(id, None).await, Err(Error::NotAuthorized { .. })));

    let open = catalog.edit(id, &share("public")).await.unwrap();
    assert!(open.public);
    assert_eq!(sees(&catalog, stranger(), id).await, (true, true), "public");
    let back = ImageEdit {
        unshare: vec![LaunchPermission::PUBLIC, LaunchPermission::To(Grantee::UserId(friend()))],
        ..ImageEdit::default()
    };
    let closed = catalog.edit(id, &back).await.unwrap();
    assert!(!closed.public);
    assert_eq!(closed.launch_permissions, [organization.parse().unwrap()]);
    assert_eq!(sees(&catalog, friend(), id).await, (false, false));
}

#[tokio::test]
async fn a_failed_image_is_its_owners_alone() {
    let (catalog, snapshot) = catalog().await;
    let reason = StateReason { code: "Client.TestFailed".to_owned(), message: "port 80".to_owned() };
    let id = catalog.register_pending(new("web", snapshot)).await.unwrap().image_id;
    catalog.fail(id, reason).await.unwrap();
    catalog.edit(id, &share("public")).await.unwrap();
    assert_eq!(sees(&catalog, AccountId::LOCAL, id).await, (true, true));
    assert_eq!(sees(&catalog, friend(), id).await, (false, false));
    let enable = ImageEdit { enabled: Some(true), ..ImageEdit::default() };
    assert!(matches!(catalog.edit(id, &enable).await, Err(Error::IncorrectState { state: "failed", .. })));
}

#[tokio::test]
async fn a_deprecated_image_leaves_the_lists_of_others_and_stays_there() {
    let (catalog, Image { image_id: id, .. }) = registered().await;
    catalog.edit(id, &share("public")).await.unwrap();
    let now = Timestamp::now();
    let at = |seconds: i64| Timestamp::from_unix(now.unix() + seconds);
    let deprecate = |time| ImageEdit { deprecation: Some(time), ..ImageEdit::default() };
    assert!(matches!(catalog.edit(id, &deprecate(at(-120))).await, Err(Error::DeprecationPassed { .. })));
    let soon = catalog.edit(id, &deprecate(at(3600))).await.unwrap();
    assert_eq!(soon.deprecation_time.map(|time| time.unix() % 60), Some(0), "by the minute");
    assert_eq!(sees(&catalog, friend(), id).await, (true, true), "not yet");
    // A minute that began before now has come.
    catalog.edit(id, &deprecate(Some(now.max(Timestamp::now())))).await.unwrap();
    assert_eq!(sees(&catalog, friend(), id).await, (false, true), "by id alone");
    assert_eq!(sees(&catalog, AccountId::LOCAL, id).await, (true, true));
    let all = ImageQuery { include_deprecated: true, ..ImageQuery::default() };
    assert_eq!(catalog.clone().acting_as(friend()).describe(&all).await.unwrap().len(), 1);
    catalog.edit(id, &deprecate(None)).await.unwrap();
    assert_eq!(sees(&catalog, friend(), id).await, (true, true), "taken back");
}

#[tokio::test]
async fn a_disabled_image_is_unshared_and_keeps_its_name() {
    let (catalog, image) = registered().await;
    let id = image.image_id;
    catalog.edit(id, &share("public")).await.unwrap();
    let set = |on| ImageEdit { enabled: Some(on), ..ImageEdit::default() };
    let off = catalog.edit(id, &set(false)).await.unwrap();
    assert_eq!((off.state, off.public, off.launch_permissions.len()), (ImageState::Disabled, false, 0));
    assert_eq!(sees(&catalog, AccountId::LOCAL, id).await, (false, true), "out of lists");
    let all = ImageQuery { include_disabled: true, ..ImageQuery::default() };
    assert_eq!(catalog.describe(&all).await.unwrap().len(), 1);
    let snapshot = image.block_device_mappings[0].device.snapshot().unwrap();
    let taken = catalog.register(new("web", snapshot), false).await;
    assert!(matches!(taken, Err(Error::NameDuplicate { .. })), "{taken:?}");
    assert!(matches!(catalog.edit(id, &share("public")).await, Err(Error::IncorrectState { .. })));
    let on = catalog.edit(id, &set(true)).await.unwrap();
    assert_eq!((on.state, on.public), (ImageState::Available, false), "shares do not come back");
}

#[tokio::test]
async fn protection_refuses_and_a_cooldown_outlives_it() {
    let (catalog, Image { image_id: id, .. }) = registered().await;
    let protect = |protection| ImageEdit { protection: Some(protection), ..ImageEdit::default() };
    catalog.edit(id, &protect(DeregistrationProtection::Enabled)).await.unwrap();
    assert!(matches!(catalog.deregister(id, None).await, Err(Error::Protected { .. })));
    catalog.edit(id, &protect(DeregistrationProtection::EnabledWithCooldown)).await.unwrap();
    catalog.edit(id, &protect(DeregistrationProtection::Disabled)).await.unwrap();
    assert!(matches!(catalog.deregister(id, None).await, Err(Error::Cooldown { .. })));
    // Disabling again neither shortens nor begins it anew.
    let again = catalog.edit(id, &protect(DeregistrationProtection::Disabled)).await.unwrap();
    assert!(again.kiln.protected_until.is_some_and(|until| until > Timestamp::now()));
    catalog.edit(id, &protect(DeregistrationProtection::Enabled)).await.unwrap();
    catalog.edit(id, &protect(DeregistrationProtection::Disabled)).await.unwrap();
    catalog.deregister(id, None).await.unwrap();
}

#[tokio::test]
async fn what_was_deregistered_comes_back_for_a_while() {
    let (catalog, image) = registered().await;
    let (id, snapshot) = (image.image_id, image.block_device_mappings[0].device.snapshot().unwrap());
    catalog.edit(id, &share("public")).await.unwrap();
    let day = TimeSpan::from_secs(86_400);
    catalog.deregister(id, Some(day)).await.unwrap();
    assert_eq!(sees(&catalog, AccountId::LOCAL, id).await, (false, false));
    assert_eq!(catalog.recycle_bin().await.unwrap().len(), 1);
    assert_eq!(catalog.clone().acting_as(friend()).recycle_bin().await.unwrap().len(), 0);
    assert!(matches!(catalog.deregister(id, Some(day)).await, Err(Error::ImageUnavailable { .. })));

    let other = catalog.register(new("web", snapshot), false).await.unwrap();
    assert!(matches!(catalog.restore(id).await, Err(Error::NameDuplicate { .. })), "its name was given away");
    catalog.deregister(other.image_id, None).await.unwrap();
    let back = catalog.restore(id).await.unwrap();
    assert_eq!((back.state, back.public), (ImageState::Available, false));
    assert_eq!(catalog.find("web").await.unwrap().image_id, id);
    assert!(matches!(catalog.restore(id).await, Err(Error::NotInBin { .. })));
    assert!(matches!(catalog.restore(other.image_id).await, Err(Error::NotInBin { .. })));
    catalog.deregister(id, Some(TimeSpan::from_secs(0))).await.unwrap();
    assert!(matches!(catalog.restore(id).await, Err(Error::NotInBin { .. })), "its time is over");
}

#[tokio::test]
async fn descriptions_and_tags() {
    let (catalog, Image { image_id: id, .. }) = registered().await;
    let tag = |key: &str, value: &str| Tag { key: key.to_owned(), value: value.to_owned() };
    let edit = ImageEdit {
        description: Some("a page".to_owned()),
        set_tags: vec![tag("Stage", "test"), tag("Role", "db")],
        ..ImageEdit::default()
    };
    let edited = catalog.edit(id, &edit).await.unwrap();
    assert_eq!(edited.description.as_deref(), Some("a page"));
    assert_eq!(edited.tags, [tag("Role", "db"), tag("Stage", "test")]);
    let edit = ImageEdit { remove_tags: vec!["Role".to_owned()], ..ImageEdit::default() };
    assert_eq!(catalog.edit(id, &edit).await.unwrap().tags, [tag("Stage", "test")]);
    let many = (0..51).map(|number| tag(&number.to_string(), "")).collect();
    for (set_tags, code) in [
        (vec![tag("", "x")], "InvalidParameterValue"),
        (vec![tag(&"k".repeat(128), "x")], "InvalidParameterValue"),
        (vec![tag("k", &"v".repeat(256))], "InvalidParameterValue"),
        (vec![tag("aws:x", "v")], "InvalidParameterValue"),
        (many, "TagLimitExceeded"),
    ] {
        let refused = catalog.edit(id, &ImageEdit { set_tags, ..ImageEdit::default() }).await.unwrap_err();
        assert_eq!(refused.code(), code);
    }
    assert_eq!(catalog.get(id).await.unwrap().tags, [tag("Stage", "test")], "nothing was changed");
}

#[tokio::test]
async fn every_filter_finds_what_it_says() {
    let (catalog, snapshot) = catalog().await;
    let web = catalog.register(new("web-1", snapshot), false).await.unwrap();
    let mut db = new("db-1", snapshot);
    db.architecture = kiln_types::Architecture::Arm64;
    db.boot_mode = Some(crate::BootMode::UefiPreferred);
    db.description = Some("rows, columns".to_owned());
    db.tags = vec![Tag { key: "Stage".to_owned(), value: "test".to_owned() }];
    let db = catalog.register(db, false).await.unwrap();
    catalog.edit(db.image_id, &share("public")).await.unwrap();
    let (web_id, db_id) = (web.image_id.to_string(), db.image_id.to_string());
    let snapshot = format!("block-device-mapping.snapshot-id={snapshot}");
    for (filter, found) in [
        ("name=web-*", "web"),
        ("name=web-1,db-1", "both"),
        ("name=WEB-1", "none"),
        ("architecture=arm64", "db"),
        ("boot-mode=uefi-preferred", "db"),
        ("description=rows\\,*", "db"),
        ("description=*", "db"),
        ("tag:Role=web", "web"),
        ("tag-key=Stage", "db"),
        ("tag:Stage=t?st", "db"),
        ("is-public=true", "db"),
        (&*format!("image-id={web_id}"), "web"),
        (&*snapshot, "both"),
        ("block-device-mapping.volume-size=3", "both"),
        ("block-device-mapping.volume-type=gp2", "both"),
        ("block-device-mapping.device-name=/dev/sda1", "both"),
        ("block-device-mapping.delete-on-termination=false", "none"),
        ("root-device-type=ebs", "both"),
        ("owner-id=000000000000", "both"),
        ("manifest-location=000000000000/db-1", "db"),
        ("virtualization-type=hvm", "both"),
        ("state=available", "both"),
        ("platform=windows", "none"),
        ("sriov-net-support=simple", "none"),
        ("creation-date=20??-*", "both"),
    ] {
        let filters = vec![filter.parse::<Filter>().unwrap()];
        let query = ImageQuery { filters, ..ImageQuery::default() };
        let ids: Vec<_> =
            catalog.describe(&query).await.unwrap().iter().map(|i| i.image_id.to_string()).collect();
        let has = (ids.contains(&web_id), ids.contains(&db_id));
        let said = match has {
            (true, true) => "both",
            (true, false) => "web",
            (false, true) => "db",
            (false, false) => "none",
        };
        assert_eq!(said, found, "{filter}");
    }
}

#[tokio::test]
async fn several_filters_must_all_fit_and_search_what_is_seen() {
    let (catalog, snapshot) = catalog().await;
    catalog.register(new("web-1", snapshot), false).await.unwrap();
    let mut db = new("db-1", snapshot);
    db.tags = vec![Tag { key: "Stage".to_owned(), value: "test".to_owned() }];
    let db = catalog.register(db, false).await.unwrap();
    catalog.edit(db.image_id, &share("public")).await.unwrap();
    let both = ["name=*-1", "tag-key=Stage"].map(|text| text.parse().unwrap()).to_vec();
    let query = ImageQuery { filters: both, ..ImageQuery::default() };
    assert_eq!(catalog.describe(&query).await.unwrap().len(), 1);
    let latest = ImageQuery { latest: true, ..ImageQuery::default() };
    assert_eq!(catalog.describe(&latest).await.unwrap().len(), 1);
    // Whom the tags are hidden from cannot find out about them.
    let as_friend = catalog.clone().acting_as(friend());
    for (filter, count) in [("name=db-1", 1), ("tag:Stage=test", 0)] {
        let query = ImageQuery { filters: vec![filter.parse().unwrap()], ..ImageQuery::default() };
        assert_eq!(as_friend.describe(&query).await.unwrap().len(), count, "{filter}");
    }
}

#[tokio::test]
async fn owners_are_accounts_and_kinds_of_owners() {
    let (catalog, Image { image_id: id, .. }) = registered().await;
    catalog.edit(id, &share("public")).await.unwrap();
    let as_friend = catalog.clone().acting_as(friend());
    for (owner, ours, theirs) in [
        ("self", 1, 0),
        ("000000000000", 1, 1),
        ("111111111111", 0, 0),
        ("community", 0, 1),
        ("marketplace", 0, 0),
    ] {
        let query = ImageQuery { owners: vec![owner.parse().unwrap()], ..ImageQuery::default() };
        assert_eq!(catalog.describe(&query).await.unwrap().len(), ours, "{owner}");
        assert_eq!(as_friend.describe(&query).await.unwrap().len(), theirs, "{owner}");
    }
    assert_eq!("1234".parse::<Owner>().unwrap_err().code(), "InvalidParameterValue");
    // The same name, once an owner.
    let snapshot = catalog.get(id).await.unwrap().block_device_mappings[0].device.snapshot().unwrap();
    lend(&catalog.region, snapshot, friend()).await;
    let mut theirs = new("web", snapshot);
    theirs.owner = friend();
    let theirs = as_friend.register(theirs, false).await.unwrap();
    assert_eq!(as_friend.find("web").await.unwrap().image_id, theirs.image_id);
    assert_eq!(catalog.find("web").await.unwrap().image_id, id);
    assert_eq!(theirs.name, name("web"));
}

#[tokio::test]
async fn an_index_never_says_other_than_the_region() {
    let (catalog, snapshot) = catalog().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("index/local.images");
    let indexed = catalog.clone().with_index(path.clone());
    let agree = async || {
        let query = ImageQuery { include_disabled: true, ..ImageQuery::default() };
        let found = indexed.describe(&query).await.unwrap();
        assert_eq!(found, catalog.describe(&query).await.unwrap());
        found.len()
    };
    assert_eq!(agree().await, 0);
    let first = catalog.register(new("web-1", snapshot), false).await.unwrap();
    catalog.register(new("web-2", snapshot), false).await.unwrap();
    assert_eq!(agree().await, 2);
    assert_eq!(agree().await, 2, "from the index");
    let edit = ImageEdit { enabled: Some(false), ..ImageEdit::default() };
    catalog.edit(first.image_id, &edit).await.unwrap();
    assert_eq!(agree().await, 2, "a newer version");
    catalog.deregister(first.image_id, None).await.unwrap();
    assert_eq!(agree().await, 1);
    let written = fs_err::read_to_string(&path).unwrap();
    for damage in ["", "kiln image index 2\n", "kiln image index 1\nx\n", &written[..written.len() - 9]] {
        fs_err::write(&path, damage).unwrap();
        assert_eq!(agree().await, 1, "{damage}");
        assert_eq!(fs_err::read_to_string(&path).unwrap(), written, "it is made anew");
    }
    // What it holds is taken from it, and no other version's.
    fs_err::write(&path, written.replace("web-2", "web-3")).unwrap();
    let names: Vec<_> = indexed.describe(&ImageQuery::default()).await.unwrap();
    assert_eq!(names[0].name.as_str(), "web-3");
    fs_err::write(&path, written.replace("\t1\t", "\t9\t")).unwrap();
    assert_eq!(agree().await, 1);
    // A folder cannot be written as a file: there is no index then.
    fs_err::remove_file(&path).unwrap();
    fs_err::create_dir_all(path.join("x")).unwrap();
    assert_eq!(agree().await, 1);
}
