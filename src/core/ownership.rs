//! Whose a user is: what its tags claim, what its seal proves, and whether a row may take it over.

use super::observed::{SignIn, Tags, User};
use super::policy::{Adopt, OrphanScope, Policy};
use super::seal::SealKey;
use super::tags::{CONTROLLER, MANAGED_BY, OURS, SEAL, TABLE, TABLE_ARN, key_tag, value};
use super::time::Timestamp;
use super::user::{AccessKeyId, UserName};

/// IAM: a tag's value has at most this many characters. A table with a longer ARN cannot own users.
pub const LONGEST_ARN: usize = 256;

/// The users table for which users are owned, and the key that seals them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ownership {
    table: String,
    arn: String,
    /// `None`: no state table has one yet, or it may not be read; then nobody is owned.
    key: Option<SealKey>,
}

/// What a user's tags claim, and its seal proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim<'a> {
    /// All ownership tags match, and the seal is valid: it is owned.
    Ours,
    /// Its tags name this other table: its ARN, or its name where no ARN is told.
    OtherTable(&'a str),
    /// It carries tags of ours, and no valid seal: somebody else has put them there.
    NoSeal,
    /// It carries no tag of ours.
    Stranger,
}

impl Ownership {
    /// Of the table of this name and ARN.
    pub fn new(table: String, arn: String, key: Option<SealKey>) -> Self {
        Self { table, arn, key }
    }

    /// The users table's name.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The users table's ARN.
    pub fn arn(&self) -> &str {
        &self.arn
    }

    /// What a user's tags claim, and its seal proves.
    pub fn claim<'a>(&self, user: &'a User) -> Claim<'a> {
        let told = |key| value(&user.tags, key);
        let others = told(TABLE_ARN).filter(|arn| *arn != self.arn);
        if let Some(other) = others.or_else(|| told(TABLE).filter(|table| *table != self.table)) {
            return Claim::OtherTable(other);
        }
        if self.names(user) && self.is_sealed(user) {
            return Claim::Ours;
        }
        let ours = |key: &String| key.get(..OURS.len()).is_some_and(|start| start.eq_ignore_ascii_case(OURS));
        if told(MANAGED_BY) == Some(CONTROLLER) || user.tags.keys().any(ours) {
            return Claim::NoSeal;
        }
        Claim::Stranger
    }

    /// Whether the user is owned.
    pub fn owns(&self, user: &User) -> bool {
        self.claim(user) == Claim::Ours
    }

    /// Whether the user carries the ownership tags of this very table and a seal that is not valid
    /// under our key: another state table has led for this table, or somebody has forged them.
    pub fn is_sealed_otherwise(&self, user: &User) -> bool {
        self.names(user) && value(&user.tags, SEAL).is_some() && !self.is_sealed(user)
    }

    /// Whether a sweep may delete the user for want of a row, as far as its tags tell.
    pub fn sweepable(&self, user: &User, scope: OrphanScope) -> bool {
        match self.claim(user) {
            Claim::Ours => true,
            Claim::Stranger => scope == OrphanScope::Account,
            Claim::OtherTable(_) | Claim::NoSeal => false,
        }
    }

    /// The ownership tags of a user of this name that is created at about this time.
    pub fn tags(&self, name: &UserName, at: Timestamp) -> Tags {
        let names = [(MANAGED_BY, CONTROLLER), (TABLE, &self.table), (TABLE_ARN, &self.arn)];
        let names = names.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let seal = self.key.as_ref().map(|key| (SEAL.to_owned(), key.seal(name, &self.arn, at)));
        names.into_iter().chain(seal).collect()
    }

    /// Whether the tags name this table and this program.
    fn names(&self, user: &User) -> bool {
        let told = |key| value(&user.tags, key);
        told(MANAGED_BY) == Some(CONTROLLER)
            && told(TABLE) == Some(self.table.as_str())
            && told(TABLE_ARN) == Some(self.arn.as_str())
    }

    fn is_sealed(&self, user: &User) -> bool {
        let seal = self.key.as_ref().zip(value(&user.tags, SEAL));
        seal.is_some_and(|(key, seal)| key.proves(seal, &user.name, &self.arn, user.created))
    }
}

/// Why a user that a row names may not be taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotAdoptable {
    /// `users.adopt = "never"`.
    Never,
    /// It has no tag that names one of its keys.
    NotTagged,
    /// Its tags name this other table, and `users.adopt_from` does not.
    OtherTable(String),
    /// It is of this path, which is neither at nor below one that may be adopted.
    Path(String),
    /// It has a console login.
    ConsoleLogin,
    /// It has an MFA device.
    MfaDevice,
    /// All else allows it, and whether it is a person's was not asked yet.
    AskSignIn,
}

impl NotAdoptable {
    /// Says it to the operator, in a sentence about the user.
    pub fn why(&self) -> String {
        const NOT_OURS: &str = "an IAM user of this name exists that the controller did not create";
        match self {
            Self::Never => format!("{NOT_OURS}; users.adopt is \"never\""),
            Self::NotTagged => {
                format!("{NOT_OURS}, and no tag of it names one of its keys as current or pending_deletion")
            }
            Self::OtherTable(table) => format!(
                "the IAM user of this name is managed from the table {table}, which users.adopt_from does not name"
            ),
            Self::Path(path) => format!(
                "{NOT_OURS}, and its path {path} is neither at nor below users.path or one of users.adopt_paths"
            ),
            Self::ConsoleLogin => format!("{NOT_OURS}, and it has a console login, which is a person's"),
            Self::MfaDevice => format!("{NOT_OURS}, and it has an MFA device, which is a person's"),
            Self::AskSignIn => "it may be a person's".to_owned(),
        }
    }
}

/// Whether `policy` lets a row take over this user, which exists and is not owned.
///
/// `keys` are the ids of its access keys: a tag that names a key it does not have proves nothing. The
/// tags of another table, also of one that `users.adopt_from` names, prove nothing either: they can be
/// forged, and its seal is under another key. So all conditions of `tagged` hold for such a user, too.
///
/// # Errors
/// Says which rule forbids it.
pub fn adoptable<'a>(
    user: &User,
    mut keys: impl Iterator<Item = &'a AccessKeyId>,
    sign_in: Option<SignIn>,
    policy: &Policy,
) -> Result<(), NotAdoptable> {
    if let Claim::OtherTable(other) = policy.ownership.claim(user)
        && !policy.adopt_from.iter().any(|arn| arn == other)
    {
        return Err(NotAdoptable::OtherTable(other.to_owned()));
    }
    match policy.adopt {
        Adopt::Never => return Err(NotAdoptable::Never),
        Adopt::Always => return Ok(()),
        Adopt::Tagged => {}
    }
    if !keys.any(|key| key_tag(&user.tags, key).is_some()) {
        return Err(NotAdoptable::NotTagged);
    }
    // Paths begin and end with a slash.
    if !policy.adopt_paths.iter().any(|path| user.path.starts_with(path.as_str())) {
        return Err(NotAdoptable::Path(user.path.clone()));
    }
    match sign_in {
        None => Err(NotAdoptable::AskSignIn),
        Some(SignIn { console: true, .. }) => Err(NotAdoptable::ConsoleLogin),
        Some(SignIn { mfa: true, .. }) => Err(NotAdoptable::MfaDevice),
        Some(SignIn { console: false, mfa: false }) => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::observed::Tags;
    use super::super::seal::NEAR;
    use super::super::user::UserId;
    use super::*;

    /// The ARN of the users table of tests.
    pub(crate) const ARN: &str = "arn:aws:dynamodb:eu-west-1:123456789012:table/users";
    /// That of the table of the same name in another Region.
    pub(crate) const OTHER_ARN: &str = "arn:aws:dynamodb:us-east-1:123456789012:table/users";

    /// The users table of tests, under one of several keys.
    pub(crate) fn table(key: u8) -> Ownership {
        Ownership::new("users".to_owned(), ARN.to_owned(), Some(SealKey::new([key; 32])))
    }

    fn user(name: &str, created: i64, tags: Tags) -> User {
        let (name, created) = (UserName::parse(name).unwrap(), Timestamp::from_secs(created));
        User { name, id: UserId("AIDA1".to_owned()), path: "/".to_owned(), created, boundary: None, tags }
    }

    /// What is claimed by tags that were written for `mail`, created at 1,000 s, changed so, and found on
    /// a user of this name and CreateDate.
    fn claim(change: impl FnOnce(&mut Tags), name: &str, created: i64) -> String {
        let mut tags = table(1).tags(&UserName::parse("mail").unwrap(), Timestamp::from_secs(1_000));
        change(&mut tags);
        format!("{:?}", table(1).claim(&user(name, created, tags)))
    }

    fn set(key: &'static str, value: &'static str) -> impl FnOnce(&mut Tags) {
        move |tags| drop(tags.insert(key.to_owned(), value.to_owned()))
    }

    fn without(key: &'static str) -> impl FnOnce(&mut Tags) {
        move |tags| drop(tags.remove(key))
    }

    #[test]
    #[rustfmt::skip] // The columns are the point.
    fn a_user_is_owned_when_all_tags_match_and_its_seal_is_valid() {
        let near = i64::try_from(NEAR.as_secs()).unwrap();
        assert_eq!(claim(|_| {},                         "mail", 1_000),            "Ours");
        assert_eq!(claim(|_| {},                         "MAIL", 1_000 + near),     "Ours");
        // Keys of tags are compared without regard to case, as IAM does; values are not.
        assert_eq!(claim(|tags| *tags = tags.iter().map(|(k, v)| (k.to_uppercase(), v.clone())).collect(), "mail", 1_000), "Ours");
        assert_eq!(claim(set(MANAGED_BY, "IAM-user-controller"), "mail", 1_000),    "NoSeal");
        // Copied to another user, or to a later one of the name.
        assert_eq!(claim(|_| {},                         "root", 1_000),            "NoSeal");
        assert_eq!(claim(|_| {},                         "mail", 1_001 + near),     "NoSeal");
        // Each tag by itself.
        assert_eq!(claim(without(SEAL),                  "mail", 1_000),            "NoSeal");
        assert_eq!(claim(set(SEAL, "none"),              "mail", 1_000),            "NoSeal");
        assert_eq!(claim(without(MANAGED_BY),            "mail", 1_000),            "NoSeal");
        assert_eq!(claim(without(TABLE),                 "mail", 1_000),            "NoSeal");
        assert_eq!(claim(without(TABLE_ARN),             "mail", 1_000),            "NoSeal");
        assert_eq!(claim(set(TABLE, "others"),           "mail", 1_000),            r#"OtherTable("others")"#);
        assert_eq!(claim(set(TABLE_ARN, OTHER_ARN),      "mail", 1_000),            format!("OtherTable({OTHER_ARN:?})"));
        // One tag of ours is a claim; those of others are none.
        let only = |key, value| move |tags: &mut Tags| { tags.clear(); set(key, value)(tags); };
        assert_eq!(claim(only("IAM-user-controller:minting", "none"), "mail", 1_000), "NoSeal");
        assert_eq!(claim(only(MANAGED_BY, CONTROLLER),   "mail", 1_000),            "NoSeal");
        assert_eq!(claim(only(MANAGED_BY, "terraform"),  "mail", 1_000),            "Stranger");
        assert_eq!(claim(only("AKIAIOSFODNN7EXAMPLE", "current"), "mail", 1_000),   "Stranger");
    }

    #[test]
    fn another_key_seals_otherwise_and_no_key_owns_nobody() {
        let (name, created) = (UserName::parse("mail").unwrap(), Timestamp::from_secs(1_000));
        let sealed = user("mail", 1_000, table(1).tags(&name, created));
        assert!(table(1).owns(&sealed) && !table(1).is_sealed_otherwise(&sealed));
        assert!(!table(2).owns(&sealed) && table(2).is_sealed_otherwise(&sealed));
        let unkeyed = Ownership::new("users".to_owned(), ARN.to_owned(), None);
        assert!(!unkeyed.owns(&sealed) && unkeyed.is_sealed_otherwise(&sealed));
        assert!(!unkeyed.owns(&user("mail", 1_000, unkeyed.tags(&name, created))));
        // Of another table, or never sealed.
        let elsewhere = Ownership::new("users".to_owned(), OTHER_ARN.to_owned(), Some(SealKey::new([1; 32])));
        assert!(!elsewhere.owns(&sealed) && !elsewhere.is_sealed_otherwise(&sealed));
        assert!(!table(2).is_sealed_otherwise(&user("mail", 1_000, Tags::new())));
    }

    #[test]
    fn a_sweep_may_delete_owned_users_and_in_the_whole_account_strangers() {
        let (name, created) = (UserName::parse("mail").unwrap(), Timestamp::from_secs(1_000));
        let ours = table(1).tags(&name, created);
        let mut elsewhere = ours.clone();
        elsewhere.insert(TABLE_ARN.to_owned(), OTHER_ARN.to_owned());
        let forged = table(2).tags(&name, created);
        for (tags, owned, account) in [
            (ours, true, true),
            (elsewhere, false, false),
            (forged, false, false),
            (Tags::new(), false, true),
        ] {
            let user = user("mail", 1_000, tags);
            let sweepable = |scope| table(1).sweepable(&user, scope);
            assert_eq!((sweepable(OrphanScope::Owned), sweepable(OrphanScope::Account)), (owned, account));
        }
    }
}
