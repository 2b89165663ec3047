//! Which call of the program goes wrong, and how: by script (fault F at call number k) or by seeded
//! rates; and what has been fired so far.

use std::collections::BTreeMap;

use crate::prng::Prng;

macro_rules! calls {
    ($($variant:ident $name:literal $class:ident,)*) => {
        /// Every call that a port can make.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum Call { $($variant,)* }

        impl Call {
            pub(crate) const ALL: &[Call] = &[$(Call::$variant,)*];

            /// As policies name it.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Call::$variant => $name,)* }
            }

            fn class(self) -> Class {
                match self { $(Call::$variant => Class::$class,)* }
            }
        }
    };
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// IAM read: may be stale.
    Iam,
    /// IAM change.
    IamChange,
    Read,
    /// GetRecords.
    Records,
    /// SSM change.
    Change,
    /// A write of the controller's own state.
    StateWrite,
}

calls! {
    Glance "iam:GetAccountAuthorizationDetails" Iam,
    GetUser "iam:GetUser" Iam,
    ListKeys "iam:ListAccessKeys" Iam,
    GetLogin "iam:GetLoginProfile" Iam,
    ListLeftovers "iam:ListLeftovers" Iam,
    CreateUser "iam:CreateUser" IamChange,
    TagUser "iam:TagUser" IamChange,
    UntagUser "iam:UntagUser" IamChange,
    PutBoundary "iam:PutUserPermissionsBoundary" IamChange,
    CreateKey "iam:CreateAccessKey" IamChange,
    DeactivateKey "iam:UpdateAccessKey" IamChange,
    DeleteKey "iam:DeleteAccessKey" IamChange,
    RemoveLeftover "iam:RemoveLeftover" IamChange,
    DeleteUser "iam:DeleteUser" IamChange,
    GetParameter "ssm:GetParameter" Read,
    PutParameter "ssm:PutParameter" Change,
    DeleteParameter "ssm:DeleteParameter" Change,
    Caller "sts:GetCallerIdentity" Read,
    Prove "sts:GetCallerIdentity(new key)" Read,
    DescribeTable "dynamodb:DescribeTable" Read,
    GetItem "dynamodb:GetItem" Read,
    Scan "dynamodb:Scan" Read,
    DescribeStream "dynamodb:DescribeStream" Read,
    Children "dynamodb:DescribeStream(children)" Read,
    GetIterator "dynamodb:GetShardIterator" Read,
    GetRecords "dynamodb:GetRecords" Records,
    CheckState "dynamodb:DescribeTable(state)" Read,
    LoadState "dynamodb:Scan(state)" Read,
    GetState "dynamodb:GetItem(state)" Read,
    PutState "dynamodb:PutItem(state)" StateWrite,
    DeleteState "dynamodb:DeleteItem(state)" StateWrite,
    SwapState "dynamodb:PutItem(state, exact)" StateWrite,
}

impl Call {
    /// Whether it changes a user or a parameter: what must be silent once everything has converged.
    pub(crate) fn mutates_users(self) -> bool {
        matches!(self.class(), Class::IamChange | Class::Change)
    }

    /// Whether it goes to the state table.
    pub(crate) fn state(self) -> bool {
        matches!(self, Self::CheckState | Self::LoadState | Self::GetState)
            || self.class() == Class::StateWrite
    }

    /// Whether it changes anything at all.
    pub(crate) fn mutates(self) -> bool {
        self.mutates_users() || self.class() == Class::StateWrite
    }

    fn iam(self) -> bool {
        matches!(self.class(), Class::Iam | Class::IamChange)
    }
}

/// One way in which a call goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// The process dies before the call is sent.
    CrashBefore,
    /// The process dies after the effect, before the answer.
    CrashAfter,
    /// The process dies, and what it had sent takes effect seconds later.
    CrashLate,
    /// It took effect; the caller sees a broken connection.
    Lost,
    /// A 5xx without effect; the caller cannot know that.
    Error,
    /// The caller sees a broken connection, and the effect comes seconds after.
    Late,
    /// Refused for load.
    Throttled,
    /// Refused for want of permission.
    Denied,
    /// IAM answers from the past, as far back as it may.
    Stale,
    /// An answer that takes long, within the caller's time-out.
    Slow,
    /// No answer within the time-out; it may or may not have taken effect.
    TimeOut,
    /// GetRecords: a record that was delivered before comes again.
    Duplicate,
    /// GetRecords: an empty page in the middle of a shard.
    EmptyPage,
    /// GetRecords: the iterator has expired.
    Expired,
    /// The process stands still right before the call is sent, for longer than its lease.
    FreezeBefore,
    /// The process stands still right after the call was sent, and finds its answer when it goes on.
    FreezeAfter,
    /// It stands still in the middle of handing the call to the network, which then goes out when it
    /// goes on, whatever its clocks say.
    FreezeSending,
}

impl Kind {
    pub(crate) const ALL: &[Kind] = &[
        Kind::CrashBefore,
        Kind::CrashAfter,
        Kind::CrashLate,
        Kind::Lost,
        Kind::Error,
        Kind::Late,
        Kind::Throttled,
        Kind::Denied,
        Kind::Stale,
        Kind::Slow,
        Kind::TimeOut,
        Kind::Duplicate,
        Kind::EmptyPage,
        Kind::Expired,
    ];
    /// Those that concern other replicas, and happen by script only.
    pub(crate) const FREEZES: [Kind; 2] = [Kind::FreezeBefore, Kind::FreezeAfter];
    pub(crate) const COUNT: usize = Self::ALL.len() + Self::FREEZES.len() + 1;

    /// Whether it can happen to this call.
    pub(crate) fn applies_to(self, call: Call) -> bool {
        match self {
            Self::CrashBefore
            | Self::CrashAfter
            | Self::Error
            | Self::Throttled
            | Self::Denied
            | Self::Slow
            | Self::TimeOut
            | Self::FreezeBefore
            | Self::FreezeAfter => true,
            Self::CrashLate | Self::Lost | Self::Late => call.mutates(),
            Self::FreezeSending => call.mutates_users(),
            Self::Stale => call.iam(),
            Self::Duplicate | Self::EmptyPage | Self::Expired => call == Call::GetRecords,
        }
    }
}

/// How the state table answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Weather {
    #[default]
    Well,
    /// Nine calls of ten are refused for load.
    Throttled,
    /// No call is answered in time; some take effect.
    Unreachable,
    /// Every answer takes seconds.
    Slow,
}

impl Weather {
    /// What becomes of a call to the state table.
    pub(crate) fn strikes(self, prng: &mut Prng) -> Option<Kind> {
        match self {
            Self::Well => None,
            Self::Throttled => prng.chance(900).then_some(Kind::Throttled),
            Self::Unreachable => Some(Kind::TimeOut),
            Self::Slow => Some(Kind::Slow),
        }
    }
}

/// How often each fault has happened to each call.
#[derive(Clone, Debug)]
pub(crate) struct Fired(Vec<[u32; Kind::COUNT]>);

impl Default for Fired {
    fn default() -> Self {
        Self(vec![[0; Kind::COUNT]; Call::ALL.len()])
    }
}

impl Fired {
    pub(crate) fn count(&self, call: Call, kind: Kind) -> u32 {
        self.0[call as usize][kind as usize]
    }

    pub(crate) fn add(&mut self, other: &Fired) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            for (mine, theirs) in mine.iter_mut().zip(theirs) {
                *mine += theirs;
            }
        }
    }

    /// The pairs that could have happened and never did.
    pub(crate) fn missing(&self) -> Vec<(Call, Kind)> {
        let pairs = Call::ALL.iter().flat_map(|call| Kind::ALL.iter().map(move |kind| (*call, *kind)));
        pairs.filter(|(call, kind)| kind.applies_to(*call) && self.count(*call, *kind) == 0).collect()
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.iter().flatten().map(|n| u64::from(*n)).sum()
    }
}

/// A call that goes wrong every time, until it is mended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outage {
    pub(crate) call: Call,
    /// The pages before this one of a list or a scan are answered; 1 for all of them.
    pub(crate) from_page: u32,
    pub(crate) kind: Kind,
}

/// The faults of one history.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// Call number (from 1, over all replicas) and what happens to it.
    pub(crate) script: Vec<(u64, Kind)>,
    /// Chance of each kind at each call that it applies to, in a million.
    pub(crate) per_million: [u32; Kind::COUNT],
    /// What does not work at present.
    pub(crate) outages: Vec<Outage>,
    /// The page that was asked for last, of lists and scans.
    pages: BTreeMap<Call, u32>,
    /// Off: nothing goes wrong any more but by the script.
    pub(crate) off: bool,
    /// How the state table is, all the while.
    pub(crate) weather: Weather,
    /// What has happened.
    pub(crate) fired: Fired,
}

impl Faults {
    /// Fault `kind` at call number `at`, and nothing else.
    pub(crate) fn scripted(script: &[(u64, Kind)]) -> Self {
        Self { script: script.to_vec(), ..Self::default() }
    }

    /// Every kind at the same rate.
    pub(crate) fn everywhere(per_million: u32) -> Self {
        Kind::ALL.iter().fold(Self::default(), |faults, kind| faults.with(*kind, per_million))
    }

    pub(crate) fn with(mut self, kind: Kind, per_million: u32) -> Self {
        self.per_million[kind as usize] = per_million;
        self
    }

    /// What happens to call number `number`, about `subject`.
    pub(crate) fn decide(&mut self, call: Call, subject: &str, number: u64, prng: &mut Prng) -> Option<Kind> {
        let scripted = self.script.iter().find(|(at, _)| *at == number).map(|(_, kind)| *kind);
        let kind = scripted.or_else(|| self.outage(call, subject)).or_else(|| self.draw(call, prng));
        let kind = kind.filter(|kind| kind.applies_to(call));
        let weather = if call.state() && !self.off { self.weather } else { Weather::Well };
        let kind = kind.or_else(|| weather.strikes(prng))?;
        self.fired.0[call as usize][kind as usize] += 1;
        Some(kind)
    }

    fn outage(&mut self, call: Call, subject: &str) -> Option<Kind> {
        // The subject of these calls is the token of the page.
        let page = match call {
            Call::Glance | Call::Scan if !subject.is_empty() => {
                self.pages.get(&call).copied().unwrap_or(1).saturating_add(1)
            }
            _ => 1,
        };
        self.pages.insert(call, page);
        let broken = self.outages.iter().find(|outage| outage.call == call && page >= outage.from_page);
        broken.filter(|_| !self.off).map(|outage| outage.kind)
    }

    fn draw(&self, call: Call, prng: &mut Prng) -> Option<Kind> {
        if self.off {
            return None;
        }
        let applicable = || Kind::ALL.iter().filter(|kind| kind.applies_to(call));
        let total: u64 = applicable().map(|kind| u64::from(self.per_million[*kind as usize])).sum();
        if total == 0 {
            return None;
        }
        let mut drawn = prng.below(1_000_000);
        for kind in applicable() {
            let share = u64::from(self.per_million[*kind as usize]);
            if drawn < share {
                return Some(*kind);
            }
            drawn -= share;
        }
        None
    }
}
