//! Clients that misbehave beside clients that do not: the first ones are bounded, and the others are served.

#![allow(clippy::print_stdout)] // the numbers are for people: cargo test --test wire abuse -- --nocapture

mod audit;
mod beside;
mod edge;
mod principal;
mod raw;
mod replies;
mod site;
mod turns;
mod unread;
mod work;
