//! What is taken away from a viewer counts at once, whether or not it can be written.

use super::*;

fn rights(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn permit(names: Option<&[&str]>, until: Option<PermissionEnd>) -> ControlRequest {
    ControlRequest::ViewersRights { viewer: "anna".into(), rights: names.map(rights), until }
}

/// Anna may view and listen until then, and no write succeeds.
async fn blocked(until: Option<u64>) -> Rig {
    let rig = Rig::new();
    let key = key().public().to_string();
    rig.done(ControlRequest::ViewersAdd { key, name: "anna".into(), rights: rights(&["view", "listen"]), until }).await;
    block(rig.dir.path());
    rig
}

async fn anna(rig: &Rig) -> (Vec<String>, Option<u64>) {
    let row = rig.list().await.0.swap_remove(0);
    (row.rights, row.until)
}

const SOON: u64 = 4_000_000_000;
const LATER: u64 = 4_100_000_000;

#[tokio::test]
async fn what_is_taken_away_counts_without_the_file_and_what_is_given_does_not() {
    use PermissionEnd::{At, Never};
    for (end, names, new_end, (left, left_end), takes) in [
        (None, Some(&["listen"][..]), None, (&["listen"][..], None), true),
        (None, Some(&["listen", "talk"]), None, (&["listen"], None), true),
        (None, Some(&["talk"]), None, (&[], None), true),
        (None, Some(&["view", "listen", "talk"]), None, (&["view", "listen"], None), false),
        (None, None, Some(At(SOON)), (&["view", "listen"], Some(SOON)), true),
        (Some(LATER), None, Some(At(SOON)), (&["view", "listen"], Some(SOON)), true),
        (Some(SOON), None, Some(At(LATER)), (&["view", "listen"], Some(SOON)), false),
        (Some(SOON), None, Some(Never), (&["view", "listen"], Some(SOON)), false),
        (Some(SOON), Some(&["view"]), Some(Never), (&["view"], Some(SOON)), true),
    ] {
        let rig = blocked(end).await;
        let before = fs::read(rig.file()).unwrap();
        let what = format!("{names:?} {new_end:?}");
        let error = rig.fails(permit(names, new_end)).await;
        assert_eq!(error.contains("is in force, but it could come back after a restart"), takes, "{what}: {error}");
        assert!(error.contains("the file is as before"), "{what}: {error}");
        assert_eq!(anna(&rig).await, (rights(left), left_end), "{what}");
        assert_eq!((rig.list().await.1.is_some(), fs::read(rig.file()).unwrap()), (takes, before), "{what}");
        // The next write has it, and can be read again.
        unblock(rig.dir.path());
        rig.done(add("carl")).await;
        let written = ViewerList::parse(&fs::read(rig.file()).unwrap()).unwrap();
        assert_eq!((&written, rig.list().await.1), (&**rig.handles.viewers.borrow(), None), "{what}");
        assert_eq!(anna(&rig).await, (rights(left), left_end), "{what}");
    }
}

#[tokio::test]
async fn a_change_that_is_not_possible_takes_nothing_away() {
    let rig = blocked(None).await;
    for names in [&[][..], &["view", "view"], &["dance"]] {
        rig.fails(permit(Some(names), Some(PermissionEnd::At(SOON)))).await;
        assert_eq!(anna(&rig).await, (rights(&["view", "listen"]), None));
    }
}
