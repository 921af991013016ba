//! Three replicas over three members of etcd, while members are killed and stopped, and replicas are cut off and stopped. The answers
//! to all clients are still those of one service: the history goes to porcupine, refusals included. A client sends a change that was
//! not answered again, with the same request id and to another replica, as clients do.
//!
//! `STRONGROOM_FAULT_ROUNDS` is the number of rounds, of one fault of each kind. Each round has a history of its own. At the end, the
//! test tells how many requests and faults there were, and for how long clients were not answered during each kind of fault. With
//! `STRONGROOM_EARLIER_BIN`, one of the replicas is a server of another release, as in a rolling upgrade.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tonic::{Code, Status};
use uuid::Uuid;

use super::history::{Step, check, checker, random};
use super::packets::{self, Packets};
use crate::caller::{Caller, Credential};
use crate::etcd_server::Etcd;
use crate::harness::{Launch, PATIENCE, Server};
use crate::proxy::{Link, Proxy};

pub(super) const MEMBERS: usize = 3;
pub(super) const REPLICAS: usize = 3;
/// Each namespace is checked by itself, so that the checker has little to try.
const NAMESPACES: usize = 3;
const CLIENTS_OF_EACH: usize = 3;
/// How many requests are answered before a fault ends, and before the next one begins.
const STEPS: usize = 25;
/// How long a client waits for the answer of one replica.
const ATTEMPT: Duration = Duration::from_secs(2);
/// How often a client sends a request before it gives up.
const ATTEMPTS: usize = 40;

#[derive(Clone, Copy, Debug)]
pub(super) enum Fault {
    /// A member of etcd ends, and is started again.
    KillMember(usize),
    /// A member of etcd stands still.
    StopMember(usize),
    /// No packet passes between a replica and any member.
    Silence(usize),
    /// All connections between a replica and the members end, again and again.
    Break(usize),
    /// A replica stands still.
    StopReplica(usize),
    /// The packets from all members to a replica are lost: changes are made, and nobody is told.
    LoseAnswers(usize),
    /// The packets between a replica and all members are lost.
    LosePackets(usize),
    /// The packets between the members are lost, so that none has a quorum. They take requests all the same.
    PartMembers,
}

impl Fault {
    /// The kind, in the words of the documents.
    fn kind(self) -> &'static str {
        match self {
            Self::KillMember(_) => "a member of etcd is killed",
            Self::StopMember(_) => "a member of etcd stands still",
            Self::Silence(_) => "a replica's packets to etcd vanish in a proxy",
            Self::Break(_) => "a replica's connections to etcd break",
            Self::StopReplica(_) => "a replica stands still",
            Self::LoseAnswers(_) => "etcd's answers to a replica are lost",
            Self::LosePackets(_) => "all packets between a replica and etcd are lost",
            Self::PartMembers => "no member of etcd has a quorum",
        }
    }
}

pub(super) struct Site {
    members: Vec<Etcd>,
    /// How each replica reaches each member.
    links: Vec<Vec<Proxy>>,
    replicas: Vec<Server>,
}

impl Site {
    pub(super) fn start() -> Option<Self> {
        let members = Etcd::start_members(MEMBERS)?;
        let (mut links, mut replicas) = (Vec::new(), Vec::<Server>::new());
        for number in 0..REPLICAS {
            let mut own: Vec<_> = members.iter().map(|member| Proxy::to(member.port())).collect();
            own.rotate_left(number); // each replica asks another member first
            let endpoints = own.iter().map(Proxy::url).collect::<Vec<_>>().join(",");
            let mut launch = Launch::in_etcd(&endpoints, "faults/");
            if let Some(first) = replicas.first() {
                let key = first.data_dir.join("master.key").display().to_string();
                launch = launch.argument("--master-key-file").argument(key);
            }
            if number == 1
                && let Ok(earlier) = std::env::var("STRONGROOM_EARLIER_BIN")
            {
                launch = launch.built_as(&earlier);
            }
            replicas.push(launch.start());
            links.push(own);
        }
        Some(Self { members, links, replicas })
    }

    fn begin(&self, fault: Fault) {
        match fault {
            Fault::KillMember(at) => self.members[at].kill(),
            Fault::StopMember(at) => self.members[at].signal("STOP"),
            Fault::Silence(at) => self.links[at].iter().for_each(|link| link.set(Link::Silent)),
            Fault::Break(at) => self.links[at].iter().for_each(|link| link.set(Link::Broken)),
            Fault::StopReplica(at) => self.replicas[at].signal("STOP"),
            Fault::LoseAnswers(_) | Fault::LosePackets(_) | Fault::PartMembers => {
                packets::lose(&self.packets_of(fault));
            }
        }
    }

    fn end(&self, fault: Fault) {
        match fault {
            Fault::KillMember(at) => self.members[at].start_again(),
            Fault::StopMember(at) => self.members[at].signal("CONT"),
            Fault::Silence(at) | Fault::Break(at) => {
                self.links[at].iter().for_each(|link| link.set(Link::Open))
            }
            Fault::StopReplica(at) => self.replicas[at].signal("CONT"),
            Fault::LoseAnswers(_) | Fault::LosePackets(_) | Fault::PartMembers => {
                packets::pass(&self.packets_of(fault));
            }
        }
    }

    /// The packets that are lost by a fault.
    fn packets_of(&self, fault: Fault) -> Vec<Packets> {
        let links = |at: usize| self.links[at].iter().map(Proxy::port);
        let both = |port| [Packets::From(port), Packets::To(port)];
        match fault {
            Fault::LoseAnswers(at) => links(at).map(Packets::From).collect(),
            Fault::LosePackets(at) => links(at).flat_map(both).collect(),
            Fault::PartMembers => self.members.iter().map(Etcd::peer_port).flat_map(both).collect(),
            _ => Vec::new(),
        }
    }

    /// Plays rounds with these faults, and has the history of each one checked.
    pub(super) async fn play_rounds(&self, checker: &str, faults: impl Fn() -> Vec<Fault>) {
        let root = Credential::bearer(&self.replicas[0].root_key);
        let rounds = std::env::var("STRONGROOM_FAULT_ROUNDS").map_or(1, |rounds| rounds.parse().unwrap());
        let mut figures = Figures::default();
        for _ in 0..rounds {
            let mut replicas = Vec::new();
            for replica in &self.replicas {
                replicas.push(Caller::new(replica, root.clone()).await);
            }
            let (history, outages) = play(self, replicas, faults()).await;
            figures.add(&history, &outages);
            check(checker, &history); // ends the test at the first violation
        }
        for (what, count) in [("changes", figures.made), ("refusals", figures.refused)] {
            assert!(count > 0, "there were no {what}");
        }
        let _ = write!(std::io::stderr(), "{figures}");
    }
}

/// What clients saw of one fault.
struct Outage {
    fault: Fault,
    /// The longest time in which no request of any client was answered.
    silence: Duration,
    /// The longest time that a request took which was under way during the fault, with all its attempts.
    request: Duration,
}

/// The figures of all rounds.
#[derive(Default)]
struct Figures {
    rounds: usize,
    made: usize,
    reads: usize,
    refused: usize,
    unknown: usize,
    /// For each kind of fault: how many there were, and the longest times of [`Outage`].
    outages: BTreeMap<&'static str, (usize, Duration, Duration)>,
}

impl Figures {
    fn add(&mut self, history: &[Json], outages: &[Outage]) {
        self.rounds += 1;
        for request in history {
            let count = match request["answer"].as_str().unwrap() {
                "ok" => &mut self.made,
                "missing" | "exists" => &mut self.refused,
                "unknown" => &mut self.unknown,
                _ => &mut self.reads,
            };
            *count += 1;
        }
        for Outage { fault, silence, request } in outages {
            let (count, longest, slowest) = self.outages.entry(fault.kind()).or_default();
            *count += 1;
            *longest = (*longest).max(*silence);
            *slowest = (*slowest).max(*request);
        }
    }
}

/// As a table of Markdown, for the documents.
impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rounds, made, reads, refused, unknown, outages } = self;
        let faults: usize = outages.values().map(|(count, ..)| count).sum();
        writeln!(
            f,
            "{} requests in {rounds} rounds: {made} changes, {reads} reads, {refused} refusals, {unknown} of unknown outcome; \
             {faults} faults, 0 violations",
            made + reads + refused + unknown
        )?;
        writeln!(f, "| fault | how many | nobody was answered for at most | a request took at most |")?;
        writeln!(f, "| --- | --- | --- | --- |")?;
        for (kind, (count, silence, request)) in outages {
            let [silence, request] = [silence, request].map(Duration::as_secs_f64);
            writeln!(f, "| {kind} | {count} | {silence:.2} s | {request:.2} s |")?;
        }
        Ok(())
    }
}

/// What all clients of a round share.
struct Round {
    replicas: Vec<Caller>,
    begun: Instant,
    /// How often a request was sent, and how many requests were answered.
    sent: AtomicUsize,
    answered: AtomicUsize,
    /// When each request was sent first, and when it was answered.
    answers: Mutex<Vec<(u64, u64)>>,
    ends: AtomicBool,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_answers_are_those_of_one_service_whatever_fails_between_replicas_and_etcd() {
    let Some(checker) = checker() else { return };
    let Some(site) = Site::start() else { return };
    let faults = || {
        vec![
            Fault::KillMember(random() % MEMBERS),
            Fault::StopMember(random() % MEMBERS),
            Fault::Silence(random() % REPLICAS),
            Fault::Break(random() % REPLICAS),
            Fault::StopReplica(random() % REPLICAS),
        ]
    };
    site.play_rounds(&checker, faults).await;
}

/// Lets clients send requests while faults come and go, in any order. Returns the history, and what clients saw of each fault.
async fn play(site: &Site, replicas: Vec<Caller>, mut faults: Vec<Fault>) -> (Vec<Json>, Vec<Outage>) {
    let round = Arc::new(Round {
        replicas,
        begun: Instant::now(),
        sent: AtomicUsize::new(0),
        answered: AtomicUsize::new(0),
        answers: Mutex::default(),
        ends: AtomicBool::new(false),
    });
    let mut clients = JoinSet::new();
    let namespaces: Vec<_> = (0..NAMESPACES).map(|_| format!("n-{}", Uuid::new_v4())).collect();
    for client in 0..NAMESPACES * CLIENTS_OF_EACH {
        let (round, namespace) = (round.clone(), namespaces[client % NAMESPACES].clone());
        clients.spawn(async move { round.send_requests(client, &namespace).await });
    }
    let mut windows = Vec::new();
    while !faults.is_empty() {
        let fault = faults.swap_remove(random() % faults.len());
        let begun = round.nanos();
        site.begin(fault);
        // Without a quorum, nobody is answered.
        let counted = if matches!(fault, Fault::PartMembers) { &round.sent } else { &round.answered };
        round.goes_on(counted, fault).await;
        tokio::task::block_in_place(|| site.end(fault));
        round.goes_on(&round.answered, fault).await;
        windows.push((fault, begun, round.nanos()));
    }
    round.ends.store(true, Ordering::SeqCst);
    let history = clients.join_all().await.into_iter().flatten().collect();
    let answers = std::mem::take(&mut *round.answers.lock().unwrap());
    (history, windows.into_iter().map(|(fault, from, to)| outage(fault, from, to, &answers)).collect())
}

/// What clients saw of a fault between its begin and the moment from which requests were answered again.
fn outage(fault: Fault, from: u64, to: u64, answers: &[(u64, u64)]) -> Outage {
    let mut moments: Vec<_> =
        answers.iter().map(|(_, at)| *at).filter(|at| (from..=to).contains(at)).collect();
    moments.extend([from, to]);
    moments.sort_unstable();
    let silence = moments.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    let during = answers.iter().filter(|(sent, answered)| *sent <= to && *answered >= from);
    let request = during.map(|(sent, answered)| answered - sent).max().unwrap_or_default();
    Outage { fault, silence: Duration::from_nanos(silence), request: Duration::from_nanos(request) }
}

impl Round {
    /// Waits until some requests more are counted.
    async fn goes_on(&self, counted: &AtomicUsize, fault: Fault) {
        let (from, since) = (counted.load(Ordering::SeqCst), Instant::now());
        while counted.load(Ordering::SeqCst) < from + STEPS {
            assert!(since.elapsed() < PATIENCE, "nobody is answered during or after {fault:?}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn send_requests(&self, client: usize, namespace: &str) -> Vec<Json> {
        let mut history = Vec::new();
        for number in 0.. {
            if self.ends.load(Ordering::SeqCst) {
                break;
            }
            let step = Step::random(client, number);
            let sent = self.nanos();
            let (called, answer) = self.answer(&step, namespace).await;
            let answered = self.nanos();
            self.answered.fetch_add(1, Ordering::SeqCst);
            self.answers.lock().unwrap().push((sent, answered));
            history.push(json!({
                "client": client, "namespace": namespace, "kind": step.kind, "name": step.name, "value": step.value,
                "answer": answer, "called": called, "answered": answered,
            }));
        }
        history
    }

    fn nanos(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).unwrap()
    }

    /// When a request was sent first, and its answer. A read that was not answered counts from when it was sent last.
    async fn answer(&self, step: &Step, namespace: &str) -> (u64, String) {
        let first = self.nanos();
        let mut in_doubt = false;
        for _ in 0..ATTEMPTS {
            let replica = &self.replicas[random() % self.replicas.len()];
            let sent = self.nanos();
            self.sent.fetch_add(1, Ordering::SeqCst);
            let answered = timeout(ATTEMPT, step.answer(replica, namespace)).await;
            match answered.unwrap_or_else(|_| Err(Status::cancelled("the client does not wait longer"))) {
                Ok(answer) if !step.changes() => return (sent, answer),
                // An attempt before can be made later than this refusal.
                Ok(answer) if in_doubt && answer != "ok" => return (first, "unknown".into()),
                Ok(answer) => return (first, answer),
                Err(status) => match status.code() {
                    Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Aborted => {
                        in_doubt = true;
                    }
                    _ => panic!("{status:?}"),
                },
            }
            sleep(Duration::from_millis(50)).await; // as the server asks for
        }
        assert!(step.changes(), "a read was not answered in {ATTEMPTS} attempts");
        (first, "unknown".into())
    }
}
