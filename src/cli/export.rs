//! `strongroom export` writes secrets with their values.

use data_encoding::BASE64;
use serde::Serialize;
use strongroom_client::v1::secret_value::Kind;
use strongroom_client::{Code, Error, Secrets, v1};
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use super::confirm;
use super::connect::Connection;
use super::dotenv;
use super::failure::{Failure, note};
use super::file;
use super::list;
use super::output::{self, Target};
use super::progress::Progress;

/// The beginning of the long help.
pub(super) const ABOUT: &str = "\
Write secrets with their values, unencrypted\n\n\
'json' is a list of objects with name, value, description and metadata, which 'import' reads; a binary value is \
{\"binary\": \"<base64>\"}. 'env' has lines of NAME=VALUE, quoted as a POSIX shell reads them, without descriptions \
and metadata.\n\n\
A secret whose value cannot be read, since its version is disabled for example, is skipped and reported, and the exit code is \
then 1. The service's audit log records each value that is read, as for 'get'. Changes made during the export may be included or \
not.";

/// The arguments of `strongroom export`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  strongroom export -o secrets.json
  strongroom export --prefix billing_ --format env --yes > billing.env")]
pub(super) struct Export {
    /// The format to write [default: by the file's name, or else json]
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// Write to FILE, which only you can read; - is standard output [default: -]
    #[arg(short, long, value_name = "FILE", value_parser = Target::file())]
    output: Option<Target>,

    /// Write only secrets whose names begin with PREFIX
    #[arg(long, default_value = "", value_name = "PREFIX", hide_default_value = true)]
    prefix: String,

    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
}

/// The format of the output.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Lines of NAME=VALUE
    Env,
    /// A list of objects with all that a secret has
    Json,
}

/// How many requests run at once.
const AT_ONCE: usize = 16;

impl Export {
    pub(super) async fn run(self, connection: &Connection) -> Result<(), Failure> {
        let path = match self.output {
            None => None,
            Some(Target::File(path)) => Some(path),
            Some(Target::Form(_)) => {
                return Err(Failure::usage("-o has no meaning before 'export': write '-o FILE' after it"));
            }
        };
        const UNASKED: &str =
            "this writes values unencrypted: give --yes, or use a terminal, which asks first";
        if !self.yes {
            confirm::can_be_asked(UNASKED)?;
        }
        let path = path.filter(|path| !file::is_standard(path));
        let named = path.as_ref().and_then(|path| super::document::Format::named(path));
        let env = named == Some(super::document::Format::Env);
        let format = self.format.unwrap_or(if env { Format::Env } else { Format::Json });

        let secrets = connection.client().await?.secrets();
        let (listed, missing) = list::all(&secrets, &self.prefix).await?;
        if !self.yes {
            let place = path.as_ref().map_or("standard output".to_owned(), |path| path.display().to_string());
            let values = if listed.len() == 1 { "1 value" } else { &format!("{} values", listed.len()) };
            let question = format!("Write {values} unencrypted to {place}?");
            confirm::agreed(UNASKED, &question, "no value was read or written")?;
        }
        let names = listed.into_iter().map(|secret| secret.name).collect();
        let (secrets, skipped) = read_all(&secrets, names).await?;
        if secrets.is_empty() && !skipped.is_empty() {
            return Err(not_read(skipped, "no value can be read, and nothing was written"));
        }
        if secrets.is_empty() {
            note("there are no secrets to export here");
        }
        let text = match format {
            Format::Env => env_text(&secrets)?,
            Format::Json => json_text(&secrets)?,
        };
        match path {
            None => output::write(&text)?,
            Some(path) => file::replace(&path, &text)?,
        }
        // The file has the other secrets, but the caller must not take it for complete.
        match missing {
            _ if !skipped.is_empty() => {
                Err(not_read(skipped, "the values of these secrets cannot be read, and were skipped"))
            }
            Some(missing) => Err(Failure::local(missing)),
            None => Ok(()),
        }
    }
}

/// Secrets that were skipped, each with the refusal.
type Skipped = Vec<(String, Failure)>;

fn not_read(skipped: Skipped, message: &str) -> Failure {
    let list = skipped.into_iter().map(|(name, refused)| (name, refused.brief())).collect();
    Failure::local(message).with_all(list)
}

/// Reads the secrets of these names with their values; returns them in the order of their names, and those that cannot be read.
async fn read_all(client: &Secrets, names: Vec<String>) -> Result<(Vec<v1::Secret>, Skipped), Failure> {
    let mut progress = Progress::new("read", names.len());
    let mut waiting = names.into_iter();
    let mut under_way = JoinSet::new();
    let (mut secrets, mut skipped) = (Vec::new(), Vec::new());
    loop {
        while under_way.len() < AT_ONCE {
            let Some(name) = waiting.next() else { break };
            under_way.spawn(read(client.clone(), name));
        }
        let Some(ended) = under_way.join_next().await else { break };
        progress.advance();
        match ended.map_err(|_| Failure::local("a request ended without an outcome"))? {
            (_, Ok(secret)) => secrets.push(secret),
            (name, Err(error)) if is_of_one_secret(&error) => skipped.push((name, Failure::from(error))),
            (_, Err(error)) => return Err(error.into()),
        }
    }
    secrets.sort_by(|a, b| a.name.cmp(&b.name));
    skipped.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok((secrets, skipped))
}

async fn read(client: Secrets, name: String) -> (String, Result<v1::Secret, Error>) {
    let reply = client.get(&*name).await.map(|reply| reply.secret.unwrap_or_default());
    (name, reply)
}

/// Whether the refusal is about this secret alone, so that others can be read.
fn is_of_one_secret(error: &Error) -> bool {
    matches!(
        error.code(),
        Code::FailedPrecondition | Code::NotFound | Code::PermissionDenied | Code::DataLoss
    )
}

fn env_text(secrets: &[v1::Secret]) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut lines = Vec::new();
    let mut wrong = Vec::new();
    for secret in secrets {
        match value(secret)? {
            Kind::Text(text) => match dotenv::quoted(text) {
                Ok(value) => lines.push((&secret.name, value)),
                Err(reason) => wrong.push((secret.name.clone(), reason.to_owned())),
            },
            _ => wrong.push((secret.name.clone(), "the value is not text".to_owned())),
        }
    }
    if !wrong.is_empty() {
        let message = "a dotenv file cannot hold these secrets, and nothing was written: use --format json";
        return Err(Failure::local(message).with_all(wrong));
    }
    let length = lines.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    let mut text = Zeroizing::new(Vec::with_capacity(length));
    for (name, value) in &lines {
        for part in [name.as_bytes(), b"=", value.as_bytes(), b"\n"] {
            text.extend_from_slice(part);
        }
    }
    Ok(text)
}

/// A secret in the form that `import` reads.
#[derive(Serialize)]
struct Exported<'a> {
    name: &'a str,
    value: ExportedValue<'a>,
    description: &'a str,
    metadata: &'a std::collections::BTreeMap<String, String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum ExportedValue<'a> {
    Text(&'a str),
    Binary { binary: String },
}

fn json_text(secrets: &[v1::Secret]) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut exported = Vec::with_capacity(secrets.len());
    for secret in secrets {
        let value = match value(secret)? {
            Kind::Binary(bytes) => ExportedValue::Binary { binary: BASE64.encode(bytes) },
            Kind::Text(text) => ExportedValue::Text(text),
            Kind::Redacted(_) => return Err(no_value(secret)),
        };
        let (name, description, metadata) = (&secret.name, &secret.description, &secret.metadata);
        exported.push(Exported { name, value, description, metadata });
    }
    let mut text = Zeroizing::new(Vec::new());
    serde_json::to_writer_pretty(&mut *text, &exported)
        .map_err(|_| Failure::local("the secrets cannot be written as JSON"))?;
    text.push(b'\n');
    Ok(text)
}

fn value(secret: &v1::Secret) -> Result<&Kind, Failure> {
    secret.value.as_ref().and_then(|value| value.kind.as_ref()).ok_or_else(|| no_value(secret))
}

fn no_value(secret: &v1::Secret) -> Failure {
    Failure::local(format!("the service sent no value of the secret '{}'", secret.name))
}
