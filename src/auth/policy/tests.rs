//! Decisions against a naive evaluator, over random worlds of roles and bindings.

use super::*;
use crate::auth::grant::NotConfirmed;
use crate::auth::right::{List, Read, Right, Write};
use crate::auth::role::BuiltInRole;
use crate::auth::{ApiKey, Credential, KeyName, NamePattern, NamespacePattern, Principal, Scope};
use crate::crypto::{Keyring, MasterKeys};
use crate::domain::{Description, Namespace, Revision, SecretName};

const NAMESPACES: [&str; 7] = ["a", "a/b", "a/b/c", "a/d", "ab", "e", "e/f"];
const PATTERNS: [&str; 10] = ["**", "a", "a/**", "a/b", "a/b/**", "a/b/c", "ab", "e/**", "e/f", "f/**"];
const NAMES: [&str; 6] = ["x", "db_x", "db_key", "x_key", "key", "db_"];
const NAME_PATTERNS: [&str; 7] = ["*", "db_*", "*_key", "x", "d*y", "key", "*b*"];

/// A xorshift generator: the same worlds in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 16).unwrap() % bound
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    /// A time between the beginning and the end of all bindings that expire.
    fn time(&mut self) -> Timestamp {
        at(i64::try_from(self.below(20)).unwrap())
    }
}

fn at(micros: i64) -> Timestamp {
    Timestamp::from_micros(micros)
}

fn namespace(text: &str) -> Namespace {
    Namespace::parse(text).unwrap()
}

fn name(text: &str) -> SecretName {
    SecretName::parse(text).unwrap()
}

fn scope(namespaces: &str, names: &str) -> Scope {
    let namespaces = NamespacePattern::parse(namespaces).unwrap();
    Scope { namespaces, names: NamePattern::parse(names).unwrap() }
}

fn principals() -> Vec<PrincipalName> {
    let names = ["cert:one", "jwt:i:two", "group:i:g", "group:i:h"];
    names.iter().map(|text| PrincipalName::parse(text).unwrap()).collect()
}

fn role(name: &str, rights: &[Right]) -> Role {
    Role {
        name: RoleName::parse(name).unwrap(),
        rights: Rights::of(rights),
        description: Description::default(),
        created_at: at(0),
        revision: Revision(1),
    }
}

fn binding(id: u8, principal: &PrincipalName, role: &str, scope: Scope, effect: Effect) -> Binding {
    Binding {
        id: BindingId([id; 10]),
        principal: principal.clone(),
        role: RoleName::parse(role).unwrap(),
        scope,
        effect,
        created_at: at(i64::from(id)),
        expires_at: None,
        description: Description::default(),
        revision: Revision(1),
    }
}

/// A world: roles, bindings, and the policy that was made of them in some order, with detours.
struct World {
    roles: Vec<Role>,
    bindings: Vec<Binding>,
    policy: Policy,
}

impl World {
    fn make(random: &mut Random) -> Self {
        let mut roles = Vec::new();
        for name in ["one", "other"] {
            let rights: Vec<_> = (0..=random.below(3)).map(|_| random.of(&Right::ALL)).collect();
            roles.push(role(name, &rights));
        }
        let built_in = BuiltInRole::ALL.iter().map(|role| role.name());
        let names: Vec<&str> = built_in.chain(["one", "other", "gone"]).collect();
        let mut bindings = Vec::new();
        for id in 0..random.below(12) {
            let scope = scope(random.of(&PATTERNS), random.of(&NAME_PATTERNS));
            let effect = if random.below(4) == 0 { Effect::Deny } else { Effect::Allow };
            let principal = random.of(&principals());
            let made = binding(u8::try_from(id).unwrap(), &principal, random.of(&names), scope, effect);
            let expires_at = (random.below(3) == 0).then(|| random.time());
            bindings.push(Binding { expires_at, ..made });
        }
        let (mut policy, roles_first) = (Policy::default(), random.below(2) == 0);
        if roles_first {
            roles.iter().cloned().for_each(|role| policy.put_role(role));
        }
        for binding in &bindings {
            // An earlier state of it, which can differ in everything, and another one that is removed again.
            let elsewhere = Binding {
                scope: scope(random.of(&PATTERNS), random.of(&NAME_PATTERNS)),
                principal: random.of(&principals()),
                role: RoleName::parse(random.of(&names)).unwrap(),
                effect: if random.below(2) == 0 { Effect::Deny } else { Effect::Allow },
                expires_at: (random.below(2) == 0).then(|| random.time()),
                ..binding.clone()
            };
            policy.put_binding(elsewhere.clone());
            let beside = if random.below(2) == 0 { binding.clone() } else { elsewhere };
            policy.put_binding(Binding { id: BindingId([99; 10]), ..beside });
            policy.put_binding(binding.clone());
            policy.remove_binding(BindingId([99; 10]));
        }
        if !roles_first {
            roles.iter().cloned().for_each(|role| policy.put_role(role));
        }
        // What is removed and put again stands at another place.
        for binding in bindings.iter().filter(|_| random.below(3) == 0) {
            policy.remove_binding(binding.id);
            policy.put_binding(binding.clone());
        }
        Self { roles, bindings, policy }
    }

    /// The decision by the obvious definition: every binding is looked at.
    fn naive(
        &self,
        who: &[PrincipalName],
        right: Right,
        now: Timestamp,
        is_about: impl Fn(&Scope) -> bool,
    ) -> bool {
        let rights = |binding: &Binding| {
            let built_in = BuiltInRole::ALL.into_iter().find(|role| role.name() == binding.role.as_str());
            let made = self.roles.iter().find(|role| role.name == binding.role);
            match (built_in, made, binding.effect) {
                (Some(built_in), _, _) => built_in.rights(),
                (None, Some(made), _) => made.rights,
                (None, None, Effect::Allow) => Rights::NONE,
                (None, None, Effect::Deny) => Rights::ALL,
            }
        };
        let counts = |effect| {
            self.bindings.iter().any(|binding| {
                binding.effect == effect
                    && who.contains(&binding.principal)
                    && rights(binding).contains(right)
                    && binding.expires_at.is_none_or(|expires_at| now < expires_at)
                    && is_about(&binding.scope)
            })
        };
        counts(Effect::Allow) && !counts(Effect::Deny)
    }
}

#[test]
fn ten_thousand_worlds_are_decided_as_a_naive_evaluator_decides_them() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let (all, mut allowed, mut asked) = (principals(), 0_u32, 0_u32);
    let is_allowed = |decision: &Decision| matches!(decision, Decision::Allowed(_));
    for _ in 0..10_000 {
        let world = World::make(&mut random);
        let policy = &world.policy;
        assert_eq!(policy.len(), world.bindings.len());
        for _ in 0..6 {
            let groups: Vec<_> = all[2..].iter().filter(|_| random.below(2) == 0).cloned().collect();
            let caller = &all[random.below(2)];
            let who: Vec<_> = std::iter::once(caller.clone()).chain(groups.iter().cloned()).collect();
            let (right, now) = (random.of(&Right::ALL), random.time());
            let (namespace, name) = (namespace(random.of(&NAMESPACES)), name(random.of(&NAMES)));

            let on_service = world.naive(&who, right, now, |scope| *scope == Scope::everything());
            let decided = policy.decide(caller, &groups, right, None, now);
            assert_eq!(is_allowed(&decided), on_service, "{right} on the service");

            let matches = |scope: &Scope| scope.namespaces.matches(&namespace) && scope.names.matches(&name);
            let expected = match right.is_of_service() {
                true => on_service,
                false => world.naive(&who, right, now, matches),
            };
            let decided = policy.decide(caller, &groups, right, Some((&namespace, Some(&name))), now);
            assert_eq!(is_allowed(&decided), expected, "{right} on {name} in {namespace}");
            // The binding that decided is one that decides so.
            match &decided {
                Decision::Allowed(by) => assert_eq!(by.effect, Effect::Allow),
                Decision::Denied(by) => assert_eq!(by.effect, Effect::Deny),
                Decision::Missing => {}
            }
            asked += 1;
            allowed += u32::from(expected);
        }
    }
    assert_eq!(asked, 60_000);
    assert!(allowed > 1_000, "{allowed} of {asked}");
}

/// A caller with an API key, and its name.
fn caller() -> (Principal, PrincipalName) {
    let (keyring, _) = Keyring::create(&MasterKeys::generate().unwrap()).unwrap();
    let credential = Credential::generate().unwrap();
    let (name, home) = (KeyName::parse("test").unwrap(), namespace("a"));
    let key = Arc::new(ApiKey::new(&keyring, &credential, name, home, false, at(0), None));
    let principal = key.authenticate(&keyring, &credential, at(1)).unwrap();
    let name = principal.name().clone();
    (principal, name)
}

#[test]
fn a_list_passes_exactly_the_names_that_may_be_listed() {
    let mut random = Random(7);
    let (principal, me) = caller();
    for _ in 0..2_000 {
        let world = World::make(&mut random);
        let mut policy = Policy::default();
        world.roles.iter().cloned().for_each(|role| policy.put_role(role));
        for binding in &world.bindings {
            policy.put_binding(Binding { principal: me.clone(), ..binding.clone() });
        }
        let (namespace, now) = (namespace(random.of(&NAMESPACES)), random.time());
        let grant = policy.grant_namespace::<List>(&principal, &namespace, now);
        for text in NAMES {
            let single = policy.grant::<List>(&principal, &namespace, &name(text), now).is_ok();
            let listed = grant.as_ref().is_ok_and(|grant| grant.names().passes(&name(text)));
            assert_eq!(listed, single, "{text} in {namespace}");
        }
    }
}

#[test]
fn a_grant_is_confirmed_until_a_binding_takes_it_away() {
    let (principal, me) = caller();
    let (a, x) = (namespace("a"), name("x"));
    let mut policy = Policy::default();
    let allow = binding(1, &me, "editor", scope("a/**", "*"), Effect::Allow);
    policy.put_binding(Binding { expires_at: Some(at(10)), ..allow.clone() });
    let grant = policy.grant::<Read>(&principal, &a, &x, at(5)).unwrap();
    assert_eq!(policy.confirm(&grant.granted(), at(9)), Ok(Some(at(10))));
    let denied = policy.confirm(&grant.granted(), at(10)).unwrap_err();
    assert!(matches!(denied, NotConfirmed::Denied(denied) if denied.by.is_none()));
    // Another binding that gives it for longer.
    policy.put_binding(Binding { id: BindingId([2; 10]), ..allow });
    assert_eq!(policy.confirm(&grant.granted(), at(10)), Ok(None));
    // One that denies something else, and one that denies this.
    policy.put_binding(binding(3, &me, "reader", scope("a", "y"), Effect::Deny));
    assert!(policy.confirm(&grant.granted(), at(10)).is_ok());
    policy.put_binding(binding(4, &me, "reader", scope("**", "x*"), Effect::Deny));
    let denied = policy.confirm(&grant.granted(), at(10)).unwrap_err();
    assert!(matches!(denied, NotConfirmed::Denied(denied) if denied.by == Some(BindingId([4; 10]))));
    assert!(policy.grant::<Write>(&principal, &a, &x, at(10)).is_ok(), "the denial is of another right");
    // A list that shows other names now is not the one that was granted.
    let list = policy.grant_namespace::<List>(&principal, &a, at(10)).unwrap();
    policy.remove_binding(BindingId([4; 10]));
    assert_eq!(policy.confirm(&list.granted(), at(10)), Err(NotConfirmed::Changed));
    policy.remove_binding(BindingId([3; 10]));
    assert!(policy.confirm(&list.granted(), at(10)).is_ok(), "all names pass now");
}

#[test]
fn a_denial_for_a_time_is_known_also_after_that_time() {
    let (principal, me) = caller();
    let mut policy = Policy::default();
    let expiring = |id, who: &PrincipalName, effect| Binding {
        expires_at: Some(at(10)),
        ..binding(id, who, "reader", scope("a", "*"), effect)
    };
    policy.put_binding(binding(1, &me, "reader", scope("a", "y"), Effect::Deny));
    policy.put_binding(expiring(2, &me, Effect::Allow));
    policy.put_binding(expiring(3, &principals()[0], Effect::Deny));
    assert!(!policy.denies_for_a_time(&principal));
    policy.put_binding(expiring(4, &me, Effect::Deny));
    assert!(policy.denies_for_a_time(&principal));
    policy.remove_binding(BindingId([4; 10]));
    assert!(!policy.denies_for_a_time(&principal));
}

#[test]
fn a_right_on_a_whole_scope_needs_one_binding_on_it_and_no_denial_in_it() {
    let (principal, me) = caller();
    let mut policy = Policy::default();
    policy.put_binding(binding(1, &me, "admin", scope("a/**", "*"), Effect::Allow));
    let covers = |policy: &Policy, namespaces: &str, names: &str| {
        policy.covers(&principal, Right::Read, &scope(namespaces, names), at(1)).is_ok()
    };
    assert!(covers(&policy, "a/**", "*") && covers(&policy, "a/b", "db_*") && covers(&policy, "a", "x"));
    assert!(!covers(&policy, "**", "*") && !covers(&policy, "ab", "*"));
    policy.put_binding(binding(2, &me, "reader", scope("a/b/**", "*_key"), Effect::Deny));
    assert!(!covers(&policy, "a/**", "*") && !covers(&policy, "a/b", "db_*"));
    assert!(covers(&policy, "a", "*") && covers(&policy, "a/d/**", "*") && covers(&policy, "a/b", "x"));
}

#[test]
fn a_damaged_binding_gives_nothing_and_denies_what_it_denied() {
    let (principal, me) = caller();
    let (a, x, made) = (namespace("a"), name("x"), RoleName::parse("made").unwrap());
    let mut policy = Policy::default();
    policy.put_role(role("made", &[Right::Read]));
    policy.put_binding(binding(1, &me, "made", scope("a", "*"), Effect::Allow));
    assert!(policy.grant::<Read>(&principal, &a, &x, at(1)).is_ok());
    policy.remove_role(&made);
    assert!(policy.grant::<Read>(&principal, &a, &x, at(1)).is_err(), "a role that is gone gives nothing");
    policy.put_role(role("made", &[Right::Read]));
    assert!(policy.grant::<Read>(&principal, &a, &x, at(1)).is_ok());
    policy.put_binding(binding(2, &me, "made", scope("a", "y"), Effect::Deny));
    policy.distrust_binding(BindingId([2; 10]));
    assert!(policy.grant::<Read>(&principal, &a, &name("y"), at(1)).is_err());
    policy.distrust_binding(BindingId([1; 10]));
    assert!(policy.grant::<Read>(&principal, &a, &x, at(1)).is_err());
    assert!(policy.is_in_use(&made));
}
