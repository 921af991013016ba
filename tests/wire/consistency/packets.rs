//! The same as [`super::faults`], with faults of a network: packets are lost, between a replica and etcd, of the answers alone, or
//! between the members of etcd. The sides of a connection are not told, and send again what was lost.
//!
//! That takes a network namespace of its own, in which the rules of routing lose packets. Where the system does not permit one to its
//! users, a note says that the test is skipped.

use std::io::Write;
use std::process::Command;

use super::faults::{Fault, MEMBERS, REPLICAS, Site};
use super::history::{checker, random};
use crate::etcd_server;

/// Brings up the loopback device, and has other rules asked before those of the machine's own addresses.
const SET_UP: &str = "ip link set lo up && ip rule add pref 100 lookup local && ip rule del pref 0 && \
                      ip rule add pref 50 ipproto tcp dport 1 blackhole && ip rule del pref 50 ipproto tcp dport 1 blackhole \
                      || exit 1; exec \"$@\"";
/// Says to the part of the test within the namespace that it is there.
const WITHIN: &str = "STRONGROOM_OWN_NETWORK";

/// The packets of connections to a port.
#[derive(Clone, Copy)]
pub(super) enum Packets {
    /// Those that come from it.
    From(u16),
    /// Those that go to it.
    To(u16),
}

pub(super) fn lose(packets: &[Packets]) {
    packets.iter().for_each(|packets| packets.rule("add"));
}

pub(super) fn pass(packets: &[Packets]) {
    packets.iter().for_each(|packets| packets.rule("del"));
}

impl Packets {
    fn rule(self, what: &str) {
        let (side, port) = match self {
            Self::From(port) => ("sport", port),
            Self::To(port) => ("dport", port),
        };
        let rule = ["pref", "50", "ipproto", "tcp", side, &port.to_string(), "blackhole"];
        let done = Command::new("ip").args(["rule", what]).args(rule).status();
        assert!(done.expect("ip runs").success(), "no rule for the packets of {side} {port}");
    }
}

#[test]
fn the_answers_are_those_of_one_service_whatever_packets_are_lost() {
    // What is fetched and built for the tests is there before the network is not.
    if checker().is_none() || etcd_server::shared().is_none() {
        return;
    }
    let tried = within_a_network(&["true"]).output();
    if let Some(why) = match tried {
        Ok(tried) if tried.status.success() => None,
        Ok(tried) => Some(String::from_utf8_lossy(&tried.stderr).into_owned()),
        Err(error) => Some(error.to_string()),
    } {
        let said =
            format!("\nSKIPPED: no packets are lost, since no network namespace is permitted: {why}\n");
        let _ = std::io::stderr().write_all(said.as_bytes());
        return;
    }
    let tests = std::env::current_exe().unwrap();
    let test =
        [tests.to_str().unwrap(), "--exact", "--ignored", "--nocapture", "consistency::packets::within"];
    let status = within_a_network(&test).env(WITHIN, "1").status().unwrap();
    assert!(status.success(), "the test within the network namespace failed: see above");
}

/// A command in a network namespace of its own, in which only the loopback device is.
fn within_a_network(command: &[&str]) -> Command {
    let mut within = Command::new("unshare");
    within.args(["--map-root-user", "--net", "sh", "-c", SET_UP, "sh"]).args(command);
    within
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "another test runs it, in a network namespace"]
async fn within() {
    if std::env::var_os(WITHIN).is_none() {
        return; // it would change the rules of this machine
    }
    let checker = checker().expect("it was built");
    let site = Site::start().expect("etcd is there");
    let faults = || {
        vec![
            Fault::LoseAnswers(random() % REPLICAS),
            Fault::LosePackets(random() % REPLICAS),
            Fault::PartMembers,
            Fault::StopMember(random() % MEMBERS),
        ]
    };
    site.play_rounds(&checker, faults).await;
}
