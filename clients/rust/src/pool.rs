//! The servers of a client: a connection to each address, and which of them serve.
//!
//! With one address, each call goes to it. With several, a task follows the health of each (`grpc.health.v1`), and calls go in
//! turn to those that serve. tonic's own balancer sends calls to addresses that cannot be reached too, so it is not used.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use crate::address::Address;
use crate::connector::{CONNECT, Connector};
use crate::health;
use crate::problem::Noted;

/// The pauses between two attempts to follow the health of a server.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// One address, and how to connect to it.
pub(crate) struct Target {
    pub(crate) address: Address,
    pub(crate) endpoint: Endpoint,
    pub(crate) connector: Connector,
    pub(crate) noted: Noted,
}

/// One server.
pub(crate) struct Member {
    address: Address,
    channel: Channel,
    noted: Noted,
}

/// What is known of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Health {
    /// It was not asked yet, or has not answered.
    Unknown,
    Serving,
    /// It cannot be reached, or says that it does not serve.
    Away,
}

/// All servers: at least one.
pub(crate) struct Pool {
    first: Member,
    others: Vec<Member>,
    /// The health of each member. Only the tasks change it.
    health: watch::Receiver<Vec<Health>>,
    /// Counts the calls, so that they go to the servers in turn.
    turn: AtomicUsize,
    /// The tasks end with the pool.
    _tasks: JoinSet<()>,
}

impl Pool {
    /// Sets the connections up; must be called on a tokio runtime. `connected` is the connection to the first target, where
    /// there is one already.
    pub(crate) fn new(first: Target, others: Vec<Target>, connected: Option<Channel>) -> Self {
        let (tell, health) = watch::channel(vec![Health::Unknown; 1 + others.len()]);
        let tell = Arc::new(tell);
        let (mut tasks, several) = (JoinSet::new(), !others.is_empty());
        let mut member = |index: usize, target: Target, connected: Option<Channel>| {
            let Target { address, endpoint, connector, noted } = target;
            let channel = connected.unwrap_or_else(|| endpoint.connect_with_connector_lazy(connector));
            if several {
                tasks.spawn(follow(channel.clone(), index, tell.clone()));
            }
            Member { address, channel, noted }
        };
        let first = member(0, first, connected);
        let others = (1..).zip(others).map(|(index, target)| member(index, target, None)).collect();
        Self { first, others, health, turn: AtomicUsize::new(0), _tasks: tasks }
    }

    fn members(&self) -> impl Iterator<Item = &Member> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// The server for the next call: one that serves, or else one that may. `avoid` is one that has just failed.
    pub(crate) async fn pick(&self, avoid: Option<usize>) -> Picked {
        if !self.others.is_empty() && !self.any(Health::Serving) && self.any(Health::Unknown) {
            self.settled().await;
        }
        let health = self.health.borrow();
        let rank = |index: usize| match health.get(index) {
            Some(Health::Serving) => 0,
            Some(Health::Unknown) => 1,
            Some(Health::Away) | None => 2,
        };
        let (others, turn) = (self.others.len(), self.turn.fetch_add(1, Ordering::Relaxed));
        let in_turn = (0..=others).map(|step| turn.wrapping_add(step) % (others + 1));
        // The first of those that are equally good.
        let index = in_turn.min_by_key(|index| {
            let rank = rank(*index);
            (rank == 2, avoid == Some(*index), rank)
        });
        let index = index.unwrap_or_default();
        let member = index.checked_sub(1).and_then(|other| self.others.get(other)).unwrap_or(&self.first);
        Picked { index, channel: member.channel.clone() }
    }

    /// Whether a call that has failed at one server may succeed at another at once.
    pub(crate) fn has_another(&self, than: usize) -> bool {
        let health = self.health.borrow();
        health.iter().enumerate().any(|(index, health)| index != than && *health != Health::Away)
    }

    /// Waits until a server serves, or nothing is unknown; no longer than a connection may take.
    pub(crate) async fn settled(&self) {
        let mut health = self.health.clone();
        let settled =
            |health: &Vec<Health>| health.contains(&Health::Serving) || !health.contains(&Health::Unknown);
        // Whether the time has passed or not, the next call shows what there is.
        let _ = timeout(CONNECT, health.wait_for(settled)).await;
    }

    /// Whether a server is known to serve.
    pub(crate) fn serves(&self) -> bool {
        self.any(Health::Serving)
    }

    fn any(&self, wanted: Health) -> bool {
        self.health.borrow().contains(&wanted)
    }

    /// The addresses, for people.
    pub(crate) fn addresses(&self) -> String {
        let addresses: Vec<_> = self.members().map(|member| member.address.to_string()).collect();
        addresses.join(", ")
    }

    /// What is wrong with the addresses, for people, and whether something is wrong with each of them. `None`: nothing is known.
    pub(crate) fn problems(&self) -> Option<(String, bool)> {
        let known = |member: &Member| Some(member.noted.last()?.at(&member.address).to_string());
        let problems: Vec<_> = self.members().filter_map(known).collect();
        (!problems.is_empty()).then(|| (problems.join("; "), problems.len() == 1 + self.others.len()))
    }
}

/// Follows the health of one server for as long as the pool is there.
async fn follow(channel: Channel, index: usize, tell: Arc<watch::Sender<Vec<Health>>>) {
    let set = |now| {
        tell.send_if_modified(|all| {
            let Some(health) = all.get_mut(index) else { return false };
            std::mem::replace(health, now) != now
        })
    };
    let mut pause = FIRST_PAUSE;
    loop {
        let ended = match health::watch(channel.clone()).await {
            Err(status) => status.code(),
            Ok(mut stream) => loop {
                match stream.message().await {
                    Ok(Some(reply)) => {
                        pause = FIRST_PAUSE;
                        set(if reply.is_serving() { Health::Serving } else { Health::Away });
                    }
                    Ok(None) => break Code::Unavailable,
                    Err(status) => break status.code(),
                }
            },
        };
        // A server without the health service may serve all the same.
        set(if ended == Code::Unimplemented { Health::Serving } else { Health::Away });
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The server that was picked for a call.
pub(crate) struct Picked {
    /// Which of the servers it is.
    pub(crate) index: usize,
    /// The connection to it.
    pub(crate) channel: Channel,
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.addresses())
    }
}
