//! Runs estimator and pacer on each simulated link, and checks what its scenario promises.

use crate::links::{play, scenarios::SCENARIOS};

#[test]
fn the_bitrate_on_each_simulated_link_is_as_its_scenario_says() {
    let judge = |s: &crate::links::scenarios::Scenario| {
        (s.holds)(&play(s)).err().map(|why| format!("{}: {} – {why}", s.name, s.says))
    };
    let failed: Vec<String> = SCENARIOS.iter().filter_map(judge).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
