use std::io;
use std::path::PathBuf;

use crate::config::MasterKeySource;
use crate::crypto::aead::Error;

/// Why there is no master key. Says where it was looked for, and what to do. Never holds anything that was found there.
#[derive(Debug, thiserror::Error)]
pub enum MasterKeyError {
    /// Nothing is at the path of the file.
    #[error("{0} is not there: put the key there, or say where else it comes from")]
    Missing(MasterKeySource),
    /// The file can not be read or written.
    #[error("the master key file {} can not be used: {}", .0.display(), .1)]
    File(PathBuf, io::Error),
    /// A folder, a pipe or a device.
    #[error("{0} is not a plain file: to read the key from elsewhere, give --master-key-command")]
    NotAFile(MasterKeySource),
    /// Others than the owner may read or write the file.
    #[error(
        "the master key file {} is open to others (mode {:04o}); make it yours alone: chmod 600 {}",
        .0.display(), .1, .0.display()
    )]
    Permissions(PathBuf, u32),
    /// Its owner can change it, and is neither this server's user nor root.
    #[error(
        "the master key file {} belongs to another user ({}), who could read and change it: it has to belong to the user that \
         the server runs as ({}), or to root", .0.display(), .1, .2
    )]
    Owner(PathBuf, u32, u32),
    /// There is more than any list of keys.
    #[error("{0} is larger than 64 KiB: it holds something else than master keys")]
    TooLong(MasterKeySource),
    /// There is no key in it.
    #[error("{0} is empty: {hint}", hint = expected(.0))]
    Empty(MasterKeySource),
    /// A line is something else than a key.
    #[error("{0} does not hold a master key in line {1}: {hint}", hint = expected(.0))]
    Malformed(MasterKeySource, usize),
    /// It could be found by trying.
    #[error(
        "line {1} of {0} is too short for a passphrase: at least 12 bytes are needed, better six random words"
    )]
    ShortPassphrase(MasterKeySource, usize),
    /// The command gave no key.
    #[error("--master-key-command {0}")]
    Command(#[from] CommandError),
    /// Only a file that the server can write to can be renewed by it.
    #[error(
        "{0} can not be written to by the server: put the new one on its first line, keep the old one on the line behind it, \
         and ask again"
    )]
    NotRenewable(MasterKeySource),
    /// The file can not be replaced.
    #[error(
        "{source_of} can not be written to ({error}): put the new one, as `strongroom master-key generate` prints it, on its first \
         line, keep the old one on the line behind it, and ask again"
    )]
    Unwritable {
        /// What can not be written to.
        source_of: MasterKeySource,
        /// Why not.
        error: io::Error,
    },
    /// The cryptography of this machine failed.
    #[error(transparent)]
    Crypto(#[from] Error),
}

/// Why a command gave no key. What it printed is not told.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// There is no shell to run it.
    #[error("could not be started by sh: {0}")]
    NotStarted(io::Error),
    /// It said itself that it failed.
    #[error(
        "failed with {0}: run it by hand as the server's user. What it wrote on standard error is in the server's"
    )]
    Failed(std::process::ExitStatus),
    /// It did not come to an end.
    #[error(
        "took longer than {0} seconds, and was ended: it has to print the key and end, without asking anybody"
    )]
    TookTooLong(u64),
    /// What it printed could not be read.
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
