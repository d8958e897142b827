//! By which names and addresses the board is reached at home. Pure.

use std::net::IpAddr;

/// Interfaces of containers and virtual machines: nobody else is behind them.
const INNER: [&str; 6] = ["docker", "veth", "br-", "virbr", "lxc", "podman"];
/// Most links to show.
const MOST: usize = 4;

/// The names of the certificate: that of mDNS (RFC 6762), the bare one, and further ones.
pub fn certificate_names(host: &str, more: &[String]) -> Vec<String> {
    let host = first_label(host);
    let mut names = vec![format!("{host}.local"), host];
    names.extend(more.iter().map(|name| name.to_ascii_lowercase()));
    names.dedup();
    names
}

/// The host name without its domain, as mDNS uses it. A name that DNS does not allow becomes `fanlight`.
pub fn first_label(host: &str) -> String {
    let label = host.trim().split('.').next().unwrap_or_default().to_ascii_lowercase();
    if super::settings::is_host_name(&label) { label } else { "fanlight".into() }
}

/// The hosts to put into links, the best first: the name of mDNS if it is announced, then the addresses. Each address
/// comes with its interface.
pub fn hosts<'a>(mdns: Option<&str>, addresses: impl Iterator<Item = (&'a str, IpAddr)>) -> Vec<String> {
    let reachable = addresses.filter(|(interface, _)| !INNER.iter().any(|inner| interface.starts_with(inner)));
    let mut ranked: Vec<(u8, IpAddr)> = reachable.map(|(_, ip)| (rank(ip), ip)).collect();
    ranked.sort();
    ranked.dedup();
    // IPv6 addresses are long, and change more often. They are for networks without IPv4.
    let some_v4 = ranked.iter().any(|(_, ip)| ip.is_ipv4());
    let addresses = ranked.into_iter().filter(|(_, ip)| !some_v4 || ip.is_ipv4()).map(|(_, ip)| in_url(ip));
    mdns.map(|name| format!("{}.local", first_label(name))).into_iter().chain(addresses).take(MOST).collect()
}

/// The page at this host.
pub fn page(host: &str, port: u16) -> String {
    if port == 443 { format!("https://{host}/") } else { format!("https://{host}:{port}/") }
}

/// MQTT for browsers at this host.
pub fn broker(host: &str, port: u16) -> String {
    format!("{}mqtt", page(host, port).replacen("https:", "wss:", 1))
}

fn rank(ip: IpAddr) -> u8 {
    match ip {
        IpAddr::V4(ip) if ip.is_private() => 0,
        IpAddr::V4(_) => 1,
        // fc00::/7, RFC 4193.
        IpAddr::V6(ip) if ip.octets()[0] & 0xfe == 0xfc => 2,
        IpAddr::V6(_) => 3,
    }
}

/// An address as the host of a URL (RFC 3986 section 3.2.2).
fn in_url(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_comes_first_then_addresses_that_others_can_reach() {
        let of = |mdns, list: &[&str]| {
            let one =
                |text: &&str| text.split_once(' ').map(|(name, ip)| (name.to_owned(), ip.parse().unwrap())).unwrap();
            let list: Vec<(String, IpAddr)> = list.iter().map(one).collect();
            hosts(mdns, list.iter().map(|(name, ip)| (name.as_str(), *ip)))
        };
        let rows: [(Option<&str>, &[&str], &[&str]); 6] = [
            (Some("garden"), &["eth0 192.168.1.5"], &["garden.local", "192.168.1.5"]),
            (Some("Garden.example.org\n"), &[], &["garden.local"]),
            (None, &["wlan0 2001:db8::5", "eth0 203.0.113.5", "wlan0 10.0.0.5"], &["10.0.0.5", "203.0.113.5"]),
            (None, &["wlan0 2001:db8::5", "wlan0 fd00::5"], &["[fd00::5]", "[2001:db8::5]"]),
            (None, &["docker0 172.17.0.1", "veth12 10.1.1.1", "br-12ab 172.18.0.1"], &[]),
            (None, &["eth0 10.0.0.5", "wlan0 10.0.0.5"], &["10.0.0.5"]),
        ];
        for (mdns, list, expected) in rows {
            assert_eq!(of(mdns, list), expected, "{mdns:?} {list:?}");
        }
    }

    #[test]
    fn links_name_the_port_unless_it_is_that_of_https() {
        assert_eq!(page("garden.local", 8443), "https://garden.local:8443/");
        assert_eq!(page("garden.local", 443), "https://garden.local/");
        assert_eq!(broker("[fd00::5]", 8443), "wss://[fd00::5]:8443/mqtt");
    }

    #[test]
    fn a_certificate_has_both_forms_of_the_name() {
        assert_eq!(certificate_names("Garden\n", &[]), ["garden.local", "garden"]);
        assert_eq!(certificate_names("pi_1", &["Cam.Lan".into()]), ["fanlight.local", "fanlight", "cam.lan"]);
    }
}
