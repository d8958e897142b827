//! Who uses a TCP port of this machine, from `/proc` (proc(5)).

use std::{fs, io, net::TcpListener, path::Path};

/// The state of a socket that listens, in `/proc/net/tcp`.
const LISTENS: &str = "0A";

/// Whether nobody listens on this port of loopback.
pub fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}

/// Why a port cannot be listened on, and what to do.
pub fn fault(port: u16, error: &io::Error) -> String {
    let who = owner(Path::new("/proc"), port).map_or_else(String::new, |who| format!(" by {who}"));
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("port {port} is in use{who}; choose another one: sudo fanlight setup --home --port {}", next(port))
        }
        _ => format!("listen on port {port}: {error}"),
    }
}

/// A port to propose instead.
fn next(port: u16) -> u16 {
    if port < 1024 { super::settings::PAGE_PORT } else { port.checked_add(1).unwrap_or(super::settings::PAGE_PORT) }
}

/// The program that listens on a port, as `name (process 123)`. Root sees all; other users see their own.
pub fn owner(proc: &Path, port: u16) -> Option<String> {
    let tables = ["net/tcp", "net/tcp6"].map(|table| fs::read_to_string(proc.join(table)).unwrap_or_default());
    let wanted: Vec<String> =
        tables.iter().flat_map(|table| inodes(table, port)).map(|inode| format!("socket:[{inode}]")).collect();
    if wanted.is_empty() {
        return None;
    }
    let processes = fs::read_dir(proc).ok()?.flatten();
    let mut numbered = processes.filter(|entry| entry.file_name().to_str().is_some_and(|n| n.parse::<u32>().is_ok()));
    let process = numbered.find(|entry| {
        let files = fs::read_dir(entry.path().join("fd")).into_iter().flatten().flatten();
        let mut targets = files.filter_map(|file| fs::read_link(file.path()).ok());
        targets.any(|target| wanted.iter().any(|wanted| target.as_os_str() == wanted.as_str()))
    })?;
    let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
    Some(format!("{} (process {})", name.trim(), process.file_name().to_string_lossy()))
}

/// The inodes of the sockets that listen on this port.
fn inodes(table: &str, port: u16) -> Vec<&str> {
    let one = |line: &'_ str| -> Option<(u16, bool)> {
        let mut words = line.split_whitespace().skip(1);
        let local = words.next()?.rsplit_once(':')?.1;
        Some((u16::from_str_radix(local, 16).ok()?, words.nth(1)? == LISTENS))
    };
    let listening = table.lines().filter(|line| one(line) == Some((port, true)));
    listening.filter_map(|line| line.split_whitespace().nth(9)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_that_has_a_port_is_named() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        assert!(!is_free(port));
        let who = owner(Path::new("/proc"), port).unwrap();
        assert!(who.ends_with(&format!("(process {})", std::process::id())), "{who}");
        let text = fault(port, &io::ErrorKind::AddrInUse.into());
        assert!(text.contains(&who) && text.contains(&format!("--port {}", port + 1)), "{text}");
        drop(listener);
        assert_eq!(owner(Path::new("/proc"), port), None);
    }

    #[test]
    fn only_listening_sockets_of_the_port_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 0100007F:20FB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0 100\n   \
            1: 0100007F:20FB 0100007F:9999 01 00000000:00000000 00:00000000 00000000     0        0 222 1 0 100\n   \
            2: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1 0 100\n   x\n";
        assert_eq!(inodes(table, 8443), ["111"]);
        assert_eq!(inodes(table, 22), ["333"]);
        assert!(inodes(table, 1).is_empty() && inodes("", 22).is_empty());
        assert_eq!((next(443), next(8443), next(u16::MAX)), (8443, 8444, 8443));
    }
}
