//! One table of scenarios for everything that claims to be an AWS account.
//!
//! It runs on the simulated account and, through the real adapters, on emulators; so it knows
//! nothing but the ports and a few things that people do by hand. Each line says what AWS documents.
//! Whoever runs it compares: the simulated account must agree in every line, an emulator in all but
//! those listed with their reason.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use iam_user_controller::core::observed::{Leftover, Tags};
use iam_user_controller::core::parameter_name::ParameterTemplate;
use iam_user_controller::core::secret::Secret;
use iam_user_controller::core::user::{AccessKeyId, UserName};
use iam_user_controller::ports::{
    CallError, ChangeKind, ChangeRecord, Directory, Identity, NewUser, Ports, Position, Proof, Record,
    ShardId, StateError, StateStore, StreamError, Streams, UsersTable, Vault,
};

/// What people do to the account beside the program.
pub(crate) trait Hands {
    /// ARN of a managed policy that exists.
    fn policy(&self) -> String;
    /// Puts a row with an attribute `Note`.
    fn put_row(&self, name: &str, note: &str) -> impl Future<Output = ()>;
    fn remove_row(&self, name: &str) -> impl Future<Output = ()>;
    /// Gives the user something of this kind. Returns it as the account names it (some names are AWS's
    /// to choose), or `None` where there is no such kind.
    fn add_leftover(&self, user: &UserName, leftover: Leftover) -> impl Future<Output = Option<Leftover>>;
    /// Writes a parameter of type String.
    fn put_plain_parameter(&self, user: &UserName, text: &str) -> impl Future<Output = ()>;
    /// Lets so much time pass; where time is real, as much of it as is affordable.
    fn wait(&self, time: Duration) -> impl Future<Output = ()>;
}

/// One thing that was seen, and what AWS's documentation says about it.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) what: &'static str,
    pub(crate) expected: String,
    pub(crate) got: String,
}

impl Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: expected {}, got {}", self.what, self.expected, self.got)
    }
}

/// Everything that a scenario saw.
#[derive(Debug, Default)]
pub(crate) struct Seen(pub(crate) Vec<Line>);

impl Seen {
    fn expect(&mut self, what: &'static str, expected: impl Display, got: impl Display) {
        self.0.push(Line { what, expected: expected.to_string(), got: got.to_string() });
    }

    fn call<T>(&mut self, what: &'static str, expected: &str, got: &Result<T, CallError>) {
        self.expect(what, expected, got.as_ref().err().map_or("ok", |error| error.fault.as_str()));
    }

    fn state<T>(&mut self, what: &'static str, expected: &str, got: &Result<T, StateError>) {
        let got = match got {
            Ok(_) => "ok",
            Err(StateError::Fenced) => "fenced",
            Err(StateError::Call(error)) => error.fault.as_str(),
        };
        self.expect(what, expected, got);
    }

    /// A line that another one cannot be told from.
    pub(crate) fn said_twice(&self) -> Option<&'static str> {
        let mut said = BTreeSet::new();
        self.0.iter().map(|line| line.what).find(|what| !said.insert(*what))
    }

    /// The lines in which what was seen is not what is documented.
    pub(crate) fn differences(&self) -> Vec<&Line> {
        self.0.iter().filter(|line| line.expected != line.got).collect()
    }
}

/// The table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scenario {
    Users,
    Keys,
    Tags,
    Deletion,
    Parameters,
    StateTable,
    UsersTable,
    Stream,
    Proofs,
}

impl Scenario {
    pub(crate) const ALL: &[Scenario] = &[
        Self::Users,
        Self::Keys,
        Self::Tags,
        Self::Deletion,
        Self::Parameters,
        Self::StateTable,
        Self::UsersTable,
        Self::Stream,
        Self::Proofs,
    ];

    /// Runs one scenario on a fresh account, or on one where nothing begins with `prefix`.
    pub(crate) async fn run<P: Ports>(self, ports: &P, hands: &impl Hands, prefix: &str) -> Seen {
        let mut seen = Seen::default();
        match self {
            Self::Users => users(ports, hands, prefix, &mut seen).await,
            Self::Keys => keys(ports, prefix, &mut seen).await,
            Self::Tags => tags(ports, prefix, &mut seen).await,
            Self::Deletion => deletion(ports, hands, prefix, &mut seen).await,
            Self::Parameters => parameters(ports, hands, prefix, &mut seen).await,
            Self::StateTable => state_table(ports, prefix, &mut seen).await,
            Self::UsersTable => users_table(ports, hands, prefix, &mut seen).await,
            Self::Stream => stream(ports, hands, prefix, &mut seen).await,
            Self::Proofs => proofs(ports, prefix, &mut seen).await,
        }
        seen
    }
}

fn name(prefix: &str, rest: &str) -> UserName {
    UserName::parse(&format!("{prefix}{rest}")).expect("a valid name")
}

fn tagged(pairs: &[(&str, &str)]) -> Tags {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn plain(name: &UserName) -> NewUser {
    NewUser { name: name.clone(), path: "/".to_owned(), boundary: None, tags: Tags::new() }
}

fn no_key() -> AccessKeyId {
    AccessKeyId::parse("AKIAAAAAAAAAAAAAAAAA").expect("a valid id")
}

async fn users<P: Ports>(ports: &P, hands: &impl Hands, prefix: &str, seen: &mut Seen) {
    let iam = ports.directory();
    let (bob, nobody) = (name(prefix, "Bob"), name(prefix, "nobody"));
    let new = NewUser {
        boundary: Some(hands.policy()),
        path: "/people/".to_owned(),
        tags: tagged(&[("managed-by", "x"), ("team", "a b")]),
        ..plain(&bob)
    };
    seen.expect("a user that never was", "none", option(&iam.user(&nobody).await));
    let created = iam.create_user(&new).await;
    seen.call("create", "ok", &created);
    let found = iam.user(&bob).await.ok().flatten();
    seen.expect(
        "its boundary",
        hands.policy(),
        found.as_ref().and_then(|u| u.boundary.clone()).unwrap_or_default(),
    );
    seen.expect(
        "its tags",
        format!("{:?}", new.tags),
        format!("{:?}", found.as_ref().map(|u| &u.tags).unwrap_or(&Tags::new())),
    );
    seen.expect(
        "its id is told by both",
        true,
        found.as_ref().map(|u| &u.id) == created.as_ref().ok().map(|(id, ..)| id),
    );
    let millis = found.map(|u| u.created.as_millis() % 1_000);
    seen.expect("its creation time has whole seconds", "Some(0)", format!("{millis:?}"));
    seen.call("create it again", "already_exists", &iam.create_user(&new).await);
    let shouted = UserName::parse(&bob.as_str().to_uppercase()).expect("a valid name");
    seen.call("create it in another case", "already_exists", &iam.create_user(&plain(&shouted)).await);
    let found = iam.user(&shouted).await.ok().flatten().map(|user| user.name.to_string());
    seen.expect("find it in another case", bob.as_str(), found.unwrap_or_default());
    seen.call("the boundary again", "ok", &iam.put_boundary(&bob, &hands.policy()).await);
    let mut token: Option<String> = None;
    let mut listed = Vec::new();
    loop {
        let Ok(page) = iam.glance(token.as_deref()).await else { break };
        listed.extend(page.items.into_iter().map(|glance| glance.user).filter(|user| user.name == bob));
        token = page.next;
        if token.is_none() {
            break;
        }
    }
    seen.expect("listed once", 1, listed.len());
    let listed = listed.pop();
    let boundary = listed.as_ref().and_then(|user| user.boundary.clone());
    seen.expect("listed with its boundary", hands.policy(), boundary.unwrap_or_default());
    seen.expect("listed with its tags", 2, listed.map_or(0, |user| user.tags.len()));
    seen.call("tag nobody", "not_found", &iam.tag_user(&nobody, &tagged(&[("a", "b")])).await);
    seen.call("untag nobody", "not_found", &iam.untag_user(&nobody, &["a".to_owned()]).await);
    seen.call("bound nobody", "not_found", &iam.put_boundary(&nobody, &hands.policy()).await);
    seen.call("delete nobody", "not_found", &iam.delete_user(&nobody).await);
    let unbound = plain(&name(prefix, "unbound"));
    let bound = NewUser { boundary: Some(format!("{}-missing", hands.policy())), ..unbound };
    seen.call("create with a policy that is not there", "not_found", &iam.create_user(&bound).await);
}

fn option<T>(answer: &Result<Option<T>, CallError>) -> &'static str {
    match answer {
        Ok(Some(_)) => "some",
        Ok(None) => "none",
        Err(error) => error.fault.as_str(),
    }
}

async fn keys<P: Ports>(ports: &P, prefix: &str, seen: &mut Seen) {
    let iam = ports.directory();
    let (carl, nobody) = (name(prefix, "carl"), name(prefix, "nobody"));
    seen.call("create", "ok", &iam.create_user(&plain(&carl)).await);
    seen.expect("no keys", 0, count(&iam.keys(&carl).await));
    seen.expect("keys of nobody", "none", option(&iam.keys(&nobody).await));
    seen.call("a key for nobody", "not_found", &iam.create_key(&nobody).await);
    let first = iam.create_key(&carl).await;
    seen.call("first key", "ok", &first);
    let second = iam.create_key(&carl).await;
    seen.call("second key", "ok", &second);
    seen.call("third key", "quota", &iam.create_key(&carl).await);
    seen.expect("both listed", 2, count(&iam.keys(&carl).await));
    let (Ok((first, _)), Ok((second, _))) = (first, second) else { return };
    seen.expect("secrets differ", true, first.secret != second.secret);
    seen.call("deactivate", "ok", &iam.deactivate_key(&carl, &first.id).await);
    seen.call("deactivate again", "ok", &iam.deactivate_key(&carl, &first.id).await);
    let listed = iam.keys(&carl).await.ok().flatten().unwrap_or_default();
    let states: Vec<bool> = listed.iter().map(|key| key.active && key.id != first.id).collect();
    seen.expect("one active", 1, states.iter().filter(|active| **active).count());
    seen.call("an inactive key counts", "quota", &iam.create_key(&carl).await);
    seen.call("delete", "ok", &iam.delete_key(&carl, &first.id).await);
    seen.call("delete again", "not_found", &iam.delete_key(&carl, &first.id).await);
    seen.call("deactivate what is gone", "not_found", &iam.deactivate_key(&carl, &first.id).await);
    seen.call("delete what never was", "not_found", &iam.delete_key(&carl, &no_key()).await);
    seen.call("a key of nobody", "not_found", &iam.delete_key(&nobody, &second.id).await);
    seen.call("room again", "ok", &iam.create_key(&carl).await);
}

fn count<T>(answer: &Result<Option<Vec<T>>, CallError>) -> String {
    match answer {
        Ok(Some(list)) => list.len().to_string(),
        Ok(None) => "none".to_owned(),
        Err(error) => error.fault.as_str().to_owned(),
    }
}

async fn tags<P: Ports>(ports: &P, prefix: &str, seen: &mut Seen) {
    let iam = ports.directory();
    let dora = name(prefix, "dora");
    seen.call("create", "ok", &iam.create_user(&plain(&dora)).await);
    let first = tagged(&[("Role", "a"), ("AKIAIOSFODNN7EXAMPLE", "current")]);
    seen.call("tag", "ok", &iam.tag_user(&dora, &first).await);
    seen.call("another value in another case", "ok", &iam.tag_user(&dora, &tagged(&[("role", "b")])).await);
    let found = iam.user(&dora).await.ok().flatten().map(|user| user.tags).unwrap_or_default();
    seen.expect("one tag, whatever the case", 2, found.len());
    let value =
        found.iter().find(|(key, _)| key.eq_ignore_ascii_case("role")).map(|(_, value)| value.as_str());
    seen.expect("the last value", "b", value.unwrap_or_default());
    let gone = ["ROLE".to_owned(), "never".to_owned()];
    seen.call("untag in another case, and what never was", "ok", &iam.untag_user(&dora, &gone).await);
    let found = iam.user(&dora).await.ok().flatten().map(|user| user.tags.len());
    seen.expect("one left", "Some(1)", format!("{found:?}"));
    for (what, key, value, expected) in [
        ("key of 128", "k".repeat(128), String::new(), "ok"),
        ("key of 129", "k".repeat(129), String::new(), "invalid"),
        ("value of 256", "v".to_owned(), "v".repeat(256), "ok"),
        ("value of 257", "v".to_owned(), "v".repeat(257), "invalid"),
        ("a character that tags do not have", "a#b".to_owned(), String::new(), "invalid"),
        ("AWS's own prefix", "aws:x".to_owned(), String::new(), "invalid"),
    ] {
        seen.call(what, expected, &iam.tag_user(&dora, &tagged(&[(key.as_str(), value.as_str())])).await);
    }
    let twice = tagged(&[("Twice", "1"), ("twice", "2")]);
    seen.call("one key twice in a call", "invalid", &iam.tag_user(&dora, &twice).await);
    // Three are there.
    let many: Vec<String> = (0..48).map(|i| format!("n{i}")).collect();
    let many: Tags = many.iter().map(|key| (key.clone(), String::new())).collect();
    seen.call("a tag number 51", "quota", &iam.tag_user(&dora, &many).await);
}

async fn deletion<P: Ports>(ports: &P, hands: &impl Hands, prefix: &str, seen: &mut Seen) {
    let iam = ports.directory();
    let erin = name(prefix, "erin");
    let created = iam.create_user(&plain(&erin)).await;
    seen.call("create", "ok", &created);
    let key = iam.create_key(&erin).await;
    seen.call("with a key", "ok", &key);
    let Ok((key, _)) = key else { return };
    let named = |rest: &str| format!("{prefix}{rest}");
    // Four things are seen of each: that it comes, stands in the way, goes, and is no longer there.
    let kinds = [
        (
            Leftover::LoginProfile,
            ["a login profile", "delete with a login profile", "without login profile", "no login profile"],
        ),
        (
            Leftover::MfaDevice { serial: named("mfa") },
            ["an MFA device", "delete with an MFA device", "without MFA device", "no MFA device"],
        ),
        (
            Leftover::SshPublicKey(named("ssh")),
            ["an SSH key", "delete with an SSH key", "without SSH key", "no SSH key"],
        ),
        (
            Leftover::SigningCertificate(named("certificate")),
            ["a certificate", "delete with a certificate", "without certificate", "no certificate"],
        ),
        (
            Leftover::ServiceCredential(named("credential")),
            ["a credential", "delete with a credential", "without credential", "no credential"],
        ),
        (Leftover::Group(named("group")), ["a group", "delete in a group", "without group", "no group"]),
        (
            Leftover::InlinePolicy("inline".to_owned()),
            ["an inline policy", "delete with an inline policy", "without inline policy", "no inline policy"],
        ),
        (
            Leftover::AttachedPolicy(hands.policy()),
            ["a policy", "delete with a policy", "without policy", "no policy"],
        ),
    ];
    seen.expect("no console login", "Ok(false)", format!("{:?}", iam.has_console_login(&erin).await));
    seen.expect("no leftovers", "Ok([])", format!("{:?}", iam.leftovers(&erin).await));
    let mut leftovers = Vec::new();
    let mut lines = Vec::new();
    for (kind, [comes, others @ ..]) in kinds {
        let added = hands.add_leftover(&erin, kind).await;
        seen.expect(comes, true, added.is_some());
        if let Some(leftover) = added {
            leftovers.push(leftover);
            lines.push(others);
        }
    }
    seen.expect("console login", "Ok(true)", format!("{:?}", iam.has_console_login(&erin).await));
    seen.expect(
        "leftovers, in teardown order",
        format!("Ok({leftovers:?})"),
        format!("{:?}", iam.leftovers(&erin).await),
    );
    seen.call("delete with a key", "conflict", &iam.delete_user(&erin).await);
    seen.call("the key goes", "ok", &iam.delete_key(&erin, &key.id).await);
    for (leftover, [delete, goes, gone]) in leftovers.iter().zip(lines) {
        seen.call(delete, "conflict", &iam.delete_user(&erin).await);
        seen.call(goes, "ok", &iam.remove(&erin, leftover).await);
        seen.call(gone, "not_found", &iam.remove(&erin, leftover).await);
    }
    seen.call("delete", "ok", &iam.delete_user(&erin).await);
    seen.call("delete again", "not_found", &iam.delete_user(&erin).await);
    seen.expect("gone", "none", option(&iam.user(&erin).await));
    let again = iam.create_user(&plain(&erin)).await;
    let ids = (created.ok().map(|(id, ..)| id), again.ok().map(|(id, ..)| id));
    seen.expect("another life has another id", true, ids.0 != ids.1 && ids.1.is_some());
}

async fn parameters<P: Ports>(ports: &P, hands: &impl Hands, prefix: &str, seen: &mut Seen) {
    let vault = ports.vault();
    let template = ParameterTemplate::parse("/iam_users/{UserName}_keys").expect("a valid template");
    let fay = name(prefix, "fay");
    let at = template.name_for(&fay);
    let read = async || match vault.get(&at).await {
        Ok(Some(value)) => format!("{} {}", value.text.expose(), value.secure),
        Ok(None) => "none".to_owned(),
        Err(error) => error.fault.as_str().to_owned(),
    };
    seen.expect("missing", "none", read().await);
    seen.call("delete what is missing", "not_found", &vault.delete(&at).await);
    seen.call("put", "ok", &vault.put(&at, &Secret::new("one")).await);
    seen.expect("read", "one true", read().await);
    seen.call("put over it", "ok", &vault.put(&at, &Secret::new("two")).await);
    seen.expect("the last write wins", "two true", read().await);
    let most = Secret::new("x".repeat(4_096));
    seen.call("4 KB", "ok", &vault.put(&at, &most).await);
    // Whoever wants to store more than a standard parameter holds gets an advanced one.
    let most = Secret::new("x".repeat(8_192));
    seen.call("8 KB", "ok", &vault.put(&at, &most).await);
    seen.call("more than 8 KB", "invalid", &vault.put(&at, &Secret::new("x".repeat(8_193))).await);
    seen.call("delete", "ok", &vault.delete(&at).await);
    seen.expect("gone", "none", read().await);
    // "Wait for at least 30 seconds to create a parameter with the same name" (DeleteParameter). How it
    // refuses, SSM does not document; where people met it, it was with TooManyUpdates.
    seen.call("again at once", "throttled", &vault.put(&at, &Secret::new("three")).await);
    hands.wait(Duration::from_secs(31)).await;
    seen.call("again after 30 s", "ok", &vault.put(&at, &Secret::new("three")).await);
    let gus = name(prefix, "gus");
    hands.put_plain_parameter(&gus, "plain").await;
    let at = template.name_for(&gus);
    let secure = vault.get(&at).await.ok().flatten().map(|value| value.secure);
    seen.expect("a String is not secure", "Some(false)", format!("{secure:?}"));
    seen.call("a type cannot be changed", "invalid", &vault.put(&at, &Secret::new("x")).await);
}

async fn state_table<P: Ports>(ports: &P, prefix: &str, seen: &mut Seen) {
    let state = ports.state();
    let id = format!("{prefix}lease");
    let record = |body: &str, token| Record { id: id.clone(), body: body.to_owned(), token };
    let (one, two, three) = (record("{\"n\":1}", 1), record("{\"n\":2}", 2), record("{\"n\":3}", 3));
    seen.expect("checked", "Ok(Ok(()))", format!("{:?}", state.check().await));
    seen.expect("missing", "none", option(&state.get(&id).await));
    seen.state("swap what is missing", "fenced", &state.swap(Some(&one), &two).await);
    seen.state("swap in the first", "ok", &state.swap(None, &one).await);
    // Whoever got no answer repeats the call.
    seen.state("swap in what is there", "ok", &state.swap(None, &one).await);
    seen.state("swap in another first", "fenced", &state.swap(None, &two).await);
    let other_body = record("{\"n\":9}", 1);
    seen.state("swap another body", "fenced", &state.swap(Some(&other_body), &two).await);
    let other_token = record("{\"n\":1}", 9);
    seen.state("swap another token", "fenced", &state.swap(Some(&other_token), &two).await);
    seen.state("swap", "ok", &state.swap(Some(&one), &two).await);
    seen.state("put with a lower token", "fenced", &state.put(&one).await);
    seen.state("put with the same token", "ok", &state.put(&record("{\"n\":4}", 2)).await);
    seen.state("put with a higher token", "ok", &state.put(&three).await);
    seen.expect("read", format!("Ok({:?})", Some(&three)), format!("{:?}", state.get(&id).await));
    let loaded = state.load().await.unwrap_or_default();
    seen.expect("loaded", 1, loaded.iter().filter(|found| **found == three).count());
    seen.state("delete with a lower token", "fenced", &state.delete(&id, 2).await);
    seen.state("delete", "ok", &state.delete(&id, 3).await);
    seen.state("delete what is missing", "ok", &state.delete(&id, 1).await);
    seen.expect("gone", "none", option(&state.get(&id).await));
}

async fn users_table<P: Ports>(ports: &P, hands: &impl Hands, prefix: &str, seen: &mut Seen) {
    let table = ports.users_table();
    let described = table.describe().await.ok().flatten();
    seen.expect("readable", "Some(true)", format!("{:?}", described.as_ref().map(|d| d.readable)));
    let keyed = described.as_ref().map(|d| d.keyed_by_user_name);
    seen.expect("keyed by UserName", "Some(true)", format!("{keyed:?}"));
    let partition =
        described.as_ref().is_some_and(|d| d.arn.starts_with("arn:") && d.arn.contains(":table/"));
    seen.expect("an ARN", true, partition);
    let streams = described.and_then(|d| d.stream).map(|stream| stream.enabled);
    seen.expect("a stream", "Some(true)", format!("{streams:?}"));
    let mut rows: Vec<String> =
        ["a", "A", "b", "not/valid", "ü", "z"].iter().map(|rest| format!("{prefix}{rest}")).collect();
    for row in &rows {
        hands.put_row(row, "").await;
    }
    seen.expect("contains", "Ok(true)", format!("{:?}", table.contains(&rows[1]).await));
    let other = format!("{prefix}B");
    seen.expect("case matters here", "Ok(false)", format!("{:?}", table.contains(&other).await));
    let mut found = Vec::new();
    let mut after: Option<String> = None;
    for _ in 0..1_000 {
        let Ok(page) = table.scan(after.as_deref()).await else { break };
        found.extend(page.names.into_iter().filter(|name| name.starts_with(prefix)));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    found.sort();
    rows.sort();
    seen.expect("a scan finds each row once", format!("{rows:?}"), format!("{found:?}"));
    hands.remove_row(&rows[0]).await;
    seen.expect("removed", "Ok(false)", format!("{:?}", table.contains(&rows[0]).await));
}

/// Every record of the newest stream whose name begins with `prefix`, parents first.
async fn read_all<P: Ports>(
    ports: &P,
    prefix: &str,
    from: &Position,
) -> Result<Vec<ChangeRecord>, StreamError> {
    let streams = ports.streams();
    let arn = ports.users_table().describe().await?.and_then(|table| table.stream);
    let arn = arn.map(|stream| stream.arn).unwrap_or_default();
    let mut records = Vec::new();
    let mut after = None;
    loop {
        let page = streams.shards(&arn, after.as_ref()).await?;
        for shard in &page.shards {
            let mut iterator = Some(streams.iterator(&arn, &shard.id, from).await?);
            // Emulators and open shards never end: a few empty pages are the end.
            let mut empty = 0;
            while let Some(at) = iterator.filter(|_| empty < 4) {
                let batch = streams.records(&at).await?;
                empty = if batch.records.is_empty() { empty + 1 } else { 0 };
                records.extend(batch.records.into_iter().filter(|record| record.name.starts_with(prefix)));
                iterator = batch.next;
            }
        }
        after = page.next;
        if after.is_none() {
            return Ok(records);
        }
    }
}

async fn stream<P: Ports>(ports: &P, hands: &impl Hands, prefix: &str, seen: &mut Seen) {
    let row = format!("{prefix}hal");
    hands.put_row(&row, "one").await;
    hands.put_row(&row, "one").await;
    hands.put_row(&row, "two").await;
    hands.remove_row(&row).await;
    hands.put_row(&row, "two").await;
    hands.wait(Duration::from_secs(1)).await;
    let records = read_all(ports, &row, &Position::TrimHorizon).await.unwrap_or_default();
    let kinds: Vec<ChangeKind> = records.iter().map(|record| record.kind).collect();
    use ChangeKind::{Removed, Written};
    seen.expect(
        "each change once, and none for a write that changes nothing",
        format!("{:?}", [Written, Written, Removed, Written]),
        format!("{kinds:?}"),
    );
    let ordered = records.windows(2).all(|pair| pair[0].sequence < pair[1].sequence);
    seen.expect("sequence numbers rise", true, ordered);
    let digits = records.iter().all(|record| (21..=40).contains(&record.sequence.0.len()));
    seen.expect("sequence numbers have 21 to 40 digits", true, digits);
    let seconds = records.iter().all(|record| record.created.as_millis() % 1_000 == 0);
    seen.expect("times have whole seconds", true, seconds);
    let Some(second) = records.get(1) else { return };
    let rest = read_all(ports, &row, &Position::After(second.sequence.clone())).await.unwrap_or_default();
    seen.expect("after a record come those that follow", format!("{:?}", &records[2..]), format!("{rest:?}"));
    let arn = ports.users_table().describe().await.ok().flatten().and_then(|table| table.stream);
    let arn = arn.map(|stream| stream.arn).unwrap_or_default();
    let streams = ports.streams();
    let page = streams.shards(&arn, None).await;
    let status = page.as_ref().map(|page| page.status);
    seen.expect("its status", "Ok(Enabled)", format!("{status:?}"));
    let open = page.map(|page| page.shards.into_iter().find(|shard| !shard.closed)).ok().flatten();
    seen.expect("an open shard", true, open.is_some());
    let Some(open) = open else { return };
    let children = match streams.children(&arn, &open.id).await {
        Ok(children) => children.len().to_string(),
        Err(error) => stream_fault(&error),
    };
    seen.expect("an open shard has no children", 0, children);
    let nowhere = ShardId("shardId-00000000000000000000-00000000".to_owned());
    let answer = streams.iterator(&arn, &nowhere, &Position::TrimHorizon).await;
    let answer = answer.map_or_else(|error| stream_fault(&error), |_| "an iterator".to_owned());
    seen.expect("a shard that never was", "gone", answer);
    let answer = streams.shards(&format!("{arn}9"), None).await;
    let answer = answer.map_or_else(|error| stream_fault(&error), |_| "shards".to_owned());
    seen.expect("a stream that never was", "gone", answer);
}

fn stream_fault(error: &StreamError) -> String {
    let word = match error {
        StreamError::Expired => "expired",
        StreamError::Trimmed => "trimmed",
        StreamError::Gone => "gone",
        StreamError::Call(error) => error.fault.as_str(),
    };
    word.to_owned()
}

async fn proofs<P: Ports>(ports: &P, prefix: &str, seen: &mut Seen) {
    let (iam, sts) = (ports.directory(), ports.identity());
    let caller = sts.caller().await;
    let account = caller.map(|caller| caller.account.len());
    seen.expect("an account of 12 digits", "Ok(12)", format!("{account:?}"));
    let ivy = name(prefix, "ivy");
    seen.call("create", "ok", &iam.create_user(&plain(&ivy)).await);
    let key = iam.create_key(&ivy).await;
    seen.call("with a key", "ok", &key);
    let Ok((key, _)) = key else { return };
    let proof = async |secret: &Secret| match sts.prove(&key.id, secret).await {
        Ok(Proof::Accepted) => "accepted",
        Ok(Proof::NotYet) => "not yet",
        Err(error) => error.fault.as_str(),
    };
    let mut tries = 0;
    while proof(&key.secret).await == "not yet" && tries < 30 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        tries += 1;
    }
    seen.expect("accepted in the end", "accepted", proof(&key.secret).await);
    seen.expect("with another secret", "not yet", proof(&Secret::new("x".repeat(40))).await);
    seen.call("deactivate", "ok", &iam.deactivate_key(&ivy, &key.id).await);
    seen.expect("inactive", "not yet", proof(&key.secret).await);
    let unknown = sts.prove(&no_key(), &key.secret).await;
    seen.expect("a key that never was", "Ok(NotYet)", format!("{unknown:?}"));
}
