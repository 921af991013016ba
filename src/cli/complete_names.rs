//! `strongroom complete-names`, which the completion scripts call: the names of secrets that fit the words typed so far.
//!
//! The command asks the service only where a name of a secret is being typed, and only for names that the caller may list. It is
//! quick, asks no question, and says nothing if something fails: the shell then completes nothing.

use std::time::Duration;

use clap::{Arg, ArgAction, Command, CommandFactory, Parser};
use strongroom_client::v1;

use super::failure::Failure;
use super::{Cli, on_runtime, output};

/// How long a person waits for a completion, at most.
const TIME: Duration = Duration::from_secs(1);
/// How many names are offered, at most.
const MOST: i32 = 500;

/// The commands whose first argument, or each one, is the name of a secret that exists.
const NAMED: [&str; 17] = [
    "ack",
    "delete",
    "destroy",
    "disable",
    "enable",
    "get",
    "policy clear",
    "policy pause",
    "policy resume",
    "policy set",
    "policy show",
    "promote",
    "rename",
    "rotate",
    "set",
    "update",
    "versions",
];

/// The options of the connection that the words can have.
const OF_THE_CONNECTION: [&str; 8] = [
    "server",
    "insecure_plaintext",
    "api_key_file",
    "namespace",
    "ca_cert",
    "client_cert",
    "client_key",
    "context",
];

/// The arguments of `strongroom complete-names`.
#[derive(clap::Args)]
pub(super) struct CompleteNames {
    /// The words behind the name of the program; the last one is being typed
    #[arg(last = true)]
    words: Vec<String>,
}

impl CompleteNames {
    pub(super) fn run(self) {
        let mut program = super::help::arranged(Cli::command());
        program.build();
        let Some(wanted) = wanted(&program, &self.words) else { return };
        // Nobody can be told of a failure here.
        let names = on_runtime(async { Ok(tokio::time::timeout(TIME, names(&wanted)).await) });
        if let Ok(Ok(Ok(names))) = names {
            let lines: String = names.into_iter().map(|name| name + "\n").collect();
            let _ = output::write(lines.as_bytes());
        }
    }
}

/// A name of a secret that is being typed.
#[derive(Debug, PartialEq, Eq)]
struct Wanted {
    /// What the name begins with.
    prefix: String,
    /// The options of the connection that were typed.
    connection: Vec<String>,
}

async fn names(wanted: &Wanted) -> Result<Vec<String>, Failure> {
    let arguments = ["strongroom"].into_iter().chain(wanted.connection.iter().map(String::as_str));
    let parsed = Cli::try_parse_from(arguments.chain(["whoami"]));
    let connection = parsed.map_err(|_| Failure::usage("these options do not fit"))?.connection;
    let client = connection.quick_client(TIME).await?;
    let request = v1::ListSecretsRequest {
        limit: Some(MOST),
        name_prefix: wanted.prefix.clone(),
        ..v1::ListSecretsRequest::default()
    };
    let page = client.secrets().list(request).await?;
    // What reaches the shell is a name and nothing else, whatever the service sends.
    Ok(page.items.into_iter().map(|secret| secret.name).filter(|name| is_name(name)).collect())
}

fn is_name(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// What is being typed, if it is the name of a secret.
fn wanted(program: &Command, words: &[String]) -> Option<Wanted> {
    let (typed, before) = words.split_last()?;
    let (mut command, mut path, mut arguments, mut connection) = (program, Vec::new(), 0, Vec::new());
    let mut before = before.iter();
    while let Some(word) = before.next() {
        if word == "--" {
            return None;
        }
        if word.starts_with('-') && word.len() > 1 {
            let (option, value) = option(command, word)?;
            let value = match (takes_value(option), value) {
                (false, _) => None,
                (true, Some(value)) => Some(value.to_owned()),
                // The word that is being typed is the value.
                (true, None) => Some(before.next()?.clone()),
            };
            if OF_THE_CONNECTION.contains(&option.get_id().as_str()) {
                connection.push(format!("--{}", option.get_long()?));
                connection.extend(value);
            }
            continue;
        }
        match command.find_subcommand(word).filter(|_| arguments == 0) {
            Some(below) => {
                command = below;
                path.push(below.get_name());
            }
            None => arguments += 1,
        }
    }
    let path = path.join(" ");
    let any = path == "get" || arguments == 0;
    // Standard input belongs to the shell.
    let reads_input = connection.iter().any(|word| word == "-");
    let fits = NAMED.contains(&path.as_str()) && any && is_name(typed) && !reads_input;
    fits.then(|| Wanted { prefix: typed.clone(), connection })
}

/// The option that a word names, and its value if the word has one too.
fn option<'a, 'b>(command: &'a Command, word: &'b str) -> Option<(&'a Arg, Option<&'b str>)> {
    let known = || command.get_arguments();
    match word.strip_prefix("--") {
        Some(long) => {
            let (long, value) = match long.split_once('=') {
                Some((long, value)) => (long, Some(value)),
                None => (long, None),
            };
            Some((known().find(|option| option.get_long() == Some(long))?, value))
        }
        None => {
            let mut letters = word.strip_prefix('-')?.chars();
            let letter = letters.next()?;
            let value = Some(letters.as_str()).filter(|value| !value.is_empty());
            Some((known().find(|option| option.get_short() == Some(letter))?, value))
        }
    }
}

fn takes_value(option: &Arg) -> bool {
    matches!(option.get_action(), ArgAction::Set | ArgAction::Append)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program() -> Command {
        let mut program = super::super::help::arranged(Cli::command());
        program.build();
        program
    }

    fn of(line: &str) -> Option<Wanted> {
        let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        wanted(&program(), &words)
    }

    fn begins(prefix: &str, connection: &[&str]) -> Option<Wanted> {
        let connection = connection.iter().map(|word| (*word).to_owned()).collect();
        Some(Wanted { prefix: prefix.to_owned(), connection })
    }

    #[test]
    fn a_name_is_wanted_where_a_secret_is_named() {
        for line in ["get ", "rm ", "-o json get ", "get --version 3 ", "policy set ", "rotate --stage "] {
            assert_eq!(of(line), begins("", &[]), "{line}");
        }
        assert_eq!(of("get a db_"), begins("db_", &[]));
        assert_eq!(of("-n team get db_"), begins("db_", &["--namespace", "team"]));
        assert_eq!(of("get --server=a:1 db_"), begins("db_", &["--server", "a:1"]));
        assert_eq!(of("get -nteam --context c d"), begins("d", &["--namespace", "team", "--context", "c"]));
        for line in [
            "",
            "ge",
            "create ",
            "promote a ",
            "list ",
            "get --",
            "get --version ",
            "get --no-such ",
            "run -- get ",
            "policy ",
            "key rotate ",
            "get --api-key-file - ",
            "get a-b",
        ] {
            assert_eq!(of(line), None, "{line}");
        }
    }

    #[test]
    fn every_command_that_takes_the_name_of_a_secret_is_known() {
        fn find(command: &Command, path: &str, found: &mut Vec<String>) {
            let named = |argument: &Arg| ["name", "names"].contains(&argument.get_id().as_str());
            if command.get_positionals().next().is_some_and(named) {
                found.push(path.trim().to_owned());
            }
            for below in command.get_subcommands() {
                find(below, &format!("{path} {}", below.get_name()), found);
            }
        }
        let mut found = Vec::new();
        find(&program(), "", &mut found);
        // What these name is no secret, or none yet.
        let others =
            ["create", "logout", "key create", "role create", "role delete", "context use", "context remove"];
        found.retain(|path| !others.contains(&path.as_str()));
        found.sort();
        assert_eq!(found, NAMED);
    }
}
