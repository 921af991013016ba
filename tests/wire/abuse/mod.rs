//! Clients that misbehave beside clients that do not: the first ones are bounded, and the others are served.

mod audit;
mod beside;
mod edge;
mod principal;
mod raw;
