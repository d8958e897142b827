//! Estimator and pacer on each simulated link, held to the sentence of its scenario.

use crate::links::{play, scenarios::SCENARIOS};

#[test]
fn each_link_is_used_as_its_sentence_says() {
    let judge = |s: &crate::links::scenarios::Scenario| {
        (s.holds)(&play(s)).err().map(|why| format!("{}: {} – {why}", s.name, s.says))
    };
    let failed: Vec<String> = SCENARIOS.iter().filter_map(judge).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
