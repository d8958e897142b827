//! Typical links, each with a sentence about what must hold.

use super::Run;

/// A link over time. Times in seconds, rates in bits per second, delays in ms.
pub struct Scenario {
    /// A short name.
    pub name: &'static str,
    /// What must hold.
    pub says: &'static str,
    /// How long it is played.
    pub seconds: f64,
    /// What the link carries.
    pub capacity: fn(f64) -> f64,
    /// Its buffer, as long as it takes to empty.
    pub buffer: f64,
    /// One way.
    pub delay: f64,
    /// Added by chance, without overtaking.
    pub jitter: f64,
    /// The fraction lost.
    pub loss: fn(f64) -> f64,
    /// What others send through the same buffer.
    pub others: fn(f64) -> f64,
    /// The most that the encoder makes of the picture.
    pub video: fn(f64) -> f64,
    /// Whether all reports get lost.
    pub feedback_lost: fn(f64) -> bool,
    /// Whether there is no transport feedback, while receiver reports go on.
    pub unnumbered: fn(f64) -> bool,
    /// How much faster the viewer's clock runs.
    pub drift: f64,
    /// The first estimate, and the most.
    pub start: u32,
    pub ceiling: u32,
    pub seed: u64,
    /// Whether it held; otherwise why not.
    pub holds: fn(&Run) -> Result<(), String>,
}

const NOTHING: fn(f64) -> f64 = |_| 0.0;

const PLAIN: Scenario = Scenario {
    name: "",
    says: "",
    seconds: 40.0,
    capacity: |_| 20e6,
    buffer: 300.0,
    delay: 20.0,
    jitter: 0.0,
    loss: NOTHING,
    others: NOTHING,
    video: |_| 2e6,
    feedback_lost: |_| false,
    unnumbered: |_| false,
    drift: 0.0,
    start: 1_000_000,
    ceiling: 3_000_000,
    seed: 1,
    holds: |_| Ok(()),
};

/// Says what is not as it must be.
fn check(what: &str, value: f64, is: bool) -> Result<(), String> {
    if is { Ok(()) } else { Err(format!("{what}: {value:.3}")) }
}

fn used(run: &Run, from: f64, to: f64) -> f64 {
    run.mean(from, to, |m| m.arrived) / run.mean(from, to, |m| m.capacity)
}

/// The table.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "wide",
        says: "On a wide link the full rate is there within a second, and nothing waits.",
        holds: |run| {
            check(
                "full rate after 1 s",
                run.mean(1.0, 3.0, |m| m.estimate),
                run.mean(1.0, 3.0, |m| m.estimate) > 2.9e6,
            )?;
            check("queue p95", run.queue(0.0, 40.0, 0.95), run.queue(0.0, 40.0, 0.95) < 20.0)?;
            check("longest freeze", run.freeze(1.0, 40.0), run.freeze(1.0, 40.0) < 0.1)
        },
        ..PLAIN
    },
    Scenario {
        name: "thin",
        says: "A first picture comes through 500 kbit/s within a second, four fifths of the link are used, and it moves.",
        capacity: |_| 500e3,
        holds: |run| {
            check(
                "first picture",
                run.shown.first().map_or(99.0, |s| s.0),
                run.shown.first().is_some_and(|s| s.0 < 1.0),
            )?;
            check("used", used(run, 10.0, 40.0), used(run, 10.0, 40.0) > 0.8)?;
            check("fps", run.fps(3.0, 40.0), run.fps(3.0, 40.0) > 14.0)?;
            check("queue p95", run.queue(3.0, 40.0, 0.95), run.queue(3.0, 40.0, 0.95) < 150.0)?;
            check("longest freeze", run.freeze(2.0, 40.0), run.freeze(2.0, 40.0) < 0.6)
        },
        ..PLAIN
    },
    Scenario {
        name: "step",
        says: "2 Mbit/s, 500 kbit/s, 2 Mbit/s: no freeze longer than it takes a viewer to ask for a keyframe after a second, and the full link again within 15 s.",
        seconds: 60.0,
        capacity: |t| if (15.0..35.0).contains(&t) { 500e3 } else { 2e6 },
        holds: |run| {
            check("used before", used(run, 5.0, 15.0), used(run, 5.0, 15.0) > 0.8)?;
            check("used in it", used(run, 19.0, 35.0), used(run, 19.0, 35.0) > 0.8)?;
            check("used 15 s after", used(run, 50.0, 60.0), used(run, 50.0, 60.0) > 0.8)?;
            check("queue p95 in it", run.queue(17.0, 35.0, 0.95), run.queue(17.0, 35.0, 0.95) < 200.0)?;
            check("longest freeze", run.freeze(1.0, 60.0), run.freeze(1.0, 60.0) < 1.5)
        },
        ..PLAIN
    },
    Scenario {
        name: "trickle",
        says: "Through 200 kbit/s the picture moves, and nothing waits long.",
        capacity: |_| 200e3,
        holds: |run| {
            check("fps", run.fps(3.0, 40.0), run.fps(3.0, 40.0) >= 5.0)?;
            check("queue p95", run.queue(5.0, 40.0, 0.95), run.queue(5.0, 40.0, 0.95) < 200.0)?;
            check("longest freeze", run.freeze(3.0, 40.0), run.freeze(3.0, 40.0) < 1.5)
        },
        ..PLAIN
    },
    Scenario {
        name: "deep buffer",
        says: "A buffer of two seconds is not filled.",
        capacity: |t| if t < 15.0 { 2e6 } else { 1e6 },
        buffer: 2_000.0,
        holds: |run| {
            check("queue p95", run.queue(20.0, 40.0, 0.95), run.queue(20.0, 40.0, 0.95) < 150.0)?;
            check("used", used(run, 20.0, 40.0), used(run, 20.0, 40.0) > 0.75)
        },
        ..PLAIN
    },
    Scenario {
        name: "shallow buffer",
        says: "A buffer of 30 ms shows no queue; loss says where the end is.",
        capacity: |_| 1e6,
        buffer: 30.0,
        holds: |run| {
            check("lost", run.mean(10.0, 40.0, |m| m.lost), run.mean(10.0, 40.0, |m| m.lost) < 0.05)?;
            check("used", used(run, 10.0, 40.0), used(run, 10.0, 40.0) > 0.6)
        },
        ..PLAIN
    },
    Scenario {
        name: "loss 5 %",
        says: "What the air loses does not lower the rate.",
        delay: 50.0,
        loss: |_| 0.05,
        holds: |run| {
            check("rate", run.mean(10.0, 40.0, |m| m.estimate), run.mean(10.0, 40.0, |m| m.estimate) > 2.2e6)?;
            check("fps", run.fps(5.0, 40.0), run.fps(5.0, 40.0) > 28.5)?;
            check("longest freeze", run.freeze(2.0, 40.0), run.freeze(2.0, 40.0) < 0.5)
        },
        ..PLAIN
    },
    Scenario {
        name: "loss 30 % for 5 s",
        says: "A tunnel of five seconds is over three seconds after its end.",
        loss: |t| if (15.0..20.0).contains(&t) { 0.3 } else { 0.0 },
        holds: |run| {
            check("fps after", run.fps(23.0, 30.0), run.fps(23.0, 30.0) > 28.0)?;
            check(
                "rate after 10 s",
                run.mean(30.0, 32.0, |m| m.estimate),
                run.mean(30.0, 32.0, |m| m.estimate) > 1.5e6,
            )?;
            check("longest freeze after", run.freeze(22.0, 40.0), run.freeze(22.0, 40.0) < 0.5)
        },
        ..PLAIN
    },
    Scenario {
        name: "jitter",
        says: "20 ms of jitter are no queue.",
        jitter: 20.0,
        holds: |run| check("rate", run.mean(5.0, 40.0, |m| m.estimate), run.mean(5.0, 40.0, |m| m.estimate) > 2.5e6),
        ..PLAIN
    },
    Scenario {
        name: "others",
        says: "Others come with 1 of 2 Mbit/s and leave: what is left is used, and their place when they are gone.",
        seconds: 60.0,
        capacity: |_| 2e6,
        others: |t| if (15.0..35.0).contains(&t) { 1e6 } else { 0.0 },
        holds: |run| {
            let share = run.mean(22.0, 35.0, |m| m.arrived);
            check("share", share, (0.5e6..1.1e6).contains(&share))?;
            check("queue p95", run.queue(20.0, 35.0, 0.95), run.queue(20.0, 35.0, 0.95) < 200.0)?;
            check("used after", used(run, 50.0, 60.0), used(run, 50.0, 60.0) > 0.75)
        },
        ..PLAIN
    },
    Scenario {
        name: "feedback_lost",
        says: "Reports that stay away for three seconds slow it down, and it comes back.",
        capacity: |_| 2e6,
        feedback_lost: |t| (15.0..18.0).contains(&t),
        holds: |run| {
            check("slower", run.mean(17.5, 18.0, |m| m.estimate), run.mean(17.5, 18.0, |m| m.estimate) < 1.0e6)?;
            check("used after", used(run, 28.0, 40.0), used(run, 28.0, 40.0) > 0.75)
        },
        ..PLAIN
    },
    Scenario {
        name: "gone and back",
        says: "A viewer that was away for ten seconds has half of its rate at once, and all of it within five seconds.",
        feedback_lost: |t| (15.0..25.0).contains(&t),
        holds: |run| {
            check(
                "dared while away",
                run.mean(23.0, 25.0, |m| m.estimate),
                run.mean(23.0, 25.0, |m| m.estimate) < 0.1e6,
            )?;
            check("at once", run.mean(25.3, 26.3, |m| m.estimate), run.mean(25.3, 26.3, |m| m.estimate) > 1.4e6)?;
            check("after", run.mean(30.0, 40.0, |m| m.estimate), run.mean(30.0, 40.0, |m| m.estimate) > 2.8e6)?;
            check("fps after", run.fps(27.0, 40.0), run.fps(27.0, 40.0) > 29.0)
        },
        ..PLAIN
    },
    Scenario {
        name: "no transport feedback",
        says: "Where transport feedback ceases for good, receiver reports keep the rate and find the end of the link.",
        unnumbered: |t| t >= 10.0,
        capacity: |t| if t < 30.0 { 20e6 } else { 800e3 },
        seconds: 60.0,
        holds: |run| {
            check("kept", run.mean(15.0, 30.0, |m| m.estimate), run.mean(15.0, 30.0, |m| m.estimate) > 2.7e6)?;
            check("fps", run.fps(15.0, 30.0), run.fps(15.0, 30.0) > 29.0)?;
            check("found", run.mean(45.0, 60.0, |m| m.estimate), run.mean(45.0, 60.0, |m| m.estimate) < 1.1e6)?;
            check("fps at the end", run.fps(45.0, 60.0), run.fps(45.0, 60.0) > 5.0)
        },
        ..PLAIN
    },
    Scenario {
        name: "never any transport feedback",
        says: "Receiver reports alone find the full rate of a wide link within half a minute.",
        unnumbered: |_| true,
        holds: |run| {
            check("rate", run.mean(30.0, 40.0, |m| m.estimate), run.mean(30.0, 40.0, |m| m.estimate) > 2.5e6)?;
            check("fps", run.fps(5.0, 40.0), run.fps(5.0, 40.0) > 29.0)
        },
        ..PLAIN
    },
    Scenario {
        name: "drift",
        says: "A viewer's clock that runs 200 ppm slow or fast is no queue.",
        drift: 200e-6,
        seconds: 60.0,
        holds: |run| check("rate", run.mean(5.0, 60.0, |m| m.estimate), run.mean(5.0, 60.0, |m| m.estimate) > 2.8e6),
        ..PLAIN
    },
    Scenario {
        name: "still picture",
        says: "A picture that needs little keeps its place: when it needs more, more is there at once.",
        capacity: |_| 2e6,
        video: |t| if (10.0..40.0).contains(&t) { 150e3 } else { 2e6 },
        seconds: 50.0,
        holds: |run| {
            check("estimate kept", run.mean(30.0, 40.0, |m| m.estimate), run.mean(30.0, 40.0, |m| m.estimate) > 1.2e6)?;
            check("longest freeze", run.freeze(2.0, 50.0), run.freeze(2.0, 50.0) < 0.6)
        },
        ..PLAIN
    },
];
