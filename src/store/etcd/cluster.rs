//! The connection to etcd. Every call has a time limit. It goes to one member, and to the next one where that
//! member fails.

use std::error::Error as _;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use etcd_client::{
    Certificate, Client, ConnectOptions, Error, Identity, KvClient, TlsOptions, Txn, TxnResponse,
    WatchClient, WatchOptions, WatchStream,
};
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, timeout_at};
use tonic::{Code, ConnectError};
use zeroize::Zeroizing;

use crate::config::Etcd;
use crate::store::{MAX_RECORD, Unavailable};

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
    login: Option<Login>,
}

struct Member {
    url: String,
    client: Client,
    kv: KvClient,
    watch: WatchClient,
    /// How often this client has logged in to the member. One caller logs in for all.
    logins: AtomicU64,
    logging_in: Mutex<()>,
}

struct Login {
    user: String,
    password: Zeroizing<String>,
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
        let login = match &settings.user {
            Some(user) => {
                let password = settings.password().map_err(|error| Unavailable(error.to_string().into()))?;
                Some(Login { user: user.clone(), password })
            }
            None => None,
        };
        let mut members = Vec::new();
        for url in &settings.endpoints {
            members.push(Member::new(url, settings).await?);
        }
        Ok(Self { members, asked: watch::Sender::new(0), login })
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
            let mut kv = member.kv.clone();
            let failure = match timeout_at(patience, kv.txn(txn.clone())).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(error)) => CallFailure::of(error),
                Err(_elapsed) => CallFailure::Silent,
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
                CallFailure::Unsent(_) => true,
                CallFailure::Silent | CallFailure::Broken(_) => resend == Resend::Freely,
                CallFailure::LoggedOut | CallFailure::Refused(_) => false,
            };
            if !again || left == 0 || Instant::now() >= until {
                return Err(failure.of_member(&member.url));
            }
        }
    }

    /// Grants a lease of so many seconds, within the time limit of all calls.
    pub(super) async fn lease(&self, seconds: i64) -> Result<i64, Unavailable> {
        let until = Instant::now() + BOUND;
        let mut logged_in = false;
        loop {
            let (at, member) = self.asked()?;
            let seen = member.logins.load(Ordering::SeqCst);
            let mut lease = member.client.lease_client();
            let failure = match timeout_at(until, lease.grant(seconds, None)).await {
                Ok(Ok(granted)) => return Ok(granted.id()),
                Ok(Err(error)) => CallFailure::of(error),
                Err(_elapsed) => CallFailure::Silent,
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
        let mut watch = member.watch.clone();
        let failure = match timeout_at(Instant::now() + BOUND, watch.watch(prefix, Some(options))).await {
            Ok(Ok(stream)) => return Ok((at, stream)),
            Ok(Err(error)) => CallFailure::of(error),
            Err(_elapsed) => CallFailure::Silent,
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
        let Some(Login { user, password }) = &self.login else {
            let text =
                format!("etcd at {} requires a login: give --etcd-user and --etcd-password-file", member.url);
            return Err(Unavailable(text.into()));
        };
        let logged_in = async {
            let _one_at_a_time = member.logging_in.lock().await;
            if member.logins.load(Ordering::SeqCst) != seen {
                return Ok(());
            }
            let mut client = member.client.clone();
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
            Unavailable(format!("etcd at {url} cannot be used: {}", cause_of(&error)).into())
        })?;
        Ok(Self {
            url: url.to_owned(),
            kv: client.kv_client().max_decoding_message_size(MAX_MESSAGE),
            watch: client.watch_client().max_decoding_message_size(MAX_MESSAGE),
            client,
            logins: AtomicU64::new(0),
            logging_in: Mutex::default(),
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
    read.map_err(|error| Unavailable(format!("{} cannot be read: {error}", file.display()).into()))
}

/// Why a call did not succeed.
enum CallFailure {
    /// The member could not be reached.
    Unsent(String),
    /// No answer within the time limit.
    Silent,
    /// The connection broke, or the member cannot serve for now.
    Broken(String),
    /// The member has no valid login from this client, and has done nothing.
    LoggedOut,
    /// etcd refuses the call, and every member would.
    Refused(String),
}

impl CallFailure {
    fn of(error: Error) -> Self {
        let Error::GRpcStatus(status) = error else { return Self::Broken(cause_of(&error)) };
        let mut source = status.source();
        while let Some(cause) = source {
            if cause.is::<ConnectError>() {
                return Self::Unsent(cause_of(cause));
            }
            source = cause.source();
        }
        // The same message has different codes in different releases of etcd.
        let text = status.message();
        let unknown = ["user name is empty", "invalid auth token", "revision of auth store is old"];
        if status.code() == Code::Unauthenticated || unknown.iter().any(|unknown| text.contains(unknown)) {
            return Self::LoggedOut;
        }
        let text = text.chars().take(200).collect();
        match status.code() {
            Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled | Code::DeadlineExceeded => {
                Self::Broken(text)
            }
            _ => Self::Refused(text),
        }
    }

    /// Whether another member may succeed.
    fn is_the_members(&self) -> bool {
        match self {
            Self::Unsent(_) | Self::Silent | Self::Broken(_) => true,
            Self::LoggedOut | Self::Refused(_) => false,
        }
    }

    fn of_member(self, url: &str) -> Unavailable {
        let text = match self {
            Self::Unsent(why) => format!("etcd at {url} cannot be reached: {why}"),
            Self::Silent => format!("etcd at {url} does not answer"),
            Self::Broken(why) => format!("etcd at {url} does not answer as it should: {why}"),
            Self::LoggedOut => format!("etcd at {url} does not keep the login"),
            Self::Refused(why) => format!("etcd at {url} refused: {why}"),
        };
        Unavailable(text.into())
    }
}

/// The innermost cause of an error.
fn cause_of(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
