//! `strongroom run` starts a command with secrets in its environment.

mod supervise;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use prost_types::value::Kind;
use prost_types::{Struct, Value};
use strongroom_client::{Client, Error, ErrorReason, v1};
use zeroize::Zeroizing;

use super::connect::Connection;
use super::failure::{self, Failure};
use super::{list, on_runtime};
use crate::domain::SecretName;

/// The beginning of the long help.
pub(super) const ABOUT: &str = "\
Run a command with secrets in its environment\n\n\
The command replaces this process, so that it receives signals and the caller receives its exit code. With --watch, this \
process stays beside the command, passes signals on to it, and ends with its exit code. \
STRONGROOM_API_KEY and STRONGROOM_API_KEY_FILE are removed from its environment.\n\n\
All values are read at one moment, before the command starts. If one is missing, the command does not start. Values \
of more than 1 MiB in all are read in several requests, at several moments, and a note says so.\n\n\
Further exit codes: 126 the command cannot be executed, 127 the command is not found.";

/// The arguments of `strongroom run`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  strongroom run --env DB_PASSWORD=db_password -- psql
  strongroom run --all --upper -- ./server --port 8080
  strongroom run --prefix billing_ --strip-prefix --upper -- ./billing
  strongroom run --env DB_PASSWORD=db_password --watch restart -- ./server
  strongroom run --env DB_PASSWORD=db_password --watch HUP -- ./server
  strongroom run --env TOKEN=github_token -- sh -c 'curl -H \"Authorization: Bearer $TOKEN\" …'")]
pub(super) struct Run {
    /// Set the variable VAR to the value of a secret; may be given several times
    #[arg(long, value_name = "VAR=SECRET", value_parser = variable)]
    env: Vec<(String, String)>,

    /// Set a variable for every secret of the namespace, with the secret's name
    #[arg(long, conflicts_with = "prefix")]
    all: bool,

    /// Set a variable for every secret whose name begins with PREFIX, with the secret's name
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,

    /// Remove the prefix from the variables' names
    #[arg(long, requires = "prefix")]
    strip_prefix: bool,

    /// Write the variables of --all and --prefix in upper case
    #[arg(long)]
    upper: bool,

    /// When a value changes, restart the command, or send it a signal such as HUP or USR1
    ///
    /// A restart sends SIGTERM, waits for the end of the command, and starts it with the new values. A signal changes
    /// nothing in the command's environment: the command reads the values again by itself.
    #[arg(long, value_name = "restart|SIGNAL", value_parser = supervise::on_change)]
    watch: Option<supervise::OnChange>,

    /// How long a restart waits for the command to end, before it kills it
    #[arg(long, value_name = "TIME", default_value = "10s", requires = "watch", value_parser = crate::config::parse_duration, allow_hyphen_values = true)]
    stop_timeout: Duration,

    /// Keep the API key in the command's environment
    #[arg(long)]
    keep_credentials: bool,

    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Variables that control the dynamic loader, a shell or an interpreter. A principal that may only write secrets must not
/// choose which code runs, so `--all` and `--prefix` refuse these names. `--env` can set them.
const CONTROLLING: [&str; 15] = [
    "BASH_ENV",
    "BASHOPTS",
    "ENV",
    "GCONV_PATH",
    "GLIBC_TUNABLES",
    "HOME",
    "IFS",
    "JAVA_TOOL_OPTIONS",
    "NODE_OPTIONS",
    "PATH",
    "PERL5OPT",
    "PYTHONPATH",
    "PYTHONSTARTUP",
    "RUBYOPT",
    "SHELLOPTS",
];
/// The same, by the beginning of the name. A secret named STRONGROOM_SERVER could send the API key that
/// `--keep-credentials` keeps to another server.
const CONTROLLING_PREFIXES: [&str; 4] = ["BASH_FUNC_", "DYLD_", "LD_", "STRONGROOM_"];

impl Run {
    /// Runs the command. Returns only if that fails, or with --watch when the command has ended.
    pub(super) fn run(self, connection: &Connection) -> Failure {
        if self.env.is_empty() && !self.all && self.prefix.is_none() {
            return Failure::usage("there is no secret to set: give --env, --prefix or --all");
        }
        match self.watch {
            None => {
                // The runtime has ended when the command takes the place of this process.
                let read = async { self.variables(&connection.client().await?).await };
                match on_runtime(read) {
                    Ok(variables) => self.execute(&variables),
                    Err(failure) => failure,
                }
            }
            Some(on_change) => {
                let outcome = on_runtime(async {
                    let client = connection.client().await?;
                    supervise::run(&self, &client, on_change).await
                });
                outcome.unwrap_or_else(|failure| failure)
            }
        }
    }

    /// Reads the values of the variables.
    async fn variables(&self, client: &Client) -> Result<Variables, Failure> {
        let mut secrets = BTreeMap::new();
        if self.all || self.prefix.is_some() {
            let prefix = self.prefix.as_deref().unwrap_or_default();
            let (listed, missing) = list::all(&client.secrets(), prefix).await?;
            if let Some(missing) = missing {
                // A command without one of its variables may do the wrong thing.
                return Err(Failure::local(format!("{missing}, or use --env for each secret")));
            }
            for secret in listed {
                let variable = self.variable_of(&secret.name)?;
                if let Some(other) = secrets.insert(variable.clone(), secret.name.clone()) {
                    return Err(Failure::local(format!(
                        "the secrets '{other}' and '{}' would both set {variable}: use --env for them",
                        secret.name
                    )));
                }
            }
        }
        // The variables of --env win.
        secrets.extend(self.env.iter().cloned());
        resolve(client, secrets).await
    }

    /// Replaces this process by the command. Returns only if that fails.
    fn execute(&self, variables: &Variables) -> Failure {
        let error = self.command_with(variables).exec();
        self.not_started(&error)
    }

    /// The command with its variables.
    fn command_with(&self, variables: &Variables) -> Command {
        let mut words = self.command.iter();
        let mut command = Command::new(words.next().map(OsString::as_os_str).unwrap_or_default());
        command.args(words);
        if !self.keep_credentials {
            command.env_remove("STRONGROOM_API_KEY").env_remove("STRONGROOM_API_KEY_FILE");
        }
        command.envs(variables.values.iter().map(|(name, value)| (name, value.as_str())));
        command
    }

    /// Why the command did not start.
    fn not_started(&self, error: &std::io::Error) -> Failure {
        let program = self.command.first().map(|program| program.to_string_lossy()).unwrap_or_default();
        match error.kind() {
            ErrorKind::NotFound => {
                Failure::not_started(failure::NOT_FOUND, format!("the command '{program}' is not found"))
            }
            ErrorKind::ArgumentListTooLong => Failure::not_started(
                failure::NOT_EXECUTABLE,
                format!(
                    "'{program}' cannot be started: the values and arguments are larger than the system allows"
                ),
            ),
            _ => Failure::not_started(
                failure::NOT_EXECUTABLE,
                format!("'{program}' cannot be executed: {error}"),
            ),
        }
    }

    /// The variable of a secret that --all or --prefix selects.
    fn variable_of(&self, secret: &str) -> Result<String, Failure> {
        let prefix = self.prefix.as_deref().filter(|_| self.strip_prefix).unwrap_or_default();
        let mut variable = secret.strip_prefix(prefix).unwrap_or(secret).to_owned();
        if self.upper {
            variable.make_ascii_uppercase();
        }
        if SecretName::parse(&variable).is_err() {
            return Err(Failure::local(format!(
                "the name of the secret '{secret}' without '{prefix}' is not a variable's name: use --env for this secret"
            )));
        }
        let controlling = CONTROLLING.contains(&variable.as_str())
            || CONTROLLING_PREFIXES.iter().any(|beginning| variable.starts_with(beginning));
        if controlling {
            return Err(Failure::local(format!(
                "the secret '{secret}' would set {variable}, which changes how programs run: to set it \
                 nevertheless, give --env {variable}={secret}"
            )));
        }
        Ok(variable)
    }
}

/// Variables and their values, and the revision that they were read at.
struct Variables {
    values: Vec<(String, Zeroizing<String>)>,
    /// The secrets that they are of.
    secrets: BTreeSet<String>,
    /// The oldest revision of the answers.
    revision: u64,
}

/// Reads the values of secrets, by variable: in one request if a reply can carry them all, so that they are of one moment,
/// and otherwise in halves.
async fn resolve(client: &Client, secrets: BTreeMap<String, String>) -> Result<Variables, Failure> {
    let mut values = Vec::with_capacity(secrets.len());
    let names = secrets.values().cloned().collect();
    let mut revision = u64::MAX;
    let mut waiting: Vec<Vec<(String, String)>> = vec![secrets.into_iter().collect()];
    let mut answers = 0;
    while let Some(mut part) = waiting.pop() {
        let reference =
            |(variable, secret): &(String, String)| (variable.clone(), text(format!("$ secrets.{secret}")));
        let document = Struct { fields: part.iter().map(reference).collect() };
        let message = v1::ResolveReferencesRequest {
            document: Some(document),
            ..v1::ResolveReferencesRequest::default()
        };
        match client.resolve(message).await {
            Ok(reply) => {
                answers += 1;
                revision = revision.min(reply.revision);
                let mut resolved = reply.document.unwrap_or_default().fields;
                for (variable, secret) in part {
                    let value = resolved.remove(&variable).and_then(|value| value.kind);
                    values.push((variable, usable(&secret, value)?));
                }
            }
            Err(error) if part.len() > 1 && too_large(&error) => {
                let half = part.split_off(part.len() / 2);
                waiting.extend([half, part]);
            }
            Err(error) => {
                let asked = |field: &str| {
                    let named = field.strip_prefix("document/")?;
                    let (variable, secret) = part.iter().find(|(variable, _)| variable == named)?;
                    Some(format!("{variable}={secret}"))
                };
                return Err(Failure::from(error).with_fields(asked));
            }
        }
    }
    if answers > 1 {
        failure::note(&format!(
            "the values were read in {answers} requests at different moments, because they are too large for one"
        ));
    }
    values.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(Variables { values, secrets: names, revision })
}

/// The value, if a variable can hold it.
fn usable(secret: &str, value: Option<Kind>) -> Result<Zeroizing<String>, Failure> {
    let Some(Kind::StringValue(value)) = value else {
        return Err(Failure::local(format!("the service sent no value of the secret '{secret}'")));
    };
    let value = Zeroizing::new(value);
    if value.contains('\0') {
        return Err(Failure::local(format!(
            "the value of the secret '{secret}' has a NUL character, which a variable cannot hold"
        )));
    }
    Ok(value)
}

fn too_large(error: &Error) -> bool {
    matches!(error.reason(), Some(ErrorReason::ReferenceTooCostly | ErrorReason::MessageTooLarge))
}

fn text(text: String) -> Value {
    Value { kind: Some(Kind::StringValue(text)) }
}

/// Reads VAR=SECRET from an argument.
fn variable(text: &str) -> Result<(String, String), String> {
    let (variable, secret) = text.split_once('=').ok_or("expected VAR=SECRET")?;
    let named = |name: &str, what: &str| {
        SecretName::parse(name).map(|name| name.to_string()).map_err(|invalid| format!("{what} {invalid}"))
    };
    Ok((named(variable, "the variable's name")?, named(secret, "the secret's name")?))
}
