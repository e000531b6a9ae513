//! Whose snapshots the devices of a launch may be made of.

use super::{catalog, lend, new, snapshot};
use crate::{Error, ImageEdit, LaunchPermission, NewMapping};
use kiln_types::AccountId;

#[tokio::test]
async fn a_launch_needs_no_right_to_the_images_own_snapshots() {
    let (catalog, root) = catalog().await;
    let data = snapshot(&catalog.region).await;
    let image = catalog.register(new("web", root), false).await.unwrap();
    let public = ImageEdit { share_with: vec![LaunchPermission::PUBLIC], ..ImageEdit::default() };
    catalog.edit(image.image_id, &public).await.unwrap();
    let friend: AccountId = "111111111111".parse().unwrap();
    let theirs = catalog.clone().acting_as(friend);
    let seen = theirs.launchable(&image.image_id.to_string()).await.unwrap();

    let of = |device: &str, id| vec![NewMapping::from_snapshot(device.parse().unwrap(), id)];
    for (changes, devices) in [
        (vec![], Some(1)),
        (of("/dev/sda1", root), Some(1)),
        (of("/dev/sdf", root), Some(2)),
        (of("/dev/sda1", data), None),
        (of("/dev/sdf", data), None),
    ] {
        let made = theirs.launch_devices(&seen, changes.clone()).await;
        match devices {
            Some(count) => assert_eq!(made.unwrap().len(), count, "{changes:?}"),
            None => {
                let refused = made.unwrap_err();
                assert!(
                    matches!(refused, Error::SnapshotNotFound { id } if id == data),
                    "{changes:?}: {refused}"
                );
            }
        }
    }
    lend(&catalog.region, data, friend).await;
    assert_eq!(theirs.launch_devices(&seen, of("/dev/sdf", data)).await.unwrap().len(), 2);
}
