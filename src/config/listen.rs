//! The addresses to listen on.

use std::net::SocketAddr;

/// Reads an address to listen on: an IP address and a port. A name such as `localhost` can stand for several addresses, so it is
/// none.
pub fn parse_listen(text: &str) -> Result<SocketAddr, &'static str> {
    text.parse().map_err(|_| "expected an IP address and a port, such as 127.0.0.1:50051")
}
