//! Opens the audit log of the data folder. With `--begin-new-audit-log`, a new log takes the place of one that cannot be used:
//! because its files say so, or because the store does, which [`super::parts`] asks.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::data_dir::DataDir;
use super::error::ServeError;
use crate::app::SetupError;
use crate::config::Config;
use crate::integrity::audit_log::{AuditLog, Expected, LogError, VerifyError, verify};

/// The audit log of the data folder.
pub(super) struct Opened {
    pub(super) log: Arc<AuditLog>,
    /// Whether it takes the place of one that cannot be used, which its first record says.
    pub(super) is_renewed: bool,
}

/// Opens the audit log. A broken one stays as it is, unless the settings ask for a new one in its place.
pub(super) fn open(config: &Config, data: &DataDir) -> Result<Opened, ServeError> {
    let folder = data.audit_log();
    if config.begin_new_audit_log
        && folder.exists()
        && let Some(broken) = broken(&folder)?
    {
        return begin(config, data, &broken);
    }
    match AuditLog::open(&folder, config.audit, None) {
        Ok(log) => Ok(Opened { log: Arc::new(log), is_renewed: false }),
        Err(error) if config.begin_new_audit_log && error.is_broken() => {
            begin(config, data, &error.to_string())
        }
        Err(error) => Err(error.into()),
    }
}

/// Begins a new log in the place of one that the store found not to be the one that it knows. The earlier one signs nothing
/// before the store was asked, so it is kept as it was found.
pub(super) fn begin_in_place_of(
    found: Found,
    earlier: &AuditLog,
    config: &Config,
    data: &DataDir,
) -> Result<Opened, ServeError> {
    earlier.close();
    forget_begun(earlier, data);
    begin(config, data, &found.0)
}

/// What the store found.
pub(super) struct Found(String);

impl Found {
    /// What the store found, where that is why the app did not open.
    pub(super) fn by_store(error: &SetupError) -> Option<Self> {
        match error {
            SetupError::AuditLog(error) if error.is_broken() => Some(Self(error.to_string())),
            SetupError::AuditLogVanished => Some(Self(
                "The store knows an audit log, but the folder was not there, or was that of another log."
                    .to_owned(),
            )),
            _ => None,
        }
    }
}

/// Removes a log that this process has begun in the place of one that has vanished, so that the log can be put back.
pub(super) fn forget_begun(log: &AuditLog, data: &DataDir) {
    if log.is_begun() {
        let _ = fs::remove_dir_all(data.audit_log());
    }
}

/// What is broken in a log, according to its files.
fn broken(folder: &Path) -> Result<Option<String>, ServeError> {
    match verify(folder, &Expected::default()) {
        // Whether a log without its public key or its checkpoint can be used, its start finds out.
        Ok(_) | Err(VerifyError::NoKey(_) | VerifyError::NoCheckpoint(_)) => Ok(None),
        Err(VerifyError::File(path, error)) => {
            let error = LogError::File(path, error);
            if error.is_broken() { Ok(Some(error.to_string())) } else { Err(error.into()) }
        }
        Err(error @ (VerifyError::Broken(_) | VerifyError::Checkpoint(_))) => Ok(Some(error.to_string())),
    }
}

/// Begins a new log, whose first record says what was found. Where there is an earlier one, it is kept beside the new one.
fn begin(config: &Config, data: &DataDir, found: &str) -> Result<Opened, ServeError> {
    let folder = data.audit_log();
    let failed = |error| LogError::File(folder.clone(), error);
    let kept = if folder.exists() { Some(AuditLog::set_aside(&folder).map_err(failed)?) } else { None };
    tracing::warn!(
        kept = kept.map(|kept| kept.display().to_string()),
        "the audit log is broken, and a new one begins because of --begin-new-audit-log: {found}"
    );
    let log = AuditLog::open(&folder, config.audit, Some(found))?;
    Ok(Opened { log: Arc::new(log), is_renewed: true })
}
