//! The load generator of `benches/load`: its arrivals, its correction for coordinated omission, its plots, and that it leaves
//! nothing in a store. A bench cannot have tests of its own, so its modules are compiled here too.

// A test that fails should stop.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
// The modules are those of a binary, and the tests do not use all of them.
#![allow(missing_docs, unreachable_pub, dead_code)]

#[path = "../../benches/load/arrivals.rs"]
mod arrivals;
#[path = "../../benches/load/messages.rs"]
mod messages;
#[path = "../../benches/load/mix.rs"]
mod mix;
#[path = "../../benches/load/namespace.rs"]
mod namespace;
#[path = "../../benches/load/open_loop.rs"]
mod open_loop;
#[path = "../../benches/load/random.rs"]
mod random;
#[path = "../../benches/load/svg.rs"]
mod svg;
#[path = "../../benches/load/tally.rs"]
mod tally;
#[path = "../../benches/tools/mod.rs"]
mod tools;
#[path = "../../benches/load/units.rs"]
mod units;

mod correction;
mod leftovers;
mod plot;
mod schedule;
