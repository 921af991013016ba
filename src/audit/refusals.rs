//! The refusals that cost their sender nothing: of strangers, whose caller was not established, and of callers at a limit.
//! There can be as many of those as the network takes, so each peer, and each caller of it, has one record a second for all
//! of them.
//!
//! A peer is an IPv4 address, or the /64 of an IPv6 address, which is the least that one site is given. Peers are in a
//! bounded table; those that find no place there are summed together.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use super::{Record, Target};

/// How many peers have a record of their own in a second.
const MAX_PEERS: usize = 1024;
/// The place of a field whose values differ among the refusals of a sum.
pub const SEVERAL: &str = "several";

/// The refusals since they were taken the last time.
#[derive(Default)]
pub(super) struct Refusals(Mutex<Table>);

#[derive(Default)]
struct Table {
    sums: Vec<Sum>,
    /// The place of each sum: that of a peer's strangers, of each of its callers, and of the credentials of each key that is
    /// revoked or expired.
    places: HashMap<(Peer, Option<String>), usize>,
    /// The sum of all peers that found no place.
    others: Option<Sum>,
}

impl Refusals {
    /// Adds so many refusals, of which this is one.
    pub(super) fn add(&self, refusal: Record, many: u64) {
        let peer = Peer::of(refusal.peer);
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Table { sums, places, others } = &mut *table;
        let full = sums.len() >= MAX_PEERS;
        let who = refusal.principal.clone().or_else(|| refusal.target.subject.clone());
        match places.entry((peer, who)) {
            Entry::Occupied(place) => {
                if let Some(sum) = sums.get_mut(*place.get()) {
                    sum.add(refusal, many);
                }
            }
            Entry::Vacant(_) if full => match others {
                Some(sum) => sum.add(refusal, many),
                None => *others = Some(Sum::new(Peer::Others, refusal, many)),
            },
            Entry::Vacant(place) => {
                place.insert(sums.len());
                sums.push(Sum::new(peer, refusal, many));
            }
        }
    }

    /// Takes all sums, in the order of their first refusals.
    pub(super) fn take(&self) -> impl Iterator<Item = Sum> + use<> {
        let table = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        table.sums.into_iter().chain(table.others)
    }
}

/// The refusals of a peer within a second.
pub(super) struct Sum {
    pub(super) peer: Peer,
    /// How many there are.
    pub(super) size: u64,
    /// The first one. Its fields are those of the sum, except for those below.
    pub(super) first: Record,
    /// The RPC of all of them.
    pub(super) rpc: &'static str,
    pub(super) outcome: &'static str,
    reasons: Vec<(&'static str, u64)>,
    pub(super) last_request_id: String,
}

impl Sum {
    fn new(peer: Peer, first: Record, many: u64) -> Self {
        let Record { rpc, outcome, .. } = first;
        let last_request_id = first.request_id.clone();
        let mut sum = Self { peer, size: many, first, rpc, outcome, reasons: Vec::new(), last_request_id };
        sum.count(sum.first.reason, many);
        sum
    }

    fn add(&mut self, refusal: Record, many: u64) {
        self.size += many;
        merge(&mut self.rpc, refusal.rpc);
        merge(&mut self.outcome, refusal.outcome);
        self.count(refusal.reason, many);
        self.last_request_id = refusal.request_id;
        if self.first.principal != refusal.principal {
            self.first.principal = None;
        }
        let Target { subject, new_name, .. } = refusal.target;
        if self.first.target.subject != subject {
            self.first.target.subject = None;
        }
        if self.first.target.new_name != new_name {
            self.first.target.new_name = None;
        }
    }

    fn count(&mut self, reason: Option<&'static str>, many: u64) {
        let Some(reason) = reason else { return };
        match self.reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, size)) => *size += many,
            None => self.reasons.push((reason, many)),
        }
    }

    /// The reason of all of them.
    pub(super) fn reason(&self) -> Option<&'static str> {
        match self.reasons.as_slice() {
            [] => None,
            [(reason, _)] => Some(reason),
            _ => Some(SEVERAL),
        }
    }

    /// How many there are for each reason, where there are several: for example `CREDENTIAL_MISSING:7,CREDENTIAL_INVALID:2`.
    pub(super) fn reasons(&self) -> Option<String> {
        let counts: Vec<_> = self.reasons.iter().map(|(reason, size)| format!("{reason}:{size}")).collect();
        (counts.len() > 1).then(|| counts.join(","))
    }
}

/// Keeps a field that all refusals share.
fn merge(field: &mut &'static str, other: &'static str) {
    if *field != other {
        *field = SEVERAL;
    }
}

/// The origin of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Peer {
    V4(Ipv4Addr),
    /// The first 64 bits of the address.
    V6(u64),
    /// All that found no place.
    Others,
}

impl Peer {
    fn of(address: Option<SocketAddr>) -> Self {
        match address.map(|address| address.ip().to_canonical()) {
            Some(IpAddr::V4(address)) => Self::V4(address),
            Some(IpAddr::V6(address)) => {
                let [a, b, c, d, ..] = address.segments().map(u64::from);
                Self::V6(a << 48 | b << 32 | c << 16 | d)
            }
            None => Self::Others,
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(address) => write!(f, "{address}"),
            Self::V6(prefix) => write!(f, "{}/64", Ipv6Addr::from(u128::from(*prefix) << 64)),
            Self::Others => write!(f, "other peers"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Referenced;

    const RPC: &str = "strongroom.v1.SecretService/GetSecret";

    fn refusal(peer: &str, reason: &'static str, id: u32) -> Record {
        Record {
            principal: None,
            peer: Some(peer.parse().unwrap()),
            rpc: RPC,
            target: Target::default(),
            referenced: Referenced::default(),
            outcome: "UNAUTHENTICATED",
            reason: Some(reason),
            request_id: id.to_string(),
            caller_request_id: None,
            trace_id: None,
        }
    }

    fn of_key(mut refusal: Record, key: &str) -> Record {
        refusal.target.subject = Some(key.into());
        refusal
    }

    /// What is said of each sum.
    fn told(refusals: &Refusals) -> Vec<(String, u64, Option<String>)> {
        refusals.take().map(|sum| (sum.peer.to_string(), sum.size, sum.first.target.subject)).collect()
    }

    #[test]
    fn a_peer_is_an_ipv4_address_or_an_ipv6_network_whatever_its_port() {
        let refusals = Refusals::default();
        for peer in [
            "192.0.2.1:5",
            "[2001:db8:1:2::3]:5",
            "192.0.2.1:6",
            "[2001:db8:1:2:ffff::]:7",
            "[::ffff:192.0.2.1]:8",
        ] {
            refusals.add(refusal(peer, "CREDENTIAL_MISSING", 1), 1);
        }
        let expected = [("192.0.2.1".into(), 3, None), ("2001:db8:1:2::/64".into(), 2, None)];
        assert_eq!(told(&refusals), expected);
        assert_eq!(told(&refusals), [], "each refusal is taken once");
    }

    #[test]
    fn a_sum_says_what_its_refusals_have_in_common() {
        let refusals = Refusals::default();
        for id in 1..=3 {
            refusals.add(refusal("192.0.2.1:5", "CREDENTIAL_MISSING", id), 1);
        }
        let sum = refusals.take().next().unwrap();
        assert_eq!((sum.size, sum.rpc, sum.outcome), (3, RPC, "UNAUTHENTICATED"));
        assert_eq!((sum.reason(), sum.reasons()), (Some("CREDENTIAL_MISSING"), None));
        assert_eq!((sum.first.request_id.as_str(), sum.last_request_id.as_str()), ("1", "3"));

        for (id, reason) in (1..).zip(["CREDENTIAL_MISSING", "CREDENTIAL_INVALID", "CREDENTIAL_MISSING"]) {
            let rpc = if id == 1 { "another" } else { RPC };
            refusals.add(Record { rpc, ..refusal("192.0.2.1:5", reason, id) }, 1);
        }
        refusals.add(Record { outcome: "UNAVAILABLE", ..refusal("192.0.2.1:5", "STORE_UNAVAILABLE", 4) }, 1);
        let sum = refusals.take().next().unwrap();
        assert_eq!((sum.size, sum.rpc, sum.outcome, sum.reason()), (4, SEVERAL, SEVERAL, Some(SEVERAL)));
        let reasons = sum.reasons();
        assert_eq!(reasons.as_deref(), Some("CREDENTIAL_MISSING:2,CREDENTIAL_INVALID:1,STORE_UNAVAILABLE:1"));
    }

    #[test]
    fn a_key_that_is_certain_has_a_sum_of_its_own() {
        let refusals = Refusals::default();
        for (key, id) in [(Some("a"), 1), (None, 2), (Some("b"), 3), (Some("a"), 4)] {
            let refusal = refusal("192.0.2.1:5", "CREDENTIAL_EXPIRED", id);
            refusals.add(
                match key {
                    Some(key) => of_key(refusal, key),
                    None => refusal,
                },
                1,
            );
        }
        let peer = || "192.0.2.1".to_owned();
        let expected = [(peer(), 2, Some("a".into())), (peer(), 1, None), (peer(), 1, Some("b".into()))];
        assert_eq!(told(&refusals), expected);
    }

    #[test]
    fn peers_that_find_no_place_are_summed_together() {
        let refusals = Refusals::default();
        for n in 0..2 * u32::try_from(MAX_PEERS).unwrap() {
            let peer = format!("{}:1", Ipv4Addr::from(n));
            refusals.add(of_key(refusal(&peer, "CREDENTIAL_EXPIRED", n), &format!("key {n}")), 1);
            refusals.add(of_key(refusal("0.0.0.0:2", "CREDENTIAL_EXPIRED", n), "key 0"), 1);
        }
        let told = told(&refusals);
        assert_eq!(told.len(), MAX_PEERS + 1);
        assert_eq!(told[0], ("0.0.0.0".into(), 1 + 2 * MAX_PEERS as u64, Some("key 0".into())));
        assert_eq!(told[MAX_PEERS], ("other peers".into(), MAX_PEERS as u64, None));
    }
}
