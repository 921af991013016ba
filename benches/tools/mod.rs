//! What the benches share: a server in a process of its own, requests over plain HTTP/2, and the file of results.
//!
//! A bench compiles this folder as a module of its own, and no bench uses all of it.
#![allow(dead_code, unused_imports)]

mod load;
mod results;
mod server;
mod tls;

pub use self::load::{Connections, Ended, Request, http2};
pub use self::results::{is_quick, median, record, rounded};
pub use self::server::{Process, Server, Start, data_folder, disk, processor_time};
pub use self::tls::{Certificate, Trust};
