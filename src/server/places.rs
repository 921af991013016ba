//! The places of connections: in all, for each peer, and for those that are not authenticated yet. A connection without a place
//! is closed at once.
//!
//! Strangers cannot take the places of key holders. Connections that are not authenticated have a smaller number of places;
//! one peer has only a part of them; and where all of them are taken, the oldest one makes room, since a key holder needs its
//! place for a moment only.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::closings::Closings;
use crate::api::{Closing, Connection};
use crate::config::Limits;
use crate::limits::LimitUse;

/// The limit on requests to health and reflection.
const OPEN_REQUESTS: &str = "unauthenticated_requests";
/// How often the log says at most that connections were closed.
const LOG: Duration = Duration::from_secs(1);

/// All places.
pub(super) struct Places {
    limits: Limits,
    taken: Mutex<Taken>,
    /// The connections that had a place, and that the server closed.
    pub(super) closings: Closings,
}

#[derive(Default)]
struct Taken {
    /// By their numbers, of which a newer one has a larger one.
    connections: HashMap<u64, Arc<Connection>>,
    peers: HashMap<IpAddr, Peer>,
    /// Those that are not authenticated, without those that were asked to make room.
    strangers: BTreeSet<u64>,
    next: u64,
    /// The connections that were closed at each limit, and the requests that were refused on connections that have ended.
    refused: HashMap<&'static str, u64>,
    /// Those that the log does not tell of yet.
    closed: u64,
    logged: Option<Instant>,
}

/// The number of connections of a peer.
#[derive(Default)]
struct Peer {
    all: usize,
    strangers: usize,
}

/// The place of a connection, until it is dropped.
pub(super) struct Place {
    places: Arc<Places>,
    peer: IpAddr,
    number: u64,
    /// Whether it counts as not authenticated for its peer.
    stranger: AtomicBool,
}

impl Places {
    /// The places that the limits give, for at most so many connections in all.
    pub(super) fn new(limits: Limits, connections: usize) -> Self {
        let limits = Limits { connections: limits.connections.min(connections), ..limits };
        Self { limits, taken: Mutex::default(), closings: Closings::default() }
    }

    /// A place for a new connection of this peer, if there is one.
    pub(super) fn take(self: &Arc<Self>, peer: SocketAddr) -> Option<(Place, Arc<Connection>)> {
        let address = network(peer.ip());
        let mut taken = self.taken();
        let of_peer = taken.peers.get(&address);
        let (of_peer, strangers_of_peer) = of_peer.map_or((0, 0), |peer| (peer.all, peer.strangers));
        let reached = if taken.connections.len() >= self.limits.connections {
            Some("connections")
        } else if of_peer >= self.limits.connections_per_peer {
            Some("connections_per_peer")
        } else if strangers_of_peer >= self.limits.unauthenticated_connections_per_peer {
            Some("unauthenticated_connections_per_peer")
        } else {
            None
        };
        if let Some(limit) = reached {
            taken.closed(limit, peer);
            return None;
        }
        if taken.strangers.len() >= self.limits.unauthenticated_connections
            && let Some(oldest) = taken.strangers.pop_first()
        {
            // It counts for its peer until it is closed, so that its peer cannot open more in its place.
            if let Some(oldest) = taken.connections.get(&oldest) {
                oldest.close(Closing::MadeRoom);
            }
            taken.closed("unauthenticated_connections", peer);
        }
        let Limits { requests_per_connection, unauthenticated_requests, .. } = self.limits;
        let connection = Arc::new(Connection::new(peer, requests_per_connection, unauthenticated_requests));
        let number = taken.next;
        taken.next += 1;
        taken.connections.insert(number, connection.clone());
        let of_peer = taken.peers.entry(address).or_default();
        of_peer.all += 1;
        of_peer.strangers += 1;
        taken.strangers.insert(number);
        Some((
            Place { places: self.clone(), peer: address, number, stranger: AtomicBool::new(true) },
            connection,
        ))
    }

    /// How many connections got a place since the start.
    pub(super) fn accepted(&self) -> u64 {
        self.taken().next
    }

    /// How much of each limit is used.
    pub(super) fn usage(&self) -> Vec<LimitUse> {
        let taken = self.taken();
        let limits = &self.limits;
        let of_peers = |pick: fn(&Peer) -> usize| taken.peers.values().map(pick).max().unwrap_or(0);
        let connections = || taken.connections.values().map(AsRef::as_ref);
        let of_connections = |pick: fn(&Connection) -> usize| connections().map(pick).max().unwrap_or(0);
        let uses = [
            ("connections", limits.connections, taken.connections.len()),
            ("connections_per_peer", limits.connections_per_peer, of_peers(|peer| peer.all)),
            ("unauthenticated_connections", limits.unauthenticated_connections, taken.strangers.len()),
            (
                "unauthenticated_connections_per_peer",
                limits.unauthenticated_connections_per_peer,
                of_peers(|peer| peer.strangers),
            ),
            ("requests_per_connection", limits.requests_per_connection, of_connections(Connection::requests)),
            (OPEN_REQUESTS, limits.unauthenticated_requests, of_connections(Connection::open_requests)),
        ];
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        uses.map(|(name, limit, used)| {
            let mut refused = taken.refused.get(name).copied().unwrap_or(0);
            if name == OPEN_REQUESTS {
                refused += connections().map(Connection::refused_open).sum::<u64>();
            }
            LimitUse { name, limit: count(limit), used: count(used), refused }
        })
        .into()
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Notes that a connection of this peer is authenticated, or gone before that.
    fn no_stranger(&mut self, number: u64, peer: &IpAddr) {
        self.strangers.remove(&number);
        if let Some(peer) = self.peers.get_mut(peer) {
            peer.strangers = peer.strangers.saturating_sub(1);
        }
    }

    /// Counts a connection that is closed since a limit is reached, and logs the count once in a while.
    fn closed(&mut self, limit: &'static str, peer: SocketAddr) {
        *self.refused.entry(limit).or_default() += 1;
        self.closed += 1;
        let now = Instant::now();
        if self.logged.is_none_or(|logged| now.duration_since(logged) >= LOG) {
            let closed = std::mem::take(&mut self.closed);
            self.logged = Some(now);
            tracing::warn!(closed, limit, %peer, "connections were closed, since a limit was reached");
        }
    }
}

impl Place {
    /// Notes why the server closed the connection.
    pub(super) fn closed(&self, cause: Closing, peer: SocketAddr) {
        self.places.closings.count(cause, peer);
    }

    /// Notes that the connection is authenticated.
    pub(super) fn authenticated(&self) {
        self.no_stranger(&mut self.places.taken());
    }

    fn no_stranger(&self, taken: &mut Taken) {
        if self.stranger.swap(false, Ordering::AcqRel) {
            taken.no_stranger(self.number, &self.peer);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        self.no_stranger(&mut taken);
        if let Some(connection) = taken.connections.remove(&self.number) {
            *taken.refused.entry(OPEN_REQUESTS).or_default() += connection.refused_open();
        }
        if let Some(peer) = taken.peers.get_mut(&self.peer) {
            peer.all = peer.all.saturating_sub(1);
            if peer.all == 0 {
                taken.peers.remove(&self.peer);
            }
        }
    }
}

/// The address that counts as one peer: for IPv6 the network of 64 bits, of which one machine can have every address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(limits: Limits) -> Arc<Places> {
        Arc::new(Places::new(limits, 1000))
    }

    fn peer(last: u8) -> SocketAddr {
        ([10, 0, 0, last], 1).into()
    }

    #[tokio::test]
    async fn there_are_so_many_places_in_all_and_for_each_peer() {
        let limits = Limits { connections: 3, connections_per_peer: 2, ..Limits::default() };
        let places = places(limits);
        let take = |last| places.take(peer(last));
        let (first, second) = (take(1).unwrap(), take(1).unwrap());
        assert!(take(1).is_none(), "the peer's places are taken");
        let third = take(2).unwrap();
        assert!(take(3).is_none(), "all places are taken");
        drop(first);
        assert!(take(1).is_some());
        drop((second, third));
        let taken = places.taken();
        assert_eq!((taken.connections.len(), taken.peers.len()), (0, 0));
    }

    #[tokio::test]
    async fn the_oldest_connection_that_is_not_authenticated_makes_room() {
        let limits = Limits {
            unauthenticated_connections: 3,
            unauthenticated_connections_per_peer: 2,
            ..Limits::default()
        };
        let places = places(limits);
        let take = |last| places.take(peer(last));
        let (key_holder, authenticated) = take(1).unwrap();
        key_holder.authenticated();
        let (oldest, second) = (take(1).unwrap(), take(1).unwrap());
        assert!(take(1).is_none(), "the peer's places before authentication are taken");
        let third = take(2).unwrap();
        let fourth = take(3).unwrap();
        assert_eq!(oldest.1.closing(), Some(Closing::MadeRoom));
        for kept in [&authenticated, &second.1, &third.1, &fourth.1] {
            assert_eq!(kept.closing(), None);
        }
        let fifth = take(1);
        assert!(fifth.is_none(), "the oldest one counts for its peer until it is closed");
        drop(oldest);
        let fifth = take(1).unwrap();
        drop((key_holder, second, third, fourth, fifth));
        let taken = places.taken();
        assert_eq!((taken.connections.len(), taken.strangers.len()), (0, 0));
    }

    #[test]
    fn a_network_of_ipv6_is_one_peer() {
        let of = |address: &str| network(address.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:0:0:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
    }
}
