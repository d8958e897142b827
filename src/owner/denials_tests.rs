//! Deny lists with real files: what takes effect, what is kept, and what happens when the file system fails.

use std::{fs, path::PathBuf};

use tempfile::TempDir;

use super::{denials::*, *};
use crate::trust::{
    deny_list::SignedDenyList,
    issuer_tests::TestIssuer,
    issuers::{DenyState, Issuers},
};

/// A store in a folder of its own, with one issuer.
struct Rig {
    dir: TempDir,
    issuer: TestIssuer,
    store: DenyStore,
}

impl Rig {
    fn new() -> Self {
        Self::in_folder(tempfile::tempdir().unwrap(), TestIssuer::new())
    }

    fn in_folder(dir: TempDir, issuer: TestIssuer) -> Self {
        let store = DenyStore::new(Some(StateFolder::at(dir.path())), AuditLog::kept().0, Heartbeat::default());
        store.configure(&[issuer.key()], Duration::from_secs(600));
        Self { dir, issuer, store }
    }

    /// The same folder and issuer after a restart of the daemon.
    async fn restarted(self) -> Self {
        let mut next = Self::in_folder(self.dir, self.issuer);
        next.store.ready().await;
        next
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join(format!("deny-{}.jws", self.issuer.id()))
    }

    async fn apply(&mut self, source: DenyListSource, number: u64, ids: &[&str]) -> Result<String, String> {
        let text = self.issuer.deny(number, 0, ids);
        let list = SignedDenyList::of_key(&text, &self.issuer.key(), None).unwrap();
        self.store.apply(list, source).await
    }

    fn state(&self) -> DenyState {
        self.store.issuers().by_id(&self.issuer.id()).unwrap().state().clone()
    }

    fn denies(&self, token: &str) -> bool {
        let id = |text: &str| Id::new(text).unwrap();
        self.store.issuers().by_id(&self.issuer.id()).unwrap().denies(&id(token), &id("viewer"), 100)
    }
}

#[tokio::test]
async fn a_list_takes_effect_and_outlives_a_restart() {
    let mut rig = Rig::new();
    assert_eq!((rig.state(), rig.denies("b")), (DenyState::Unread, true), "nobody knows before the file is read");
    rig.store.ready().await;
    assert!(!rig.denies("a") && !rig.file().exists());
    let followed = rig.store.follow();
    let said = rig.apply(DenyListSource::Broker, 7, &["a"]).await.unwrap();
    assert!(said.contains("deny list 7") && said.contains("1 ids"), "{said}");
    assert!(rig.denies("a") && !rig.denies("b") && followed.has_changed().unwrap());
    let kept = fs::read_to_string(rig.file()).unwrap();
    assert_eq!(SignedDenyList::of_key(&kept, &rig.issuer.key(), None).unwrap().list().number, 7, "as it was signed");
    let mut rig = rig.restarted().await;
    assert!(rig.denies("a") && !rig.denies("b"));
    for (number, ids, why) in [
        (7, &["a", "b"][..], "not higher than 7"),
        (6, &["a"], "not higher than 7"),
        (8, &["b"], "a is missing"),
        (8, &[], "a is missing"),
    ] {
        for source in [DenyListSource::Broker, DenyListSource::Owner] {
            let error = rig.apply(source, number, ids).await.unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
    assert!(rig.denies("a") && !rig.denies("b"));
    rig.apply(DenyListSource::Owner, 8, &["a", "b"]).await.unwrap();
    let rig = rig.restarted().await;
    assert!(rig.denies("b"));
    assert_eq!((rig.store.number(&rig.issuer.id()), rig.store.note()), (Some(8), None));
}

#[tokio::test]
async fn a_damaged_file_lets_no_token_in_and_the_broker_cannot_bring_an_old_list_back() {
    let (stranger, mut rig) = (TestIssuer::new(), Rig::new());
    rig.apply(DenyListSource::Broker, 7, &["a"]).await.unwrap();
    let whole = fs::read(rig.file()).unwrap();
    for damage in [&b""[..], &whole[..whole.len() / 2], &[0; 200], stranger.deny(9, 0, &[]).as_bytes(), &[b'x'; 70_000]]
    {
        fs::write(rig.file(), damage).unwrap();
        rig = rig.restarted().await;
        assert_eq!((rig.state(), rig.denies("b")), (DenyState::Unusable, true));
        let error = rig.apply(DenyListSource::Broker, 6, &[]).await.unwrap_err();
        assert!(error.contains("token apply FILE") && error.contains("sudo mv"), "{error}");
        assert_eq!((rig.store.note().is_some(), fs::read(rig.file()).unwrap()), (true, damage.to_vec()));
    }
    rig.apply(DenyListSource::Owner, 8, &["a"]).await.unwrap();
    assert!(rig.denies("a") && !rig.denies("b") && rig.store.note().is_none());
    assert!(!rig.restarted().await.denies("b"));
}

#[tokio::test]
async fn a_list_that_cannot_be_written_is_in_force_and_is_written_later() {
    let mut rig = Rig::new();
    let blocked = rig.dir.path().join(format!("deny-{}.jws.new", rig.issuer.id()));
    fs::create_dir(&blocked).unwrap();
    let error = rig.apply(DenyListSource::Owner, 1, &["a"]).await.unwrap_err();
    assert!(error.contains("in force") && error.contains("at a restart") && error.contains(".jws"), "{error}");
    assert!(rig.denies("a") && !rig.file().exists());
    fs::remove_dir(&blocked).unwrap();
    rig.store.try_again_now();
    rig.store.catch_up().await;
    assert!(rig.restarted().await.denies("a"));
}

#[tokio::test]
async fn a_file_that_is_repaired_counts_without_a_restart() {
    let mut rig = Rig::new();
    rig.apply(DenyListSource::Broker, 7, &["a"]).await.unwrap();
    let whole = fs::read(rig.file()).unwrap();
    fs::write(rig.file(), "half").unwrap();
    let mut rig = rig.restarted().await;
    assert_eq!(rig.state(), DenyState::Unusable);
    fs::write(rig.file(), whole).unwrap();
    rig.store.catch_up().await;
    assert_eq!(rig.state(), DenyState::Unusable, "once a minute");
    rig.store.try_again_now();
    rig.store.catch_up().await;
    assert!(rig.denies("a") && !rig.denies("b"));
}

#[tokio::test]
async fn other_issuers_come_and_go() {
    let mut rig = Rig::new();
    rig.apply(DenyListSource::Broker, 7, &["a"]).await.unwrap();
    let other = TestIssuer::new();
    rig.store.configure(&[rig.issuer.key(), other.key()], Duration::from_secs(600));
    assert!(rig.denies("a") && !rig.denies("b"), "the lists that are known stay");
    rig.store.catch_up().await;
    let state = |issuers: &Issuers| issuers.by_id(&other.id()).unwrap().state().clone();
    assert_eq!(state(&rig.store.issuers()), DenyState::Known(Arc::default()), "and the others are read");
    let list = SignedDenyList::of_key(&other.deny(1, 0, &[]), &other.key(), None).unwrap();
    rig.store.configure(&[rig.issuer.key()], Duration::from_secs(600));
    let error = rig.store.apply(list, DenyListSource::Owner).await.unwrap_err();
    assert!(error.contains("access.issuer_file"), "{error}");
    rig.store.configure(&[], Duration::from_secs(600));
    assert!(rig.store.issuers().is_empty());
}

#[tokio::test]
async fn without_a_folder_a_list_lasts_until_the_daemon_ends() {
    let issuer = TestIssuer::new();
    let mut store = DenyStore::new(None, AuditLog::kept().0, Heartbeat::default());
    store.configure(&[issuer.key()], Duration::from_secs(600));
    store.ready().await;
    let list = SignedDenyList::of_key(&issuer.deny(1, 0, &["a"]), &issuer.key(), None).unwrap();
    assert!(store.apply(list, DenyListSource::Owner).await.unwrap_err().contains("STATE_DIRECTORY"));
    assert_eq!(store.number(&issuer.id()), Some(1));
}
