use std::io;
use std::path::PathBuf;

use crate::config::MasterKeySource;
use crate::crypto::aead::Error;

/// Why there is no master key. The message says where the server looked and what to do, and holds nothing that was
/// found there.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// There is no file at the path.
    #[error("{0} is not there: put the key there, or say where else it comes from")]
    Missing(MasterKeySource),
    /// The file cannot be read or written.
    #[error("the master key file {} cannot be used: {}", .0.display(), .1)]
    File(PathBuf, io::Error),
    /// The path is a folder, a pipe or a device.
    #[error("{0} is not a plain file: to read the key from elsewhere, give --master-key-command")]
    NotAFile(MasterKeySource),
    /// Users other than the owner may read or write the file.
    #[error(
        "the master key file {} is open to others (mode {:04o}); make it yours alone: chmod 600 {}",
        .0.display(), .1, .0.display()
    )]
    Permissions(PathBuf, u32),
    /// The file's owner can change it, and is neither the server's user nor root.
    #[error(
        "the master key file {} belongs to another user ({}), who could read and change it: it must belong to the user that \
         the server runs as ({}), or to root", .0.display(), .1, .2
    )]
    Owner(PathBuf, u32, u32),
    /// The file is larger than any list of keys.
    #[error("{0} is larger than 64 KiB: it does not hold master keys")]
    TooLong(MasterKeySource),
    /// The source is empty.
    #[error("{0} is empty: {hint}", hint = expected(.0))]
    Empty(MasterKeySource),
    /// A line is not a key.
    #[error("{0} does not hold a master key in line {1}: {hint}", hint = expected(.0))]
    Malformed(MasterKeySource, usize),
    /// The passphrase is short enough to be guessed.
    #[error(
        "line {1} of {0} is too short for a passphrase: at least 12 bytes are needed, better six random words"
    )]
    ShortPassphrase(MasterKeySource, usize),
    /// The command gave no key.
    #[error("--master-key-command {0}")]
    Command(#[from] CommandError),
    /// The server can renew only a key file that it can write to.
    #[error(
        "{0} cannot be written to by the server: put the new one on its first line, keep the old one on the line behind it, \
         and ask again"
    )]
    NotRenewable(MasterKeySource),
    /// The file cannot be replaced.
    #[error(
        "{source_of} cannot be written to ({error}): put the new one, as `strongroom master-key generate` prints it, on its first \
         line, keep the old one on the line behind it, and ask again"
    )]
    Unwritable {
        /// The source that cannot be written to.
        source_of: MasterKeySource,
        /// The reason.
        error: io::Error,
    },
    /// The cryptography of this machine failed.
    #[error(transparent)]
    Crypto(#[from] Error),
}

/// Why a command gave no key. The message never holds its output.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The shell could not be started.
    #[error("could not be started by sh: {0}")]
    NotStarted(io::Error),
    /// The shell cannot read the command.
    #[error("is not a command that sh can read: look for a quote or a bracket that is not closed")]
    Malformed,
    /// The command reported a failure.
    #[error(
        "failed with {0}: run it by hand as the server's user. What it wrote on standard error is in the server's"
    )]
    Failed(std::process::ExitStatus),
    /// The command did not end in time.
    #[error(
        "took longer than {0} seconds, and was ended: it must print the key and end, without asking anybody"
    )]
    TookTooLong(u64),
    /// The command's output could not be read.
    #[error("could not be read from: {0}")]
    Unreadable(io::Error),
}

fn expected(source: &MasterKeySource) -> &'static str {
    match source {
        MasterKeySource::PassphraseFile(_) => "a passphrase on its first line is expected",
        MasterKeySource::DataDir(_)
        | MasterKeySource::File(_)
        | MasterKeySource::Variable(_)
        | MasterKeySource::Credential(..)
        | MasterKeySource::Command(_) => "lines of srmk_ and 43 characters of base64url are expected",
    }
}
