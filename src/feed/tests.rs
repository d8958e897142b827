use bytes::Bytes;

use super::*;

fn frame(n: u64) -> Frame {
    let unit = AccessUnit::whole(Bytes::from_static(b"x"));
    Frame { unit, key: n == 0, level: None, ticks: n, at: Mono(n) }
}

#[tokio::test]
async fn a_late_reader_pays_alone_and_the_writer_never_waits() {
    let writer = feed(4);
    let (mut late, mut prompt) = (writer.subscribe(), writer.subscribe());
    for n in 0..10 {
        writer.send(frame(n));
        assert!(matches!(prompt.next().await, Some(FeedItem::Frame(f)) if f.ticks == n));
    }
    assert!(matches!(late.next().await, Some(FeedItem::Missed(6))));
    assert!(matches!(late.next().await, Some(FeedItem::Frame(f)) if f.ticks == 6));
    late.skip_to_now();
    writer.send(frame(11));
    assert!(matches!(late.next().await, Some(FeedItem::Frame(f)) if f.ticks == 11));
    drop(writer);
    assert!(late.next().await.is_none());
}

#[test]
fn ten_wishes_are_one() {
    let writer = feed(4);
    let reader = writer.subscribe();
    (0..10).for_each(|_| reader.requests().request_keyframe());
    assert!(writer.requests().take_key());
    assert!(!writer.requests().take_key());
}

#[tokio::test]
async fn a_thread_that_was_given_up_writes_nothing_any_more() {
    let writer = feed(4);
    let mut reader = writer.subscribe();
    let (old, new) = (writer.for_thread(), writer.for_thread());
    old.send(frame(1));
    old.cut_off();
    writer.set_health(Health::Stalled);
    old.send(frame(9));
    old.set_health(Health::Ok);
    assert_eq!(writer.health(), Health::Stalled);
    new.send(frame(2));
    new.set_health(Health::Ok);
    for expected in [1, 2] {
        assert!(matches!(reader.next().await, Some(FeedItem::Frame(f)) if f.ticks == expected));
    }
    assert_eq!((writer.health(), writer.last_ticks()), (Health::Ok, Some(2)));
}

#[test]
fn a_reason_is_kept_until_the_source_is_well_and_is_short() {
    let writer = feed(4);
    let mut health = writer.watch_health();
    writer.set_trouble(Health::Stalled, "no picture:\n60 came and were refused");
    assert_eq!(writer.trouble().as_deref(), Some("no picture: 60 came and were refused"));
    assert_eq!(*health.borrow_and_update(), Health::Stalled);
    writer.set_trouble(Health::Stalled, "no picture:\n60 came and were refused");
    assert!(!health.has_changed().unwrap());
    writer.set_trouble(Health::Stalled, "unplugged");
    assert!(health.has_changed().unwrap(), "another reason is news");
    writer.set_health(Health::Absent);
    assert_eq!(writer.trouble().as_deref(), Some("unplugged"));
    for well in [Health::Ok, Health::Starting, Health::Privacy] {
        writer.set_trouble(Health::Stalled, &"é".repeat(1000));
        assert_eq!(writer.trouble().unwrap().chars().count(), REASON);
        writer.set_health(well);
        assert_eq!(writer.trouble(), None);
    }
}

#[test]
fn health_wakes_only_on_change() {
    let writer = feed(4);
    let mut health = writer.watch_health();
    writer.set_health(Health::Starting);
    assert!(!health.has_changed().unwrap());
    writer.set_health(Health::Ok);
    assert!(health.has_changed().unwrap());
    assert_eq!(*health.borrow_and_update(), Health::Ok);
}
