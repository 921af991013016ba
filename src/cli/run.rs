use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::process::Command;

use prost_types::value::Kind;
use prost_types::{Struct, Value};
use strongroom_client::{Client, Error, ErrorReason, v1};
use zeroize::Zeroizing;

use super::connect::Connection;
use super::failure::{self, Failure};
use super::list;
use crate::domain::SecretName;

/// What its long help begins with.
pub(super) const ABOUT: &str = "\
Run a command with secrets in its environment\n\n\
The command takes this process's place: signals reach it, and its exit status is what the caller sees. It does not see \
STRONGROOM_API_KEY and STRONGROOM_API_KEY_FILE.\n\n\
All values are read, at one moment, before it starts; where one is missing, nothing starts. Only where they are more \
than one answer can carry (1 MiB) are they read in several, and a note says so.\n\n\
Exit codes of its own: 126 the command can not be executed, 127 it is not found.";

/// `strongroom run`
#[derive(clap::Args)]
#[command(after_help = "Examples:
  strongroom run --env DB_PASSWORD=db_password -- psql
  strongroom run --all --upper -- ./server --port 8080
  strongroom run --prefix billing_ --strip-prefix --upper -- ./billing
  strongroom run --env TOKEN=github_token -- sh -c 'curl -H \"Authorization: Bearer $TOKEN\" …'")]
pub(super) struct Run {
    /// Give the variable VAR the value of a secret; may be given many times
    #[arg(long, value_name = "VAR=SECRET", value_parser = variable)]
    env: Vec<(String, String)>,

    /// Give every secret of the namespace, each under its own name
    #[arg(long, conflicts_with = "prefix")]
    all: bool,

    /// Give every secret whose name begins so, each under its own name
    #[arg(long, value_name = "PREFIX")]
    prefix: Option<String>,

    /// Leave the prefix out of the variables' names
    #[arg(long, requires = "prefix")]
    strip_prefix: bool,

    /// Give the secrets of --all and --prefix in upper-case variables
    #[arg(long)]
    upper: bool,

    /// Leave the API key in the command's environment
    #[arg(long)]
    keep_credentials: bool,

    /// The command, and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// What the dynamic loader, a shell or an interpreter obeys: whoever may write a secret must not by that choose what
/// is run. `--env` can still name them.
const OBEYED: [&str; 15] = [
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
/// With STRONGROOM_SERVER in other hands, a key that --keep-credentials leaves would go there.
const OBEYED_BEGINNINGS: [&str; 4] = ["BASH_FUNC_", "DYLD_", "LD_", "STRONGROOM_"];

impl Run {
    /// The variables' values. Needs the runtime, which must be gone before the command takes the process.
    pub(super) async fn variables(&self, connection: &Connection) -> Result<Variables, Failure> {
        if self.env.is_empty() && !self.all && self.prefix.is_none() {
            return Err(Failure::usage("nothing to give: say which secrets with --env, --prefix or --all"));
        }
        let client = connection.client().await?;
        let mut secrets = BTreeMap::new();
        if self.all || self.prefix.is_some() {
            let prefix = self.prefix.as_deref().unwrap_or_default();
            let (listed, missing) = list::all(&client.secrets(), prefix).await?;
            if let Some(missing) = missing {
                // A command that lacks a variable may do something else than it should.
                return Err(Failure::local(format!("{missing}, or name the secrets with --env")));
            }
            for secret in listed {
                let variable = self.variable_of(&secret.name)?;
                if let Some(other) = secrets.insert(variable.clone(), secret.name.clone()) {
                    return Err(Failure::local(format!(
                        "the secrets '{other}' and '{}' would both be {variable}: name them with --env",
                        secret.name
                    )));
                }
            }
        }
        // What is named one by one goes before what is not.
        secrets.extend(self.env.iter().cloned());
        resolve(&client, secrets).await
    }

    /// Becomes the command. Returns only where that fails.
    pub(super) fn execute(self, variables: &Variables) -> Failure {
        let mut words = self.command.into_iter();
        let program = words.next().unwrap_or_default();
        let mut command = Command::new(&program);
        command.args(words);
        if !self.keep_credentials {
            command.env_remove("STRONGROOM_API_KEY").env_remove("STRONGROOM_API_KEY_FILE");
        }
        command.envs(variables.0.iter().map(|(name, value)| (name, value.as_str())));
        let error = command.exec();
        let program = program.to_string_lossy();
        match error.kind() {
            ErrorKind::NotFound => {
                Failure::not_started(failure::NOT_FOUND, format!("the command '{program}' is not found"))
            }
            ErrorKind::ArgumentListTooLong => Failure::not_started(
                failure::NOT_EXECUTABLE,
                format!(
                    "'{program}' can not be started: the values and arguments are more than the system passes on"
                ),
            ),
            _ => Failure::not_started(
                failure::NOT_EXECUTABLE,
                format!("'{program}' can not be executed: {error}"),
            ),
        }
    }

    /// The variable of a secret that was not named by itself.
    fn variable_of(&self, secret: &str) -> Result<String, Failure> {
        let prefix = self.prefix.as_deref().filter(|_| self.strip_prefix).unwrap_or_default();
        let mut variable = secret.strip_prefix(prefix).unwrap_or(secret).to_owned();
        if self.upper {
            variable.make_ascii_uppercase();
        }
        if SecretName::parse(&variable).is_err() {
            return Err(Failure::local(format!(
                "without '{prefix}' the name of the secret '{secret}' is no variable's: name it with --env"
            )));
        }
        let obeyed = OBEYED.contains(&variable.as_str())
            || OBEYED_BEGINNINGS.iter().any(|beginning| variable.starts_with(beginning));
        if obeyed {
            return Err(Failure::local(format!(
                "the secret '{secret}' would set {variable}, which changes how programs run: if that is meant, \
                 say --env {variable}={secret}"
            )));
        }
        Ok(variable)
    }
}

/// Variables with their values.
pub(super) struct Variables(Vec<(String, Zeroizing<String>)>);

/// Reads the values of secrets, by variable. One request, and so one moment, where the answer can carry them all; else
/// halves, and their halves.
async fn resolve(client: &Client, secrets: BTreeMap<String, String>) -> Result<Variables, Failure> {
    let mut values = Vec::with_capacity(secrets.len());
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
            "the values were read in {answers} requests, not at one moment: together they are too large"
        ));
    }
    Ok(Variables(values))
}

/// A value that a variable can have.
fn usable(secret: &str, value: Option<Kind>) -> Result<Zeroizing<String>, Failure> {
    let Some(Kind::StringValue(value)) = value else {
        return Err(Failure::local(format!("the service sent no value of the secret '{secret}'")));
    };
    let value = Zeroizing::new(value);
    if value.contains('\0') {
        return Err(Failure::local(format!(
            "the value of the secret '{secret}' holds a NUL character, which an environment can not"
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

/// A variable and the secret that it has the value of.
fn variable(text: &str) -> Result<(String, String), String> {
    let (variable, secret) = text.split_once('=').ok_or("expected VAR=SECRET")?;
    let named = |name: &str, what: &str| {
        SecretName::parse(name).map(|name| name.to_string()).map_err(|invalid| format!("{what} {invalid}"))
    };
    Ok((named(variable, "the variable's name")?, named(secret, "the secret's name")?))
}
