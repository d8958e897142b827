//! The tables `[webrtc]`, `[[webrtc.ice_servers]]`, `[limits]` and `[log]`.

use std::{net::IpAddr, time::Duration};

use toml::de::DeValue;

use super::{
    IceLogin, IceServer, InterfaceRule, Limits, Log, Surroundings, Webrtc,
    broker::login,
    secret::{PASSWORD, SHARED, absolute, secret},
    section::{Raw, Section},
    url::{IceKind, ice_kind},
    values::{MDNS, is_filter, one_line},
};

/// Most ICE servers. Every answer contains them, and must stay small.
const SERVERS: usize = 8;
/// How much longer than the longest session the board's own TURN login is valid: a session begins a little later than
/// its login was made.
const OWN_MARGIN: Duration = Duration::from_secs(600);

/// Reads `[webrtc]` and its servers. Also returns the keys that were looked up in the servers.
pub(super) fn read(section: &mut Section<'_, '_, '_>, around: &Surroundings, limits: &Limits) -> (Webrtc, Vec<String>) {
    let port = |n: i64| u16::try_from(n).ok().filter(|port| *port >= 1024);
    let delay = |n: i64| u64::try_from(n).ok().filter(|ms| *ms <= 40_950 && ms % 10 == 0).map(Duration::from_millis);
    let mut webrtc = Webrtc {
        relay_only: section.flag("relay_only"),
        ports: section
            .pair("ports", "any", |first, last| port(first).zip(port(last)).filter(|(first, last)| first <= last)),
        ipv4: section.flag("ipv4"),
        ipv6: section.flag("ipv6"),
        addresses: section.texts("addresses", 16, |text| {
            text.parse::<IpAddr>().ok().filter(|address| !address.is_unspecified() && !address.is_multicast())
        }),
        interfaces: section.texts("interfaces", 16, InterfaceRule::parse),
        public_addresses: section.texts("public_addresses", 4, |text| {
            text.parse::<IpAddr>().ok().filter(|ip| !ip.is_unspecified() && !ip.is_multicast() && !ip.is_loopback())
        }),
        ice_tcp: section.flag("ice_tcp"),
        mdns: section.choice("mdns", &MDNS),
        loopback: section.flag("loopback"),
        playout_delay: section.pair("playout_delay_ms", "viewer", |least, most| {
            delay(least).zip(delay(most)).filter(|(least, most)| least <= most)
        }),
        ice_command: section.texts("ice_command", 16, |word| one_line(word, 1024).then(|| word.to_owned())),
        ice_servers: Vec::new(),
    };
    let program = webrtc.ice_command.first();
    if program.is_some_and(|program| absolute(program).is_none()) {
        section.problem("ice_command", "the first word must be an absolute path: no shell searches PATH for it");
    }
    let (servers, asked) = servers(section, around, limits);
    webrtc.ice_servers = servers;
    contradictions(section, &webrtc);
    (webrtc, asked)
}

fn contradictions(section: &mut Section<'_, '_, '_>, webrtc: &Webrtc) {
    let mut urls = webrtc.ice_servers.iter().flat_map(|server| &server.urls);
    let relay = urls.any(|url| ice_kind(url).is_some_and(|kind| kind != IceKind::Stun));
    if webrtc.relay_only && !relay && webrtc.ice_command.is_empty() {
        section.problem(
            "relay_only",
            "true is not possible without a relay: no [[webrtc.ice_servers]] has a turn: URL, and ice_command is not \
             set",
        );
    }
    if !webrtc.ipv4 && !webrtc.ipv6 {
        section.problem("ipv6", "false is not possible together with ipv4 = false: one of them must be true");
    }
    for address in &webrtc.addresses {
        let family = if address.is_ipv4() { ("ipv4", webrtc.ipv4) } else { ("ipv6", webrtc.ipv6) };
        if let (name, false) = family {
            section.problem("addresses", format!("{address} is not possible with {name} = false"));
        }
        if address.is_loopback() && !webrtc.loopback {
            section.problem("addresses", format!("{address} is not possible without loopback = true"));
        }
    }
    if !webrtc.interfaces.is_empty() && !webrtc.addresses.is_empty() {
        section.problem("interfaces", "cannot be combined with addresses: remove one of them");
    }
    if !webrtc.public_addresses.is_empty() && webrtc.ports.is_none() {
        section.warning("public_addresses", "ports is not set, so the router must forward every UDP port");
    }
    if webrtc.loopback {
        section.warning(
            "loopback",
            "true is for tests on one machine: viewers get addresses that only this machine can reach",
        );
    }
}

fn servers(section: &mut Section<'_, '_, '_>, around: &Surroundings, limits: &Limits) -> (Vec<IceServer>, Vec<String>) {
    let Some((key, value)) = section.take("ice_servers") else { return (Vec::new(), Vec::new()) };
    let span = value.span();
    let list = match value.into_inner() {
        DeValue::Array(list) if list.len() <= SERVERS => list,
        DeValue::Table(_) => {
            section.problem(
                "ice_servers",
                "a single table is not possible: write [[webrtc.ice_servers]] in double brackets, once for each server",
            );
            return (Vec::new(), Vec::new());
        }
        _ => {
            let shown = section.report.shown(&span);
            section.problem("ice_servers", format!("{shown} is not possible: {}", key.accepts()));
            return (Vec::new(), Vec::new());
        }
    };
    let mut servers = Vec::new();
    let mut asked = Vec::new();
    for item in list {
        let (server, mut keys) = server(section, item, around, limits);
        servers.extend(server);
        asked.append(&mut keys);
    }
    (servers, asked)
}

fn server(
    section: &mut Section<'_, '_, '_>,
    item: Raw<'_>,
    around: &Surroundings,
    limits: &Limits,
) -> (Option<IceServer>, Vec<String>) {
    let span = item.span();
    let DeValue::Table(table) = item.into_inner() else {
        let shown = section.report.shown(&span);
        section.report.problem("webrtc.ice_servers", &span, format!("{shown} is not possible: a table with urls"));
        return (None, Vec::new());
    };
    let mut inner = Section::new(section.report, "webrtc.ice_servers", span, table);
    let before = inner.report.problems.len();
    let urls = inner.texts("urls", 4, |url| ice_kind(url).filter(|_| url.len() <= 300).map(|_| url.to_owned()));
    let shared = secret(&mut inner, SHARED, around);
    let ttl = ttl(&mut inner, limits);
    let has_shared = inner.has(SHARED.0) || inner.has(SHARED.1);
    let login = if has_shared {
        let user = inner.optional("user", |text| one_line(text, 128).then(|| text.to_owned()));
        for name in [PASSWORD.0, PASSWORD.1] {
            if inner.take(name).is_some() {
                inner.problem(name, "cannot be combined with a secret: the board makes passwords from the secret");
            }
        }
        shared.map_or(IceLogin::None, |secret| IceLogin::Made {
            secret,
            user,
            ttl,
            own_ttl: limits.session + OWN_MARGIN,
        })
    } else {
        if inner.has("ttl_s") {
            inner.problem("ttl_s", "needs secret_file or secret_credential: a fixed password does not expire");
        }
        login(&mut inner, around).map_or(IceLogin::None, IceLogin::Fixed)
    };
    let ca_file = inner.optional("ca_file", absolute);
    if urls.is_empty() && inner.report.problems.len() == before {
        inner.problem("urls", "[] is not possible: a server needs at least one URL");
    }
    let kinds: Vec<_> = urls.iter().filter_map(|url| ice_kind(url)).collect();
    let turn = kinds.iter().any(|kind| *kind != IceKind::Stun);
    let password = inner.has("password_file") || inner.has("password_credential");
    if turn && !has_shared && !(inner.has("user") && password) {
        inner.problem(
            "urls",
            "a turn: server needs user with password_file or password_credential, or secret_file or secret_credential",
        );
    }
    if ca_file.is_some() && !urls.iter().any(|url| url.starts_with("turns:")) {
        inner.problem("ca_file", "needs a turns: URL: only TLS uses certificates");
    }
    let asked = inner.finish();
    (Some(IceServer { urls, login, ca_file }), asked)
}

/// How long the login of a viewer is valid: for twice the lease, or longer if the file says so. A viewer renews its
/// lease after half of it and gets a new login each time.
fn ttl(inner: &mut Section<'_, '_, '_>, limits: &Limits) -> Duration {
    let enough = limits.lease * 2;
    let ttl = inner.optional_seconds("ttl_s").unwrap_or_default();
    if ttl > enough {
        let (ttl, enough) = (ttl.as_secs(), enough.as_secs());
        inner.warning(
            "ttl_s",
            format!(
                "{ttl} is for viewers that do not take new logins: a viewer can use this server for {ttl} s after it \
                 left; without this line, its login is valid for twice limits.lease_s ({enough} s), and renewed"
            ),
        );
    }
    ttl.max(enough)
}

/// Reads `[limits]`.
pub(super) fn limits(section: &mut Section<'_, '_, '_>) -> Limits {
    let limits = Limits {
        viewers: section.number("viewers"),
        sessions_per_viewer: section.number("sessions_per_viewer"),
        setups: section.number("setups"),
        starts_per_minute: section.number("starts_per_minute"),
        messages_per_second: section.number("messages_per_second"),
        candidates: section.number("candidates"),
        restarts_per_minute: section.number("restarts_per_minute"),
        session: section.seconds("session_s"),
        lease: section.seconds("lease_s"),
    };
    if limits.lease > limits.session {
        section.problem("lease_s", format!("must not be longer than session_s: at most {}", limits.session.as_secs()));
    }
    limits
}

/// Reads `[log]`.
pub(super) fn log(section: &mut Section<'_, '_, '_>) -> Log {
    Log {
        filter: section.text("filter", |text| is_filter(text).then(|| text.to_owned())),
        meter_period: section.seconds("meter_period_s"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::parse;

    #[test]
    fn logins_of_viewers_live_for_twice_the_lease_and_longer_ones_are_a_warning() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("secret");
        std::fs::write(&file, "s3cret\n").unwrap();
        std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        let base = crate::config::tests::BASE;
        for (lease, session, written, ttl, own_ttl, warnings) in [
            (600, 14_400, None, 1200, 15_000, 0),
            (600, 14_400, Some(600), 1200, 15_000, 0),
            (600, 14_400, Some(1200), 1200, 15_000, 0),
            (600, 14_400, Some(86_400), 86_400, 15_000, 1),
            (10, 3600, None, 20, 4200, 0),
        ] {
            let written = written.map(|ttl| format!("ttl_s = {ttl}\n")).unwrap_or_default();
            let text = format!(
                "{base}[limits]\nlease_s = {lease}\nsession_s = {session}\n[[webrtc.ice_servers]]\nurls = \
                 [\"turn:a\"]\nsecret_file = {file:?}\n{written}"
            );
            let loaded = parse(&text, Path::new("x"), &Surroundings::default()).unwrap();
            let IceLogin::Made { ttl: is, own_ttl: own, .. } = &loaded.config.webrtc.ice_servers[0].login else {
                panic!("{text}")
            };
            assert_eq!((is.as_secs(), own.as_secs()), (ttl, own_ttl), "{text}");
            let found = loaded.warnings.iter().filter(|warning| warning.key == "webrtc.ice_servers.ttl_s");
            assert_eq!(found.count(), warnings, "{text}: {:?}", loaded.warnings);
        }
    }
}
