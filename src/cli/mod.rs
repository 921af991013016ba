//! The command line. `serve` runs the service; every other command is a client of it.
//!
//! Each command has a file or a folder of its own name. The other files hold what several commands share. A value is
//! never taken from an argument and never printed in an error.

mod ack;
mod audit;
mod backup;
mod binding;
mod columns;
mod complete_names;
mod completions;
mod confirm;
mod connect;
mod context;
mod contexts;
mod create;
mod credential_text;
mod delete;
mod destroy;
mod disable;
mod document;
mod dotenv;
mod dry_run;
mod empty_value;
mod enable;
mod explain;
mod export;
mod failure;
mod file;
mod generator;
mod get;
mod help;
mod import;
mod inject;
mod key;
mod key_file;
mod list;
mod login;
mod logout;
mod man_pages;
mod master_key;
mod metadata;
mod moment;
mod namespace;
mod namespace_key;
mod new_value;
mod object;
mod opening;
mod outage;
mod output;
mod policy;
mod progress;
mod promote;
mod prompt;
mod receipt;
mod rename;
mod renaming;
mod restore;
mod right;
mod role;
mod rotate;
mod rotator;
mod run;
mod secret;
mod secrets_file;
mod serve;
mod set;
mod status;
mod strict_json;
mod suggest;
mod undelete;
mod update;
mod version;
mod versions;
mod waiting;
mod watch;
mod whoami;

use std::pin::Pin;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use self::connect::Connection;
use self::failure::Failure;
use self::output::{Output, Target};
use crate::process;

const AFTER_HELP: &str = "\
Exit codes: 0 success, 1 the service refused, 2 wrong usage, 69 the service cannot be reached, 77 denied.

No command takes a value as an argument, because every user of the machine could read it there. A \
value comes from a file, from standard input, or from a hidden prompt.";

/// Keeps API keys, passwords and tokens for other services.
#[derive(Parser)]
#[command(name = "strongroom", version, max_term_width = 110, after_help = AFTER_HELP)]
struct Cli {
    #[command(flatten)]
    connection: Connection,

    /// Print a table or JSON [default: a table on a terminal, JSON elsewhere]
    #[arg(short, long, global = true, value_name = "FORM", value_parser = Target::form())]
    output: Option<Target>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the service
    Serve(Box<serve::Serve>),
    /// Create a secret
    Create(create::Create),
    /// Give a secret a value: create it, or rotate it if it exists
    #[command(visible_alias = "put")]
    Set(set::Set),
    /// Show a secret, or several, with their values
    Get(get::Get),
    /// List secrets without their values
    #[command(visible_alias = "ls")]
    List(list::List),
    /// List namespaces
    #[command(subcommand)]
    Namespace(namespace::Namespace),
    /// Change a secret; fields that you do not name stay as they are
    Update(update::Update),
    /// Rename a secret
    Rename(rename::Rename),
    /// Delete a secret and all its versions; 'undelete' can bring it back for some days
    #[command(visible_alias = "rm")]
    Delete(delete::Delete),
    /// Bring a deleted secret back
    Undelete(undelete::Undelete),
    /// Give a secret a new value in one step, or stage one
    Rotate(rotate::Rotate),
    /// Make a pending version, or an older one, the current version
    Promote(promote::Promote),
    /// List the versions of a secret, and who uses them
    #[command(alias = "history")]
    Versions(versions::Versions),
    /// Disable a version so that its value cannot be read
    Disable(disable::Disable),
    /// Enable a disabled version so that its value can be read again
    Enable(enable::Enable),
    /// Destroy a version of a secret permanently
    #[command(long_about = destroy::ABOUT)]
    Destroy(destroy::Destroy),
    /// Note that a consumer uses a version
    Ack(ack::Ack),
    /// Say when and how a secret is rotated
    #[command(subcommand, long_about = policy::ABOUT)]
    Policy(policy::Policy),
    /// Make the rotations that are due, each with a command
    #[command(long_about = rotator::ABOUT)]
    Rotator(Box<rotator::Rotator>),
    /// Show the changes of secrets as they are made
    #[command(long_about = watch::ABOUT)]
    Watch(watch::Watch),
    /// Check the receipts of destroyed versions
    #[command(subcommand)]
    Receipt(receipt::Receipt),
    /// Run a command with secrets in its environment
    #[command(long_about = run::ABOUT)]
    Run(run::Run),
    /// Replace the references in a document by the values of secrets
    #[command(long_about = inject::ABOUT)]
    Inject(inject::Inject),
    /// Create secrets from files
    #[command(long_about = import::ABOUT)]
    Import(import::Import),
    /// Write secrets with their values, unencrypted
    #[command(long_about = export::ABOUT)]
    Export(export::Export),
    /// Back up everything while the service runs
    #[command(long_about = backup::ABOUT)]
    Backup(backup::Backup),
    /// Replace everything in the service by a backup
    #[command(long_about = restore::ABOUT)]
    Restore(restore::Restore),
    /// Create, list, rotate, revoke and recover API keys
    #[command(subcommand)]
    Key(key::Key),
    /// Read and verify the audit log
    #[command(subcommand, long_about = audit::ABOUT)]
    Audit(audit::Audit),
    /// Create, list and delete roles
    #[command(subcommand, long_about = role::ABOUT)]
    Role(role::Role),
    /// Give rights to principals, or deny them
    #[command(subcommand, long_about = binding::ABOUT)]
    Binding(binding::Binding),
    /// Say whether a principal has a right, and why
    #[command(long_about = explain::ABOUT)]
    Explain(explain::Explain),
    /// Generate, rotate and inspect master keys
    #[command(subcommand, long_about = master_key::ABOUT)]
    MasterKey(master_key::MasterKey),
    /// Rotate the keys of namespaces
    #[command(subcommand, long_about = namespace_key::ABOUT)]
    NamespaceKey(namespace_key::NamespaceKey),
    /// Log in once: keep the address and the API key in a context
    #[command(long_about = login::ABOUT)]
    Login(login::Login),
    /// Remove a context with its API key
    Logout(logout::Logout),
    /// List, choose and remove contexts
    #[command(subcommand, long_about = context::ABOUT)]
    Context(context::Context),
    /// Show your identity, your groups and your rights
    #[command(after_help = whoami::EXAMPLES)]
    Whoami,
    /// Show the state of the service
    Status(status::StatusArguments),
    /// Print the completion script for a shell
    Completions(completions::Completions),
    /// Print the names of secrets that fit the words typed so far, for the completion scripts
    #[command(hide = true)]
    CompleteNames(complete_names::CompleteNames),
    /// Print the version, as --version does
    #[command(hide = true)]
    Version,
    /// Write the manual pages into a folder
    #[command(hide = true)]
    ManPages(man_pages::ManPages),
}

/// Runs the command that the process's arguments name.
pub fn main() -> ExitCode {
    // Clients hold values too, for a moment. Where the system refuses a protection, they run without it.
    let _ = process::hide_memory();
    let mut program = help::arranged(Cli::command());
    let cli = program.try_get_matches_from_mut(std::env::args_os()).and_then(|mut matches| {
        let empty = empty_value::find(&program, &matches);
        Ok((Cli::from_arg_matches_mut(&mut matches)?, empty))
    });
    let (cli, empty) = match cli {
        Ok(parsed) => parsed,
        Err(said) => {
            let takes_value =
                |argument: std::ffi::OsString| TAKING_VALUES.iter().any(|command| argument == *command);
            let said = help::plainly(
                said,
                program,
                std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()),
            );
            return failure::report_arguments(&said, std::env::args_os().any(takes_value));
        }
    };
    let as_json = matches!(cli.output, Some(Target::Form(Output::Json)));
    let empty =
        empty.map(|option| Failure::usage(format!("--{option} needs a value: the one given is empty")));
    match empty.map_or_else(|| run(cli), Err) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(as_json),
    }
}

/// The commands that people may try to give a value as an argument.
const TAKING_VALUES: [&str; 5] = ["create", "put", "rotate", "set", "update"];

fn run(cli: Cli) -> Result<(), Failure> {
    let Cli { connection, output, command } = cli;
    let output = Output::or_default(match output {
        Some(Target::Form(form)) => Some(form),
        Some(Target::File(_)) | None => None,
    });
    let done = dispatch(command, &connection, output);
    done.map_err(|failure| suggest::another_name(&connection, failure))
}

fn dispatch(command: Command, connection: &Connection, output: Output) -> Result<(), Failure> {
    match command {
        Command::Serve(command) => command.run(),
        Command::Create(command) => answered(connection, command.run(connection, output)),
        Command::Set(command) => answered(connection, command.run(connection, output)),
        Command::Get(command) => answered(connection, command.run(connection, output)),
        Command::List(command) => answered(connection, command.run(connection, output)),
        Command::Namespace(command) => answered(connection, command.run(connection, output)),
        Command::Update(command) => answered(connection, command.run(connection, output)),
        Command::Rename(command) => answered(connection, command.run(connection, output)),
        Command::Delete(command) => answered(connection, command.run(connection, output)),
        Command::Undelete(command) => answered(connection, command.run(connection, output)),
        Command::Rotate(command) => answered(connection, command.run(connection, output)),
        Command::Promote(command) => answered(connection, command.run(connection, output)),
        Command::Ack(command) => answered(connection, command.run(connection, output)),
        Command::Policy(command) => answered(connection, command.run(connection, output)),
        Command::Rotator(command) => command.run(connection, output),
        Command::Watch(command) => on_runtime(command.run(connection, output)),
        Command::Versions(command) => answered(connection, command.run(connection, output)),
        Command::Disable(command) => answered(connection, command.run(connection, output)),
        Command::Enable(command) => answered(connection, command.run(connection, output)),
        Command::Destroy(command) => answered(connection, command.run(connection, output)),
        Command::Receipt(command) => command.run(output),
        Command::Run(command) => Err(command.run(connection)),
        Command::Inject(command) => answered(connection, command.run(connection)),
        Command::Import(command) => answered(connection, command.run(connection, output)),
        Command::Export(command) => answered(connection, command.run(connection)),
        Command::Backup(command) => on_runtime(command.run(connection, output)),
        Command::Restore(command) => on_runtime(command.run(connection, output)),
        Command::Audit(command) => command.run(connection, output),
        Command::Key(command) => command.run(connection, output),
        Command::Role(command) => answered(connection, command.run(connection, output)),
        Command::Binding(command) => answered(connection, command.run(connection, output)),
        Command::Explain(command) => answered(connection, command.run(connection, output)),
        Command::MasterKey(command) => on_runtime(command.run(connection, output)),
        Command::NamespaceKey(command) => on_runtime(command.run(connection, output)),
        Command::Login(command) => answered(connection, command.run(connection, output)),
        Command::Logout(command) => command.run(connection, output),
        Command::Context(command) => command.run(connection, output),
        Command::Whoami => answered(connection, whoami::run(connection, output)),
        Command::Status(status) => on_runtime(status.run(connection, output)),
        Command::Completions(command) => command.run(),
        Command::CompleteNames(command) => {
            command.run();
            Ok(())
        }
        Command::Version => output::write(Cli::command().render_version().as_bytes()),
        Command::ManPages(command) => command.run(),
    }
}

/// Runs a command on this thread, and says meanwhile if the service does not answer.
fn answered<T>(
    connection: &Connection,
    command: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    // In a box: the loop around it is compiled once, and not for each command.
    on_runtime(waiting::told(connection, Box::pin(command) as Running<'_, T>))
}

/// A command that runs.
type Running<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + 'a>>;

/// Runs a command on this thread.
fn on_runtime<T>(command: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let command: Running<'_, T> = Box::pin(command);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::local(format!("the runtime cannot start: {error}")))?.block_on(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
        help::arranged(Cli::command()).debug_assert();
    }
}
