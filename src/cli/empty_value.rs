//! Options with an empty value, such as `--etag ""` from a variable of a script that is not set. Most of the code behind the
//! options takes an empty text for none, and a guard such as the etag would then be left out without a word.

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

/// The options whose value may be empty, by their ids. An empty description is a description, an empty token means the first page,
/// and `import --rename` without rules has rules of its own.
const MAY_BE_EMPTY: [&str; 3] = ["description", "page_token", "rename"];

/// The first option on the command line whose value is empty and must not be.
pub(super) fn find(program: &Command, matches: &ArgMatches) -> Option<String> {
    let is_empty = |option: &&Arg| {
        let id = option.get_id().as_str();
        let given = matches.value_source(id) == Some(ValueSource::CommandLine);
        let mut values = matches.get_raw(id).into_iter().flatten();
        given && !MAY_BE_EMPTY.contains(&id) && values.any(|value| value.is_empty())
    };
    let options = program.get_arguments().filter(|argument| argument.get_action().takes_values());
    let found = options.filter(|option| option.get_long().is_some()).find(is_empty);
    if let Some(long) = found.and_then(Arg::get_long) {
        return Some(long.to_owned());
    }
    let (name, below) = matches.subcommand()?;
    find(program.find_subcommand(name)?, below)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::{Cli, help};

    fn empty(line: &[&str]) -> Option<String> {
        let mut program = help::arranged(Cli::command());
        let words = ["strongroom"].iter().chain(line);
        let matches = program.try_get_matches_from_mut(words).unwrap();
        find(&program, &matches)
    }

    #[test]
    fn an_empty_value_is_found_in_every_command() {
        for (line, option) in [
            (&["delete", "s", "--etag", ""][..], "etag"),
            (&["update", "s", "--etag=", "--description", "d"], "etag"),
            (&["destroy", "s", "1", "--etag", ""], "etag"),
            (&["policy", "set", "s", "--every", "30d", "--window", ""], "window"),
            (&["key", "create", "k", "--home", "", "--role", "reader"], "home"),
            (&["key", "create", "k", "--role="], "role"),
            (&["key", "create", "k", "--on", ""], "on"),
            (&["binding", "add", "--principal", "p", "--role", "r", "--on", "o", "--name", ""], "name"),
            (&["rotator", "--exec", ""], "exec"),
            (&["export", "--prefix", ""], "prefix"),
            (&["-n", "", "list"], "namespace"),
            (&["list", "-n", ""], "namespace"),
            (&["audit", "list", "--server="], "server"),
        ] {
            assert_eq!(empty(line).as_deref(), Some(option), "{line:?}");
        }
    }

    #[test]
    fn some_options_and_all_arguments_may_be_empty() {
        for line in [
            &["update", "s", "--description", ""][..],
            &["create", "s", "--metadata", "k="],
            &["list", "--page-token", ""],
            &["import", "--rename", "f"],
            &["import", "--rename=", "f"],
            &["run", "--env", "A=a", "--", "program", "--etag", ""],
            &["list"],
        ] {
            assert_eq!(empty(line), None, "{line:?}");
        }
    }

    /// Every option that may be empty is one of some command.
    #[test]
    fn the_options_that_may_be_empty_are_there() {
        fn ids(command: &Command) -> Vec<String> {
            let own = command.get_arguments().map(|argument| argument.get_id().to_string());
            own.chain(command.get_subcommands().flat_map(ids)).collect()
        }
        let all = ids(&Cli::command());
        assert!(MAY_BE_EMPTY.iter().all(|id| all.iter().any(|known| known == id)));
    }
}
