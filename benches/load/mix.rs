//! The kinds of requests, and in which proportion a load mixes them.

use std::fmt;
use std::str::FromStr;

use crate::random::Random;

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Work {
    Get,
    /// Ten secrets.
    BatchGet,
    /// A page of 100.
    List,
    /// A page of 100 of those with a metadata pair, which a tenth of the secrets has.
    ListFiltered,
    Create,
    /// Of the description.
    Update,
    Rotate,
    /// Of a secret that a create made before.
    Delete,
}

impl Work {
    /// All of them. Deletes come behind the creates.
    pub const ALL: [Self; 8] = [
        Self::Get,
        Self::BatchGet,
        Self::List,
        Self::ListFiltered,
        Self::Create,
        Self::Update,
        Self::Rotate,
        Self::Delete,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::BatchGet => "batch_get",
            Self::List => "list",
            Self::ListFiltered => "list_filtered",
            Self::Create => "create",
            Self::Update => "update",
            Self::Rotate => "rotate",
            Self::Delete => "delete",
        }
    }
}

/// How many of all requests are of each kind, such as `get=90,list=5,rotate=4,create=1`.
#[derive(Clone, Debug)]
pub struct Mix(Vec<(Work, u64)>);

impl Mix {
    /// The kinds that it has.
    pub fn works(&self) -> impl Iterator<Item = Work> {
        self.0.iter().map(|(work, _)| *work)
    }

    /// The kind of the next request.
    pub fn choose(&self, random: &mut Random) -> Work {
        let mut place = random.below(self.0.iter().map(|(_, parts)| parts).sum());
        for (work, parts) in &self.0 {
            if place < *parts {
                return *work;
            }
            place -= parts;
        }
        unreachable!("the place is below the sum")
    }
}

impl FromStr for Mix {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut mix = Vec::new();
        for part in text.split(',') {
            let (name, parts) = part.split_once('=').ok_or(format!("{part:?} has no `=`"))?;
            let known = |work: &&Work| **work != Work::Delete && work.name() == name.trim();
            let work = Work::ALL.iter().find(known).ok_or_else(|| {
                let known: Vec<_> = Work::ALL[..7].iter().map(|work| work.name()).collect();
                format!("{name:?} is none of {}", known.join(", "))
            })?;
            let parts: u32 = parts.trim().parse().map_err(|_| format!("{parts:?} is not a number"))?;
            if mix.iter().any(|(other, _)| other == work) {
                return Err(format!("{name:?} stands there twice"));
            }
            if parts > 0 {
                mix.push((*work, u64::from(parts)));
            }
        }
        if mix.is_empty() { Err("nothing is left to send".into()) } else { Ok(Self(mix)) }
    }
}

impl fmt::Display for Mix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> = self.0.iter().map(|(work, parts)| format!("{}={parts}", work.name())).collect();
        f.write_str(&parts.join(","))
    }
}
