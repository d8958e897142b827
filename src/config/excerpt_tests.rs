//! The excerpt that shows the place of a fault, and files that are not a configuration.

use std::path::Path;

use super::{
    Surroundings, load, parse,
    tests::{BASE, NAME},
};

#[test]
fn the_place_of_a_fault_is_shown_as_compilers_do() {
    for (snippet, expected) in [
        (
            "[video]\nfps = 300",
            "fanlight.toml:5:7: video.fps: 300 is not possible: 1 to 120\n  |\n5 | fps = 300\n  |       ^^^",
        ),
        (
            "[video]\nclock = yes # please",
            "fanlight.toml:5:9: video.clock: not TOML: string values must be quoted, expected literal string; \
             possible: true or false; write clock = true\n  |\n5 | clock = yes # please\n  |         ^^^",
        ),
        ("[vidoe]", "fanlight.toml:4:2: vidoe: unknown table: did you mean `[video]`?\n  |\n4 | [vidoe]\n  |  ^^^^^"),
        (
            "[log]\nx = 3",
            "fanlight.toml:5:1: log.x: unknown key: possible are filter, meter_period_s\n  |\n5 | x = 3\n  | ^",
        ),
        (
            "[broker]\nroot = \"x\"",
            "fanlight.toml:4:2: appears twice in this file, first in line 3: remove one of them\n  |\n4 | \
             [broker]\n  |  ^^^^^^",
        ),
    ] {
        let text = format!("{BASE}{snippet}");
        let error = parse(&text, Path::new(NAME), &Surroundings::default()).unwrap_err();
        assert_eq!(error.with_excerpts(), expected, "{snippet}");
    }
}

#[test]
fn no_excerpt_shows_a_secret() {
    for snippet in [
        "[log]\npassword = \"hunter2",
        "[log]\npassword = \"hunter2\"",
        "[log]\nfilter = 3 # my password is hunter2",
        "[log]\nurl = \"mqtts://me:hunter2@host",
        "x = { y = 3, url = \"mqtts://me:hunter2@host\" }",
        "[[webrtc.ice_servers]]\nurls = [\"turn:a\"]\nuser = \"me\"\ncredential = \"hunter2\"",
    ] {
        let error = parse(&format!("{BASE}{snippet}"), Path::new(NAME), &Surroundings::default()).unwrap_err();
        assert!(!error.with_excerpts().contains("hunter2"), "{}", error.with_excerpts());
    }
}

#[test]
fn a_file_that_is_not_a_configuration_is_one_problem() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("wide"), [0xff, 0xfe, b'd', 0]).unwrap();
    std::fs::write(path("binary"), [b'd', 0xff]).unwrap();
    std::fs::write(path("marked"), format!("\u{feff}{BASE}")).unwrap();
    std::fs::File::create(path("huge")).unwrap().set_len(100 << 20).unwrap();
    std::os::unix::fs::symlink(path("marked"), path("link")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, path("pipe"), rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    for (name, words) in [
        ("wide", Some("UTF-16 text")),
        ("binary", Some("not UTF-8 text, at byte 2")),
        ("huge", Some("longer than 262144 bytes")),
        ("pipe", Some("not a regular file")),
        (".", Some("not a regular file")),
        ("marked", None),
        ("link", None),
    ] {
        match (load(&path(name), &Surroundings::default()), words) {
            (Ok(_), None) => {}
            (Err(error), Some(words)) => {
                assert_eq!(error.problems.len(), 1, "{error}");
                assert!(error.to_string().contains(words), "{error}");
            }
            (other, _) => panic!("{name}: {other:?}"),
        }
    }
}
