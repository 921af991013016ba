//! Why a command failed: a message for people, and an exit code for programs.
//!
//! Every command ends with a [`Failure`] or with success; `main` reports it. A failure never holds a value.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::builder::styling::{AnsiColor, Style};
use strongroom_client::{Code, Error, ErrorReason};

/// Why a command failed, and the exit code that says so.
pub(super) struct Failure {
    code: u8,
    message: String,
    /// The fields that were refused, or the items that failed, each with its reason.
    fields: Vec<(String, String)>,
}

const REFUSED: u8 = 1;
const USAGE: u8 = 2;
const UNAVAILABLE: u8 = 69;
const DENIED: u8 = 77;
/// The exit code that shells use for a command that cannot be executed.
pub(super) const NOT_EXECUTABLE: u8 = 126;
/// The exit code that shells use for a command that is not found.
pub(super) const NOT_FOUND: u8 = 127;

impl Failure {
    /// Something failed on this machine, or the reply was not as expected.
    pub(super) fn local(message: impl Into<String>) -> Self {
        Self { code: REFUSED, message: message.into(), fields: Vec::new() }
    }

    /// The command was used in a wrong way.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self { code: USAGE, message: message.into(), fields: Vec::new() }
    }

    /// The service could not be reached.
    pub(super) fn unreachable(message: impl Into<String>) -> Self {
        Self { code: UNAVAILABLE, message: message.into(), fields: Vec::new() }
    }

    /// A principal does not have the right in question.
    pub(super) fn denied(message: impl Into<String>) -> Self {
        Self { code: DENIED, message: message.into(), fields: Vec::new() }
    }

    /// The command that `run` was given did not start.
    pub(super) fn not_started(code: u8, message: String) -> Self {
        Self { code, message, fields: Vec::new() }
    }

    /// The command that `run --watch` supervised has ended, with this exit code. Nothing is said: the command has said it.
    pub(super) fn ended(code: u8) -> Self {
        Self { code, message: String::new(), fields: Vec::new() }
    }

    /// The same failure, with a list of everything that is wrong.
    pub(super) fn with_all(mut self, wrong: Vec<(String, String)>) -> Self {
        self.fields = wrong;
        self
    }

    /// A failure with this message and list, and the same exit code.
    pub(super) fn with_message(self, message: &str, fields: Vec<(String, String)>) -> Self {
        Self { code: self.code, message: message.to_owned(), fields }
    }

    /// The same failure, with other names for the fields that `rename` has names for.
    pub(super) fn with_fields(mut self, rename: impl Fn(&str) -> Option<String>) -> Self {
        for (field, _) in &mut self.fields {
            if let Some(name) = rename(field) {
                *field = name;
            }
        }
        self
    }

    /// The same failure, with other reasons for the fields whose reasons `rewrite` has others for.
    pub(super) fn with_reasons(mut self, rewrite: impl Fn(&str) -> Option<String>) -> Self {
        for (_, reason) in &mut self.fields {
            if let Some(other) = rewrite(reason) {
                *reason = other;
            }
        }
        self
    }

    /// Whether every other request over this connection, with this key, would fail too.
    pub(super) fn is_of_the_connection(&self) -> bool {
        matches!(self.code, UNAVAILABLE | DENIED)
    }

    /// The whole failure on one line.
    pub(super) fn brief(&self) -> String {
        let fields: Vec<_> = self.fields.iter().map(|(field, reason)| format!("{field}: {reason}")).collect();
        if fields.is_empty() { self.message.clone() } else { fields.join("; ") }
    }

    /// Writes the failure to standard error; returns its exit code.
    pub(super) fn report(&self) -> ExitCode {
        if self.message.is_empty() {
            return ExitCode::from(self.code);
        }
        let mut stderr = std::io::stderr().lock();
        let colour = stderr.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty());
        let red = if colour { AnsiColor::Red.on_default().bold() } else { Style::new() };
        // If standard error is closed, nobody can be told.
        let _ = writeln!(stderr, "{red}error:{red:#} {}", self.message);
        for (field, reason) in &self.fields {
            let _ = writeln!(stderr, "  {field}: {reason}");
        }
        ExitCode::from(self.code)
    }
}

/// A refusal of the service, or a connection that failed.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if error.is_of_the_connection() {
            let hint = match error.code() {
                Code::DeadlineExceeded => "",
                _ => ": if the service uses TLS, its address must begin with https://",
            };
            return Self::unreachable(format!("{error}{hint}"));
        }
        let code = match error.code() {
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => UNAVAILABLE,
            Code::Unauthenticated | Code::PermissionDenied => DENIED,
            _ => REFUSED,
        };
        let fields: Vec<_> =
            error.violations().iter().map(|v| (v.field.clone(), v.description.clone())).collect();
        let message = match (error.reason(), fields.is_empty()) {
            (Some(ErrorReason::NotServed), false) => "the service does not serve these fields".to_owned(),
            (
                Some(
                    ErrorReason::ReferenceInvalid
                    | ErrorReason::ReferenceTooCostly
                    | ErrorReason::SecretNotFound
                    | ErrorReason::SecretExpired
                    | ErrorReason::VersionPending
                    | ErrorReason::VersionDisabled
                    | ErrorReason::VersionDestroyed,
                ),
                false,
            ) => "these references cannot be resolved".to_owned(),
            (_, false) => "the service refused these fields".to_owned(),
            (Some(ErrorReason::CredentialMissing), true) => format!(
                "{error} Put the key into STRONGROOM_API_KEY, or name its file with STRONGROOM_API_KEY_FILE or --api-key-file."
            ),
            _ => error.to_string(),
        };
        Self { code, message, fields }
    }
}

/// Writes a note to standard error, about something that is not a failure.
pub(super) fn note(message: &str) {
    // If standard error is closed, nobody can be told.
    let _ = writeln!(std::io::stderr().lock(), "note: {message}");
}
