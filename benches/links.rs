//! Draws what estimator and pacer make of each simulated link: `cargo bench --profile dev --bench links [-- FOLDER]`
//! writes an SVG for each scenario and prints a table.

#![allow(clippy::print_stdout)] // it is a program for a terminal

#[path = "../tests/links/mod.rs"]
mod links;

use std::{fmt::Write as _, path::PathBuf};

use links::{Run, play, scenarios::SCENARIOS};

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 360.0;
/// The rates' part of the picture, above that of queue and loss.
const RATES: f64 = 230.0;

fn main() -> std::io::Result<()> {
    let folder = std::env::args().skip(1).find(|a| !a.starts_with('-')).unwrap_or_else(|| "target/links".into());
    let folder = PathBuf::from(folder);
    std::fs::create_dir_all(&folder)?;
    println!("| link | used | queue p50 / p95 | lost | frames/s | longest freeze | |");
    println!("|---|---|---|---|---|---|---|");
    for scenario in SCENARIOS {
        let run = play(scenario);
        let end = scenario.seconds;
        let used = run.mean(5.0, end, |m| m.arrived) / run.mean(5.0, end, |m| m.capacity.min(2.2e6));
        println!(
            "| {} | {:.0} % | {:.0} / {:.0} ms | {:.1} % | {:.1} | {:.0} ms | {} |",
            scenario.name,
            100.0 * used,
            run.queue(5.0, end, 0.5),
            run.queue(5.0, end, 0.95),
            100.0 * run.mean(5.0, end, |m| m.lost),
            run.fps(5.0, end),
            1000.0 * run.freeze(2.0, end),
            (scenario.holds)(&run).err().unwrap_or_else(|| "holds".into()),
        );
        let name: String = scenario.name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        std::fs::write(folder.join(format!("{name}.svg")), svg(scenario.name, scenario.says, &run, end))?;
    }
    println!("\npictures: {}/*.svg", folder.display());
    Ok(())
}

/// Rates above, queue and loss below, over time.
fn svg(name: &str, says: &str, run: &Run, seconds: f64) -> String {
    let top = run.moments.iter().map(|m| m.estimate.max(m.capacity.min(3.2e6))).fold(0.0, f64::max) * 1.05;
    let x = |t: f64| 60.0 + t / seconds * (WIDTH - 80.0);
    let rate = |bits: f64| 40.0 + (1.0 - (bits / top).min(1.0)) * (RATES - 40.0);
    let queue = |ms: f64| HEIGHT - 30.0 - (ms / 400.0).min(1.0) * (HEIGHT - RATES - 50.0);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\"><rect width=\"100%\" height=\"100%\" fill=\"#fff\"/><text x=\"60\" y=\"18\" font-weight=\"bold\">{name}</text>\
         <text x=\"{}\" y=\"18\" fill=\"#555\">{says}</text>",
        60.0 + 9.0 * name.len() as f64,
    );
    for bits in (0..=(top / 500e3) as u32).map(|n| f64::from(n) * 500e3) {
        grid(&mut out, rate(bits), &format!("{:.1} Mbit/s", bits / 1e6));
    }
    for ms in [0.0, 200.0, 400.0] {
        grid(&mut out, queue(ms), &format!("{ms:.0} ms"));
    }
    for t in (0..=(seconds / 5.0) as u32).map(|n| f64::from(n) * 5.0) {
        let _ = write!(
            out,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\" fill=\"#777\">{t:.0} s</text>",
            x(t),
            HEIGHT - 10.0
        );
    }
    let mut line = |colour: &str, wide: f64, y: &dyn Fn(&links::Moment) -> f64| {
        let points: Vec<String> = run.moments.iter().map(|m| format!("{:.1},{:.1}", x(m.at), y(m))).collect();
        let _ = write!(
            out,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"{wide}\" points=\"{}\"/>",
            points.join(" ")
        );
    };
    line("#bbb", 3.0, &|m| rate(m.capacity));
    line("#f0a040", 1.0, &|m| rate(m.arrived));
    line("#2060c0", 1.8, &|m| rate(m.estimate));
    line("#208040", 1.2, &|m| queue(m.queue));
    line("#d02020", 1.2, &|m| queue(m.lost * 400.0));
    for (n, (colour, what)) in [
        ("#bbb", "capacity"),
        ("#2060c0", "estimate"),
        ("#f0a040", "arrives"),
        ("#208040", "queue"),
        ("#d02020", "lost (100 % at the top)"),
    ]
    .into_iter()
    .enumerate()
    {
        let x = 70.0 + 130.0 * n as f64;
        let _ = write!(out, "<text x=\"{x}\" y=\"34\" fill=\"{colour}\">{what}</text>");
    }
    out + "</svg>\n"
}

fn grid(out: &mut String, y: f64, text: &str) {
    let _ = write!(
        out,
        "<line x1=\"60\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\" stroke=\"#eee\"/><text x=\"55\" y=\"{}\" text-anchor=\"end\" \
         fill=\"#777\" font-size=\"10\">{text}</text>",
        WIDTH - 20.0,
        y + 4.0
    );
}
