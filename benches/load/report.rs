//! What is printed, and what goes into the file `load.json`.

use std::time::Duration;

use serde_json::{Value, json};

use crate::beside::Beside;
use crate::cost::Cost;
use crate::latency::{Latency, Step};
use crate::mix::Work;
use crate::options::Options;
use crate::tally::Latencies;
use crate::tools::rounded;
use crate::units::{count, duration};

/// The percentiles of the tables and of the plot, and their names.
pub const PERCENTILES: [(f64, &str); 4] = [(0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9")];

/// Prints the head of the table of loads.
pub fn begin_latency(options: &Options, capacity: Option<f64>) {
    println!("\nLatency by load: {}", about(options));
    if let Some(capacity) = capacity {
        println!("capacity: {capacity:.0} answers a second, {} in flight", options.in_flight);
    }
    println!(
        "{:>6} {:>10} {:>10} {:>9} {:>9} {:>9} {:>9} {:>9} {:>6} {:>9}  errors",
        "load", "offered/s", "goodput/s", "p50", "p90", "p99", "p99.9", "max", "CPU", "lag p99"
    );
}

/// How a load is made up.
pub fn about(options: &Options) -> String {
    format!(
        "{}; {} secrets, values of {} bytes, {} connections, {} each, deadline {}",
        options.mix,
        options.secrets,
        options.value_size,
        options.connections,
        humantime::format_duration(options.time()),
        humantime::format_duration(options.deadline)
    )
}

/// Prints the row of a load.
pub fn step(step: &Step) {
    let tally = &step.tally;
    let load = step.percent.map_or("".into(), |percent| format!("{percent} %"));
    let [p50, p90, p99, p999] = PERCENTILES.map(|(part, _)| duration(tally.latency.within(part)));
    println!(
        "{load:>6} {:>10.0} {:>10.0} {p50:>9} {p90:>9} {p99:>9} {p999:>9} {:>9} {:>6} {:>9}  {}",
        step.offered(),
        step.goodput(),
        duration(tally.latency.max()),
        step.processors.map_or("".into(), |processors| format!("{processors:.2}")),
        duration(tally.lag.within(0.99)),
        tally.errors()
    );
}

/// Prints the tail of each kind of requests at each load.
pub fn by_work(latency: &Latency, options: &Options) {
    println!("\np99 by RPC");
    print!("{:>15}", "load");
    options.mix.works().for_each(|work| print!(" {:>13}", work.name()));
    println!();
    for step in &latency.steps {
        let load = step.percent.map_or(format!("{:.0}/s", step.rate), |percent| format!("{percent} %"));
        print!("{load:>15}");
        for work in options.mix.works() {
            let p99 = step.tally.by_work.get(&work).map(|latency| duration(latency.within(0.99)));
            print!(" {:>13}", p99.unwrap_or_default());
        }
        println!();
    }
}

/// Prints the head of the table of Gets beside other work.
pub fn begin_beside(options: &Options, rate: f64) {
    println!(
        "\nGets beside other work: {rate} a second; {} secrets, values of {} bytes, {} each",
        options.secrets,
        options.value_size,
        humantime::format_duration(options.time())
    );
    println!(
        "{:<20} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}  errors",
        "beside", "a second", "p50", "p90", "p99", "p99.9", "max", "lag p99"
    );
}

/// Prints a row of it.
pub fn beside(beside: &Beside) {
    let gets = &beside.gets;
    let [p50, p90, p99, p999] = PERCENTILES.map(|(part, _)| duration(gets.latency.within(part)));
    println!(
        "{:<20} {:>9.1} {p50:>9} {p90:>9} {p99:>9} {p999:>9} {:>9} {:>9}  {}",
        beside.other.name(),
        beside.others,
        duration(gets.latency.max()),
        duration(gets.lag.within(0.99)),
        gets.errors()
    );
}

/// Prints the costs, a row for each RPC.
pub fn costs(costs: &[Cost], options: &Options) {
    println!("\nProcessor time of the server for a request, medians of {} rounds", options.rounds());
    print!("{:<15}", "secrets");
    options.sizes.iter().for_each(|secrets| print!(" {:>9}", count(*secrets as f64)));
    println!();
    for work in Work::ALL {
        print!("{:<15}", work.name());
        for cost in costs.iter().filter(|cost| cost.work == work) {
            print!(" {:>9}", duration(cost.processor));
        }
        println!();
    }
}

/// The content of `load.json`. Times are in microseconds.
pub fn json(
    options: &Options,
    latency: Option<&Latency>,
    beside: Option<&[Beside]>,
    costs: Option<&[Cost]>,
) -> Value {
    json!({
        "latency": latency.map(|latency| json!({
            "mix": options.mix.to_string(),
            "seed": options.seed,
            "secrets": options.secrets,
            "value_bytes": options.value_size,
            "connections": options.connections,
            "seconds_each": options.time().as_secs_f64(),
            "deadline_us": micros(options.deadline),
            "capacity_per_second": latency.capacity.map(rounded),
            "steps": latency.steps.iter().map(step_json).collect::<Vec<_>>(),
        })),
        "gets_beside": beside.map(|all| all.iter().map(|beside| json!({
            "beside": beside.other.name(),
            "others_per_second": rounded(beside.others),
            "answered_in_time": beside.gets.answered,
            "late": beside.gets.late,
            "failed": beside.gets.failed,
            "generator_lag_p99_us": micros(beside.gets.lag.within(0.99)),
            "latency": latencies_json(&beside.gets.latency),
        })).collect::<Vec<_>>()),
        "costs": costs.map(|costs| costs.iter().map(|cost| json!({
            "rpc": cost.work.name(),
            "secrets": cost.secrets,
            "processor_us": rounded(cost.processor.as_secs_f64() * 1e6),
        })).collect::<Vec<_>>()),
    })
}

fn step_json(step: &Step) -> Value {
    let tally = &step.tally;
    let by_work =
        tally.by_work.iter().map(|(work, latency)| (work.name().to_owned(), latencies_json(latency)));
    json!({
        "percent_of_capacity": step.percent,
        "rate_per_second": rounded(step.rate),
        "offered": tally.offered(),
        "answered_in_time": tally.answered,
        "goodput_per_second": rounded(step.goodput()),
        "late": tally.late,
        "failed": tally.failed,
        "server_processors": step.processors.map(rounded),
        "generator_lag_p99_us": micros(tally.lag.within(0.99)),
        "latency": latencies_json(&tally.latency),
        "latency_by_rpc": by_work.collect::<serde_json::Map<_, _>>(),
    })
}

/// The percentiles, and the distribution as parts of all requests with their times.
fn latencies_json(latency: &Latencies) -> Value {
    let mut all = serde_json::Map::new();
    all.insert("count".into(), latency.count().into());
    for (part, name) in PERCENTILES {
        all.insert(format!("{name}_us"), micros(latency.within(part)));
    }
    all.insert("max_us".into(), micros(latency.max()));
    let distribution = latency.distribution().into_iter();
    let distribution: Vec<_> =
        distribution.map(|(part, time)| json!([rounded_part(part), micros(time)])).collect();
    all.insert("distribution_us".into(), distribution.into());
    all.into()
}

fn rounded_part(part: f64) -> f64 {
    (part * 1e6).round() / 1e6
}

fn micros(time: Duration) -> Value {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX).into()
}
