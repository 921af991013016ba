//! Why a command failed: a message for people, and an exit code for programs.
//!
//! Every command ends with a [`Failure`] or with success; `main` reports it. A failure never holds a value.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::builder::styling::{AnsiColor, Style};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use serde_json::{Value as Json, json};
use strongroom_client::{Code, Error, ErrorReason};

use super::credential_text::hidden;

/// Why a command failed, and the exit code that says so.
pub(super) struct Failure {
    code: u8,
    message: String,
    /// The fields that were refused, or the items that failed, each with its reason.
    fields: Vec<(String, String)>,
    /// What the service said besides.
    details: Option<Box<Details>>,
}

/// What a refusal of the service says besides its message.
struct Details {
    /// The reason, such as `SECRET_NOT_FOUND`.
    reason: Option<String>,
    /// The service's own id of the request.
    request_id: Option<String>,
    /// The secret that there is not, as `namespace/name`.
    missing: Option<String>,
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
    fn new(code: u8, message: String) -> Self {
        Self { code, message, fields: Vec::new(), details: None }
    }

    /// Something failed on this machine, or the reply was not as expected.
    pub(super) fn local(message: impl Into<String>) -> Self {
        Self::new(REFUSED, message.into())
    }

    /// The command was used in a wrong way.
    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self::new(USAGE, message.into())
    }

    /// The service could not be reached.
    pub(super) fn unreachable(message: impl Into<String>) -> Self {
        Self::new(UNAVAILABLE, message.into())
    }

    /// A principal does not have the right in question.
    pub(super) fn denied(message: impl Into<String>) -> Self {
        Self::new(DENIED, message.into())
    }

    /// The command that `run` was given did not start.
    pub(super) fn not_started(code: u8, message: String) -> Self {
        Self::new(code, message)
    }

    /// The command that `run --watch` supervised has ended, with this exit code. Nothing is said: the command has said it.
    pub(super) fn ended(code: u8) -> Self {
        Self::new(code, String::new())
    }

    /// The same failure, with a list of everything that is wrong.
    pub(super) fn with_all(mut self, wrong: Vec<(String, String)>) -> Self {
        self.fields = wrong;
        self
    }

    /// A failure with this message and list, and the same exit code.
    pub(super) fn with_message(self, message: &str, fields: Vec<(String, String)>) -> Self {
        Self { message: message.to_owned(), fields, ..self }
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

    /// The same failure, with more to say.
    pub(super) fn with_more(mut self, more: &str) -> Self {
        let end = if self.message.ends_with(['.', '?']) { "" } else { "." };
        self.message = format!("{}{end} {more}", self.message);
        self
    }

    /// The secret that there is not, as `namespace/name`, if that is the failure.
    pub(super) fn missing_secret(&self) -> Option<&str> {
        self.details.as_ref()?.missing.as_deref()
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

    /// Writes the failure to standard error, as JSON if that was asked for; returns its exit code.
    pub(super) fn report(&self, as_json: bool) -> ExitCode {
        if self.message.is_empty() {
            return ExitCode::from(self.code);
        }
        let mut stderr = std::io::stderr().lock();
        if as_json {
            // If standard error is closed, nobody can be told.
            let _ = writeln!(stderr, "{}", hidden(&format!("{:#}", self.json())));
            return ExitCode::from(self.code);
        }
        let red = if coloured() { AnsiColor::Red.on_default().bold() } else { Style::new() };
        let _ = writeln!(stderr, "{red}error:{red:#} {}", hidden(&self.message));
        for (field, reason) in &self.fields {
            let _ = writeln!(stderr, "  {}", hidden(&format!("{field}: {reason}")));
        }
        ExitCode::from(self.code)
    }

    fn json(&self) -> Json {
        let mut error = json!({ "message": self.message, "exit_code": self.code });
        if let Some(object) = error.as_object_mut() {
            let details = self.details.as_ref();
            let texts =
                details.map(|details| [("reason", &details.reason), ("request_id", &details.request_id)]);
            for (name, text) in texts.into_iter().flatten() {
                if let Some(text) = text {
                    object.insert(name.to_owned(), json!(text));
                }
            }
            if !self.fields.is_empty() {
                let field =
                    |(field, reason): &(String, String)| json!({ "field": field, "description": reason });
                object.insert("fields".to_owned(), self.fields.iter().map(field).collect());
            }
        }
        json!({ "error": error })
    }
}

/// Whether standard error is a terminal that shows colours.
fn coloured() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
}

/// Writes what the parser of the arguments says: help to standard output, an error to standard error. Returns its exit code.
pub(super) fn report_arguments(said: &clap::Error, may_hold_value: bool) -> ExitCode {
    if !said.use_stderr() {
        let _ = said.print();
        return ExitCode::SUCCESS;
    }
    let (text, styled) = (said.render(), coloured());
    let unexpected = match said.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) if said.kind() == ErrorKind::UnknownArgument => Some(argument),
        _ => None,
    };
    // A value that somebody gave as an argument is not repeated.
    let shown = match unexpected.filter(|argument| may_hold_value && !argument.starts_with('-')) {
        Some(argument) => text.to_string().replace(
            &format!("unexpected argument '{argument}' found"),
            "unexpected argument found. A value is never an argument, because every user of the machine could read it \
             there: give it with --value-file FILE, where - is standard input, or at the hidden prompt",
        ),
        None if styled => text.ansi().to_string(),
        None => text.to_string(),
    };
    // If standard error is closed, nobody can be told.
    let _ = write!(std::io::stderr().lock(), "{}", hidden(&shown));
    ExitCode::from(USAGE)
}

/// A refusal of the service, or a connection that failed.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        if error.is_of_the_connection() {
            return Self::unreachable(error.to_string());
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
            (Some(ErrorReason::CredentialMissing), true) => "no API key was given: name its file with --api-key-file or \
                STRONGROOM_API_KEY_FILE, put the key into STRONGROOM_API_KEY, or log in once with 'strongroom login'"
                .to_owned(),
            _ => error.to_string(),
        };
        let missing = error.resource().filter(|_| error.reason() == Some(ErrorReason::SecretNotFound));
        let details = Details {
            reason: error.reason_name().map(str::to_owned),
            request_id: error.request_id().map(str::to_owned),
            missing: missing.map(str::to_owned),
        };
        Self { code, message, fields, details: Some(Box::new(details)) }
    }
}

/// Writes a note to standard error, about something that is not a failure.
pub(super) fn note(message: &str) {
    // If standard error is closed, nobody can be told.
    let _ = writeln!(std::io::stderr().lock(), "note: {}", hidden(message));
}
