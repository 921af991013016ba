//! `strongroom import` creates secrets from a file.

use std::path::PathBuf;

use serde_json::json;
use strongroom_client::{Error, ErrorReason, Secrets};
use tokio::task::JoinSet;

use super::connect::Connection;
use super::failure::Failure;
use super::file;
use super::output::Output;
use super::progress::Progress;
use super::secrets_file::{self, Format, NewSecret};

/// The beginning of the long help.
pub(super) const ABOUT: &str = "\
Create secrets from a file\n\n\
The formats are 'env', lines of NAME=VALUE, where $NAME in a value is not replaced; 'json', an object of names and \
values, or a list of objects with name, value, description and metadata, as 'export' writes it; and 'vault', the output \
of 'vault kv get -format=json'. In JSON, a binary value is {\"binary\": \"<base64>\"}.\n\n\
The whole file is checked first. If a name or a value is not allowed, nothing is written. A secret that exists already \
is an error unless you give --update or --skip-existing; the other secrets are written nevertheless.";

/// The arguments of `strongroom import`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  strongroom import .env
  strongroom import --update secrets.json
  vault kv get -format=json secret/billing | strongroom import --format vault -")]
pub(super) struct Import {
    /// The file; - is standard input
    file: PathBuf,

    /// The format of the file [default: by the file's name]
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// Give existing secrets the new value, as a new version
    #[arg(long, conflicts_with = "skip_existing")]
    update: bool,

    /// Leave existing secrets as they are
    #[arg(long)]
    skip_existing: bool,
}

/// The treatment of an existing secret.
#[derive(Clone, Copy)]
enum Existing {
    Fail,
    Update,
    Skip,
}

/// The outcome for a secret that did not fail.
enum Done {
    Created,
    Updated,
    Skipped,
}

/// How many requests run at once: enough that the service makes several changes durable together.
const AT_ONCE: usize = 16;

impl Import {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        let unknown = || {
            let name = file::name(&self.file);
            Failure::usage(format!("the format of {name} is unknown: give --format env, json or vault"))
        };
        let format = self.format.or_else(|| Format::of(&self.file)).ok_or_else(unknown)?;
        let secrets = secrets_file::read(&file::read_text(&self.file)?, format, &file::name(&self.file))?;
        let existing = match (self.update, self.skip_existing) {
            (true, _) => Existing::Update,
            (_, true) => Existing::Skip,
            _ => Existing::Fail,
        };
        let client = connection.client().await?.secrets();
        put_all(&client, secrets, existing).await.report(output)
    }
}

#[derive(Default)]
struct Outcomes {
    created: Vec<String>,
    updated: Vec<String>,
    skipped: Vec<String>,
    failed: Vec<(String, Failure)>,
    not_tried: Vec<String>,
}

async fn put_all(client: &Secrets, secrets: Vec<NewSecret>, existing: Existing) -> Outcomes {
    let mut outcomes = Outcomes::default();
    let mut progress = Progress::new("imported", secrets.len());
    let mut waiting = secrets.into_iter();
    let mut under_way = JoinSet::new();
    let mut stopped = false;
    loop {
        // The first request alone shows whether the service can be reached and accepts the key.
        let at_once = if outcomes.is_empty() { 1 } else { AT_ONCE };
        while under_way.len() < at_once && !stopped {
            let Some(secret) = waiting.next() else { break };
            let client = client.clone();
            under_way.spawn(async move {
                let name = secret.name.clone();
                (name, put(&client, secret, existing).await)
            });
        }
        let Some(ended) = under_way.join_next().await else { break };
        progress.advance();
        let Ok((name, done)) = ended else {
            // A task that panicked has lost the name of its secret.
            outcomes.failed.push(("one secret".to_owned(), Failure::local("the outcome is unknown")));
            continue;
        };
        match done {
            Ok(Done::Created) => outcomes.created.push(name),
            Ok(Done::Updated) => outcomes.updated.push(name),
            Ok(Done::Skipped) => outcomes.skipped.push(name),
            Err(error) => {
                let failure = Failure::from(error);
                // If this key is refused or the service is unavailable, the next requests would fail too.
                stopped = stopped || failure.is_of_the_connection();
                outcomes.failed.push((name, failure));
            }
        }
    }
    outcomes.not_tried = waiting.map(|secret| secret.name).collect();
    outcomes.sort();
    outcomes
}

/// Creates one secret; treats an existing one as asked.
async fn put(client: &Secrets, secret: NewSecret, existing: Existing) -> Result<Done, Error> {
    let error = match client.create(secret.create()).await {
        Ok(_) => return Ok(Done::Created),
        Err(error) if error.reason() == Some(ErrorReason::SecretAlreadyExists) => error,
        Err(error) => return Err(error),
    };
    match existing {
        Existing::Fail => Err(error),
        Existing::Skip => Ok(Done::Skipped),
        Existing::Update => client.update(secret.update()).await.map(|_| Done::Updated),
    }
}

impl Outcomes {
    fn is_empty(&self) -> bool {
        self.created.is_empty()
            && self.updated.is_empty()
            && self.skipped.is_empty()
            && self.failed.is_empty()
    }

    fn sort(&mut self) {
        for names in [&mut self.created, &mut self.updated, &mut self.skipped] {
            names.sort();
        }
        self.failed.sort_by(|(a, _), (b, _)| a.cmp(b));
    }

    fn report(self, output: Output) -> Result<(), Failure> {
        let failed_json =
            |(name, failure): &(String, Failure)| json!({ "name": name, "reason": failure.brief() });
        let json = json!({
            "created": self.created,
            "updated": self.updated,
            "skipped": self.skipped,
            "failed": self.failed.iter().map(failed_json).collect::<Vec<_>>(),
            "not_tried": self.not_tried,
        });
        let mut fields = vec![
            ("created", self.created.len().to_string()),
            ("updated", self.updated.len().to_string()),
            ("skipped", self.skipped.len().to_string()),
            ("failed", self.failed.len().to_string()),
        ];
        if !self.not_tried.is_empty() {
            fields.push(("not tried", self.not_tried.len().to_string()));
        }
        output.print(&fields, &json)?;
        let mut fields: Vec<_> =
            self.failed.iter().map(|(name, failure)| (name.clone(), failure.brief())).collect();
        if !self.not_tried.is_empty() {
            fields.push((format!("{} more", self.not_tried.len()), "not tried".to_owned()));
        }
        // The failure that stopped the import decides the exit code, if there is one.
        let worst =
            self.failed.into_iter().map(|(_, failure)| failure).max_by_key(Failure::is_of_the_connection);
        match worst {
            None => Ok(()),
            Some(worst) => Err(worst.with_message("these secrets were not imported", fields)),
        }
    }
}
