//! Whether a firewall of this machine keeps browsers out, and the command that lets them in. Pure. Nothing is changed:
//! a firewall is the administrator's.

/// What is known of the firewall.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FirewallState {
    /// The text of `/etc/ufw/ufw.conf`.
    pub ufw: Option<String>,
    /// Whether `firewalld` runs.
    pub firewalld: bool,
    /// What `nft list ruleset` prints.
    pub rules: Option<String>,
}

/// What to do so that browsers reach this port. `None`: no rule was found that keeps them out.
pub fn advice(state: &FirewallState, port: u16) -> Option<String> {
    let is_on = |text: &String| text.lines().any(|line| line.trim().eq_ignore_ascii_case("ENABLED=yes"));
    let rules = state.rules.as_deref().unwrap_or_default();
    if allows(rules, port) {
        return None;
    }
    if state.ufw.as_ref().is_some_and(is_on) {
        return Some(format!("ufw is on: sudo ufw allow {port}/tcp lets browsers reach the page"));
    }
    if state.firewalld {
        return Some(format!(
            "firewalld is on: sudo firewall-cmd --permanent --add-port={port}/tcp && sudo firewall-cmd --reload lets \
             browsers reach the page"
        ));
    }
    drops(rules).then(|| {
        format!("a packet filter drops what comes in (sudo nft list ruleset): TCP port {port} has to be accepted")
    })
}

/// Whether some chain of incoming packets drops what no rule accepts.
fn drops(rules: &str) -> bool {
    let mut incoming = false;
    for line in rules.lines().map(str::trim) {
        if line.starts_with("chain ") {
            incoming = false;
        }
        incoming |= line.contains("hook input");
        let ends = line.split_whitespace().next().is_some_and(|word| word == "drop" || word == "reject");
        if incoming && (line.contains("policy drop") || ends) {
            return true;
        }
    }
    false
}

/// Whether a rule accepts this port by name.
fn allows(rules: &str, port: u16) -> bool {
    let port = port.to_string();
    rules.lines().filter(|line| line.contains("dport") && line.contains("accept")).any(|line| {
        line.split(|c: char| !c.is_ascii_digit() && c != '-').any(|word| match word.split_once('-') {
            Some((from, to)) => match (from.parse::<u16>(), to.parse::<u16>(), port.parse::<u16>()) {
                (Ok(from), Ok(to), Ok(port)) => (from..=to).contains(&port),
                _ => false,
            },
            None => word == port,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DROP: &str = "table inet filter {\n\tchain input {\n\t\ttype filter hook input priority filter; policy drop;\n\
        \t\tct state established accept\n\t\ttcp dport 22 accept\n\t}\n}\n";
    const OUT: &str = "table inet filter {\n\tchain input {\n\t\ttype filter hook input priority filter; policy accept;\n\t}\n\
        \tchain forward {\n\t\ttype filter hook forward priority filter; policy drop;\n\t}\n}\n";
    const REJECT: &str = "table inet filter {\n\tchain input {\n\t\ttype filter hook input priority 0; policy accept;\n\
        \t\treject with icmpx port-unreachable\n\t}\n}\n";

    #[test]
    fn a_firewall_that_keeps_browsers_out_is_named_with_its_command() {
        let ufw = |on: &str| FirewallState { ufw: Some(format!("# x\nENABLED={on}\n")), ..FirewallState::default() };
        let rules = |text: &str| FirewallState { rules: Some(text.to_owned()), ..FirewallState::default() };
        let rows = [
            (FirewallState::default(), None),
            (ufw("no"), None),
            (ufw("yes"), Some("ufw allow 8443/tcp")),
            (FirewallState { firewalld: true, ..FirewallState::default() }, Some("--add-port=8443/tcp")),
            (rules(DROP), Some("nft list ruleset")),
            (rules(REJECT), Some("nft list ruleset")),
            (rules(OUT), None),
            (rules(&DROP.replace("dport 22", "dport { 22, 8443 }")), None),
            (rules(&DROP.replace("dport 22", "dport 8000-9000")), None),
            (rules(&DROP.replace("dport 22", "dport 18443")), Some("nft list ruleset")),
            (FirewallState { rules: Some("tcp dport 8443 counter accept".into()), ..ufw("yes") }, None),
        ];
        for (state, expected) in rows {
            let advice = advice(&state, 8443);
            match expected {
                Some(words) => assert!(advice.as_ref().is_some_and(|it| it.contains(words)), "{state:?}: {advice:?}"),
                None => assert_eq!(advice, None, "{state:?}"),
            }
        }
    }
}
