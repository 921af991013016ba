//! The connection to etcd. Every call has a time limit. It goes to one member, and to the next one where that
//! member fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{OnceLock, PoisonError, RwLock};
use std::time::Duration;

use etcd_client::{
    Certificate, Client, ConnectOptions, Identity, KvClient, ResponseHeader, StatusResponse, TlsOptions, Txn,
    TxnOp, TxnResponse, WatchClient, WatchOptions, WatchStream,
};
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep_until, timeout_at};
use zeroize::Zeroizing;

use super::failure::{CallFailure, cause_of};
use crate::config::{Etcd, Tls};
use crate::store::{MAX_RECORD, Unavailable, UnavailableCause};

/// The time limit of a call in all.
const BOUND: Duration = Duration::from_secs(4);
/// The time limit of one member for a call that another member could answer too.
const PATIENCE: Duration = Duration::from_millis(1500);
/// The keepalive interval. etcd refuses clients that ping more often than every 5 s.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(6), Duration::from_secs(3));
/// The largest number of records in one answer: 10 MiB of the largest records, which a slow network also delivers
/// in time.
pub(super) const MAX_PAGE: usize = 128;
/// The largest message accepted from etcd: a page of the largest records, with their keys.
const MAX_MESSAGE: usize = MAX_PAGE * (MAX_RECORD + 1024);

/// The members of etcd that this store knows of.
pub(super) struct Cluster {
    members: Vec<Member>,
    /// The index of the member in use.
    asked: watch::Sender<usize>,
    /// The id of the cluster, and the first member that told it.
    id: OnceLock<(u64, String)>,
    settings: Etcd,
}

struct Member {
    url: String,
    connection: RwLock<Connection>,
    /// Whether it has told that it is of the cluster. Nothing is sent to it before.
    belongs: AtomicBool,
    /// How often this client has logged in to the member. One caller logs in for all.
    logins: AtomicU64,
    logging_in: Mutex<()>,
}

/// A connection to a member, with the certificates that were read for it.
#[derive(Clone)]
struct Connection {
    client: Client,
    kv: KvClient,
    watch: WatchClient,
}

/// Whether a request may be sent again when its outcome is not known.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Resend {
    /// Always: sending it twice has the effect of sending it once.
    Freely,
    /// Only where it was certainly not sent.
    IfUnsent,
}

impl Cluster {
    /// Prepares the connection. Nothing is sent to etcd yet.
    pub(super) async fn new(settings: &Etcd) -> Result<Self, Unavailable> {
        if settings.user.is_some() {
            password(settings)?;
        }
        let mut members = Vec::new();
        for url in &settings.endpoints {
            members.push(Member::new(url, settings).await?);
        }
        Ok(Self { members, asked: watch::Sender::new(0), id: OnceLock::new(), settings: settings.clone() })
    }

    /// Waits until a member answers a read, whatever it answers, and tells `away` each time that no member does.
    pub(super) async fn wait_until_reached(&self, read: &[u8], away: impl Fn(&Unavailable)) {
        loop {
            let until = Instant::now() + BOUND;
            for _ in &self.members {
                let Ok((at, member)) = self.asked() else { return }; // sending says what is wrong
                let read = Txn::new().and_then([TxnOp::get(read, None)]);
                let patience = if self.members.len() == 1 { until } else { Instant::now() + PATIENCE };
                let failure = match timeout_at(patience, member.connection().kv.txn(read)).await {
                    Ok(Ok(_)) => return,
                    Ok(Err(error)) => CallFailure::of(error),
                    Err(_elapsed) => CallFailure::Silent,
                };
                if !failure.is_the_members() {
                    return;
                }
                self.leave(at);
                if self.is_last(at) {
                    away(&failure.of_member(&member.url));
                }
            }
            sleep_until(until).await;
        }
    }

    fn is_last(&self, member: usize) -> bool {
        member + 1 == self.members.len()
    }

    /// Sends a transaction, within the time limit of all calls or until `until`, whichever is sooner.
    pub(super) async fn send(
        &self,
        txn: Txn,
        resend: Resend,
        until: Option<Instant>,
    ) -> Result<TxnResponse, Unavailable> {
        let bound = Instant::now() + BOUND;
        let until = until.map_or(bound, |until| until.min(bound));
        let mut left = self.members.len().max(2); // a connection that has just broken is replaced by the second attempt
        let mut logged_in = false;
        loop {
            let (at, member) = self.asked()?;
            let seen = member.logins.load(Ordering::SeqCst);
            let patient = self.members.len() == 1 || resend == Resend::IfUnsent;
            let patience = if patient { until } else { until.min(Instant::now() + PATIENCE) };
            let failure = match self.confirm(member, patience).await {
                Ok(()) => match self.transact(member, txn.clone(), patience).await {
                    Ok(response) => return Ok(response),
                    Err(failure) => failure,
                },
                Err(not_sent) => not_sent,
            };
            if matches!(failure, CallFailure::LoggedOut) && !logged_in {
                logged_in = true;
                self.log_in(member, seen, until).await?;
                continue;
            }
            left -= 1;
            if failure.is_the_members() {
                self.leave(at);
            }
            let again = match failure {
                CallFailure::Unsent(_) | CallFailure::Stranger(_) => true,
                CallFailure::Silent | CallFailure::Broken(_) => resend == Resend::Freely,
                CallFailure::LoggedOut
                | CallFailure::Full
                | CallFailure::Denied(_)
                | CallFailure::Told(_)
                | CallFailure::Refused(_) => false,
            };
            if !again || left == 0 || Instant::now() >= until {
                return Err(failure.of_member(&member.url));
            }
        }
    }

    async fn transact(&self, member: &Member, txn: Txn, until: Instant) -> Result<TxnResponse, CallFailure> {
        let mut kv = member.connection().kv;
        let response = match timeout_at(until, kv.txn(txn)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(CallFailure::of(error)),
            Err(_elapsed) => return Err(CallFailure::Silent),
        };
        // The address can have become that of another cluster since.
        self.compare(member, response.header()).map(|()| response)
    }

    /// Fails where the member is not of the cluster, or cannot tell now. It is asked once.
    async fn confirm(&self, member: &Member, until: Instant) -> Result<(), CallFailure> {
        if member.belongs.load(Ordering::SeqCst) {
            return Ok(());
        }
        let until = until.min(Instant::now() + PATIENCE);
        match self.status(member, until).await {
            Ok(status) if is_too_old(status.version()) => {
                let version: String = status.version().chars().take(20).collect();
                return Err(CallFailure::Stranger(format!(
                    "etcd at {} has the version {version}, and this release needs 3.4 or later: upgrade etcd",
                    member.url
                )));
            }
            Ok(status) => self.compare(member, status.header())?,
            // It may not be asked. Then its first answer tells.
            Err(CallFailure::Denied(_) | CallFailure::Refused(_) | CallFailure::Full) => {}
            Err(CallFailure::Silent) => return Err(CallFailure::Unsent("it does not answer".into())),
            Err(CallFailure::Broken(why)) => return Err(CallFailure::Unsent(why)),
            Err(failure) => return Err(failure),
        }
        member.belongs.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Takes a member for one of the cluster that it has told nothing about.
    #[cfg(test)]
    pub(super) fn take_for_known(&self, member: usize) {
        self.members[member].belongs.store(true, Ordering::SeqCst);
    }

    /// Fails where a response of a member comes from another cluster than those before it.
    fn compare(&self, member: &Member, header: Option<&ResponseHeader>) -> Result<(), CallFailure> {
        let Some(found) = header.map(ResponseHeader::cluster_id) else { return Ok(()) };
        let (id, first) = self.id.get_or_init(|| (found, member.url.clone()));
        if *id == found {
            return Ok(());
        }
        member.belongs.store(false, Ordering::SeqCst);
        Err(CallFailure::Stranger(if *first == member.url {
            format!(
                "etcd at {first} is of another cluster than before: if that is meant, start the server again"
            )
        } else {
            format!(
                "etcd at {first} and etcd at {} are members of two clusters: give --etcd-endpoints of one",
                member.url
            )
        }))
    }

    /// Connects to all members again, with the certificates as they are in their files now. What is under way ends on the former
    /// connections.
    pub(super) async fn reconnect(&self) -> Result<(), Unavailable> {
        for member in &self.members {
            let connection = Connection::new(&member.url, &self.settings).await?;
            *member.connection.write().unwrap_or_else(PoisonError::into_inner) = connection;
            member.belongs.store(false, Ordering::SeqCst);
        }
        Ok(())
    }

    /// The files whose content the connections depend on.
    pub(super) fn certificate_files(&self) -> Vec<PathBuf> {
        let Etcd { ca, identity, .. } = &self.settings;
        let identity = identity.iter().flat_map(|Tls { cert, key }| [cert, key]);
        ca.iter().chain(identity).cloned().collect()
    }

    /// Asks the members who they are. Fails where one is too old, or where they belong to two clusters. A member that does not
    /// answer is not waited for: it is asked again before anything else is sent to it.
    pub(super) async fn check(&self) -> Result<(), Unavailable> {
        for member in &self.members {
            let confirmed = self.confirm(member, Instant::now() + PATIENCE).await;
            if let Err(failure @ (CallFailure::Stranger(_) | CallFailure::Told(_))) = confirmed {
                return Err(failure.of_member(&member.url));
            }
        }
        Ok(())
    }

    /// What a member says of itself.
    async fn status(&self, member: &Member, until: Instant) -> Result<StatusResponse, CallFailure> {
        let mut logged_in = false;
        loop {
            let seen = member.logins.load(Ordering::SeqCst);
            let mut client = member.connection().client;
            let failure = match timeout_at(until, client.status()).await {
                Ok(Ok(status)) => return Ok(status),
                Ok(Err(error)) => CallFailure::of(error),
                Err(_elapsed) => CallFailure::Silent,
            };
            if logged_in || !matches!(failure, CallFailure::LoggedOut) {
                return Err(failure);
            }
            logged_in = true;
            self.log_in(member, seen, until).await.map_err(CallFailure::Told)?;
        }
    }

    /// Grants a lease of so many seconds, within the time limit of all calls.
    pub(super) async fn lease(&self, seconds: i64) -> Result<i64, Unavailable> {
        let until = Instant::now() + BOUND;
        let mut logged_in = false;
        loop {
            let (at, member) = self.asked()?;
            let seen = member.logins.load(Ordering::SeqCst);
            let mut lease = member.connection().client.lease_client();
            let failure = match self.confirm(member, until).await {
                Ok(()) => match timeout_at(until, lease.grant(seconds, None)).await {
                    Ok(Ok(granted)) => return Ok(granted.id()),
                    Ok(Err(error)) => CallFailure::of(error),
                    Err(_elapsed) => CallFailure::Silent,
                },
                Err(failure) => failure,
            };
            if matches!(failure, CallFailure::LoggedOut) && !logged_in {
                logged_in = true;
                self.log_in(member, seen, until).await?;
                continue;
            }
            if failure.is_the_members() {
                self.leave(at);
            }
            return Err(failure.of_member(&member.url));
        }
    }

    /// Watches all keys with a prefix from a revision on, at the member in use, which is returned too.
    pub(super) async fn watch(&self, prefix: &[u8], from: i64) -> Result<(usize, WatchStream), Unavailable> {
        let (at, member) = self.asked()?;
        // In fragments: otherwise everything that a watch has missed would come in one message of any size.
        let options = WatchOptions::new().with_prefix().with_start_revision(from).with_fragment();
        let (mut watch, until) = (member.connection().watch, Instant::now() + BOUND);
        let failure = match self.confirm(member, until).await {
            Ok(()) => match timeout_at(until, watch.watch(prefix, Some(options))).await {
                Ok(Ok(stream)) => return Ok((at, stream)),
                Ok(Err(error)) => CallFailure::of(error),
                Err(_elapsed) => CallFailure::Silent,
            },
            Err(failure) => failure,
        };
        self.leave(at);
        Err(failure.of_member(&member.url))
    }

    /// Returns once this member is no longer the one in use.
    pub(super) async fn left(&self, member: usize) {
        // The sender lives as long as `self`.
        let _ = self.asked.subscribe().wait_for(|asked| *asked != member).await;
    }

    /// Uses the next member from now on, if this one is still in use.
    pub(super) fn leave(&self, member: usize) {
        let next = (member + 1) % self.members.len().max(1);
        self.asked.send_if_modified(|asked| {
            let leaves = *asked == member && next != member;
            if leaves {
                *asked = next;
            }
            leaves
        });
    }

    /// Uses another member than the present one from now on.
    pub(super) fn move_on(&self) {
        let asked = *self.asked.borrow();
        self.leave(asked);
    }

    fn asked(&self) -> Result<(usize, &Member), Unavailable> {
        let at = *self.asked.borrow();
        let member = self.members.get(at).ok_or_else(|| Unavailable("etcd has no members".into()))?;
        Ok((at, member))
    }

    /// Logs in to a member, unless another caller has done so since `seen`.
    async fn log_in(&self, member: &Member, seen: u64, until: Instant) -> Result<(), Unavailable> {
        let Some(user) = &self.settings.user else {
            let text =
                format!("etcd at {} requires a login: give --etcd-user and --etcd-password-file", member.url);
            return Err(Unavailable::because(UnavailableCause::Login, text));
        };
        // Read again each time: it may have been changed in etcd and in its file.
        let password = password(&self.settings)?;
        let logged_in = async {
            let _one_at_a_time = member.logging_in.lock().await;
            if member.logins.load(Ordering::SeqCst) != seen {
                return Ok(());
            }
            let mut client = member.connection().client;
            client.update_user(Some((user.clone(), password.as_str().to_owned()))).await?;
            member.logins.fetch_add(1, Ordering::SeqCst);
            Ok(())
        };
        let failure = match timeout_at(until, logged_in).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => CallFailure::of(error),
            Err(_elapsed) => CallFailure::Silent,
        };
        Err(failure.of_member(&member.url))
    }
}

impl Member {
    async fn new(url: &str, settings: &Etcd) -> Result<Self, Unavailable> {
        Ok(Self {
            url: url.to_owned(),
            connection: RwLock::new(Connection::new(url, settings).await?),
            belongs: AtomicBool::new(false),
            logins: AtomicU64::new(0),
            logging_in: Mutex::default(),
        })
    }

    fn connection(&self) -> Connection {
        self.connection.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Connection {
    async fn new(url: &str, settings: &Etcd) -> Result<Self, Unavailable> {
        let mut options = ConnectOptions::new()
            .with_connect_timeout(BOUND)
            .with_keep_alive(KEEP_ALIVE.0, KEEP_ALIVE.1)
            .with_keep_alive_while_idle(false) // etcd takes offence at it
            .with_require_leader(true);
        if url.starts_with("https://") {
            options = options.with_tls(tls(settings)?);
        }
        // Without a user: with one, this call would ask the member, which need not answer now.
        let client = Client::connect([url], Some(options)).await.map_err(|error| {
            let text = format!("etcd at {url} cannot be used: {}", cause_of(&error));
            Unavailable::because(UnavailableCause::Settings, text)
        })?;
        Ok(Self {
            kv: client.kv_client().max_decoding_message_size(MAX_MESSAGE),
            watch: client.watch_client().max_decoding_message_size(MAX_MESSAGE),
            client,
        })
    }
}

fn tls(settings: &Etcd) -> Result<TlsOptions, Unavailable> {
    let mut tls = match &settings.ca {
        Some(ca) => TlsOptions::new().ca_certificate(Certificate::from_pem(read(ca)?)),
        None => TlsOptions::new().with_native_roots(),
    };
    if let Some(identity) = &settings.identity {
        tls = tls.identity(Identity::from_pem(read(&identity.cert)?, read(&identity.key)?));
    }
    Ok(tls)
}

fn read(file: &Path) -> Result<Zeroizing<Vec<u8>>, Unavailable> {
    let read = fs::read(file).map(Zeroizing::new);
    read.map_err(|error| {
        let text = format!("{} cannot be read: {error}", file.display());
        Unavailable::because(UnavailableCause::Settings, text)
    })
}

fn password(settings: &Etcd) -> Result<Zeroizing<String>, Unavailable> {
    let password = settings.password();
    password.map_err(|error| Unavailable::because(UnavailableCause::Login, error.to_string()))
}

/// Whether this version of etcd lacks something that the store needs. A version that cannot be read is none of an old etcd.
fn is_too_old(version: &str) -> bool {
    let mut numbers = version.split('.').map_while(|number| number.parse::<u32>().ok());
    match (numbers.next(), numbers.next()) {
        (Some(major), Some(minor)) => (major, minor) < (3, 4),
        (Some(major), None) => major < 3,
        (None, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_etcd_of_an_older_major_version_is_known_by_its_version() {
        for old in ["2.3.8", "3.3.27", "3.3", "2"] {
            assert!(is_too_old(old), "{old}");
        }
        for new in ["3.4.30", "3.4.0-rc.1", "3.6.0", "4.0.1", "3", "", "unknown"] {
            assert!(!is_too_old(new), "{new}");
        }
    }
}
