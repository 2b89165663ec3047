//! Where an emulator is not as AWS is documented to be, and why that is no fault of ours.
//!
//! Where an emulator is kinder than AWS, AWS wins: the line stays as the documentation says, and the
//! program is tested for it on the simulated account.

use crate::scenarios::Scenario::{self, Deletion, Keys, Parameters, Stream, Tags, Users};

/// One line of one scenario that an emulator answers otherwise than AWS.
#[derive(Debug)]
pub(crate) struct Difference {
    pub(crate) scenario: Scenario,
    pub(crate) line: &'static str,
    /// What the emulator answers. `<prefix>` is the prefix of this run's names, `<PREFIX>` the same in
    /// capitals, `<policy>` the policy's ARN.
    pub(crate) got: &'static str,
    pub(crate) reason: &'static str,
}

const fn known(
    scenario: Scenario,
    line: &'static str,
    got: &'static str,
    reason: &'static str,
) -> Difference {
    Difference { scenario, line, got, reason }
}

/// What is known of the emulator of this name.
pub(crate) fn of_emulator(name: &str) -> &'static [Difference] {
    match name {
        "fakecloud" => FAKECLOUD,
        "ministack" => MINISTACK,
        _ => panic!("no emulator is called {name}"),
    }
}

// Both have these in common.
const NAMES_BY_CASE: &str =
    "IAM: names are not distinguished by case (CreateUser); the emulator distinguishes them";
const GLANCE_WITHOUT_BOUNDARY: &str =
    "IAM: a UserDetail of GetAccountAuthorizationDetails has PermissionsBoundary; the emulator leaves it out";
const AWS_TAGS: &str =
    "IAM: no tag key may begin with aws:, which is AWS's own (Tag); the emulator sets such a tag";
const AT_ONCE: &str = "SSM: wait at least 30 s before a deleted name is used again (DeleteParameter); the emulator does not mind";
const TYPES_CHANGE: &str =
    "SSM: HierarchyTypeMismatchException, a String cannot become a SecureString; in the emulator it does";
const ANY_SHARD: &str = "DynamoDB: ResourceNotFoundException (GetShardIterator); the emulator gives an iterator for any shard's name";

/// fakecloud 0.51.0
const FAKECLOUD: &[Difference] = &[
    known(Users, "create it in another case", "ok", NAMES_BY_CASE),
    known(Users, "find it in another case", "<PREFIX>BOB", NAMES_BY_CASE),
    known(Users, "listed with its boundary", "", GLANCE_WITHOUT_BOUNDARY),
    known(
        Users,
        "create with a policy that is not there",
        "ok",
        "IAM: NoSuchEntity (CreateUser); the emulator takes any ARN for a boundary",
    ),
    known(Tags, "one tag, whatever the case", "3", TAGS_BY_CASE),
    known(Tags, "the last value", "a", TAGS_BY_CASE),
    known(Tags, "one left", "Some(3)", TAGS_BY_CASE),
    known(Tags, "AWS's own prefix", "ok", AWS_TAGS),
    known(
        Tags,
        "a tag number 51",
        "invalid",
        "IAM: LimitExceeded (TagUser); the emulator says InvalidInput, as of a call with more than 50 tags",
    ),
    known(Deletion, "no MFA device", "ok", GONE_IS_FINE),
    known(Deletion, "no credential", "ok", GONE_IS_FINE),
    known(Deletion, "no inline policy", "ok", GONE_IS_FINE),
    known(Parameters, "again at once", "ok", AT_ONCE),
    known(Parameters, "a type cannot be changed", "ok", TYPES_CHANGE),
    known(
        Stream,
        "each change once, and none for a write that changes nothing",
        "[Written, Written, Written, Removed, Written]",
        "DynamoDB: a write that changes no data makes no record; in the emulator it makes one",
    ),
    known(
        Stream,
        "an open shard has no children",
        "invalid",
        "DynamoDB: ShardFilter CHILD_SHARDS (DescribeStream); the emulator lists every shard all the same, which the \
         adapter sees",
    ),
    known(Stream, "a shard that never was", "an iterator", ANY_SHARD),
];

const TAGS_BY_CASE: &str = "IAM: the keys of tags are not distinguished by case (User Guide, tagging); the emulator distinguishes them";
const GONE_IS_FINE: &str = "IAM: NoSuchEntity; the emulator removes what is not there";

/// ministack 1.5.33
const MINISTACK: &[Difference] = &[
    known(Users, "create it in another case", "ok", NAMES_BY_CASE),
    known(Users, "find it in another case", "<PREFIX>BOB", NAMES_BY_CASE),
    known(Users, "listed with its boundary", "", GLANCE_WITHOUT_BOUNDARY),
    known(
        Keys,
        "keys of nobody",
        "some",
        "IAM: NoSuchEntity (ListAccessKeys); the emulator lists no keys for a user that is not there",
    ),
    known(Keys, "third key", "ok", ANY_NUMBER_OF_KEYS),
    known(Keys, "both listed", "3", ANY_NUMBER_OF_KEYS),
    known(Keys, "one active", "2", ANY_NUMBER_OF_KEYS),
    known(Keys, "an inactive key counts", "ok", ANY_NUMBER_OF_KEYS),
    known(
        Keys,
        "a key of nobody",
        "ok",
        "IAM: NoSuchEntity (DeleteAccessKey); the emulator deletes a key whoever is said to have it",
    ),
    known(Tags, "key of 129", "ok", ANY_TAG),
    known(Tags, "value of 257", "ok", ANY_TAG),
    known(Tags, "a character that tags do not have", "ok", ANY_TAG),
    known(Tags, "AWS's own prefix", "ok", AWS_TAGS),
    known(Tags, "a tag number 51", "ok", ANY_TAG),
    known(Deletion, "an SSH key", "false", NO_SUCH_ACTION),
    known(Deletion, "a certificate", "false", NO_SUCH_ACTION),
    known(Deletion, "a credential", "false", NO_SUCH_ACTION),
    known(
        Parameters,
        "more than 8 KB",
        "ok",
        "SSM: an advanced parameter holds 8 KB (Parameter Store tiers); the emulator has no limit",
    ),
    known(Parameters, "again at once", "ok", AT_ONCE),
    known(Parameters, "a type cannot be changed", "ok", TYPES_CHANGE),
    known(Stream, "a shard that never was", "an iterator", ANY_SHARD),
];

const ANY_NUMBER_OF_KEYS: &str =
    "IAM: a user has two access keys at most (quotas); the emulator has no limit";
const ANY_TAG: &str = "IAM: limits and characters of tags (Tag, TagUser); the emulator checks none of them";
const NO_SUCH_ACTION: &str = "the emulator has no action that makes one (InvalidAction)";
