//! `--dry-run`: what a change of access would take from whom. Nothing is changed.
//!
//! The answer comes from the roles and bindings that the caller may list. So it says what these bindings do, and the service can still
//! refuse the change.

use std::collections::HashMap;

use serde_json::{Value as Json, json};
use strongroom_client::v1::{self, Effect, Right};
use strongroom_client::{Access, v1::Binding};

use super::failure::Failure;
use super::output::{self, Output};
use super::right;
use crate::auth::{NamePattern, NamespacePattern, Scope};
use crate::domain::now;

/// The roles and the bindings that the caller may list.
pub(super) struct Bindings {
    roles: HashMap<String, v1::Role>,
    bindings: Vec<Binding>,
}

/// What a principal loses or gains, on the secrets that the patterns match.
pub(super) struct Difference {
    principal: String,
    /// Whether it loses the rights. If not, it gains them.
    loses: bool,
    rights: Vec<Right>,
    namespace_pattern: String,
    name_pattern: String,
}

impl Bindings {
    /// Reads them.
    pub(super) async fn read(access: &Access) -> Result<Self, Failure> {
        let roles = access.list_roles().await?.items;
        let roles = roles.into_iter().map(|role| (role.name.clone(), role)).collect();
        let bindings = access.list_bindings(v1::ListBindingsRequest::default()).await?.items;
        Ok(Self { roles, bindings })
    }

    /// The binding of this id.
    pub(super) fn find(&self, id: &str) -> Result<&Binding, Failure> {
        let found = self.bindings.iter().find(|binding| binding.id == id);
        found.ok_or_else(|| {
            Failure::local(format!("There is no binding '{}' that you manage.", output::printable(id)))
        })
    }

    /// The bindings of a role.
    pub(super) fn of_role<'a>(&'a self, role: &'a str) -> impl Iterator<Item = &'a Binding> {
        self.bindings.iter().filter(move |binding| binding.role == role)
    }

    /// The role of this name.
    pub(super) fn role(&self, name: &str) -> Result<&v1::Role, Failure> {
        let found = self.roles.get(name);
        found.ok_or_else(|| Failure::local(format!("There is no role '{}'.", output::printable(name))))
    }

    /// What is different without a binding.
    pub(super) fn without(&self, gone: &Binding) -> Vec<Difference> {
        if !in_force(gone) {
            return Vec::new();
        }
        match gone.effect() {
            Effect::Deny => {
                self.denied_by(gone).into_iter().map(|lost| Difference { loses: false, ..lost }).collect()
            }
            Effect::Allow | Effect::Unspecified => {
                let others = || self.others(gone).filter(|other| covers(other, gone));
                let rights = self.of(gone).filter(|right| !others().any(|other| self.has(other, *right)));
                let rights: Vec<_> = rights.collect();
                if rights.is_empty() { Vec::new() } else { vec![difference(gone, rights, gone)] }
            }
        }
    }

    /// What is different without a key: everything that its bindings give it is gone.
    pub(super) fn without_key(&self, id: &str) -> Vec<Difference> {
        let principal = format!("key:{id}");
        let own = self.bindings.iter().filter(|binding| binding.principal == principal && in_force(binding));
        let gives = own.filter(|binding| binding.effect() != Effect::Deny);
        gives.map(|binding| difference(binding, self.of(binding).collect(), binding)).collect()
    }

    /// What a binding that denies takes away.
    pub(super) fn denied_by(&self, denial: &Binding) -> Vec<Difference> {
        let mut lost = Vec::new();
        for other in
            self.others(denial).filter(|other| other.effect() != Effect::Deny && overlaps(other, denial))
        {
            let rights: Vec<_> = self.of(denial).filter(|right| self.has(other, *right)).collect();
            if !rights.is_empty() {
                lost.push(difference(denial, rights, if covers(denial, other) { other } else { denial }));
            }
        }
        lost
    }

    /// The other bindings of a binding's principal that are in force.
    fn others<'a>(&'a self, binding: &'a Binding) -> impl Iterator<Item = &'a Binding> {
        let others = self.bindings.iter().filter(|other| other.id != binding.id && in_force(other));
        others.filter(|other| other.principal == binding.principal)
    }

    /// The rights of a binding's role. None: the caller did not get to see the role.
    fn of<'a>(&'a self, binding: &Binding) -> impl Iterator<Item = Right> + use<'a> {
        self.roles.get(&binding.role).into_iter().flat_map(v1::Role::rights)
    }

    fn has(&self, binding: &Binding, right: Right) -> bool {
        self.of(binding).any(|own| own == right)
    }
}

/// Prints what would be changed, and what this would take from whom or give back.
pub(super) fn print(output: Output, change: &str, differences: &[Difference]) -> Result<(), Failure> {
    if output == Output::Json {
        let differences: Vec<_> = differences.iter().map(Difference::json).collect();
        return output.print(&[], &json!({ "dry_run": true, "change": change, "differences": differences }));
    }
    output::write(format!("This would {}. Nothing was changed.\n\n", output::printable(change)).as_bytes())?;
    if differences.is_empty() {
        return output::write(b"Nobody would lose a right.\n");
    }
    let header = ["principal", "", "rights", "namespaces", "names"];
    output.print_all(&header, differences.iter().map(Difference::row).collect(), &Json::Null)
}

impl Difference {
    fn row(&self) -> Vec<String> {
        let verb = if self.loses { "loses" } else { "gains" };
        let rights = right::names(self.rights.iter().copied()).join(" ");
        let (namespaces, names) = (self.namespace_pattern.clone(), self.name_pattern.clone());
        vec![self.principal.clone(), verb.to_owned(), rights, namespaces, names]
    }

    fn json(&self) -> Json {
        json!({
            "principal": self.principal,
            "effect": if self.loses { "loses" } else { "gains" },
            "rights": right::names(self.rights.iter().copied()),
            "namespace_pattern": self.namespace_pattern,
            "name_pattern": self.name_pattern,
        })
    }
}

fn difference(of: &Binding, rights: Vec<Right>, on: &Binding) -> Difference {
    Difference {
        principal: of.principal.clone(),
        loses: true,
        rights,
        namespace_pattern: on.namespace_pattern.clone(),
        // A binding that is only planned has the name pattern of the request, where no pattern stands for all names.
        name_pattern: if on.name_pattern.is_empty() { "*".to_owned() } else { on.name_pattern.clone() },
    }
}

fn in_force(binding: &Binding) -> bool {
    let now = now().as_micros();
    binding.expires_at.as_ref().is_none_or(|at| at.seconds.saturating_mul(1_000_000) > now)
}

/// Whether a binding is about everything that another one is about. A pattern of a later release is about nothing that is known here.
fn covers(binding: &Binding, other: &Binding) -> bool {
    scope(binding).zip(scope(other)).is_some_and(|(binding, other)| binding.covers(&other))
}

fn overlaps(binding: &Binding, other: &Binding) -> bool {
    scope(binding).zip(scope(other)).is_some_and(|(binding, other)| binding.overlaps(&other))
}

fn scope(binding: &Binding) -> Option<Scope> {
    let names = if binding.name_pattern.is_empty() { "*" } else { &binding.name_pattern };
    Some(Scope {
        namespaces: NamespacePattern::parse(&binding.namespace_pattern).ok()?,
        names: NamePattern::parse(names).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binding(id: &str, role: &str, on: &str, name: &str, effect: Effect) -> Binding {
        Binding {
            id: id.into(),
            principal: "key:a".into(),
            role: role.into(),
            namespace_pattern: on.into(),
            name_pattern: name.into(),
            effect: effect.into(),
            ..Binding::default()
        }
    }

    fn known(bindings: Vec<Binding>) -> Bindings {
        let role = |name: &str, rights: &[Right]| {
            let rights = rights.iter().map(|right| i32::from(*right)).collect();
            (name.to_owned(), v1::Role { name: name.to_owned(), rights, ..v1::Role::default() })
        };
        let roles = [role("viewer", &[Right::List]), role("reader", &[Right::List, Right::Read])];
        Bindings { roles: roles.into(), bindings }
    }

    fn told(differences: &[Difference]) -> Vec<String> {
        differences.iter().map(|difference| difference.row()[1..].join(" ")).collect()
    }

    #[test]
    fn a_right_that_another_binding_gives_on_all_of_it_is_not_lost() {
        let gone = binding("1", "reader", "team/ci", "*", Effect::Allow);
        let other = |role, on, name| binding("2", role, on, name, Effect::Allow);
        for (other, lost) in [
            (other("viewer", "team/**", "*"), vec!["loses read team/ci *"]),
            (other("reader", "**", "*"), vec![]),
            (other("reader", "team/ci", "db_*"), vec!["loses list read team/ci *"]),
            (
                Binding { principal: "key:b".into(), ..other("reader", "**", "*") },
                vec!["loses list read team/ci *"],
            ),
            (
                Binding { expires_at: Some(prost_types::Timestamp::default()), ..other("reader", "**", "*") },
                vec!["loses list read team/ci *"],
            ),
        ] {
            assert_eq!(told(&known(vec![gone.clone(), other]).without(&gone)), lost);
        }
    }

    #[test]
    fn a_denial_takes_what_is_given_and_gives_it_back() {
        let denial = binding("1", "viewer", "team/**", "db_*", Effect::Deny);
        let given = vec![
            binding("2", "reader", "team/ci", "*", Effect::Allow),
            binding("3", "reader", "team/ci", "db_a", Effect::Allow),
            binding("4", "reader", "other", "*", Effect::Allow),
        ];
        let all = known(given);
        assert_eq!(told(&all.denied_by(&denial)), ["loses list team/** db_*", "loses list team/ci db_a"]);
        assert_eq!(told(&all.without(&denial)), ["gains list team/** db_*", "gains list team/ci db_a"]);
        assert_eq!(told(&all.without_key("a")).len(), 3);
        let planned = binding("", "viewer", "team/ci", "", Effect::Deny);
        assert_eq!(told(&all.denied_by(&planned)), ["loses list team/ci *", "loses list team/ci db_a"]);
    }
}
