//! Pairing: who gets on the list, who gets an answer, and what ends it.

use std::time::Duration;

use super::{
    pairing::{
        PAIRING, PairAttempt, PairClaim, PairEnd, PairOptions, PairOutcome, PairSecret, PairStage, Pairing,
        PairingHandle, PairingNumber, WRONG_MAX,
    },
    pairing_mac::{MacSide, MacTexts},
    viewer_list::viewer_id,
};
use crate::{
    clock::Mono,
    config::Id,
    jose::{SigningKey, Thumbprint},
    protocol::{Right, Rights},
};

const START: Mono = Mono(1_000_000_000);

fn thumbprint() -> Thumbprint {
    SigningKey::generate().unwrap().public().thumbprint()
}

fn at(seconds: u64) -> Mono {
    START + Duration::from_secs(seconds)
}

fn options() -> PairOptions {
    PairOptions { name: None, rights: Rights::of([Right::View]), until: Some(4_000_000_000) }
}

/// A board that pairs, and the link that somebody scanned.
struct Board {
    pairing: Pairing,
    thumbprint: Thumbprint,
    device: Id,
    number: PairingNumber,
    secret: PairSecret,
}

impl Board {
    fn new() -> Self {
        let (mut pairing, thumbprint, device) = (Pairing::default(), thumbprint(), Id::new("porch").unwrap());
        let secret = PairSecret::new([7; 16]);
        let (number, replaced) = pairing.open(START, (thumbprint, device.clone()), options(), secret.clone());
        assert!(!replaced);
        Self { pairing, thumbprint, device, number, secret }
    }

    fn texts<'a>(&'a self, viewer: &'a Thumbprint, name: &'a str) -> MacTexts<'a> {
        MacTexts { board: &self.thumbprint, device: &self.device, viewer, name }
    }

    /// Gives a message to the board: with the MAC of the scanned link.
    fn check(&mut self, now: Mono, viewer: &Thumbprint, name: &str) -> bool {
        let mac = self.secret.mac(MacSide::Viewer, self.texts(viewer, name));
        self.check_mac(now, viewer, name, &mac)
    }

    fn check_mac(&mut self, now: Mono, viewer: &Thumbprint, name: &str, mac: &str) -> bool {
        let (board, device) = (self.thumbprint, self.device.clone());
        self.pairing.check(now, &PairAttempt { board: &board, device: &device, viewer, name, mac })
    }

    /// Claims and settles, as the owner's task does.
    fn pair(&mut self, now: Mono, viewer: &Thumbprint) {
        assert!(self.check(now, viewer, "phone"));
        assert_eq!(self.pairing.claim(now, viewer), PairClaim::Add(options()));
        self.pairing.settle(viewer, outcome(viewer));
    }

    fn stage(&self) -> PairStage {
        self.pairing.progress().unwrap().stage.clone()
    }
}

fn outcome(viewer: &Thumbprint) -> PairOutcome {
    let PairOptions { rights, until, .. } = options();
    PairOutcome { id: viewer_id(viewer), name: "anna".into(), rights, until }
}

#[test]
fn the_viewer_that_knows_the_secret_is_paired_and_gets_the_same_answer_again() {
    let (mut board, anna) = (Board::new(), thumbprint());
    assert_eq!(board.stage(), PairStage::Waiting);
    board.pair(at(5), &anna);
    assert_eq!(board.stage(), PairStage::Paired(outcome(&anna)));
    let first = board.pairing.answer(&anna, "phone").unwrap();
    assert!(board.secret.is_mac(&first.mac, MacSide::Board, board.texts(&anna, "phone")));
    assert!(!board.secret.is_mac(&first.mac, MacSide::Viewer, board.texts(&anna, "phone")), "no MAC of the viewer");
    for seconds in [6, 300, 599] {
        assert!(board.check(at(seconds), &anna, "phone"));
        assert_eq!(board.pairing.claim(at(seconds), &anna), PairClaim::Again);
        assert_eq!(board.pairing.answer(&anna, "phone"), Some(first.clone()));
    }
    assert!(!board.check(at(600), &anna, "phone"), "the ten minutes are over");
    assert_eq!(board.pairing.claim(at(600), &anna), PairClaim::Closed);
    assert_eq!(board.stage(), PairStage::Paired(outcome(&anna)), "and she stays paired");
}

#[test]
fn a_secret_pairs_one_viewer() {
    let (mut board, anna, bert) = (Board::new(), thumbprint(), thumbprint());
    // Both messages are checked before the owner's task gets to the first.
    assert!(board.check(at(1), &anna, "phone") && board.check(at(1), &bert, "phone"));
    assert_eq!(board.pairing.claim(at(1), &bert), PairClaim::Add(options()));
    board.pairing.settle(&bert, outcome(&bert));
    assert_eq!(board.pairing.claim(at(1), &anna), PairClaim::Closed);
    assert_eq!(board.pairing.answer(&anna, "phone"), None);
    assert!(!board.check(at(2), &anna, "phone"));
}

#[test]
fn five_wrong_macs_end_it() {
    let (mut board, anna) = (Board::new(), thumbprint());
    for wrong in 1..=WRONG_MAX {
        assert_eq!(board.stage(), PairStage::Waiting);
        assert!(!board.check_mac(at(1), &anna, "phone", &format!("{wrong}7DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU")));
        assert_eq!(board.pairing.progress().unwrap().wrong, wrong);
    }
    assert_eq!((board.stage(), board.pairing.open_until()), (PairStage::Ended(PairEnd::WrongMacs), None));
    assert!(!board.check(at(1), &anna, "phone"), "the right one comes too late");
}

#[test]
fn a_wrong_mac_that_comes_again_counts_once() {
    let (mut board, anna, bert) = (Board::new(), thumbprint(), thumbprint());
    let wrong = |board: &mut Board, viewer, name, mac| {
        assert!(!board.check_mac(at(1), viewer, name, mac));
        board.pairing.progress().unwrap().wrong
    };
    for _ in 0..100 {
        assert_eq!(wrong(&mut board, &anna, "phone", "a"), 1);
    }
    for (viewer, name, mac, expected) in [
        (&anna, "phone", "b", 2),
        (&bert, "phone", "b", 3),
        (&anna, "tablet", "b", 4),
        (&anna, "phone", "a", 4),
        (&bert, "phone", "b", 4),
    ] {
        assert_eq!(wrong(&mut board, viewer, name, mac), expected, "{name} {mac}");
    }
    board.pair(at(2), &anna);
}

#[test]
fn wrong_macs_take_nothing_from_a_viewer_that_is_paired() {
    let (mut board, anna) = (Board::new(), thumbprint());
    board.pair(at(1), &anna);
    (0..100).for_each(|_| assert!(!board.check_mac(at(2), &anna, "phone", "x")));
    assert!(board.check(at(3), &anna, "phone"));
}

#[test]
fn a_mac_covers_both_identities_the_device_the_name_and_the_side() {
    let (anna, bert) = (thumbprint(), thumbprint());
    let fresh = Board::new();
    let good = fresh.secret.mac(MacSide::Viewer, fresh.texts(&anna, "phone"));
    let of_board = fresh.secret.mac(MacSide::Board, fresh.texts(&anna, "phone"));
    let device = Id::new("garden").unwrap();
    let other = PairSecret::new([8; 16]).mac(MacSide::Viewer, fresh.texts(&anna, "phone"));
    let longer = format!("{good}A");
    for (board, device, viewer, name, mac, expected) in [
        (&fresh.thumbprint, &fresh.device, &anna, "phone", &good, true),
        (&bert, &fresh.device, &anna, "phone", &good, false),
        (&fresh.thumbprint, &device, &anna, "phone", &good, false),
        (&fresh.thumbprint, &fresh.device, &bert, "phone", &good, false),
        (&fresh.thumbprint, &fresh.device, &anna, "Phone", &good, false),
        (&fresh.thumbprint, &fresh.device, &anna, "phone", &of_board, false),
        (&fresh.thumbprint, &fresh.device, &anna, "phone", &other, false),
        (&fresh.thumbprint, &fresh.device, &anna, "phone", &longer, false),
        (&fresh.thumbprint, &fresh.device, &anna, "phone", &good[..42].to_owned(), false),
        (&fresh.thumbprint, &fresh.device, &anna, "phone", &String::new(), false),
    ] {
        let (mut pairing, scanned) = (Pairing::default(), (fresh.thumbprint, fresh.device.clone()));
        pairing.open(START, scanned, options(), fresh.secret.clone());
        let attempt = PairAttempt { board, device, viewer, name, mac };
        assert_eq!(pairing.check(at(1), &attempt), expected, "{attempt:?}");
    }
    let mut board = Board::new();
    assert!(!board.check(at(1), &anna, "pho\0ne"), "a zero byte would let two texts give one MAC");
}

/// The bytes of the contract, computed by hand from its sentence.
#[test]
fn a_mac_is_over_five_texts_each_followed_by_a_zero_byte() {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let (board, viewer) = (Board::new(), thumbprint());
    let text = format!("fanlight pair viewer\0{}\0porch\0{}\0Anna’s phone\0", board.thumbprint, viewer);
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &[7; 16]);
    let expected = URL_SAFE_NO_PAD.encode(ring::hmac::sign(&key, text.as_bytes()));
    assert_eq!(board.secret.mac(MacSide::Viewer, board.texts(&viewer, "Anna’s phone")), expected);
}

#[test]
fn a_message_for_an_earlier_link_is_not_accepted_under_a_later_one() {
    let (mut board, anna) = (Board::new(), thumbprint());
    assert!(board.check(at(1), &anna, "phone"));
    let scanned = (board.thumbprint, board.device.clone());
    let (number, replaced) = board.pairing.open(at(2), scanned.clone(), options(), PairSecret::new([9; 16]));
    assert!(replaced && number != board.number);
    assert_eq!(board.pairing.claim(at(2), &anna), PairClaim::Closed, "it was checked under the secret before");
    assert!(!board.check(at(3), &anna, "phone"), "and its MAC is wrong now");
    board.pairing.end(board.number, PairEnd::Cancelled);
    assert_eq!(board.stage(), PairStage::Waiting, "who waits for the old one cannot end the new one");
    let (_, replaced) = board.pairing.open(at(700), scanned, options(), PairSecret::new([9; 16]));
    assert!(!replaced, "the one before was over");
}

#[test]
fn a_pairing_ends_once() {
    for (why, seconds) in [
        (PairEnd::Cancelled, 1),
        (PairEnd::Failed("the disk is full".into()), 599),
        (PairEnd::Expired, PAIRING.as_secs()),
    ] {
        let (mut board, anna) = (Board::new(), thumbprint());
        match &why {
            PairEnd::Expired => board.pairing.expire(at(seconds)),
            why => board.pairing.end(board.number, why.clone()),
        }
        assert_eq!(board.stage(), PairStage::Ended(why.clone()));
        assert!(!board.check(at(seconds), &anna, "phone"));
        assert_eq!(board.pairing.claim(at(seconds), &anna), PairClaim::Closed);
        board.pairing.end(board.number, PairEnd::Cancelled);
        assert_eq!(board.stage(), PairStage::Ended(why));
    }
}

#[test]
fn many_viewers_with_the_link_cost_no_memory() {
    let mut board = Board::new();
    let passed = (0..50).filter(|_| board.check(at(1), &thumbprint(), "phone")).count();
    assert_eq!(passed, 4);
}

#[test]
fn the_handle_shows_what_happens_and_is_cheap_to_ask() {
    let (handle, anna, device) = (PairingHandle::default(), thumbprint(), Id::new("porch").unwrap());
    let progress = handle.progress();
    assert!(!handle.is_open(START) && progress.borrow().is_none());
    let scanned = (thumbprint(), device.clone());
    let opened = handle.with(|pairing| pairing.open(START, scanned.clone(), options(), PairSecret::new([7; 16])));
    assert!(handle.is_open(at(599)) && !handle.is_open(at(600)));
    assert_eq!(progress.borrow().as_ref().unwrap().number, opened.0);
    let attempt = PairAttempt { board: &scanned.0, device: &device, viewer: &anna, name: "x", mac: "wrong" };
    assert!(!handle.check(at(1), &attempt));
    assert_eq!(progress.borrow().as_ref().unwrap().wrong, 1);
    handle.with(|pairing| pairing.end(opened.0, PairEnd::Cancelled));
    assert!(!handle.is_open(at(1)));
    let shown = format!("{handle:?} {:?}", PairSecret::new(*b"sixteen letters!"));
    assert!(shown.matches("PairSecret(…)").count() == 2 && !shown.contains("[7, 7"), "{shown}");
}
