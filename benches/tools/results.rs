//! The numbers of a run: medians, and the file that all benches of a run add to.

use std::path::PathBuf;

use serde_json::{Map, Value};

/// The file that numbers are added to: `bench-results.json` in the folder of the project, or what this variable says.
const FILE: &str = "STRONGROOM_BENCH_RESULTS";
/// Says that the run is to be short.
const QUICK: &str = "STRONGROOM_BENCH_QUICK";

/// Whether the run is to be short: fewer rounds, shorter parts, fewer secrets.
pub fn is_quick() -> bool {
    std::env::var_os(QUICK).is_some_and(|value| !value.is_empty())
}

/// Adds numbers to the file of results, and replaces those of the same names.
pub fn record(numbers: &[(&str, f64)]) {
    let path = std::env::var_os(FILE).map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/bench-results.json")),
        PathBuf::from,
    );
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let mut results: Map<String, Value> = serde_json::from_str(&text).unwrap_or_default();
    for (name, number) in numbers {
        results.insert((*name).to_owned(), rounded(*number).into());
    }
    let text = serde_json::to_string_pretty(&results).expect("JSON");
    std::fs::write(&path, text + "\n").expect("the file of results");
}

/// A number with four digits, as far as a measurement has them.
pub fn rounded(number: f64) -> f64 {
    format!("{number:.3e}").parse().expect("a number")
}

/// The number in the middle.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
