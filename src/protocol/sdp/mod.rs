//! The bounds of a session description, before anything parses it (sections 5 and 7). Pure.

use super::{
    ErrorName, Refusal,
    candidate::{self, Ledger, Verdict},
};

/// Bytes of a session description.
pub const SDP_MAX: usize = 24 * 1024;
/// Its lines.
pub const LINES_MAX: usize = 512;
/// Its m-lines.
pub const MLINES_MAX: usize = 16;

/// A description that keeps the bounds and holds only candidates that may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Screened {
    /// The description.
    pub sdp: String,
    /// The ICE generation it names.
    pub ufrag: Option<String>,
    /// Candidates taken out of it.
    pub dropped: usize,
}

/// Checks the bounds and takes out the candidates that must not be used, so that the candidates inside a description
/// obey the same rules as those that come after it.
pub fn screen(sdp: &str, ledger: &mut Ledger) -> Result<Screened, Refusal> {
    let bad = |message: String| Refusal::new(ErrorName::BadSdp, message);
    if !sdp.starts_with("v=0") {
        return Err(bad("the description does not begin with v=0".into()));
    }
    let lines = sdp.lines().take(LINES_MAX + 1).count();
    if lines > LINES_MAX {
        return Err(bad(format!("the description has more than {LINES_MAX} lines")));
    }
    let mlines = sdp.lines().filter(|line| line.starts_with("m=")).count();
    if !(1..=MLINES_MAX).contains(&mlines) {
        return Err(bad(format!("the description has {mlines} m-lines: 1 to {MLINES_MAX} are read")));
    }
    let mut screened = Screened { sdp: String::with_capacity(sdp.len()), ufrag: None, dropped: 0 };
    for line in sdp.lines() {
        let kept = match line.strip_prefix("a=candidate:") {
            Some(_) => usable(&line[2..], ledger),
            None => Some(line.to_owned()),
        };
        match kept {
            Some(line) => {
                screened.sdp.push_str(&line);
                screened.sdp.push_str("\r\n");
            }
            None => screened.dropped += 1,
        }
        if let Some(ufrag) = line.strip_prefix("a=ice-ufrag:") {
            screened.ufrag.get_or_insert_with(|| ufrag.trim().to_owned());
        }
    }
    Ok(screened)
}

fn usable(line: &str, ledger: &mut Ledger) -> Option<String> {
    match candidate::judge(line, ledger.loopback()) {
        Verdict::Take { line, family } => ledger.admit(family).ok().map(|()| format!("a={line}")),
        Verdict::Skip | Verdict::Refuse(_) => None,
    }
}

/// What a description says of one kind of media.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// Nothing.
    Absent,
    /// Only codecs that this device does not send.
    Foreign,
    /// The codec that this device sends.
    Common,
}

/// What a description says of `kind` (`video`, `audio`), looking for `codec` (`H264`, `opus`).
pub fn line(sdp: &str, kind: &str, codec: &str) -> Line {
    let mut found = Line::Absent;
    let mut inside = false;
    for line in sdp.lines() {
        if let Some(mline) = line.strip_prefix("m=") {
            inside = mline.split(' ').next() == Some(kind);
            if inside && found == Line::Absent {
                found = Line::Foreign;
            }
        }
        let map = line.strip_prefix("a=rtpmap:").filter(|_| inside).and_then(|map| map.split(' ').nth(1));
        if map.and_then(|map| map.split('/').next()).is_some_and(|name| name.eq_ignore_ascii_case(codec)) {
            return Line::Common;
        }
    }
    found
}

/// The user fragment, which names the ICE generation of a description.
pub fn ufrag(sdp: &str) -> Option<&str> {
    sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).map(str::trim)
}

/// The ICE password (RFC 8839 5.4): with `BUNDLE` there is one.
pub fn ice_password(sdp: &str) -> Option<&str> {
    sdp.lines().find_map(|line| line.strip_prefix("a=ice-pwd:")).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_offer_speaks_of() {
        let sdp = "v=0\r\nm=audio 9 X 111 0\r\na=rtpmap:111 opus/48000/2\r\na=rtpmap:0 PCMU/8000\r\n\
                   m=video 9 X 96\r\na=rtpmap:96 VP8/90000\r\nm=application 9 X y\r\na=rtpmap:5 h264/90000\r\n";
        assert_eq!(line(sdp, "audio", "opus"), Line::Common);
        assert_eq!(line(sdp, "video", "H264"), Line::Foreign, "a codec counts in its own m-line only");
        assert_eq!(line("v=0\r\nm=audio 9 X 0\r\n", "video", "H264"), Line::Absent);
        assert_eq!(line(&sdp.replace("VP8", "h264"), "video", "H264"), Line::Common);
    }

    fn ledger() -> Ledger {
        Ledger::new(24, false)
    }

    #[test]
    fn the_bounds_are_kept_before_anything_is_parsed() {
        let mlines = |n: usize| format!("v=0\r\n{}", "m=audio 9 X 0\r\n".repeat(n));
        let table = [
            (String::new(), "does not begin"),
            ("hello".into(), "does not begin"),
            (format!("v=0\r\nm=audio 9 X 0\r\n{}", "a=x\r\n".repeat(LINES_MAX - 1)), "more than 512 lines"),
            (mlines(0), "0 m-lines"),
            (mlines(17), "17 m-lines"),
        ];
        for (sdp, sentence) in table {
            let refusal = screen(&sdp, &mut ledger()).unwrap_err();
            assert_eq!((refusal.code, refusal.name), (400, ErrorName::BadSdp));
            assert!(refusal.message.contains(sentence), "{}", refusal.message);
        }
        assert!(screen(&mlines(16), &mut ledger()).is_ok());
        assert!(screen(&format!("{}{}", mlines(1), "a=x\r\n".repeat(LINES_MAX - 2)), &mut ledger()).is_ok());
    }

    #[test]
    fn candidates_inside_obey_the_same_rules() {
        let sdp = "v=0\r\na=ice-ufrag:abcd\r\nm=video 9 X 0\r\na=candidate:1 1 udp 5 192.0.2.1 9 typ host\r\n\
                   a=candidate:2 1 udp 5 127.0.0.1 9 typ host\r\na=candidate:3 1 udp 5 ::ffff:192.0.2.7 9 typ host\r\n\
                   a=ice-ufrag:later\r\n";
        let screened = screen(sdp, &mut ledger()).unwrap();
        assert_eq!((screened.dropped, screened.ufrag.as_deref()), (1, Some("abcd")));
        assert!(!screened.sdp.contains("127.0.0.1"));
        assert!(screened.sdp.contains("a=candidate:1 1 udp 5 192.0.2.1 9 typ host\r\n"));
        assert!(screened.sdp.contains("a=candidate:3 1 udp 5 192.0.2.7 9 typ host\r\n"));
        let mut one = Ledger::new(1, true);
        assert_eq!(screen(sdp, &mut one).unwrap().dropped, 2, "and count against the same limit");
    }
}
