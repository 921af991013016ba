//! `strongroom import` creates secrets from files.

use std::path::PathBuf;

use serde_json::json;
use strongroom_client::{Code, Error, ErrorReason, Secrets, v1};
use tokio::task::JoinSet;

use super::connect::Connection;
use super::failure::Failure;
use super::file;
use super::output::Output;
use super::progress::Progress;
use super::renaming::{Renaming, Rule};
use super::secrets_file::{self, Format, NewSecret};

/// The beginning of the long help.
pub(super) const ABOUT: &str = "\
Create secrets from files\n\n\
The formats are 'env', lines of NAME=VALUE, where $NAME in a value is not replaced; 'json', an object of names and \
values, or a list of objects with name, value, description and metadata, as 'export' writes it; and 'vault', the output \
of 'vault kv get -format=json', or a tree of such outputs. In JSON, a binary value is {\"binary\": \"<base64>\"}; numbers, true and \
false become text as they stand.\n\n\
All files are checked first. If a name or a value is not allowed, or two secrets have one name, nothing is written. A secret \
that exists already is an error unless you give --update or --skip-existing; the other secrets are written nevertheless.";

/// The arguments of `strongroom import`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  strongroom import .env
  strongroom import --update secrets.json
  strongroom import --rename application.json
  strongroom import --rename='spring.datasource.*=db_*' application.json
  vault kv get -format=json secret/billing | strongroom import -")]
pub(super) struct Import {
    /// The files; - is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    /// The format of the files [default: by the file's name, or by what it begins with]
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// Give existing secrets the new value, as a new version; nothing is changed where all is equal
    #[arg(long, conflicts_with = "skip_existing")]
    update: bool,

    /// Leave existing secrets as they are
    #[arg(long)]
    skip_existing: bool,

    /// Make names of other names: '-', '.' and '/' become '_'
    ///
    /// With --rename='FROM=TO', a name that matches FROM becomes TO: the '*' in TO is what the '*' in FROM stands for. May be
    /// given several times; the first rule that matches counts.
    #[arg(long, value_name = "FROM=TO", num_args = 0..=1, require_equals = true, default_missing_value = "", value_parser = Rule::parse)]
    rename: Vec<Rule>,
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
    Unchanged,
    Skipped,
}

/// How many requests run at once: enough that the service makes several changes durable together.
const AT_ONCE: usize = 16;

impl Import {
    pub(super) async fn run(self, connection: &Connection, output: Output) -> Result<(), Failure> {
        if self.files.iter().filter(|file| file::is_standard(file)).count() > 1 {
            return Err(Failure::usage("standard input can be read only once: give - once"));
        }
        let mut files = Vec::with_capacity(self.files.len());
        for path in &self.files {
            let (text, name) = (file::read_text(path)?, file::name(path));
            let format = self.format.or_else(|| Format::of(path, &text)).ok_or_else(|| {
                Failure::usage(format!("the format of {name} is unknown: give --format env, json or vault"))
            })?;
            files.push(secrets_file::File { text, format, name });
        }
        let secrets = secrets_file::read(&files, &Renaming::new(self.rename))?;
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
    unchanged: Vec<String>,
    skipped: Vec<String>,
    /// Those that exist already, where that is a failure.
    taken: Vec<(String, Failure)>,
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
            Ok(Done::Unchanged) => outcomes.unchanged.push(name),
            Ok(Done::Skipped) => outcomes.skipped.push(name),
            Err(error) if error.reason() == Some(ErrorReason::SecretAlreadyExists) => {
                outcomes.taken.push((name, Failure::from(error)));
            }
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
        Existing::Update => {
            let present = present(client, &secret.name).await?;
            match secret.update(present.as_ref()) {
                None => Ok(Done::Unchanged),
                Some(update) => client.update(update).await.map(|_| Done::Updated),
            }
        }
    }
}

/// The secret as it is. `None` if it cannot be read: then nothing is known to be equal.
async fn present(client: &Secrets, name: &str) -> Result<Option<v1::Secret>, Error> {
    match client.get(name).await {
        Ok(reply) => Ok(reply.secret),
        Err(error)
            if matches!(
                error.code(),
                Code::PermissionDenied | Code::FailedPrecondition | Code::NotFound | Code::DataLoss
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

impl Outcomes {
    fn is_empty(&self) -> bool {
        self.created.is_empty()
            && self.updated.is_empty()
            && self.unchanged.is_empty()
            && self.skipped.is_empty()
            && self.taken.is_empty()
            && self.failed.is_empty()
    }

    fn sort(&mut self) {
        for names in [&mut self.created, &mut self.updated, &mut self.unchanged, &mut self.skipped] {
            names.sort();
        }
        self.taken.sort_by(|(a, _), (b, _)| a.cmp(b));
        self.failed.sort_by(|(a, _), (b, _)| a.cmp(b));
    }

    fn report(self, output: Output) -> Result<(), Failure> {
        let failed_json =
            |(name, failure): &(String, Failure)| json!({ "name": name, "reason": failure.brief() });
        let json = json!({
            "created": self.created,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "skipped": self.skipped,
            "failed": self.taken.iter().chain(&self.failed).map(failed_json).collect::<Vec<_>>(),
            "not_tried": self.not_tried,
        });
        let mut fields = vec![
            ("created", self.created.len().to_string()),
            ("updated", self.updated.len().to_string()),
            ("unchanged", self.unchanged.len().to_string()),
            ("skipped", self.skipped.len().to_string()),
            ("failed", (self.taken.len() + self.failed.len()).to_string()),
        ];
        if !self.not_tried.is_empty() {
            fields.push(("not tried", self.not_tried.len().to_string()));
        }
        output.print(&fields, &json)?;
        let mut fields = Vec::new();
        if !self.taken.is_empty() {
            fields.push((some_of(&self.taken), EXISTING.to_owned()));
        }
        fields.extend(self.failed.iter().map(|(name, failure)| (name.clone(), failure.brief())));
        if !self.not_tried.is_empty() {
            fields.push((format!("{} more", self.not_tried.len()), "not tried".to_owned()));
        }
        // The failure that stopped the import decides the exit code, if there is one.
        let worst = self
            .taken
            .into_iter()
            .chain(self.failed)
            .map(|(_, failure)| failure)
            .max_by_key(Failure::is_of_the_connection);
        match worst {
            None => Ok(()),
            Some(worst) => Err(worst.with_message("these secrets were not imported", fields)),
        }
    }
}

/// What can be done about secrets that exist already.
const EXISTING: &str =
    "exist already: give --update to give them the new values, or --skip-existing to leave them as they are";

/// Some names, and how many there are.
fn some_of(secrets: &[(String, Failure)]) -> String {
    const SHOWN: usize = 3;
    let mut names: Vec<_> = secrets.iter().take(SHOWN).map(|(name, _)| name.clone()).collect();
    let others = secrets.len().saturating_sub(SHOWN);
    if others > 0 {
        names.push(format!("{others} more"));
    }
    names.join(", ")
}
