//! Which remote candidates may be used (section 7). Pure.
//!
//! A candidate makes this board send packets to an address that a stranger chose. So only unicast addresses of other
//! machines and mDNS names are allowed.

use std::net::{IpAddr, Ipv4Addr};

/// The most candidate pairs of a session and ICE generation.
pub const PAIRS_MAX: usize = 100;

/// What becomes of a candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CandidateVerdict {
    /// It may be used. In the line, an IPv4-mapped IPv6 address is written as IPv4.
    Take {
        /// `candidate:…`
        line: String,
        /// What it can be paired with.
        family: Family,
    },
    /// It is correct and cannot be used here: TCP, RTCP's own component, the empty line that ends a browser's list.
    Skip,
    /// It must not be used, for this reason.
    Refuse(String),
}

/// What a candidate can be paired with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// IPv4
    V4,
    /// IPv6
    V6,
    /// An mDNS name. Its family is known only after the lookup.
    Name,
}

/// Judges one candidate line (RFC 8839 section 5.1), with or without its `a=`.
pub fn judge(line: &str, loopback: bool) -> CandidateVerdict {
    let line = line.trim();
    let line = line.strip_prefix("a=").unwrap_or(line);
    if line.is_empty() {
        return CandidateVerdict::Skip;
    }
    let refuse = |why: &str| CandidateVerdict::Refuse(format!("candidate: {why}"));
    let Some(rest) = line.strip_prefix("candidate:") else {
        return refuse("the line does not begin with candidate:");
    };
    let words: Vec<&str> = rest.split_ascii_whitespace().collect();
    let [foundation, component, transport, priority, address, port, "typ", kind, ..] = words[..] else {
        return refuse("the line is not foundation, component, transport, priority, address, port, typ and type");
    };
    if foundation.len() > 32 || !foundation.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/') {
        return refuse("the foundation is not 1 to 32 letters and digits");
    }
    let Some(component) = component.parse::<u16>().ok().filter(|c| (1..=256).contains(c)) else {
        return refuse("the component is not 1 to 256");
    };
    if priority.parse::<u32>().is_err() {
        return refuse("the priority is not a 32-bit number");
    }
    if port.parse::<u16>().ok().filter(|port| *port > 0).is_none() {
        return refuse("the port is not 1 to 65535");
    }
    let family = match host(address, loopback) {
        Ok(family) => family,
        Err(why) => return refuse(why),
    };
    let known = matches!(kind, "host" | "srflx" | "prflx" | "relay");
    // RTCP shares RTP's component, and remote TCP candidates are not used here. Browsers send both anyway.
    if component != 1 || !transport.eq_ignore_ascii_case("udp") || !known {
        return CandidateVerdict::Skip;
    }
    match unmapped(address) {
        Some(plain) => CandidateVerdict::Take { line: line.replacen(address, &plain.to_string(), 1), family },
        None => CandidateVerdict::Take { line: line.to_owned(), family },
    }
}

fn host(address: &str, loopback: bool) -> Result<Family, &'static str> {
    let Ok(ip) = address.parse::<IpAddr>().map(|ip| ip.to_canonical()) else {
        return name(address);
    };
    reachable(ip, loopback)?;
    Ok(if ip.is_ipv4() { Family::V4 } else { Family::V6 })
}

/// Whether this board may send packets to an address. The error is the reason. Only the demo and tests allow loopback.
pub fn reachable(ip: IpAddr, loopback: bool) -> Result<(), &'static str> {
    let ip = inner(ip);
    if ip.is_loopback() && !loopback {
        return Err("the address is loopback");
    }
    if ip.is_unspecified() || matches!(ip, IpAddr::V4(v4) if v4.octets()[0] == 0) {
        return Err("the address is unspecified");
    }
    if ip.is_multicast() {
        return Err("the address is multicast");
    }
    match ip {
        IpAddr::V4(Ipv4Addr::BROADCAST) => Err("the address is broadcast"),
        IpAddr::V4(v4) if v4.octets()[0] >= 240 => Err("the address is reserved"),
        _ => Ok(()),
    }
}

/// The IPv4 address inside an IPv6 address: mapped (RFC 4291), translated by a NAT64 (RFC 6052, RFC 8215), 6to4 (RFC
/// 3056), or compatible, which is obsolete. A router may forward packets for it to the IPv4 address.
fn inner(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip.to_canonical() else { return ip.to_canonical() };
    let words = v6.segments();
    let four = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::from([a, b, c, d])
    };
    match words {
        [0x64, 0xff9b, 0 | 1, .., high, low] => four(high, low),
        [0x2002, high, low, ..] => four(high, low),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => four(high, low),
        _ => ip,
    }
}

/// One label and `.local`, as browsers write it to hide their addresses. It is looked up by mDNS, never by DNS.
fn name(address: &str) -> Result<Family, &'static str> {
    let label = address.len().checked_sub(".local".len()).and_then(|at| {
        let (label, end) = address.split_at_checked(at)?;
        end.eq_ignore_ascii_case(".local").then_some(label)
    });
    match label {
        Some(label)
            if (1..=63).contains(&label.len()) && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') =>
        {
            Ok(Family::Name)
        }
        _ => Err("the address is neither an IP address nor one name under .local"),
    }
}

fn unmapped(address: &str) -> Option<Ipv4Addr> {
    match address.parse().ok()? {
        IpAddr::V6(v6) => v6.to_ipv4_mapped(),
        IpAddr::V4(_) => None,
    }
}

/// Counts the candidates of one session and generation.
#[derive(Debug, Clone)]
pub struct CandidateBudget {
    max: usize,
    loopback: bool,
    remote: Families,
    local: Families,
}

#[derive(Debug, Clone, Copy, Default)]
struct Families {
    v4: usize,
    v6: usize,
    names: usize,
}

impl Families {
    fn add(&mut self, family: Family) {
        *match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
            Family::Name => &mut self.names,
        } += 1;
    }

    fn all(self) -> usize {
        self.v4 + self.v6 + self.names
    }
}

impl CandidateBudget {
    /// At most `max` remote candidates; whether loopback may be used.
    pub fn new(max: usize, loopback: bool) -> Self {
        Self { max, loopback, remote: Families::default(), local: Families::default() }
    }

    /// Whether loopback may be used.
    pub fn loopback(&self) -> bool {
        self.loopback
    }

    /// Counts a remote candidate. The error is why it is one too many.
    pub fn admit(&mut self, family: Family) -> Result<(), String> {
        if self.remote.all() >= self.max {
            return Err(format!("candidate: one more than the {} of a session and generation", self.max));
        }
        let mut remote = self.remote;
        remote.add(family);
        // A name may turn out to be of either family.
        let pairs = |local: usize, remote: usize| local.max(1) * remote;
        if pairs(self.local.v4, remote.v4 + remote.names) + pairs(self.local.v6, remote.v6 + remote.names) > PAIRS_MAX {
            return Err(format!("candidate: it would make more than {PAIRS_MAX} pairs"));
        }
        self.remote = remote;
        Ok(())
    }

    /// Counts a local candidate. Hosts and relays form pairs; a reflexive one has the pairs of its host.
    pub fn local(&mut self, line: &str) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        if let [_, _, _, _, address, _, "typ", "host" | "relay", ..] = words[..]
            && let Ok(family) = host(address, true)
        {
            self.local.add(family);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(address: &str) -> CandidateVerdict {
        judge(&format!("candidate:842163049 1 udp 1677729535 {address} 46154 typ host generation 0"), false)
    }

    #[test]
    fn addresses_of_other_machines_and_local_names_are_taken() {
        let table = [
            ("192.168.1.7", Family::V4),
            ("169.254.3.4", Family::V4),
            ("203.0.113.9", Family::V4),
            ("100.64.0.1", Family::V4),
            ("223.255.255.254", Family::V4),
            ("fe80::1", Family::V6),
            ("2001:db8::7", Family::V6),
            ("64:ff9b::c000:201", Family::V6),
            ("2002:c000:201::1", Family::V6),
            ("fd00::1", Family::V6),
            ("4ec3f6ab-1a2b-4c5d-8e9f-0123456789ab.local", Family::Name),
            ("A.LOCAL", Family::Name),
        ];
        for (address, expected) in table {
            assert!(
                matches!(at(address), CandidateVerdict::Take { family, line } if family == expected && line.contains(address)),
                "{address}"
            );
        }
    }

    #[test]
    fn addresses_nobody_should_be_sent_to_are_refused() {
        let table = [
            ("0.0.0.0", "unspecified"),
            ("0.1.2.3", "unspecified"),
            ("::", "unspecified"),
            ("::ffff:0.0.0.0", "unspecified"),
            ("127.0.0.1", "loopback"),
            ("127.9.9.9", "loopback"),
            ("::1", "loopback"),
            ("::ffff:127.0.0.1", "loopback"),
            ("::ffff:7f00:1", "loopback"),
            ("224.0.0.251", "multicast"),
            ("ff02::1", "multicast"),
            ("::ffff:239.1.1.1", "multicast"),
            ("255.255.255.255", "broadcast"),
            ("::ffff:255.255.255.255", "broadcast"),
            ("240.0.0.1", "reserved"),
            ("255.0.0.1", "reserved"),
            ("::ffff:240.1.2.3", "reserved"),
            ("64:ff9b::127.0.0.1", "loopback"),
            ("64:ff9b::7f00:1", "loopback"),
            ("64:ff9b::e000:fb", "multicast"),
            ("64:ff9b::0.0.0.0", "unspecified"),
            ("64:ff9b::ffff:ffff", "broadcast"),
            ("64:ff9b:1::7f00:1", "loopback"),
            ("64:ff9b:1:2:3:4:127.0.0.1", "loopback"),
            ("2002:7f00:1::", "loopback"),
            ("2002:e000:fb::1", "multicast"),
            ("2002:0:1::1", "unspecified"),
            ("2002:ffff:ffff::", "broadcast"),
            ("::127.0.0.1", "loopback"),
            ("::224.0.0.1", "multicast"),
            ("0:0:0:0:0:0:0:0", "unspecified"),
            ("0:0:0:0:0:0:0:1", "loopback"),
            ("0000:0000:0000:0000:0000:ffff:127.0.0.1", "loopback"),
            ("::FFFF:7F00:0001", "loopback"),
            ("ff01::1", "multicast"),
            ("ff0e::1", "multicast"),
            ("239.255.255.255", "multicast"),
            ("127.1", "neither"),
            ("0177.0.0.1", "neither"),
            ("127.0.0.1.", "neither"),
            ("[::1]", "neither"),
            ("::1%lo", "neither"),
            ("localhost", "neither"),
            ("127.0.0.1.local", "neither"),
            ("\u{ff11}27.0.0.1", "neither"),
            ("example.com", "neither"),
            ("router.lan", "neither"),
            ("a.b.local", "neither"),
            (".local", "neither"),
            ("fe80::1%eth0", "neither"),
            ("0x7f.1", "neither"),
            ("2130706433", "neither"),
            ("é.local", "neither"),
        ];
        for (address, why) in table {
            assert!(
                matches!(at(address), CandidateVerdict::Refuse(said) if said.contains(why)),
                "{address}: {:?}",
                at(address)
            );
        }
    }

    #[test]
    fn loopback_is_taken_where_the_config_says_so() {
        assert!(matches!(judge("candidate:1 1 udp 5 127.0.0.1 9 typ host", true), CandidateVerdict::Take { .. }));
        assert!(matches!(judge("candidate:1 1 udp 5 ::1 9 typ host", true), CandidateVerdict::Take { .. }));
        assert!(matches!(judge("candidate:1 1 udp 5 0.0.0.0 9 typ host", true), CandidateVerdict::Refuse(_)));
    }

    #[test]
    fn an_ipv4_address_in_ipv6_clothes_is_written_plainly() {
        let CandidateVerdict::Take { line, family } = at("::ffff:192.0.2.1") else { panic!() };
        assert_eq!(family, Family::V4);
        assert!(line.contains(" 192.0.2.1 46154 "), "{line}");
    }

    #[test]
    fn the_shape_of_the_line() {
        let table = [
            ("", CandidateVerdict::Skip),
            (
                "a=candidate:1 1 UDP 5 192.0.2.1 9 typ srflx raddr 10.0.0.1 rport 9",
                CandidateVerdict::Take {
                    line: "candidate:1 1 UDP 5 192.0.2.1 9 typ srflx raddr 10.0.0.1 rport 9".into(),
                    family: Family::V4,
                },
            ),
            ("candidate:1 2 udp 5 192.0.2.1 9 typ host", CandidateVerdict::Skip),
            ("candidate:1 1 tcp 5 192.0.2.1 9 typ host tcptype active", CandidateVerdict::Skip),
            ("candidate:1 1 tcp 5 192.0.2.1 22 typ host tcptype passive", CandidateVerdict::Skip),
            ("candidate:1 1 udp 5 192.0.2.1 9 typ token", CandidateVerdict::Skip),
        ];
        for (line, expected) in table {
            assert_eq!(judge(line, false), expected, "{line}");
        }
        for bad in [
            "hello",
            "candidate:",
            "candidate:1 1 udp 5 192.0.2.1 9",
            "candidate:1 0 udp 5 192.0.2.1 9 typ host",
            "candidate:1 257 udp 5 192.0.2.1 9 typ host",
            "candidate:1 1 udp -5 192.0.2.1 9 typ host",
            "candidate:1 1 udp 5 192.0.2.1 0 typ host",
            "candidate:1 1 udp 5 192.0.2.1 65536 typ host",
            "candidate:1 1 tcp 5 127.0.0.1 22 typ host tcptype passive",
            "candidate:é 1 udp 5 192.0.2.1 9 typ host",
        ] {
            assert!(matches!(judge(bad, false), CandidateVerdict::Refuse(_)), "{bad}");
        }
    }

    #[test]
    fn no_more_candidates_and_no_more_pairs_than_the_limits_say() {
        let mut budget = CandidateBudget::new(24, false);
        assert!((0..24).all(|_| budget.admit(Family::V4).is_ok()));
        assert!(budget.admit(Family::V4).unwrap_err().contains("the 24"));

        let mut many = CandidateBudget::new(24, false);
        (0..10).for_each(|_| many.local("candidate:1 1 udp 5 192.0.2.1 9 typ host"));
        many.local("candidate:1 1 udp 5 198.51.100.1 9 typ srflx raddr 192.0.2.1 rport 9");
        assert_eq!((0..24).filter(|_| many.admit(Family::V4).is_ok()).count(), 10, "10 × 10 pairs, and no more");
        assert!(many.admit(Family::V6).is_err(), "all pairs count, of both families");
    }
}
