//! How the help is arranged: the commands in groups, and the options of the connection once and not with every command.

use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue};
use clap::{Arg, Command, Error};

/// The groups of the commands, in the order of the help.
const GROUPS: [(&str, &[&str]); 6] = [
    ("Secrets", &["create", "set", "get", "list", "namespace", "update", "rename", "delete", "undelete"]),
    (
        "Versions and rotation",
        &[
            "rotate", "promote", "versions", "disable", "enable", "destroy", "ack", "policy", "rotator",
            "watch", "receipt",
        ],
    ),
    ("Programs and files", &["run", "inject", "import", "export"]),
    ("Access", &["login", "logout", "context", "whoami", "key", "role", "binding", "explain", "audit"]),
    ("The service", &["serve", "status", "backup", "restore", "master-key", "namespace-key"]),
    ("Other", &["completions", "help"]),
];

/// The options of the connection that the help of a command leaves out. They are in the help of the program.
const OF_THE_CONNECTION: [&str; 7] =
    ["server", "insecure_plaintext", "api_key_file", "ca_cert", "client_cert", "client_key", "context"];

/// The commands of the program with their help arranged. Nothing of them is built yet: clap finds no argument that is changed
/// after that.
pub(super) fn arranged(mut program: Command) -> Command {
    let groups = groups(&program);
    let of_the_connection = |argument: &&Arg| OF_THE_CONNECTION.contains(&argument.get_id().as_str());
    let hidden: Vec<_> = program
        .get_arguments()
        .filter(of_the_connection)
        .map(|argument| argument.clone().hide(true))
        .collect();
    let names: Vec<_> = program.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    // `login` keeps these options.
    for name in names.into_iter().filter(|name| name != "login") {
        let mut hidden = hidden.clone();
        for (id, without) in [("namespace", &WITHOUT_NAMESPACE[..]), ("output", &WITHOUT_OUTPUT)] {
            let global = program.get_arguments().find(|argument| argument.get_id() == id);
            hidden.extend(
                global.filter(|_| without.contains(&name.as_str())).map(|global| global.clone().hide(true)),
            );
        }
        program = program.mut_subcommand(name, |command| with_hidden(command, &hidden));
    }
    program.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{groups}Options:\n{{options}}{{after-help}}"
    ))
}

/// The commands in which a namespace means nothing, and all below them.
const WITHOUT_NAMESPACE: [&str; 15] = [
    "serve",
    "audit",
    "status",
    "backup",
    "restore",
    "receipt",
    "role",
    "binding",
    "explain",
    "master-key",
    "logout",
    "context",
    "completions",
    "namespace",
    "whoami",
];
/// The commands that print nothing in a form of its own.
const WITHOUT_OUTPUT: [&str; 3] = ["serve", "completions", "run"];

/// What the parser of the arguments says, without what leads astray: a usage line that shows options as if they were required since
/// they were given, and a tip that is far from what was typed.
pub(super) fn plainly(mut said: Error, mut program: Command, words: impl Iterator<Item = String>) -> Error {
    if said.get(ContextKind::Usage).is_some() {
        program.build();
        let usage = usage(&mut program, &words.collect::<Vec<_>>());
        said.insert(ContextKind::Usage, ContextValue::StyledStr(usage));
    }
    let text = |kind| match said.get(kind) {
        Some(ContextValue::String(text)) => Some(text.trim_start_matches('-').to_owned()),
        _ => None,
    };
    if let (Some(typed), Some(tip)) = (text(ContextKind::InvalidArg), text(ContextKind::SuggestedArg)) {
        let similar = tip.starts_with(&typed) || strsim::normalized_levenshtein(&typed, &tip) >= SIMILAR;
        if !similar {
            said.remove(ContextKind::SuggestedArg);
        }
    }
    said
}

/// The usage line of the command that these words name.
fn usage(command: &mut Command, words: &[String]) -> StyledStr {
    // Words that name no command are options and their values.
    for (at, word) in words.iter().enumerate() {
        if command.find_subcommand(word).is_some()
            && let Some(below) = command.find_subcommand_mut(word)
        {
            return usage(below, words.get(at + 1..).unwrap_or_default());
        }
    }
    command.render_usage()
}

/// How similar an option must be to what was typed, from 0 to 1.
const SIMILAR: f64 = 0.7;

/// The command, and all below it, with options of its own in place of the global ones.
fn with_hidden(mut command: Command, hidden: &[Arg]) -> Command {
    let names: Vec<_> = command.get_subcommands().map(|below| below.get_name().to_owned()).collect();
    for name in names {
        command = command.mut_subcommand(name, |below| with_hidden(below, hidden));
    }
    // `serve` has an option of its own with the name of a global one.
    let is_free = |argument: &&Arg| command.get_arguments().all(|there| there.get_id() != argument.get_id());
    let added: Vec<_> = hidden.iter().filter(is_free).cloned().collect();
    command.args(added)
}

/// The commands in their groups, each with a line about it.
fn groups(program: &Command) -> String {
    let mut text = String::new();
    for (title, names) in GROUPS {
        text.push_str(&format!("{title}:\n"));
        for name in names {
            let command = program.find_subcommand(name);
            let about = command.and_then(Command::get_about).map(StyledStr::to_string);
            // clap adds this command later.
            let about = about.unwrap_or_else(|| "Show the help of a command".to_owned());
            let aliases: Vec<_> = command.into_iter().flat_map(Command::get_visible_aliases).collect();
            let aliases =
                if aliases.is_empty() { String::new() } else { format!(" [also: {}]", aliases.join(", ")) };
            text.push_str(&format!("  {name:14} {about}{aliases}\n"));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::CommandFactory;

    #[test]
    fn every_command_is_in_one_group() {
        let mut program = arranged(Cli::command());
        program.build();
        let mut grouped: Vec<_> = GROUPS.iter().flat_map(|(_, names)| *names).copied().collect();
        let mut there: Vec<_> = program
            .get_subcommands()
            .filter(|command| !command.is_hide_set())
            .map(Command::get_name)
            .collect();
        grouped.sort_unstable();
        there.sort_unstable();
        assert_eq!(grouped, there);
    }

    #[test]
    fn every_command_has_an_example() {
        fn check(command: &Command, path: &str) {
            let below: Vec<_> = command
                .get_subcommands()
                .filter(|below| below.get_name() != "help" && !below.is_hide_set())
                .collect();
            if below.is_empty() && command.get_name() != "help" {
                let end = command.get_after_help().map(StyledStr::to_string).unwrap_or_default();
                assert!(end.contains("Example"), "{path} has no example");
            }
            below.iter().for_each(|below| check(below, &format!("{path} {}", below.get_name())));
        }
        let mut program = arranged(Cli::command());
        program.build();
        check(&program, "strongroom");
    }

    /// clap breaks a paragraph where the terminal ends. A line break of its own would break it twice.
    #[test]
    fn no_paragraph_of_the_help_has_a_line_break_of_its_own() {
        fn check(command: &Command, path: &str) {
            let of_arguments =
                command.get_arguments().flat_map(|argument| [argument.get_help(), argument.get_long_help()]);
            let own = [
                command.get_about(),
                command.get_long_about(),
                command.get_after_help(),
                command.get_after_long_help(),
            ];
            for text in of_arguments.chain(own).flatten().map(StyledStr::to_string) {
                let lines: Vec<_> = text.lines().collect();
                for pair in lines.windows(2) {
                    let [one, next] = pair else { continue };
                    let is_prose = |line: &str| !line.is_empty() && !line.starts_with(' ');
                    assert!(!is_prose(one) || !is_prose(next), "{path}: {one}\n{next}");
                }
            }
            let below = command.get_subcommands();
            below.for_each(|below| check(below, &format!("{path} {}", below.get_name())));
        }
        let mut program = arranged(Cli::command());
        program.build();
        check(&program, "strongroom");
    }

    #[test]
    fn the_options_of_the_connection_are_in_the_help_of_the_program_alone() {
        let mut program = arranged(Cli::command());
        program.build();
        assert!(program.render_long_help().to_string().contains("--server"));
        let get = program.find_subcommand_mut("get").unwrap();
        let help = get.render_long_help().to_string();
        assert!(!help.contains("--server") && help.contains("--namespace"), "{help}");
        for (name, namespace, output) in
            [("serve", false, false), ("audit", false, true), ("watch", true, true)]
        {
            let help = program.find_subcommand_mut(name).unwrap().render_long_help().to_string();
            assert_eq!(
                (help.contains("--namespace"), help.contains("--output")),
                (namespace, output),
                "{name}: {help}"
            );
        }
    }

    /// What is said of these arguments.
    fn said(arguments: &[&str]) -> String {
        let mut program = arranged(Cli::command());
        let words = || arguments.iter().map(|word| (*word).to_owned());
        let said = program.try_get_matches_from_mut(["strongroom".to_owned()].into_iter().chain(words()));
        plainly(said.unwrap_err(), program, words()).to_string()
    }

    #[test]
    fn a_usage_line_shows_options_as_such_and_a_tip_is_near_to_what_was_typed() {
        let usage = |text: &str| text.lines().find(|line| line.starts_with("Usage")).unwrap().to_owned();
        let text = said(&["create", "a", "--binary"]);
        assert_eq!(usage(&text), "Usage: strongroom create [OPTIONS] <NAME>");
        let text = said(&["key", "create", "x", "--read-only"]);
        assert_eq!(usage(&text), "Usage: strongroom key create [OPTIONS] <NAME>");
        assert!(!text.contains("tip"), "{text}");
        for (arguments, meant) in [
            (&["key", "create", "x", "--key-onyl"][..], "'--key-only'"),
            (&["create", "x", "--expires"], "'--expires-at'"),
        ] {
            let text = said(arguments);
            assert!(text.contains(meant), "{text}");
        }
    }
}
