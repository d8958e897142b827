//! The bodies of the fuzz targets. Each gives bytes from outside to the code that reads them, and must return.
//!
//! `tests/fuzz/` holds the programs around them and the seeds, and `./fuzz` runs them. A test replays the seeds and
//! mutations of them in every run of the test suite. No part of the daemon uses this module, so the linker leaves it
//! out.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process,
};

use crate::{
    audio, config, demo, home, ice, jose, owner,
    protocol::{
        self,
        candidate::{CandidateBudget, CandidateVerdict, judge},
        envelope::{Envelope, open},
    },
    trust, video, viewer,
};

/// One target: its name, and what it does with the bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("candidates", candidates),
    ("channel", channel),
    ("config", config),
    ("deny_list", deny_list),
    ("control", control),
    ("envelope", envelope),
    ("h264", h264),
    ("home", home),
    ("home_files", home_files),
    ("home_requests", home_requests),
    ("jpeg", jpeg),
    ("messages", messages),
    ("mjpeg", mjpeg),
    ("mqtt", mqtt),
    ("page", page),
    ("pair", pair),
    ("rtcp", rtcp),
    ("sdp", sdp),
    ("talk", talk),
    ("token", token),
    ("turn_stream", turn_stream),
    ("viewers", viewers),
    ("wav", wav),
    ("y4m", y4m),
];

/// A message of a viewer: the envelope, the JSON, and the request in it.
pub fn messages(data: &[u8]) {
    let Ok(Envelope::Plain(text)) = open(data) else { return };
    if let Ok((head, request)) = protocol::parse::parse(text) {
        // What was accepted can be printed, in bounds.
        assert!(format!("{head:?} {request:?}").len() <= 64 * data.len() + 4096);
    }
}

/// A message of the data channel: the first byte says whether it is a text.
pub fn channel(data: &[u8]) {
    viewer::fuzz::channel(data);
}

/// Candidate lines: what is accepted can be used and is not longer than what came.
pub fn candidates(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut budget = CandidateBudget::new(24, false);
    let mut admitted = 0;
    for line in text.lines() {
        if let CandidateVerdict::Take { line: accepted, family } = judge(line, false) {
            assert!(accepted.len() <= line.len() + 64);
            assert_ne!(judge(&accepted, false), CandidateVerdict::Skip, "what is accepted once is accepted again");
            admitted += usize::from(budget.admit(family).is_ok());
        }
    }
    assert!(admitted <= 24, "{admitted} candidates were admitted");
}

/// A configuration file: each problem is one sentence that names the file.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let around = config::Surroundings::default();
    match config::parse(text, Path::new("fuzz.toml"), &around) {
        Ok(loaded) => drop(format!("{loaded:?}")),
        Err(error) => assert!(error.to_string().contains("fuzz.toml")),
    }
}

/// Signed and sealed messages, and keys.
pub fn envelope(data: &[u8]) {
    jose::fuzz::envelope(data);
}

/// Tokens of an issuer.
pub fn token(data: &[u8]) {
    trust::fuzz::token(data);
}

/// Deny lists of an issuer.
pub fn deny_list(data: &[u8]) {
    trust::fuzz::deny_list(data);
}

/// Packets of an MQTT client, as the demo's broker reads and writes them.
pub fn mqtt(data: &[u8]) {
    demo::fuzz::mqtt(data);
}

/// What strangers send to the HTTPS server of home mode.
pub fn home(data: &[u8]) {
    home::fuzz::strangers(data);
}

/// A request to that server, as soon as TLS is done.
pub fn home_requests(data: &[u8]) {
    home::fuzz::request(data);
}

/// The files of home mode: its settings, and its certificates.
pub fn home_files(data: &[u8]) {
    home::fuzz::files(data);
}

/// The message by which an unknown viewer asks to be put on the list.
pub fn pair(data: &[u8]) {
    trust::fuzz::pair(data);
}

/// The file with the list of viewers.
pub fn viewers(data: &[u8]) {
    trust::fuzz::viewers(data);
}

/// A line of the control socket.
pub fn control(data: &[u8]) {
    owner::fuzz::control(data);
}

/// A request to the demo's page server: method, host, path and accepted codings, one a line.
pub fn page(data: &[u8]) {
    demo::fuzz::page(data);
}

/// A stream that should be TURN by TCP.
pub fn turn_stream(data: &[u8]) {
    ice::fuzz::turn_stream(data);
}

/// RTCP of a viewer into the send path.
pub fn rtcp(data: &[u8]) {
    viewer::fuzz::rtcp(data);
}

/// RTP of a viewer that talks, to samples.
pub fn talk(data: &[u8]) {
    audio::speaker::fuzz::talk(data);
}

/// A viewer's session description, through the answerer.
pub fn sdp(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    viewer::fuzz::sdp(text);
}

/// One JPEG picture of a camera.
pub fn jpeg(data: &[u8]) {
    video::fuzz::jpeg(data);
}

/// A stream of H.264 access units: parameter sets, packets, and the file that holds them.
pub fn h264(data: &[u8]) {
    video::fuzz::h264(data);
    file(data, "h264", video::fuzz::clip);
}

/// A file of JPEG pictures.
pub fn mjpeg(data: &[u8]) {
    file(data, "mjpeg", video::fuzz::clip);
}

/// A YUV4MPEG2 file.
pub fn y4m(data: &[u8]) {
    file(data, "y4m", video::fuzz::clip);
}

/// A WAV file.
pub fn wav(data: &[u8]) {
    file(data, "wav", audio::fuzz::clip);
}

/// Gives the bytes to code that reads files. The file lies in memory where the system has such a folder.
fn file(data: &[u8], extension: &str, read: fn(&Path)) {
    let folder = [PathBuf::from("/dev/shm"), std::env::temp_dir()].into_iter().find(|folder| folder.is_dir());
    let Some(folder) = folder else { return };
    let thread = std::thread::current().id();
    let path = folder.join(format!("fanlight-fuzz-{}-{thread:?}.{extension}", process::id()));
    let written = fs::File::create(&path).and_then(|mut file| file.write_all(data));
    if written.is_ok() {
        read(&path);
    }
    let _ = fs::remove_file(&path);
}
