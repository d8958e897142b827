//! `fanlight home` as a process: its settings, its state, and its end.

use std::{fs, net::TcpListener, process::Stdio};

use fanlight::home::{certificates::CertificateStore, check::handshake, host_name, links::first_label};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use super::settings;
use crate::rig::{FANLIGHT, free_port, within};

fn start(dir: &tempfile::TempDir, settings: &str) -> Child {
    let file = dir.path().join("home.toml");
    fs::write(&file, settings).unwrap();
    Command::new(FANLIGHT)
        .args(["home", "--settings"])
        .arg(&file)
        .env("STATE_DIRECTORY", dir.path())
        .env_remove("NOTIFY_SOCKET")
        .env_remove("JOURNAL_STREAM")
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn answers(port: u16) {
    let up = async {
        while fanlight::home::check::answers(port).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    within(30, "the page answers", up).await;
}

#[tokio::test]
async fn it_serves_until_it_is_stopped_and_keeps_its_certificates() {
    let dir = tempfile::tempdir().unwrap();
    let mut kept = None;
    for _ in 0..2 {
        let port = free_port();
        let text = fanlight::home::settings::HomeSettings { port, ..settings() }.to_toml();
        let mut child = start(&dir, &text);
        answers(port).await;
        let store = CertificateStore::parse(&fs::read(dir.path().join("certificates.json")).unwrap()).unwrap();
        let name = format!("{}.local", first_label(&host_name()));
        assert_eq!(handshake(port, &name, &store.authority).await, Ok(()));
        let other = CertificateStore::new(std::slice::from_ref(&name), 1_800_000_000).unwrap();
        assert!(handshake(port, &name, &other.authority).await.is_err(), "of another board");
        assert!(handshake(port, "elsewhere.example.org", &store.authority).await.is_err());
        let pid = Pid::from_raw(child.id().unwrap().cast_signed()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        let status = within(20, "it ends", child.wait()).await.unwrap();
        assert_eq!(status.code(), Some(0));
        let stored = fs::read(dir.path().join("certificates.json")).unwrap();
        assert!(kept.is_none_or(|before| before == stored), "browsers would ask again");
        kept = Some(stored);
    }
}

#[tokio::test]
async fn wrong_settings_and_a_port_in_use_end_it_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind(("0.0.0.0", 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let in_use = fanlight::home::settings::HomeSettings { port, ..settings() }.to_toml();
    for (text, code, words) in
        [("port = 1\n".to_owned(), 78, "fanlight setup --home"), (in_use, 1, &*format!("port {port} is in use by "))]
    {
        let done = within(30, "it ends", start(&dir, &text).wait_with_output()).await.unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(code), "{said}");
        assert!(said.contains(words), "{said}");
    }
}
