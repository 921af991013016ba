//! Measures one decision: whether a principal may read a secret, among 1,000 and among 100,000 bindings. Each principal has a few of
//! them, one has a thousand of few patterns, and one has a thousand more, each for another name of one namespace.

// A measurement stops at the first error, and prints its result.
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::print_stdout)]
// Everything here is private to one binary.
#![allow(missing_docs, unreachable_pub)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use strongroom::auth::{
    Binding, BindingId, Effect, NamePattern, NamespacePattern, Policy, PrincipalName, Right, RoleName, Scope,
};
use strongroom::domain::{Description, Namespace, Revision, SecretName, Timestamp};

/// The bindings of each principal but one.
const EACH: usize = 4;
/// The bindings of those with many.
const MANY: usize = 1000;
/// How long each case is measured.
const PART: Duration = Duration::from_secs(2);

fn main() {
    println!("one decision, mean over {} s:", PART.as_secs());
    for count in [1_000, 100_000] {
        let policy = policy(count);
        for (what, principal) in [
            ("a principal with 4", name(1)),
            ("one with many of few patterns", name(0)),
            ("one with 1,000 names", named()),
        ] {
            println!("{count:>7} bindings, {what:<29}: {:>6.0} ns", nanos(&policy, &principal));
        }
    }
}

fn name(number: usize) -> PrincipalName {
    PrincipalName::token("ci", &format!("repo:organization/service-{number}")).expect("a principal")
}

/// The principal with a binding for each of a thousand names.
fn named() -> PrincipalName {
    PrincipalName::token("ci", "repo:organization/names").expect("a principal")
}

/// A policy with so many bindings, and those of the principal of many names.
fn policy(count: usize) -> Policy {
    let mut policy = Policy::default();
    for number in 0..count {
        let principal =
            if number < MANY.min(count / 2) { name(0) } else { name(1 + number / EACH % (count / EACH)) };
        let namespaces = match number % 4 {
            0 => "team/**".to_owned(),
            1 => format!("team/service-{number}"),
            2 => format!("other/service-{number}/**"),
            _ => "team/service/prod".to_owned(),
        };
        let names = ["*", "db_*", "*_key", "a*b*c"][number / 4 % 4];
        let effect = if number % 16 == 15 { Effect::Deny } else { Effect::Allow };
        policy.put_binding(binding(number, principal, &namespaces, names, effect));
    }
    policy.put_binding(binding(count, name(1), "team/**", "*", Effect::Allow));
    for number in 0..MANY {
        let names = if number == MANY / 2 { "database_*".to_owned() } else { format!("service_{number}_*") };
        let number = count + 1 + number;
        policy.put_binding(binding(number, named(), "team/service/prod", &names, Effect::Allow));
    }
    policy
}

fn binding(
    number: usize,
    principal: PrincipalName,
    namespaces: &str,
    names: &str,
    effect: Effect,
) -> Binding {
    let mut id = [0; 10];
    id[..8].copy_from_slice(&u64::try_from(number).expect("a small number").to_be_bytes());
    Binding {
        id: BindingId(id),
        principal,
        role: RoleName::parse("reader").expect("a role"),
        scope: Scope {
            namespaces: NamespacePattern::parse(namespaces).expect("a pattern"),
            names: NamePattern::parse(names).expect("a pattern"),
        },
        effect,
        created_at: Timestamp::from_micros(0),
        expires_at: None,
        description: Description::default(),
        revision: Revision(1),
    }
}

/// The mean time of a decision.
fn nanos(policy: &Policy, principal: &PrincipalName) -> f64 {
    let namespace = Namespace::parse("team/service/prod").expect("a namespace");
    let name = SecretName::parse("database_password").expect("a name");
    let now = Timestamp::from_micros(1);
    let (begun, mut decided) = (Instant::now(), 0_u32);
    while begun.elapsed() < PART {
        for _ in 0..1000 {
            let object = Some((&namespace, Some(&name)));
            black_box(policy.decide(black_box(principal), &[], Right::Read, object, now));
        }
        decided += 1000;
    }
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(decided)
}
