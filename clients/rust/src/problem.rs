//! Why a server cannot be reached, and what to do about it.
//!
//! The connector notes a problem for its address. An error of a call takes its message from there, since the error of the
//! transport often only says that a connection ended.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_rustls::rustls::{self, CertificateError, InvalidMessage};

use crate::address::Address;
use crate::error::causes;

/// Why the last attempt to use an address failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// The server ended a plaintext connection at once, or answered with TLS.
    NoPlaintext,
    /// The server answered a TLS handshake with something else.
    NoTls,
    /// The server ended the connection in place of a TLS handshake.
    EndedHandshake,
    /// No authority that this client trusts has signed the certificate.
    UnknownIssuer,
    /// The certificate has expired, or is not yet valid.
    Expired,
    /// The certificate is for other names.
    WrongName,
    /// Another failure of TLS, in its own words.
    Tls(String),
    /// No connection, in the words of the system.
    Unreachable(String),
}

impl Problem {
    /// The problem of a failed dial.
    pub(crate) fn of_dial(error: &(dyn StdError + 'static)) -> Self {
        Self::Unreachable(causes(error))
    }

    /// The problem of a failed TLS handshake.
    pub(crate) fn of_handshake(error: &io::Error) -> Self {
        let Some(failed) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) else {
            return match error.kind() {
                io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::ConnectionAborted => Self::EndedHandshake,
                _ => Self::Tls(causes(error)),
            };
        };
        match failed {
            rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => Self::NoTls,
            // An authority of the same name with another key gives a bad signature.
            rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            ) => Self::UnknownIssuer,
            rustls::Error::InvalidCertificate(
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. },
            ) => Self::Expired,
            rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            ) => Self::WrongName,
            other => Self::Tls(other.to_string()),
        }
    }

    /// The problem of this address, and what to do.
    pub(crate) fn at<'a>(&'a self, address: &'a Address) -> impl fmt::Display + 'a {
        At(self, address)
    }
}

struct At<'a>(&'a Problem, &'a Address);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(problem, address) = self;
        let plain = address.authority();
        match problem {
            Problem::NoPlaintext => write!(
                f,
                "{address} does not answer in plaintext: if the server uses TLS, use the address https://{plain}"
            ),
            Problem::NoTls => write!(
                f,
                "{address} does not answer in TLS: turn TLS on at the server, or use the address http://{plain} if it is on \
                 this machine"
            ),
            Problem::EndedHandshake => write!(
                f,
                "{address} ended the connection in place of a TLS handshake: check that the server uses TLS, or use the \
                 address http://{plain} if it is on this machine"
            ),
            Problem::UnknownIssuer => write!(
                f,
                "no authority that this client trusts has signed the certificate of {address}: give the right CA certificate \
                 (STRONGROOM_CA_CERT)"
            ),
            Problem::Expired => write!(
                f,
                "the certificate of {address} has expired or is not yet valid: renew it, and check the clocks of both machines"
            ),
            Problem::WrongName => write!(
                f,
                "the certificate of {address} is for other names: use an address that it names, or give the server a \
                 certificate with this one"
            ),
            Problem::Tls(cause) => write!(
                f,
                "no TLS connection to {address}: {cause}: check that the server uses TLS, and accepts the client certificate \
                 if there is one"
            ),
            Problem::Unreachable(cause) => write!(
                f,
                "{address} cannot be reached: {cause}: check that the server runs and that the address is right"
            ),
        }
    }
}

/// The place where the connector of an address notes its problem. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Noted(Arc<Mutex<Option<Problem>>>);

impl Noted {
    /// Notes how the last attempt ended. `None`: it succeeded.
    pub(crate) fn set(&self, problem: Option<Problem>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }

    /// The problem of the last attempt.
    pub(crate) fn last(&self) -> Option<Problem> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_handshake_says_what_to_do() {
        let address: Address = "https://secrets.example.com:7".parse().unwrap();
        let tls =
            |error: rustls::Error| Problem::of_handshake(&io::Error::new(io::ErrorKind::InvalidData, error));
        let certificate = |error| tls(rustls::Error::InvalidCertificate(error));
        for (problem, part) in [
            (
                tls(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)),
                "http://secrets.example.com:7",
            ),
            (certificate(CertificateError::UnknownIssuer), "CA certificate"),
            (certificate(CertificateError::Expired), "expired"),
            (certificate(CertificateError::NotValidForName), "other names"),
            (certificate(CertificateError::Revoked), "client certificate"),
            (Problem::of_handshake(&io::ErrorKind::UnexpectedEof.into()), "in place of a TLS handshake"),
            (Problem::of_handshake(&io::ErrorKind::TimedOut.into()), "no TLS connection"),
            (Problem::of_dial(&io::Error::other("refused")), "cannot be reached: refused"),
        ] {
            let text = problem.at(&address).to_string();
            assert!(text.contains(part) && text.contains("https://secrets.example.com:7"), "{text}");
        }
    }
}
