//! The address of another service, as a person writes it.

use std::net::IpAddr;

use http::Uri;

/// The address of another service: a scheme, a host and a port.
pub(super) struct Endpoint {
    /// `http://HOST:PORT` or `https://HOST:PORT`.
    pub(super) url: String,
    pub(super) tls: bool,
    /// Whether it is on this machine.
    pub(super) loopback: bool,
}

impl Endpoint {
    /// Parses `http://HOST:PORT` or `https://HOST:PORT`, where the port can be left out. `None`: it is something else, or more, such
    /// as a user or a path.
    pub(super) fn parse(text: &str, default_port: u16) -> Option<Self> {
        let uri: Uri = text.trim().parse().ok()?;
        let authority = uri.authority()?;
        let tls = match uri.scheme_str()? {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let only_a_place = matches!(uri.path(), "" | "/") && uri.query().is_none();
        let host = authority.host();
        let port = match authority.as_str().strip_prefix(host)?.strip_prefix(':') {
            Some(_) => authority.port_u16()?,
            None => default_port,
        };
        if authority.as_str().contains('@') || !only_a_place || host.is_empty() {
            return None;
        }
        let ip: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
        let loopback = host == "localhost" || ip.is_some_and(|ip| ip.is_loopback());
        let scheme = if tls { "https" } else { "http" };
        Some(Self { url: format!("{scheme}://{host}:{port}"), tls, loopback })
    }
}
