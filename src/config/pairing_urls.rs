//! The URLs of a pairing link, which the configuration or a command gives: page and broker.

/// The longest URL of a page or a broker, in bytes. A longer one makes a code that no telephone reads.
const URL_MAX: usize = 512;
/// Names and addresses of this machine. Browsers treat pages from there as if they came over TLS.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// Checks the URL of a viewer page, and returns it with a path. Browsers give keys only to pages over TLS.
pub(crate) fn page_url(url: &str) -> Result<String, &'static str> {
    let (scheme, authority, path) = parts(url)?;
    match scheme {
        "https" => {}
        "http" if is_loopback(authority) => {}
        "http" => return Err("browsers give keys only to pages with https://, or on localhost"),
        _ => return Err("it must begin with https://"),
    }
    Ok(if path.is_empty() { format!("{url}/") } else { url.to_owned() })
}

/// Checks the URL at which viewers reach the broker.
pub(crate) fn broker_url(url: &str) -> Result<(), &'static str> {
    let (scheme, _, _) = parts(url)?;
    match scheme {
        "wss" | "ws" => Ok(()),
        _ => Err("it must begin with wss://, or with ws://"),
    }
}

/// Scheme, authority, and path with query.
fn parts(url: &str) -> Result<(&str, &str, &str), &'static str> {
    if url.len() > URL_MAX {
        return Err("it is longer than 512 bytes");
    }
    if !url.bytes().all(|b| b.is_ascii_graphic() && !b"\"<>\\^`{|}".contains(&b)) {
        return Err("it has a space, or a character that must not be in a URL");
    }
    if url.contains('#') {
        return Err("it must not have a part after #, which is where the pairing stands");
    }
    let (scheme, rest) = url.split_once("://").ok_or("it has no scheme, such as https://")?;
    let (authority, path) = rest.find(['/', '?']).map_or((rest, ""), |at| rest.split_at(at));
    if authority.contains('@') {
        return Err("it must not have a name and password before the host");
    }
    if authority.is_empty() || authority.starts_with(':') {
        return Err("it names no host");
    }
    Ok((scheme, authority, path))
}

fn is_loopback(authority: &str) -> bool {
    LOOPBACK.iter().any(|host| {
        let port = authority.strip_prefix(host);
        port.is_some_and(|port| port.is_empty() || port.starts_with(':'))
    })
}
