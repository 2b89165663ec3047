//! The brake as it is stored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::super::time::Timestamp;
use super::super::user::{UserId, UserName};
use super::budget::Spent;
use super::cases::{Case, Cases, Grounds, Standing};
use super::{Batch, Brake, SweepSeen, TableIdentity};

/// The record's form. Users of one standing are listed together, each as `[name, id]`, so that an
/// account's worth of them fits into one item.
#[derive(Serialize, Deserialize)]
pub(super) struct Wire {
    spent: BTreeMap<Timestamp, u32>,
    users: Vec<Group>,
    announced: Vec<String>,
    batch: Option<Batch>,
    over_budget: Option<Timestamp>,
    table_empty: Option<Timestamp>,
    table: Option<TableIdentity>,
    other_table: Option<(TableIdentity, Timestamp)>,
    resumed: Option<Timestamp>,
    sweep: Option<SweepSeen>,
}

#[derive(Serialize, Deserialize)]
struct Group {
    standing: Standing,
    grounds: Grounds,
    users: Vec<(String, UserId)>,
}

/// The stored record is not one that the brake wrote.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("{0:?} is not a user name")]
    Name(String),
    #[error("it lists more users than the brake ever remembers")]
    TooMany,
}

impl From<Brake> for Wire {
    fn from(brake: Brake) -> Self {
        let mut groups: BTreeMap<(Standing, Grounds), Vec<(String, UserId)>> = BTreeMap::new();
        for case in brake.cases.all() {
            let group = groups.entry((case.standing, case.grounds)).or_default();
            group.push((case.name.to_string(), case.user.clone()));
        }
        let group = |((standing, grounds), users)| Group { standing, grounds, users };
        Self {
            spent: brake.spent.0,
            users: groups.into_iter().map(group).collect(),
            announced: brake.cases.announced().map(UserName::to_string).collect(),
            batch: brake.batch,
            over_budget: brake.over_budget,
            table_empty: brake.table_empty,
            table: brake.table,
            other_table: brake.other_table,
            resumed: brake.resumed,
            sweep: brake.sweep,
        }
    }
}

impl TryFrom<Wire> for Brake {
    type Error = Unreadable;

    fn try_from(wire: Wire) -> Result<Self, Unreadable> {
        let parse = |name: String| UserName::parse(&name).map_err(|_| Unreadable::Name(name));
        let mut cases = Cases::default();
        for Group { standing, grounds, users } in wire.users {
            for (name, user) in users {
                let case = Case { name: parse(name)?, user, grounds, standing };
                if !cases.insert(case) {
                    return Err(Unreadable::TooMany);
                }
            }
        }
        for name in wire.announced {
            cases.announce(&parse(name)?);
        }
        let untold = cases.count(Standing::Cleared) > 0;
        Ok(Self {
            untold,
            spent: Spent(wire.spent),
            cases,
            batch: wire.batch,
            over_budget: wire.over_budget,
            table_empty: wire.table_empty,
            table: wire.table,
            other_table: wire.other_table,
            resumed: wire.resumed,
            sweep: wire.sweep,
        })
    }
}
