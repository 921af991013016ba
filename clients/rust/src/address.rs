//! The address of a service: `HOST:PORT`, `http://HOST:PORT` or `https://HOST:PORT`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// The port of an address that names none.
pub const DEFAULT_PORT: u16 = 50051;

/// The address of a service.
///
/// An IPv6 address stands in brackets: `[::1]:50051`. The port is [`DEFAULT_PORT`] where none is written. The case of the
/// scheme does not matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Whether to use TLS; `None` where no scheme is written.
    tls: Option<bool>,
    /// A name or an IP address, with the brackets of an IPv6 address.
    host: String,
    port: u16,
}

/// Why a text is not an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server's address must be HOST:PORT, http://HOST:PORT or https://HOST:PORT: {0}")]
pub struct AddressError(&'static str);

impl Address {
    /// The host: a name, or an IP address, an IPv6 one in brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether the address asks for TLS (`https://`) or for plaintext (`http://`); `None` where it has no scheme.
    pub fn tls(&self) -> Option<bool> {
        self.tls
    }

    /// Whether the host is this machine itself: `localhost`, 127.0.0.0/8 or ::1.
    pub fn is_loopback(&self) -> bool {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let loopback = |address: IpAddr| address.to_canonical().is_loopback();
        host.eq_ignore_ascii_case("localhost") || host.parse().is_ok_and(loopback)
    }

    /// `HOST:PORT`, without a scheme.
    pub(crate) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The same address, with a scheme.
    pub(crate) fn with_tls(self, tls: bool) -> Self {
        Self { tls: Some(tls), ..self }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (tls, rest) = match text.split_once("://") {
            None => (None, text),
            Some((scheme, rest)) => {
                let tls = match scheme.to_ascii_lowercase().as_str() {
                    "http" => false,
                    "https" => true,
                    _ => return Err(AddressError("the scheme must be http or https")),
                };
                (Some(tls), rest.strip_suffix('/').unwrap_or(rest))
            }
        };
        if rest.contains('@') {
            return Err(AddressError("it cannot have a user"));
        }
        if rest.contains(['/', '?', '#']) {
            return Err(AddressError("it cannot have a path or a query"));
        }
        let (host, port) = split(rest)?;
        // It must not be asked for as a host's name either.
        if ["srk_", "srmk_"].iter().any(|mark| host.starts_with(mark))
            || (host.starts_with("eyJ") && host.len() > 20)
        {
            return Err(AddressError("this is a credential"));
        }
        let port = match port {
            None => DEFAULT_PORT,
            Some(digits) if digits.bytes().all(|digit| digit.is_ascii_digit()) => digits
                .parse()
                .ok()
                .filter(|port| *port > 0)
                .ok_or(AddressError("the port must be a number from 1 to 65535"))?,
            Some(_) => return Err(AddressError("the port must be a number from 1 to 65535")),
        };
        Ok(Self { tls, host: host.to_owned(), port })
    }
}

/// The host, with the brackets of an IPv6 address, and the text behind the colon.
fn split(text: &str) -> Result<(&str, Option<&str>), AddressError> {
    if text.starts_with('[') {
        let end = text.find(']').ok_or(AddressError("the IPv6 address has no closing bracket"))?;
        let (host, rest) = text.split_at(end + 1);
        let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if inside.is_none_or(|inside| inside.parse::<Ipv6Addr>().is_err()) {
            return Err(AddressError("only an IPv6 address can stand in brackets"));
        }
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => Err(AddressError("a colon is missing before the port")),
        };
    }
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    if port.is_some_and(|port| port.contains(':')) {
        return Err(AddressError("an IPv6 address must stand in brackets, such as [::1]:50051"));
    }
    if host.is_empty() {
        return Err(AddressError("the host is missing"));
    }
    if !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte)) {
        return Err(AddressError("the host can have only letters, digits, hyphens, dots and underscores"));
    }
    Ok((host, port))
}

/// With the scheme, where there is one.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.tls {
            Some(true) => "https://",
            Some(false) => "http://",
            None => "",
        };
        write!(f, "{scheme}{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host_and_may_have_a_scheme_and_a_port() {
        for (text, shown, tls, loopback) in [
            ("127.0.0.1:50051", "127.0.0.1:50051", None, true),
            ("127.0.0.1", "127.0.0.1:50051", None, true),
            ("LocalHost:1", "LocalHost:1", None, true),
            ("strongroom_1", "strongroom_1:50051", None, false),
            ("http://127.1.2.3:65535", "http://127.1.2.3:65535", Some(false), true),
            ("HTTP://secrets.example.com", "http://secrets.example.com:50051", Some(false), false),
            ("hTTpS://secrets.example.com:443/", "https://secrets.example.com:443", Some(true), false),
            ("[::1]", "[::1]:50051", None, true),
            ("https://[::ffff:127.0.0.1]:8", "https://[::ffff:127.0.0.1]:8", Some(true), true),
            ("[2001:db8::1]:443", "[2001:db8::1]:443", None, false),
            ("localhost.example.com:443", "localhost.example.com:443", None, false),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!((address.tls(), address.is_loopback()), (tls, loopback), "{text}");
        }
    }

    #[test]
    fn other_texts_are_refused_and_not_shown() {
        for (text, reason) in [
            ("", "host is missing"),
            (":50051", "host is missing"),
            ("http://", "host is missing"),
            ("https:///", "host is missing"),
            ("127.0.0.1:99999", "1 to 65535"),
            ("127.0.0.1:0", "1 to 65535"),
            ("127.0.0.1:", "1 to 65535"),
            ("127.0.0.1:+1", "1 to 65535"),
            ("a:b", "1 to 65535"),
            ("::1", "in brackets"),
            ("::1:50051", "in brackets"),
            ("[::1", "no closing bracket"),
            ("[::1]50051", "colon is missing"),
            ("[localhost]:1", "only an IPv6"),
            ("[[::1]]:1", "only an IPv6"),
            ("root:hunter2@host:1", "a user"),
            ("ftp://host:1", "http or https"),
            ("unix:///run/strongroom.sock", "http or https"),
            ("https://host:1/path", "a path or a query"),
            ("host?query", "a path or a query"),
            ("a,b", "letters, digits"),
            ("a b", "letters, digits"),
            ("é", "letters, digits"),
            ("host\n", "letters, digits"),
            ("srk_hunter2", "a credential"),
            ("https://srmk_hunter2:1", "a credential"),
            ("eyJhbGciOiJFUzI1NiJ9.hunter2", "a credential"),
        ] {
            let refused = text.parse::<Address>().unwrap_err().to_string();
            assert!(refused.contains(reason), "{text}: {refused}");
            assert!(!refused.contains("hunter2"), "{refused}");
        }
    }
}
