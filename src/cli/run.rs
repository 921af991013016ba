//! `strongroom run` starts a command with secrets in its environment.

mod controlling;
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
use crate::auth::NamePattern;
use crate::domain::SecretName;

/// The beginning of the long help.
pub(super) const ABOUT: &str = "\
Run a command with secrets in its environment\n\n\
The command replaces this process, so that it receives signals and the caller receives its exit code. With --watch, this \
process stays beside the command, passes signals on to it, and ends with its exit code. \
STRONGROOM_API_KEY and STRONGROOM_API_KEY_FILE are removed from its environment.\n\n\
All values are read at one moment, before the command starts. If one is missing, the command does not start. The same is \
true if --only and --prefix select no secret. Values of more than 1 MiB in all are read in several requests, at several moments, and a note says so.\n\n\
A person who may write a secret must not choose what others run. So --only and --prefix refuse every variable that decides what \
programs execute, load or trust, unless --env names it: GIT_*, PYTHON*, PERL*, RUBY*, NODE_*, LD_*, DYLD_*, JAVA_*, BASH*, \
*_OPTIONS, *PROXY, *PATH, *EDITOR, ENV, IFS, HOME and others. --env VAR=SECRET can set every variable.\n\n\
Further exit codes: 126 the command cannot be executed, 127 the command is not found.";

/// The arguments of `strongroom run`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  strongroom run --env DB_PASSWORD=db_password -- psql
  strongroom run --only 'db_*' --upper -- ./server --port 8080
  strongroom run --prefix billing_ --strip-prefix --upper -- ./billing
  strongroom run --env DB_PASSWORD=db_password --watch restart -- ./server
  strongroom run --env DB_PASSWORD=db_password --watch HUP -- ./server
  strongroom run --env TOKEN=github_token -- sh -c 'curl -H \"Authorization: Bearer $TOKEN\" …'")]
pub(super) struct Run {
    /// Set the variable VAR to the value of a secret; may be given several times
    #[arg(long, value_name = "VAR=SECRET", value_parser = variable)]
    env: Vec<(String, String)>,

    /// Set a variable for every secret whose name matches PATTERN, with the secret's name; may be given several times
    ///
    /// A pattern is a name in which '*' stands for any characters. It begins with the first letters of a name, such as 'db_*'.
    #[arg(long, value_name = "PATTERN", value_parser = pattern)]
    only: Vec<NamePattern>,

    /// Set a variable for every secret whose name begins with PREFIX, with the secret's name
    #[arg(long, value_name = "PREFIX", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    prefix: Option<String>,

    /// Remove the prefix from the variables' names
    #[arg(long, requires = "prefix")]
    strip_prefix: bool,

    /// Write the variables of --only and --prefix in upper case
    #[arg(long)]
    upper: bool,

    /// Run the command also if --only and --prefix select no secret
    #[arg(long)]
    allow_empty: bool,

    /// Of earlier releases: refused with the reason
    #[arg(long, hide = true)]
    all: bool,

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

impl Run {
    /// Runs the command. Returns only if that fails, or with --watch when the command has ended.
    pub(super) fn run(self, connection: &Connection) -> Failure {
        if self.all {
            return Failure::usage(
                "--all is not served: a person who may write a secret could choose what the command runs. Give --env VAR=SECRET for \
                 each secret, --only PATTERN, or --prefix PREFIX --strip-prefix",
            );
        }
        let mut named = BTreeSet::new();
        if let Some((twice, _)) = self.env.iter().find(|(variable, _)| !named.insert(variable)) {
            return Failure::usage(format!("--env {twice}=… is given twice: give each variable once"));
        }
        if self.env.is_empty() && !self.selects() {
            return Failure::usage("there is no secret to set: give --env, --only or --prefix");
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

    /// Whether secrets are selected by their names.
    fn selects(&self) -> bool {
        self.prefix.is_some() || !self.only.is_empty()
    }

    /// Whether --only or --prefix selects the secret.
    fn selected(&self, secret: &str) -> bool {
        let of_prefix = self.prefix.as_ref().is_some_and(|prefix| secret.starts_with(prefix.as_str()));
        let name = SecretName::parse(secret).ok();
        of_prefix || name.is_some_and(|name| self.only.iter().any(|pattern| pattern.matches(&name)))
    }

    /// Reads the values of the variables.
    async fn variables(&self, client: &Client) -> Result<Variables, Failure> {
        let mut secrets = if self.selects() { self.selection(client).await? } else { BTreeMap::new() };
        // The variables of --env win.
        secrets.extend(self.env.iter().cloned());
        resolve(client, secrets).await
    }

    /// The secrets that --only and --prefix select, by the variables that they set.
    async fn selection(&self, client: &Client) -> Result<BTreeMap<String, String>, Failure> {
        let (listed, missing) = list::all(&client.secrets(), &self.common_prefix()).await?;
        if let Some(missing) = missing {
            // A command without one of its variables may do the wrong thing.
            return Err(Failure::local(format!("{missing}, or use --env for each secret")));
        }
        let (mut secrets, mut controlling, mut none) = (BTreeMap::new(), Vec::new(), true);
        for secret in listed.into_iter().map(|secret| secret.name).filter(|name| self.selected(name)) {
            none = false;
            let variable = self.variable_of(&secret)?;
            if self.env.iter().any(|(named, _)| *named == variable) {
                continue;
            }
            if controlling::controls(&variable) {
                controlling.push((secret.clone(), format!("--env {variable}={secret}")));
            }
            if let Some(other) = secrets.insert(variable.clone(), secret.clone()) {
                return Err(Failure::local(format!(
                    "the secrets '{other}' and '{secret}' would both set {variable}: use --env for them"
                )));
            }
        }
        if !controlling.is_empty() {
            let message = "these secrets would set variables that decide what programs run. To set them nevertheless, name each \
                           with --env";
            return Err(Failure::local(message).with_all(controlling));
        }
        if none && !self.allow_empty {
            return Err(Failure::local(
                "--only and --prefix select no secret, and the command was not started: correct them, or give --allow-empty",
            ));
        }
        Ok(secrets)
    }

    /// The longest beginning that the names of all selected secrets have. Only they are asked for.
    fn common_prefix(&self) -> String {
        let literal =
            |pattern: &NamePattern| pattern.as_str().split('*').next().unwrap_or_default().to_owned();
        let mut beginnings = self.only.iter().map(literal).chain(self.prefix.clone());
        let first = beginnings.next().unwrap_or_default();
        beginnings.fold(first, |common, other| {
            common
                .chars()
                .zip(other.chars())
                .take_while(|(one, two)| one == two)
                .map(|(one, _)| one)
                .collect()
        })
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

    /// The variable of a secret that --only or --prefix selects.
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
        match client.references().resolve(message).await {
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
                return Err(Failure::from(error).with_reasons(reason_here).with_fields(asked));
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

/// The service's reason with what can be done about it here. The service speaks of expressions, and `run` has none.
fn reason_here(reason: &str) -> Option<String> {
    if let Some((missing, _)) = reason.split_once(": create it, correct the name, or give a default") {
        return Some(format!("{missing}: create it, or correct the name."));
    }
    let binary = reason.starts_with("The secret is binary");
    binary.then(|| "The secret is binary, which a variable cannot hold: write it to a file with 'strongroom get NAME --value-only'.".to_owned())
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

/// Reads the pattern of --only from an argument. It has a beginning, so that it says which variables the command expects.
fn pattern(text: &str) -> Result<NamePattern, String> {
    let pattern = NamePattern::parse(text).map_err(|invalid| invalid.to_string())?;
    if pattern.as_str().starts_with('*') {
        return Err("must begin with the first letters of a name, such as 'db_*': a person who may write a secret could choose \
                    what the command runs"
            .to_owned());
    }
    Ok(pattern)
}

/// Reads VAR=SECRET from an argument.
fn variable(text: &str) -> Result<(String, String), String> {
    let (variable, secret) = text.split_once('=').ok_or("expected VAR=SECRET")?;
    let named = |name: &str, what: &str| {
        SecretName::parse(name).map(|name| name.to_string()).map_err(|invalid| format!("{what} {invalid}"))
    };
    Ok((named(variable, "the variable's name")?, named(secret, "the secret's name")?))
}
