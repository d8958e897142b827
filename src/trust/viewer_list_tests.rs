//! The list of viewers, and its file.

use super::viewer_list::{EntryOrigin, ListError, VIEWERS_MAX, ViewerEntry, ViewerList, rights_of_names, viewer_id};
use crate::{
    config::Id,
    jose::{PublicKey, SigningKey},
    protocol::{Right, Rights},
};

const POINT: &str = "BGsX0fLhLEJH-Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU";

fn entry(name: &str) -> ViewerEntry {
    let key = *SigningKey::generate().unwrap().public();
    let (rights, origin) = (Rights::of([Right::View, Right::Listen]), EntryOrigin::Listed);
    ViewerEntry { key, name: name.into(), rights, until: None, since: 1_790_000_000, origin }
}

fn list(names: &[&str]) -> ViewerList {
    let mut list = ViewerList::default();
    names.iter().for_each(|name| list.add(entry(name)).unwrap());
    list
}

fn names(list: &ViewerList) -> Vec<&str> {
    list.iter().map(|(_, entry)| entry.name.as_str()).collect()
}

fn id(list: &ViewerList, name: &str) -> Id {
    list.find(name).unwrap().0.clone()
}

#[test]
fn an_id_is_the_front_of_the_thumbprint() {
    let thumbprint = POINT.parse::<PublicKey>().unwrap().thumbprint();
    let id = viewer_id(&thumbprint);
    assert_eq!((id.as_str().len(), thumbprint.to_string().starts_with(id.as_str())), (22, true));
}

#[test]
fn a_viewer_is_found_by_name_and_by_id() {
    let list = list(&["anna", "bert"]);
    let (anna, entry) = list.find("anna").unwrap();
    assert_eq!(list.find(anna.as_str()).unwrap(), (anna, entry));
    assert_eq!((list.by_id(anna), entry.id()), (Some(entry), anna.clone()));
    assert_eq!(list.find("Anna"), Err(ListError::Unknown("Anna".into())));
    assert_eq!(list.by_id(&Id::new("anna").unwrap()), None);
    assert_eq!((list.len(), ViewerList::default().is_empty()), (2, true));
}

#[test]
fn a_name_that_is_the_id_of_another_viewer_makes_nobody_remove_that_one() {
    let mut list = list(&["anna"]);
    let anna = id(&list, "anna");
    let mallory = entry(anna.as_str());
    list.add(mallory.clone()).unwrap();
    assert_eq!(list.find(anna.as_str()), Err(ListError::Ambiguous(anna.to_string())));
    assert_eq!(list.find("anna").unwrap().0, &anna);
    assert_eq!(list.find(mallory.id().as_str()).unwrap().1.key, mallory.key);
}

#[test]
fn what_cannot_be_added_is_refused_with_the_reason() {
    let mut list = list(&["anna"]);
    let known = list.find("anna").unwrap().1.clone();
    let none = ViewerEntry { rights: Rights::default(), ..entry("carl") };
    for (bad, expected) in [
        (ViewerEntry { name: "other".into(), ..known }, ListError::KnownKey("anna".into())),
        (entry(" anna "), ListError::NameTaken("anna".into())),
        (none, ListError::NoRights),
    ] {
        assert_eq!(list.add(bad), Err(expected));
    }
    assert!(matches!(list.add(entry("a\nb")), Err(ListError::BadName(_))));
    assert_eq!(names(&list), ["anna"]);
}

#[test]
fn a_proposed_name_that_is_taken_gets_a_number() {
    let mut list = list(&["phone"]);
    for expected in ["phone 2", "phone 3"] {
        let free = list.free_name(" phone\u{202e}");
        assert_eq!(free, expected);
        list.add(entry(&free)).unwrap();
    }
}

#[test]
fn the_list_has_room_for_256_and_they_are_found_fast() {
    let mut full = ViewerList::default();
    (0..VIEWERS_MAX).for_each(|n| full.add(entry(&format!("v{n}"))).unwrap());
    assert_eq!(full.add(entry("one more")), Err(ListError::Full));
    assert_eq!(full.len(), VIEWERS_MAX);
    let longest = "\u{10ffff}".repeat(64);
    full.rename(&id(&full, "v7"), &longest).unwrap();
    let bytes = full.to_bytes();
    assert_eq!(ViewerList::parse(&bytes), Ok(full.clone()));
    assert!(bytes.len() + VIEWERS_MAX * 256 < 256 << 10, "also with the longest names it fits into its file");
    full.remove(&id(&full, "v8")).unwrap();
    full.add(entry("one more")).unwrap();
}

#[test]
fn changes_concern_one_viewer() {
    let mut list = list(&["anna", "bert", "carl"]);
    let (anna, bert) = (id(&list, "anna"), id(&list, "bert"));
    list.rename(&bert, " Bert's tablet ").unwrap();
    assert_eq!(list.rename(&bert, "anna"), Err(ListError::NameTaken("anna".into())));
    assert_eq!(list.rename(&bert, "Bert's tablet"), Ok(()), "its own name is not taken");
    list.set_rights(&bert, Rights::of([Right::View])).unwrap();
    assert_eq!(list.set_rights(&bert, Rights::default()), Err(ListError::NoRights));
    list.set_until(&bert, Some(2_000_000_000)).unwrap();
    let changed = list.by_id(&bert).unwrap();
    assert_eq!((changed.rights, changed.until), (Rights::of([Right::View]), Some(2_000_000_000)));
    assert!(changed.has_ended(2_000_000_000) && !changed.has_ended(1_999_999_999));
    assert!(!list.by_id(&anna).unwrap().has_ended(u64::MAX));
    assert_eq!(list.remove(&anna).unwrap().name, "anna");
    assert_eq!(names(&list), ["Bert's tablet", "carl"]);
    assert_eq!(list.by_id(&bert).unwrap().name, "Bert's tablet");
    for refused in [list.remove(&anna).map(drop), list.rename(&anna, "x"), list.set_until(&anna, None)] {
        assert_eq!(refused, Err(ListError::Unknown(anna.to_string())));
    }
}

#[test]
fn entries_of_the_configuration_count_first_and_no_command_changes_them() {
    let file = list(&["anna", "bert"]);
    let (anna, bert) = (id(&file, "anna"), id(&file, "bert"));
    let fixed = ViewerEntry { rights: Rights::of([Right::View]), ..file.by_id(&anna).unwrap().clone() };
    let mut both = file.with_configured([ViewerEntry { name: "Anna in the file".into(), ..fixed.clone() }, fixed]);
    assert_eq!(names(&both), ["Anna in the file", "bert"]);
    let entry = both.by_id(&anna).unwrap();
    assert_eq!((entry.origin, entry.rights), (EntryOrigin::Configured, Rights::of([Right::View])));
    for refused in [both.remove(&anna).map(drop), both.set_rights(&anna, Rights::of(Right::ALL))] {
        let Err(ListError::Configured(name)) = &refused else { panic!("{refused:?}") };
        assert!(name == "Anna in the file" && refused.unwrap_err().to_string().contains("configuration file"));
    }
    both.remove(&bert).unwrap();
    let written = ViewerList::parse(&both.to_bytes()).unwrap();
    assert_eq!(names(&written), ["anna"], "the file keeps its own entry, and gets none of the configuration");
    assert_eq!(names(&both.with_configured([])), ["anna"], "which counts again without the other");
}

#[test]
fn the_file_reads_back() {
    let mut list = list(&["anna", "Grüße \"📷\""]);
    let anna = id(&list, "anna");
    list.set_until(&anna, Some(4_000_000_000)).unwrap();
    assert_eq!(ViewerList::parse(&list.to_bytes()), Ok(list));
    assert_eq!(ViewerList::default().to_bytes(), b"{\"v\":1,\"viewers\":[]}\n");
}

#[test]
fn a_file_that_is_not_exactly_as_it_was_written_is_refused() {
    let text = |fields: &str| format!(r#"{{"v":1,"viewers":[{{"key":"{POINT}",{fields}}}]}}"#);
    let good = text(r#""name":"anna","rights":["view"],"since":5"#);
    assert_eq!(names(&ViewerList::parse(good.as_bytes()).unwrap()), ["anna"]);
    for cut in 0..good.len() {
        assert!(ViewerList::parse(&good.as_bytes()[..cut]).is_err(), "cut at {cut}");
    }
    let one = good.strip_prefix(r#"{"v":1,"viewers":["#).unwrap().strip_suffix("]}").unwrap();
    let twice = |other: &str| format!(r#"{{"v":1,"viewers":[{one},{other}]}}"#);
    for (bad, why) in [
        (good.replace("\"v\":1", "\"v\":2"), "another version"),
        (good.replace("\"v\":1", "\"v\":1,\"v\":1"), "damaged"),
        (good.replace("\"v\":1", "\"v\":1,\"more\":1"), "unknown"),
        (good.replace("\"v\":1", "\"v\":\"1\""), "damaged"),
        (good.replace("\"since\":5", "\"since\":-5"), "wrong"),
        (good.replace("\"since\":5", "\"since\":\"5\""), "wrong"),
        (good.replace("\"since\":5", "\"since\":5,\"since\":6"), "wrong"),
        (good.replace("\"since\":5", "\"since\":5,\"admin\":true"), "unknown"),
        (good.replace(",\"since\":5", ""), "missing"),
        (good.replace("BGsX", "BGsY"), "no point"),
        (good.replace(POINT, ""), "no point"),
        (good.replace("\"view\"", "\"fly\""), "right"),
        (good.replace("\"view\"", "\"view\",\"view\""), "right"),
        (good.replace("anna", "an\\nna"), "name"),
        (good.replace("anna", " anna"), "spaces"),
        (good.replace("anna", ""), "name"),
        (good.replace("anna", &"x".repeat(65)), "name"),
        (twice(&one.replace("anna", "bert")), "key occurs twice"),
        (twice(&one.replace(POINT, &entry("").key.to_string())), "name occurs twice"),
        (format!("{good}x"), "damaged"),
        (format!("{good}{good}"), "damaged"),
        ("[]".into(), "damaged"),
        ("null".into(), "damaged"),
        ("\0".repeat(500), "damaged"),
        (twice(&[one; VIEWERS_MAX].join(",")), "more than 256"),
    ] {
        let error = ViewerList::parse(bad.as_bytes()).unwrap_err();
        assert!(error.contains(why), "{error}: {why}: {bad:.200}");
        assert!(!error.contains("anna"), "{error}");
    }
}

#[test]
fn rights_are_read_by_name() {
    for (text, expected) in [
        (&["view", "listen"][..], Some(Rights::of([Right::View, Right::Listen]))),
        (&[], Some(Rights::default())),
        (&["view", "view"], None),
        (&["View"], None),
        (&[""], None),
    ] {
        assert_eq!(rights_of_names(text.iter().copied()), expected, "{text:?}");
    }
}
