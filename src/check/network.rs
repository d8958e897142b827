//! `fanlight check --network`: tests the broker, and every STUN and TURN server.

use std::path::Path;

use crate::{
    broker,
    config::{Config, Problem, Surroundings, load},
    home,
    ice::{Finding, Ice},
};

/// One line of the report.
#[derive(Debug, PartialEq, Eq)]
pub struct ReportLine {
    /// Whether the test passed.
    pub good: bool,
    /// The result as a sentence.
    pub text: String,
}

/// Tests all servers of the configuration. The lines report what works, what does not, and what to do. For a file that
/// cannot be used, it returns the errors of `check`.
pub async fn network(file: &Path) -> Result<Vec<ReportLine>, Vec<String>> {
    // Loaded like the daemon does: secrets must be present.
    let loaded = load(file, &Surroundings::of_process(false));
    let config = loaded.map_err(|error| error.problems.iter().map(Problem::with_excerpt).collect::<Vec<_>>())?.config;
    let ice = Ice::default();
    let (broker, (findings, faults)) = tokio::join!(
        Box::pin(broker::check::check(&config.broker, &config.device)),
        ice.examine(&config.webrtc, |_| true)
    );
    let mut lines = vec![broker_line(&broker)];
    lines.extend(findings.iter().map(server_line));
    lines.extend(faults.into_iter().map(|text| ReportLine { good: false, text }));
    lines.extend(home::check::network(file).await.into_iter().map(|(good, text)| ReportLine { good, text }));
    if let Some(advice) = advice(&config, &findings) {
        lines.push(ReportLine { good: true, text: advice });
    }
    Ok(lines)
}

fn broker_line(checked: &broker::check::BrokerCheck) -> ReportLine {
    let done = checked.done.join(", ");
    match &checked.link_error {
        None => ReportLine { good: true, text: format!("broker {}: {}", checked.url, checked.works()) },
        Some(trouble) if done.is_empty() => {
            ReportLine { good: false, text: format!("broker {}: {trouble}", checked.url) }
        }
        Some(trouble) => {
            ReportLine { good: false, text: format!("broker {}: {trouble}; what works: {done}", checked.url) }
        }
    }
}

fn server_line(finding: &Finding) -> ReportLine {
    let Finding { url, outcome } = finding;
    match outcome {
        Ok(proof) => match &proof.but {
            None if url.turn => ReportLine {
                good: true,
                text: format!("{url}: a relay at {}, and a message through it came back", proof.address),
            },
            None => ReportLine { good: true, text: format!("{url}: it sees this board as {}", proof.address) },
            Some(but) => ReportLine { good: false, text: format!("{url}: a relay at {}, but {but}", proof.address) },
        },
        Err(why) => ReportLine { good: false, text: format!("{url}: {why}") },
    }
}

/// Advice about servers that are missing from the configuration.
fn advice(config: &Config, findings: &[Finding]) -> Option<String> {
    if findings.is_empty() {
        let text = "no STUN or TURN server: viewers in the same network can watch, others only where this board has a \
                    public address; add [[webrtc.ice_servers]]";
        return Some(text.to_owned());
    }
    let relays: Vec<_> = findings.iter().filter(|finding| finding.url.turn).collect();
    if relays.is_empty() {
        return Some("no TURN server: some pairs of networks will have no path; add a turn: server".to_owned());
    }
    let only_udp = relays.iter().all(|finding| finding.url.transport() == "udp");
    (only_udp && !config.webrtc.relay_only).then(|| {
        "every TURN server uses UDP: networks that block UDP have no path; add ?transport=tcp or turns:".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ice::{IceUrl, Proof};

    #[test]
    fn one_line_each_tells_what_works_and_what_does_not() {
        let address = "203.0.113.5:4000".parse().unwrap();
        let proof = |but: Option<&str>| Ok(Proof { address, but: but.map(str::to_owned) });
        let rows = [
            ("stun:a", proof(None), true, "stun:a:3478: it sees this board as 203.0.113.5:4000"),
            (
                "turns:a",
                proof(None),
                true,
                "turns:a:5349: a relay at 203.0.113.5:4000, and a message through it came back",
            ),
            ("turn:a", proof(Some("x")), false, "turn:a:3478?transport=udp: a relay at 203.0.113.5:4000, but x"),
            ("turn:a", Err("why".to_owned()), false, "turn:a:3478?transport=udp: why"),
        ];
        for (url, outcome, good, text) in rows {
            let finding = Finding { url: IceUrl::parse(url).unwrap(), outcome };
            assert_eq!(server_line(&finding), ReportLine { good, text: text.to_owned() });
        }
        let checked = |done: &[&'static str], link_error: Option<&str>| broker::check::BrokerCheck {
            url: "mqtt://b:1883".into(),
            done: done.to_vec(),
            untried: None,
            link_error: link_error.map(str::to_owned),
            kind: None,
        };
        for (checked, good, text) in [
            (checked(&["name", "TCP"], None), true, "broker mqtt://b:1883: name, TCP"),
            (checked(&["name"], Some("connect: no")), false, "broker mqtt://b:1883: connect: no; what works: name"),
            (checked(&[], Some("look up b: no")), false, "broker mqtt://b:1883: look up b: no"),
        ] {
            assert_eq!(broker_line(&checked), ReportLine { good, text: text.to_owned() });
        }
        let half = broker::check::BrokerCheck { untried: Some("publish to info"), ..checked(&["name"], None) };
        assert_eq!(broker_line(&half).text, "broker mqtt://b:1883: name; not tried: publish to info");
    }
}
