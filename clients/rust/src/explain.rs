//! What an error says that the service has not made: which address is meant, what is wrong with it, and what to do.

use tonic::Code;

use crate::client::Client;
use crate::error::Error;

impl Client {
    /// The same error with a message that says what to do, where the service made none.
    pub(crate) fn explained(&self, error: Error, call: &str) -> Error {
        let pool = &self.link().pool;
        let explanation = match error.code() {
            Code::Unavailable if error.is_of_the_connection() => match pool.problems() {
                Some((problems, true)) => problems,
                known => {
                    let known = known.map(|(problems, _)| format!("; {problems}")).unwrap_or_default();
                    format!("the connection to {} broke: {error}{known}", pool.addresses())
                }
            },
            Code::DeadlineExceeded if error.is_of_the_connection() => match pool.problems() {
                Some((problems, true)) => problems,
                _ => return error,
            },
            Code::Unimplemented if error.is_of_another() => format!(
                "{} does not serve {call}: it is of an older release than this client, or no Strongroom: update the \
                 server, or use a client of its release",
                pool.addresses()
            ),
            Code::Unknown | Code::Internal | Code::PermissionDenied | Code::Unauthenticated
                if error.is_of_another() =>
            {
                format!(
                    "the answer from {} is not one of Strongroom: check the address, and proxies on the way: {error}",
                    pool.addresses()
                )
            }
            _ => return error,
        };
        error.with_message(explanation)
    }
}

/// The name of the call of a request.
pub(crate) fn call_of<M>() -> &'static str {
    let name = std::any::type_name::<M>().rsplit("::").next().unwrap_or_default();
    name.strip_suffix("Request").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::v1::WatchSecretsRequest;

    #[test]
    fn a_call_is_named_as_the_service_names_it() {
        assert_eq!(call_of::<WatchSecretsRequest>(), "WatchSecrets");
    }
}
