//! How the help is arranged: the commands in groups, and the options of the connection once and not with every command.

use clap::builder::StyledStr;
use clap::{Arg, Command};

/// The groups of the commands, in the order of the help.
const GROUPS: [(&str, &[&str]); 6] = [
    ("Secrets", &["create", "set", "get", "list", "update", "rename", "delete", "undelete"]),
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
        program = program.mut_subcommand(name, |command| with_hidden(command, &hidden));
    }
    program.help_template(format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{groups}Options:\n{{options}}{{after-help}}"
    ))
}

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
        let mut there: Vec<_> = program.get_subcommands().map(Command::get_name).collect();
        grouped.sort_unstable();
        there.sort_unstable();
        assert_eq!(grouped, there);
    }

    #[test]
    fn every_command_has_an_example() {
        fn check(command: &Command, path: &str) {
            let below: Vec<_> =
                command.get_subcommands().filter(|below| below.get_name() != "help").collect();
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

    #[test]
    fn the_options_of_the_connection_are_in_the_help_of_the_program_alone() {
        let mut program = arranged(Cli::command());
        program.build();
        assert!(program.render_long_help().to_string().contains("--server"));
        let get = program.find_subcommand_mut("get").unwrap();
        let help = get.render_long_help().to_string();
        assert!(!help.contains("--server") && help.contains("--namespace"), "{help}");
    }
}
