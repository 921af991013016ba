//! What the caller asks for.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};

use crate::mix::Mix;
use crate::tools::is_quick;

/// Measures latency by load, Gets beside other work, and the cost of each RPC among few secrets and many.
///
/// Without --server, it starts servers of this build, with their data in a temporary folder.
///
/// With --server, it loads a server of yours, and measures latency only. It creates secrets in a namespace that must be empty, and
/// removes them at the end. STRONGROOM_SERVER, STRONGROOM_API_KEY, STRONGROOM_API_KEY_FILE, STRONGROOM_CA_CERT and
/// STRONGROOM_NAMESPACE count where no option is given.
#[derive(Clone, Parser)]
#[command(name = "load", bin_name = "make bench-load BENCH_ARGS=")]
pub struct Options {
    /// The server to load: HOST:PORT, http://HOST:PORT or https://HOST:PORT, with commas between replicas
    #[arg(long, value_name = "ADDRESS", help_heading = "A server of yours")]
    pub server: Option<String>,
    /// Agree that secrets are created, changed and removed on that server
    #[arg(long, help_heading = "A server of yours")]
    pub write: bool,
    /// The file of its certificate authority (PEM) [default: the system's authorities]
    #[arg(long, value_name = "FILE", help_heading = "A server of yours")]
    pub ca_cert: Option<PathBuf>,
    /// The file of the API key to present
    #[arg(long, value_name = "FILE", help_heading = "A server of yours")]
    pub api_key_file: Option<PathBuf>,
    /// The namespace to work in, which must be empty [default: load-generator]
    #[arg(long, help_heading = "A server of yours")]
    pub namespace: Option<String>,
    /// Allow http:// to another machine
    #[arg(long, help_heading = "A server of yours")]
    pub insecure_plaintext: bool,
    /// Only remove what an earlier load that was killed left in the namespace
    #[arg(long, help_heading = "A server of yours")]
    pub clean: bool,

    /// What to measure [default: all]
    #[arg(long)]
    pub only: Option<Part>,
    /// Shorter steps, and at most 10,000 secrets; STRONGROOM_BENCH_QUICK=1 says so too
    #[arg(long)]
    pub quick: bool,
    /// The folder of load.json, latency.svg and cost.svg [default: target/load]
    #[arg(long, value_name = "FOLDER")]
    pub out: Option<PathBuf>,
    /// Where a server that is started keeps its data
    #[arg(long, default_value = "sled")]
    pub store: Engine,
    /// The bytes of a value
    #[arg(long, value_name = "BYTES", default_value_t = 256)]
    pub value_size: usize,

    /// Parts of the load: get, batch_get, list, list_filtered, create, update, rotate
    #[arg(long, default_value = "get=90,list=5,rotate=4,create=1", help_heading = "Latency")]
    pub mix: Mix,
    /// The loads, in percent of the measured capacity [default: 10,25,50,75,90,100,110,120]
    #[arg(long, value_name = "PERCENT", value_delimiter = ',', help_heading = "Latency")]
    pub steps: Vec<u32>,
    /// The loads, in requests a second. The capacity is not measured then
    #[arg(
        long,
        value_name = "RATE",
        value_delimiter = ',',
        value_parser = rate,
        conflicts_with = "steps",
        help_heading = "Latency"
    )]
    pub rates: Vec<f64>,
    /// How long each load lasts [default: 10s, or 3s if --quick]
    #[arg(long, value_parser = humantime::parse_duration, help_heading = "Latency")]
    pub time: Option<Duration>,
    /// The time in which a request must be answered, since it was due
    #[arg(long, value_parser = humantime::parse_duration, default_value = "1s", help_heading = "Latency")]
    pub deadline: Duration,
    /// The connections
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..), help_heading = "Latency")]
    pub connections: u16,
    /// The requests at a time while the capacity is measured
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..), help_heading = "Latency")]
    pub in_flight: u16,
    /// The secrets
    #[arg(long, default_value_t = 1000, value_parser = secrets, help_heading = "Latency")]
    pub secrets: usize,
    /// Repeats the times and the kinds of the requests of another run
    #[arg(long, default_value_t = 1, help_heading = "Latency")]
    pub seed: u64,

    /// The numbers of secrets [default: 1k,10k,100k, or 1k,10k if --quick]
    #[arg(long, value_delimiter = ',', value_parser = secrets, help_heading = "Cost of each RPC")]
    pub sizes: Vec<usize>,
    /// The rounds, in which all sizes and RPCs take turns [default: 5, or 3 if --quick]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..), help_heading = "Cost of each RPC")]
    pub rounds: Option<u16>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Latency by load
    Latency,
    /// The latency of Gets beside rotations and re-keyings
    Beside,
    /// The cost of each RPC
    Cost,
}

#[derive(Clone, Copy, ValueEnum)]
pub enum Engine {
    Sled,
    Memory,
}

impl Engine {
    pub fn name(self) -> &'static str {
        match self {
            Self::Sled => "sled",
            Self::Memory => "memory",
        }
    }
}

impl Options {
    /// Those of the command line, with the defaults that depend on others.
    pub fn read() -> Self {
        // `cargo bench` adds this one.
        let mut options = Self::parse_from(std::env::args_os().filter(|argument| argument != "--bench"));
        options.quick |= is_quick();
        if options.sizes.is_empty() {
            options.sizes = if options.quick { vec![1000, 10_000] } else { vec![1000, 10_000, 100_000] };
        }
        options.sizes.sort_unstable();
        options.sizes.dedup();
        if options.steps.is_empty() {
            options.steps = vec![10, 25, 50, 75, 90, 100, 110, 120];
        }
        options
    }

    pub fn time(&self) -> Duration {
        self.time.unwrap_or(Duration::from_secs(if self.quick { 3 } else { 10 }))
    }

    pub fn rounds(&self) -> u16 {
        self.rounds.unwrap_or(if self.quick { 3 } else { 5 })
    }

    /// Whether it is to load a server that is not its own.
    pub fn is_server_given(&self) -> bool {
        self.server.is_some() || variable("STRONGROOM_SERVER").is_some()
    }

    pub fn measures(&self, part: Part) -> bool {
        // Of a server that is not its own, only latency by load.
        self.only.is_none_or(|only| only == part) && (part == Part::Latency || !self.is_server_given())
    }
}

/// An environment variable; `None` where it is unset or empty.
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|set| !set.is_empty())
}

/// Requests a second.
fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.1..=1e6).contains(&rate) => Ok(rate),
        _ => Err("give a number from 0.1 to 1000000".into()),
    }
}

/// A number of secrets: `1000`, `10k` or `1M`.
fn secrets(text: &str) -> Result<usize, String> {
    let (digits, times) = match text.strip_suffix('k') {
        Some(digits) => (digits, 1000),
        None => text.strip_suffix('M').map_or((text, 1), |digits| (digits, 1_000_000)),
    };
    let number = digits.parse().ok().and_then(|number: usize| number.checked_mul(times));
    match number {
        Some(number @ 1000..=10_000_000) => Ok(number),
        _ => Err("give a number from 1000 to 10M, such as 10k".into()),
    }
}
