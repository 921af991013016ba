//! A load generator: latency by load, Gets beside other work, and what each RPC costs among few secrets and many.
//!
//! The loads are open: requests are due at the times of a Poisson process, whatever becomes of those before, and latency counts
//! from then on ([`open_loop`]). First a closed loop gives the capacity, of which the loads are parts. `--help` lists the
//! options. Without `--server`, the servers are processes of this build, which have all processors but the last; the generator has
//! that one. With `--server`, an operator loads a server of their own, in a namespace that is empty before and after.
//!
//! The results go into tables, `load.json`, and two plots. No result counts as a failure. `tests/load` has the tests.

// A measurement stops at the first error, and prints its result.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr
)]
// Everything here is private to one binary.
#![allow(missing_docs, unreachable_pub)]

mod arrivals;
mod beside;
mod charts;
mod cost;
mod latency;
mod lines;
mod messages;
mod mix;
mod namespace;
mod open_loop;
mod options;
mod random;
mod report;
mod svg;
mod tally;
mod target;
#[path = "../tools/mod.rs"]
mod tools;
mod units;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::rc::Rc;

use tokio::task::{JoinSet, LocalSet};

use self::beside::Beside;
use self::latency::Latency;
use self::namespace::Failure;
use self::options::{Options, Part};
use self::target::Target;

/// Says that this process is on a processor of its own, and which processors are left for servers.
const SERVER_PROCESSORS: &str = "STRONGROOM_BENCH_SERVER_PROCESSORS";

fn main() -> ExitCode {
    let options = Options::read();
    if !options.is_server_given()
        && server_processors().is_none()
        && let Some(ended) = run_on_last_processor()
    {
        return ended;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    match runtime.block_on(LocalSet::new().run_until(run(&options))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The processors that servers have, where this process has one of its own.
pub fn server_processors() -> Option<String> {
    std::env::var(SERVER_PROCESSORS).ok()
}

/// Runs this program on the last processor, with the others for servers. Does nothing where there is only one, or no taskset (of
/// the package util-linux).
fn run_on_last_processor() -> Option<ExitCode> {
    let last = std::thread::available_parallelism().ok()?.get().checked_sub(1).filter(|last| *last > 0)?;
    let mut command = Command::new("taskset");
    command.args(["-c", &last.to_string()]).arg(std::env::current_exe().ok()?);
    command.args(std::env::args_os().skip(1)).env(SERVER_PROCESSORS, format!("0-{}", last - 1));
    let ended = command.status().ok()?;
    Some(if ended.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn run(options: &Options) -> Result<(), Failure> {
    let out =
        options.out.clone().unwrap_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("load"));
    let target = match (options.is_server_given(), options.only) {
        (true, Some(part @ (Part::Cost | Part::Beside))) => {
            let part = if part == Part::Cost { "cost" } else { "beside" };
            return Err(
                format!("--only {part} starts the servers that it measures: leave out --server").into()
            );
        }
        (true, _) => Some(Rc::new(Target::connect(options).await?)),
        (false, _) if options.clean => return Err("--clean needs --server".into()),
        (false, Some(Part::Cost)) => None,
        (false, _) => Some(Rc::new(Target::start(options)?)),
    };
    let (latency, beside) = match &target {
        None => (None, None),
        Some(target) if options.clean => return clean(target).await,
        Some(target) => measure(target, options).await?,
    };
    drop(target);
    let costs = match options.measures(Part::Cost) {
        true => Some(cost::measure(options).await),
        false => None,
    };
    std::fs::create_dir_all(&out)?;
    if let Some(latency) = &latency {
        report::by_work(latency, options);
        save(&out, "latency.svg", &charts::latency(latency, options).draw())?;
    }
    if let Some(costs) = &costs {
        report::costs(costs, options);
        save(&out, "cost.svg", &charts::costs(costs, options).draw())?;
    }
    let json = report::json(options, latency.as_ref(), beside.as_deref(), costs.as_deref());
    save(&out, "load.json", &(serde_json::to_string_pretty(&json)? + "\n"))
}

/// What is measured in the namespace of a server.
type Measured = (Option<Latency>, Option<Vec<Beside>>);

/// Measures in the namespace of a server. Removes the secrets at the end, also after an error, a panic and Ctrl-C.
async fn measure(target: &Rc<Target>, options: &Options) -> Result<Measured, Failure> {
    // What is there belongs to somebody else, and is not removed.
    target.namespace.expect_empty().await?;
    if options.is_server_given() {
        let (secrets, name) = (options.secrets, target.namespace.name());
        println!("{secrets} secrets are created in the namespace {name}, and removed at the end");
    }
    let (measured, of) = (target.clone(), options.clone());
    let mut measuring = JoinSet::new();
    measuring.spawn_local(async move {
        measured.namespace.fill(&measured.messages).await?;
        let latency = match of.measures(Part::Latency) {
            true => Some(latency::measure(&measured, &of).await?),
            false => None,
        };
        let beside = match of.measures(Part::Beside) {
            true => Some(beside::measure(&measured, &of).await?),
            false => None,
        };
        Ok((latency, beside))
    });
    let measured = tokio::select! {
        Some(measured) = measuring.join_next() => measured.unwrap_or_else(|panic| Err(panic.into())),
        interrupted = tokio::signal::ctrl_c() => Err(interrupted.map_or_else(Failure::from, |()| "interrupted".into())),
    };
    measuring.shutdown().await;
    if options.is_server_given() {
        clean(target).await?;
    }
    measured
}

async fn clean(target: &Target) -> Result<(), Failure> {
    let removed = target.namespace.remove().await?;
    eprintln!("{removed} secrets were removed from the namespace {}", target.namespace.name());
    Ok(())
}

fn save(folder: &Path, name: &str, content: &str) -> Result<(), Failure> {
    let path: PathBuf = folder.join(name);
    std::fs::write(&path, content)?;
    println!("{} is written", path.display());
    Ok(())
}
