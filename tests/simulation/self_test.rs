//! The account and the harness are themselves tested, before they test anything.

use std::time::Duration;

use iam_user_controller::core::document::{KeyDocument, StoredKey};
use iam_user_controller::core::observed::{Leftover, Tags};
use iam_user_controller::core::parameter_name::ParameterTemplate;
use iam_user_controller::core::user::UserName;
use iam_user_controller::ports::{
    CallError, ChangeKind, Directory, Fault, Identity, NewUser, Ports, Position, Proof, Record, StateStore,
    StreamError, Streams, UsersTable, Vault,
};
use tokio_util::sync::CancellationToken;

use crate::account::{Account, AccountSettings, Sent};
use crate::faults::{Call, Faults, Fired, Kind};
use crate::harness::{self, Act, Report, Scenario};
use crate::invariants::{self, Rules};
use crate::scenarios::{self, Hands};

fn in_simulated_time<T>(test: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    builder.enable_time().start_paused(true).build().expect("a runtime").block_on(test)
}

struct SimulatedHands(Account);

impl Hands for SimulatedHands {
    fn policy(&self) -> String {
        Rules::contract().policy.boundary.expect("the contract has one")
    }

    async fn put_row(&self, name: &str, note: &str) {
        self.0.operate(|world| {
            // The simulated rows have no attributes: another note is another value.
            let before = world.table.notes.insert(name.to_owned(), note.to_owned());
            if world.table.contains(name) && before.as_deref() != Some(note) {
                world.modify_row(name);
            }
            world.put_row(name);
        });
    }

    async fn remove_row(&self, name: &str) {
        self.0.operate(|world| world.remove_row(name));
    }

    async fn add_leftover(&self, user: &UserName, leftover: Leftover) -> Option<Leftover> {
        self.0.operate(|world| world.add_leftover(user.folded().as_str(), leftover.clone()));
        Some(leftover)
    }

    async fn put_plain_parameter(&self, user: &UserName, text: &str) {
        self.0.operate(|world| world.overwrite_parameter(user, text, false));
    }

    async fn wait(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

#[test]
fn the_account_does_what_aws_documents() {
    for scenario in scenarios::Scenario::ALL {
        let differences = in_simulated_time(async {
            let mut settings = AccountSettings::new(Rules::contract());
            settings.conduct.stream_lag_ms = 500;
            let account = Account::new(1, settings);
            let replica = account.add_replica(0, 0);
            let ports = account.boot(replica);
            let seen = scenario.run(&ports, &SimulatedHands(account.clone()), "t-").await;
            assert!(seen.0.len() >= 6, "{scenario:?} saw only {} things", seen.0.len());
            assert_eq!(seen.said_twice(), None, "{scenario:?}: a line is known by its words");
            seen.differences().into_iter().map(|line| line.to_string()).collect::<Vec<_>>()
        });
        assert!(differences.is_empty(), "{scenario:?}: {differences:#?}");
    }
}

/// A program that does the least that the contract asks for, and does it right when nothing fails.
///
/// It is no model of the real one: it is there so that the harness has something to run. Each
/// `flaw` is one thing done wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    None,
    NoBoundary,
    NoMintTag,
    PublishesUnproven,
    PublishesWrongSecret,
    DeletesPublishedKey,
    DeletesUserWithRow,
    TellsSecretToState,
    TouchesForeignUser,
    MintsTwice,
    NeverStops,
}

async fn sleep(secs: u64) {
    tokio::time::sleep(Duration::from_secs(secs)).await;
}

async fn toy<P: Ports>(ports: P, shutdown: CancellationToken, flaw: Flaw) {
    let work = async {
        loop {
            let _a_failed_pass_is_repeated = toy_pass(&ports, flaw).await;
            sleep(15).await;
        }
    };
    tokio::select! {
        biased;
        () = shutdown.cancelled() => {}
        () = work => {}
    }
}

async fn toy_pass<P: Ports>(ports: &P, flaw: Flaw) -> Result<(), CallError> {
    let mut after = None;
    loop {
        let page = ports.users_table().scan(after.as_deref()).await?;
        for name in page.names.iter().filter_map(|name| UserName::parse(name).ok()) {
            toy_user(ports, &name, flaw).await?;
        }
        after = page.next;
        if after.is_none() {
            return Ok(());
        }
    }
}

async fn toy_user<P: Ports>(ports: &P, name: &UserName, flaw: Flaw) -> Result<(), CallError> {
    let rules = Rules::contract();
    let template = ParameterTemplate::parse("/iam_users/{UserName}_keys").expect("a valid template");
    let parameter = template.name_for(name);
    let (iam, vault) = (ports.directory(), ports.vault());
    let minting = ("iam-user-controller:minting".to_owned(), "2026-01-01T00:00:00Z".to_owned());
    if let Some(user) = iam.user(name).await? {
        if !user.tags.contains_key("managed-by") {
            if flaw == Flaw::TouchesForeignUser {
                iam.put_boundary(name, &rules.policy.boundary.unwrap_or_default()).await?;
            }
            return Ok(());
        }
        let stored = vault.get(&parameter).await?;
        let document = stored.and_then(|stored| KeyDocument::parse(&stored.text).ok());
        if let Some(current) = document.and_then(|document| document.current) {
            match flaw {
                Flaw::DeletesPublishedKey => drop(iam.delete_key(name, &current.id).await?),
                Flaw::DeletesUserWithRow => {
                    // Step by step, as a teardown would.
                    iam.delete_user(name).await.map(drop).or(Ok::<(), CallError>(()))?;
                }
                _ => {}
            }
            return Ok(());
        }
    } else {
        let mut tags = Tags::from([
            ("managed-by".to_owned(), "iam-user-controller".to_owned()),
            ("iam-user-controller:table".to_owned(), rules.policy.table.clone()),
        ]);
        if flaw != Flaw::NoMintTag {
            tags.extend([minting]);
        }
        let boundary = rules.policy.boundary.clone().filter(|_| flaw != Flaw::NoBoundary);
        let new = NewUser { name: name.clone(), path: "/".to_owned(), boundary, tags };
        iam.create_user(&new).await?;
    }
    let (key, _) = iam.create_key(name).await?;
    if flaw == Flaw::MintsTwice {
        iam.create_key(name).await?;
    }
    while flaw != Flaw::PublishesUnproven
        && ports.identity().prove(&key.id, &key.secret).await? != Proof::Accepted
    {
        sleep(1).await;
    }
    if flaw == Flaw::TellsSecretToState {
        let record = Record { id: "note".to_owned(), body: key.secret.expose().to_owned(), token: 1 };
        let _told = ports.state().put(&record).await;
    }
    let secret = match flaw {
        Flaw::PublishesWrongSecret => iam_user_controller::core::secret::Secret::new("another"),
        _ => key.secret.clone(),
    };
    let current = Some(StoredKey { id: key.id.clone(), secret });
    let document = KeyDocument { current, ..KeyDocument::default() };
    vault.put(&parameter, &document.to_text()).await?;
    let tags = Tags::from([
        (key.id.to_string(), "current".to_owned()),
        ("iam-user-controller:minting".to_owned(), "none".to_owned()),
    ]);
    iam.tag_user(name, &tags).await?;
    if flaw == Flaw::NeverStops {
        loop {
            iam.tag_user(name, &tags).await?;
            sleep(60).await;
        }
    }
    Ok(())
}

fn two_rows(flaw: Flaw) -> Scenario {
    let mut settings = AccountSettings::new(Rules::contract());
    settings.sweep_every = Duration::from_secs(600);
    let mut scenario = Scenario::new("two rows", settings)
        .before([
            Act::PutRow("alice".to_owned()),
            Act::MakeUser { name: "root".to_owned(), boundary: None, tags: Tags::new() },
        ])
        .at(Duration::from_secs(30), Act::PutRow("Bob@example".to_owned()));
    if flaw == Flaw::TouchesForeignUser {
        scenario = scenario.at(Duration::from_secs(1), Act::PutRow("root".to_owned()));
    }
    scenario
}

fn toy_history(seed: u64, scenario: &Scenario, flaw: Flaw) -> Report {
    harness::run(seed, scenario, |ports, shutdown| toy(ports, shutdown, flaw))
}

#[test]
fn a_right_program_breaks_nothing_and_a_wrong_one_is_caught() {
    let report = toy_history(7, &two_rows(Flaw::None), Flaw::None);
    assert!(report.ok(), "{}", report.story());
    assert!(report.changes >= 8 && report.settled_after.is_some(), "{report:?}");
    for (flaw, number) in [
        (Flaw::NoBoundary, 3),
        (Flaw::NoMintTag, 2),
        (Flaw::PublishesUnproven, 1),
        (Flaw::PublishesWrongSecret, 1),
        (Flaw::DeletesPublishedKey, 1),
        (Flaw::DeletesUserWithRow, 7),
        (Flaw::TellsSecretToState, 9),
        (Flaw::TouchesForeignUser, 4),
        (Flaw::MintsTwice, 5),
        (Flaw::NeverStops, 8),
    ] {
        let report = toy_history(7, &two_rows(flaw), flaw);
        let wanted = format!("invariant {number}:");
        assert!(
            report.violations.iter().any(|found| found.starts_with(&wanted)),
            "{flaw:?} should break invariant {number}: {}",
            report.story()
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let mut scenario = two_rows(Flaw::None);
    scenario.faults_until = Duration::from_secs(600);
    scenario.account.keep_text = true;
    scenario.account.conduct.travel_ms = (1, 40);
    scenario.account.conduct.stale_per_mille = 100;
    scenario.account.faults = Faults::everywhere(20_000);
    let mut hashes = std::collections::BTreeSet::new();
    let mut fired = Fired::default();
    for seed in 0..20 {
        let (one, two) = (toy_history(seed, &scenario, Flaw::None), toy_history(seed, &scenario, Flaw::None));
        assert_eq!(one.trace, two.trace, "seed {seed}");
        assert_eq!((one.hash, one.calls, &one.violations), (two.hash, two.calls, &two.violations));
        assert!(one.simulated > scenario.faults_until || !one.ok(), "{}", one.story());
        hashes.insert(one.hash);
        fired.add(&one.fired);
    }
    assert_eq!(hashes.len(), 20, "other seeds give other histories");
    let missing = fired.missing();
    assert!(
        !missing.contains(&(Call::GetUser, Kind::Stale)) && missing.contains(&(Call::Glance, Kind::Stale))
    );
}

#[test]
fn a_scripted_fault_fires_at_its_call() {
    for kind in Kind::ALL.iter().filter(|kind| kind.applies_to(Call::CreateUser)) {
        let mut scenario = two_rows(Flaw::None);
        scenario.account.keep_text = true;
        let clean = toy_history(3, &scenario, Flaw::None);
        let at = clean.call_log.iter().position(|made| made.call == Call::CreateUser).expect("it creates")
            as u64
            + 1;
        scenario.account.faults = Faults::scripted(&[(at, *kind)]);
        let report = toy_history(3, &scenario, Flaw::None);
        assert_eq!(report.fired.count(Call::CreateUser, *kind), 1, "{kind:?}");
        assert_eq!(report.fired.total(), 1);
    }
}

#[test]
fn reads_are_stale_for_as_long_as_chosen_and_no_longer() {
    in_simulated_time(async {
        let mut settings = AccountSettings::new(Rules::contract());
        settings.conduct.stale_per_mille = 1_000;
        let account = Account::new(5, settings);
        let replica = account.add_replica(0, 0);
        let ports = account.boot(replica);
        let name = UserName::parse("ann").expect("valid");
        account.operate(|world| drop(world.make_user(&name, None, Tags::new())));
        let mut unseen = 0;
        for _ in 0..8 {
            unseen += usize::from(ports.directory().user(&name).await.expect("an answer").is_none());
            sleep(1).await;
        }
        assert!(unseen > 0, "a user that was just created is invisible for a while");
        account.operate(|world| drop(world.add_foreign_key("ann")));
        account.operate(|world| drop(world.add_foreign_key("ann")));
        let mut counts = std::collections::BTreeSet::new();
        for _ in 0..60 {
            let keys = ports.directory().keys(&name).await.expect("an answer").unwrap_or_default();
            counts.insert(keys.len());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(counts.into_iter().collect::<Vec<_>>(), [0, 1, 2], "keys come one by one");
        sleep(9).await;
        for _ in 0..50 {
            assert_eq!(
                ports.directory().keys(&name).await.expect("an answer").map(|keys| keys.len()),
                Some(2)
            );
        }
    });
}

#[test]
fn streams_split_trim_expire_and_begin_anew() {
    in_simulated_time(async {
        let account = Account::new(5, AccountSettings::new(Rules::contract()));
        let replica = account.add_replica(0, 0);
        let ports = account.boot(replica);
        let streams = ports.streams();
        let arn = async || {
            let table = ports.users_table().describe().await.expect("an answer").expect("a table");
            table.stream.expect("a stream").arn
        };
        let first = arn().await;
        let shards = async |arn: &str| streams.shards(arn, None).await.expect("a page").shards;
        for row in ["a", "b", "c", "d", "e", "f"] {
            account.operate(|world| world.put_row(row));
        }
        account.operate(|world| world.split_shards());
        account.operate(|world| world.remove_row("a"));
        let page = shards(&first).await;
        let shape: Vec<(bool, bool)> = page.iter().map(|s| (s.parent.is_some(), s.closed)).collect();
        assert_eq!(shape, [(false, true), (true, false), (true, false)]);
        assert_eq!(streams.children(&first, &page[0].id).await.expect("children").len(), 2);
        // A closed shard ends; only its children have what came after.
        let mut kinds = Vec::new();
        let mut last = None;
        for shard in &page {
            let at = streams.iterator(&first, &shard.id, &Position::TrimHorizon).await;
            let mut at = Some(at.expect("an iterator"));
            for _ in 0..4 {
                let Some(from) = at else { break };
                let batch = streams.records(&from).await.expect("a batch");
                last = batch.records.last().map(|record| record.sequence.clone()).or(last);
                kinds.extend(batch.records.iter().map(|record| record.kind));
                at = batch.next;
            }
            assert_eq!(at.is_none(), shard.closed);
        }
        assert_eq!(kinds.iter().filter(|kind| **kind == ChangeKind::Removed).count(), 1);
        assert_eq!(kinds.len(), 7);
        let at = streams.iterator(&first, &page[1].id, &Position::TrimHorizon).await.expect("an iterator");
        sleep(16 * 60).await;
        assert_eq!(streams.records(&at).await, Err(StreamError::Expired));
        // A day later the records are gone, and the shards with them.
        sleep(24 * 3_600).await;
        let after = Position::After(last.expect("records"));
        let answers = [
            streams.iterator(&first, &page[1].id, &after).await,
            streams.iterator(&first, &page[2].id, &after).await,
        ];
        assert!(answers.contains(&Err(StreamError::Trimmed)) || answers.contains(&Err(StreamError::Gone)));
        assert_eq!(
            streams.iterator(&first, &page[0].id, &Position::TrimHorizon).await,
            Err(StreamError::Gone)
        );
        // Disabled, a change, enabled anew.
        account.operate(|world| world.disable_stream());
        account.operate(|world| world.remove_row("b"));
        account.operate(|world| world.enable_stream());
        let second = arn().await;
        assert_ne!(first, second);
        assert!(shards(&first).await.iter().all(|shard| shard.closed));
        assert_eq!(shards(&second).await.len(), 1);
    });
}

#[test]
fn a_paused_replica_hangs_and_a_dead_one_never_answers() {
    in_simulated_time(async {
        let account = Account::new(5, AccountSettings::new(Rules::contract()));
        let replica = account.add_replica(2_500, 0);
        let ports = account.boot(replica);
        let name = UserName::parse("ann").expect("valid");
        account.pause(replica);
        let second = Duration::from_secs(1);
        assert!(tokio::time::timeout(second, ports.directory().user(&name)).await.is_err());
        account.resume(replica);
        assert_eq!(ports.directory().user(&name).await, Ok(None));
        let skew = iam_user_controller::ports::Clock::skew_millis(&ports).expect("AWS has answered");
        assert!((-3_000..=-2_000).contains(&skew), "{skew}");
        account.crash(replica);
        assert!(tokio::time::timeout(second, ports.directory().user(&name)).await.is_err());
        let ports = account.boot(replica);
        assert_eq!(ports.directory().user(&name).await, Ok(None));
    });
}

#[test]
fn throttled_and_denied_calls_change_nothing() {
    for (kind, fault) in [(Kind::Denied, Fault::Denied), (Kind::Error, Fault::Indeterminate)] {
        in_simulated_time(async {
            let mut settings = AccountSettings::new(Rules::contract());
            settings.faults = Faults::default().with(kind, 1_000_000);
            let account = Account::new(5, settings);
            let replica = account.add_replica(0, 0);
            let ports = account.boot(replica);
            let name = UserName::parse("ann").expect("valid");
            let new = NewUser { name, path: "/".to_owned(), boundary: None, tags: Tags::new() };
            let error = ports.directory().create_user(&new).await.expect_err("refused");
            assert_eq!(error.fault, fault);
            assert!(account.lock().iam.live("ann").is_none());
        });
    }
}

#[test]
fn what_people_do_is_done_and_excuses_the_program() {
    let minute = |n: u64| Duration::from_secs(60 * n);
    let alice = || "alice".to_owned();
    let days = |n: u64| Duration::from_secs(86_400 * n);
    let mut scenario = two_rows(Flaw::None)
        .before([Act::LegacyUser {
            name: "old".to_owned(),
            current: days(3),
            pending: Some(days(18)),
            boundary: None,
            stored: true,
        }])
        .at(minute(5), Act::ModifyRow(alice()))
        .at(minute(6), Act::SplitShards)
        .at(minute(7), Act::DeactivateKey(alice(), 0))
        .at(minute(8), Act::AddForeignKey(alice()))
        .at(minute(9), Act::DeleteKey(alice(), 0))
        .at(minute(10), Act::SetBoundary(alice(), None))
        .at(minute(11), Act::AddLeftover(alice(), Leftover::LoginProfile))
        .at(minute(12), Act::SetTag(alice(), "team".to_owned(), "x".to_owned()))
        .at(minute(13), Act::StripKeyTags(alice()))
        .at(minute(14), Act::StripOwnership(alice()))
        .at(minute(15), Act::StripAllTags(alice()))
        .at(minute(16), Act::DeleteParameter(alice()))
        .at(
            minute(17),
            Act::OverwriteParameter { name: alice(), text: "not a document".to_owned(), secure: true },
        )
        .at(minute(18), Act::Pause(0))
        .at(minute(19), Act::Resume(0))
        .at(minute(20), Act::Terminate(0))
        .at(minute(21), Act::Kill(0))
        .at(minute(22), Act::DisableStream)
        .at(minute(23), Act::EnableStream)
        .at(minute(24), Act::RecreateTable { keep_rows: true })
        .at(minute(25), Act::RemoveRow(alice()))
        .at(minute(26), Act::DeleteUser(alice()))
        .at(minute(27), Act::ResumeDeletions)
        .at(minute(28), Act::Jump(minute(60)));
    scenario.account.keep_text = true;
    let report = toy_history(11, &scenario, Flaw::None);
    assert_eq!(report.violations, [] as [String; 0]);
    assert!(report.simulated > minute(88));
    for act in ["ModifyRow", "Terminate", "Jump", "pauses", "goes on", "crashes", "starts"] {
        assert!(report.trace.iter().any(|line| line.contains(act)), "{act}");
    }
}

#[test]
fn a_lease_that_changed_hands_forbids_the_old_holder_to_go_on() {
    in_simulated_time(async {
        let account = Account::new(5, AccountSettings::new(Rules::contract()));
        let (a, b) = (account.add_replica(0, 0), account.add_replica(0, 0));
        let (one, two) = (account.boot(a), account.boot(b));
        let lease = |token| Record { id: "lease".to_owned(), body: "{}".to_owned(), token };
        one.swap(None, &lease(1)).await.expect("free");
        account.operate(|world| world.put_row("ann"));
        let name = UserName::parse("ann").expect("valid");
        let tags = Tags::from([
            ("managed-by".to_owned(), "iam-user-controller".to_owned()),
            ("iam-user-controller:table".to_owned(), "users".to_owned()),
        ]);
        let boundary = Rules::contract().policy.boundary;
        let new = NewUser { name: name.clone(), path: "/".to_owned(), boundary, tags: tags.clone() };
        one.create_user(&new).await.expect("created");
        account.operate(|world| world.occasions.act(&Act::Pause(a)));
        // A call of the holder hangs, another takes the lease over and works on the same user: harmless.
        account.pause(a);
        let hanging = one.tag_user(&name, &tags);
        let takes_over = async {
            tokio::task::yield_now().await;
            two.swap(Some(&lease(1)), &lease(2)).await.expect("expired");
            sleep(1).await;
            two.tag_user(&name, &tags).await.expect("tagged");
            account.resume(a);
        };
        let (hung, ()) = tokio::join!(hanging, takes_over);
        hung.expect("tagged, late");
        assert_eq!(account.lock().book.violations(), [] as [String; 0]);
        // One more is not.
        one.tag_user(&name, &tags).await.expect("tagged");
        let violations = account.lock().book.violations().to_vec();
        assert!(violations[0].contains("while replica 1 holds the lease"), "{violations:?}");
    });
}

#[test]
fn of_the_changes_under_a_stale_token_one_of_each_user_may_arrive() {
    in_simulated_time(async {
        let account = Account::new(5, AccountSettings::new(Rules::contract()));
        let (a, b) = (account.add_replica(0, 0), account.add_replica(0, 0));
        let (one, two) = (account.boot(a), account.boot(b));
        let lease = |token, body: &str| Record { id: "lease".to_owned(), body: body.to_owned(), token };
        one.swap(None, &lease(1, "{}")).await.expect("free");
        account.operate(|world| world.occasions.act(&Act::Pause(a)));
        let arrives = |user: &str, token| {
            let sent = Sent { user: Some(user.to_owned()), token };
            account.operate(|world| invariants::arrives(world, a, &sent));
            account.lock().book.violations().len()
        };
        assert_eq!([arrives("ann", 1), arrives("ann", 1)], [0, 0], "it is the newest token");
        two.swap(Some(&lease(1, "{}")), &lease(2, "{}")).await.expect("expired");
        assert_eq!([arrives("ann", 1), arrives("bob", 1), arrives("ann", 2)], [0, 0, 0]);
        one.swap(Some(&lease(2, "{}")), &lease(3, "{}")).await.expect("expired");
        assert_eq!([arrives("ann", 2), arrives("bob", 1)], [0, 1], "the second of bob under token 1");
        assert!(account.lock().book.violations()[0].contains("number 2 of bob arrives under token 1"));
    });
}

#[test]
fn who_has_given_the_lease_back_changes_nothing() {
    in_simulated_time(async {
        let account = Account::new(5, AccountSettings::new(Rules::contract()));
        let replica = account.add_replica(0, 0);
        let ports = account.boot(replica);
        let lease = |body: &str| Record { id: "lease".to_owned(), body: body.to_owned(), token: 1 };
        ports.swap(None, &lease("{}")).await.expect("free");
        ports.swap(Some(&lease("{}")), &lease(r#"{"released":true}"#)).await.expect("given back");
        let name = UserName::parse("ann").expect("valid");
        let _refused = ports.directory().put_boundary(&name, "no policy").await;
        let violations = account.lock().book.violations().to_vec();
        assert!(violations[0].contains("after it has given the lease back"), "{violations:?}");
    });
}

/// What it had sent takes effect, and the answer waits for it; what it was about to send is sent then.
#[test]
fn a_process_that_stands_still_begins_nothing_and_sees_no_answer() {
    in_simulated_time(async {
        let mut settings = AccountSettings::new(Rules::contract());
        settings.conduct.travel_ms = (1_000, 1_000);
        settings.conduct.freeze_ms = 30_000;
        // Of six calls the third stands still before it is sent, and the fifth after that.
        settings.faults = Faults::scripted(&[(3, Kind::FreezeBefore), (5, Kind::FreezeAfter)]);
        let account = Account::new(5, settings);
        let replica = account.add_replica(0, 0);
        let ports = account.boot(replica);
        let record = |id: &str| Record { id: id.to_owned(), body: "{}".to_owned(), token: 1 };
        let known = |id: &str| account.lock().state.records.contains_key(id);
        let took = || account.lock().elapsed_ms();
        StateStore::put(&ports, &record("one")).await.expect("put");
        let freezing = async {
            // Sent while the other one stands still before it is sent.
            let (two, three) = (record("two"), record("three"));
            let begun = tokio::join!(StateStore::put(&ports, &two), StateStore::put(&ports, &three), async {
                sleep(20).await;
                (known("two"), known("three"))
            });
            (begun.0.is_ok(), begun.1.is_ok(), begun.2)
        };
        assert_eq!(freezing.await, (true, true, (true, false)));
        // 2 s for the first; 30 s still, and 2 s for the last.
        assert_eq!((took(), known("three")), (34_000, true));
        StateStore::put(&ports, &record("four")).await.expect("put");
        let five = record("five");
        let (put, seen) = tokio::join!(StateStore::put(&ports, &five), async {
            sleep(2).await;
            known("five")
        });
        assert_eq!((put.is_ok(), seen, took()), (true, true, 34_000 + 2_000 + 30_000));
    });
}

#[test]
fn clocks_are_as_wrong_as_they_were_set_and_never_go_back() {
    use iam_user_controller::ports::Clock;
    in_simulated_time(async {
        let account = Account::new(5, AccountSettings::new(Rules::contract()));
        let replica = account.add_replica(0, 0);
        let ports = account.boot(replica);
        let wall_is_off = || ports.now().as_millis().cast_signed() - account.lock().now.cast_signed();
        sleep(10).await;
        account.set_clock(replica, -3_600_000, 500);
        assert_eq!((ports.monotonic().as_secs(), wall_is_off()), (10, -3_600_000));
        sleep(10).await;
        assert_eq!((ports.monotonic().as_secs(), wall_is_off()), (15, -3_605_000));
        account.set_clock(replica, 0, 2_000);
        sleep(10).await;
        assert_eq!((ports.monotonic().as_secs(), wall_is_off()), (35, 10_000));
        account.set_clocks_right();
        sleep(10).await;
        assert_eq!((ports.monotonic().as_secs(), wall_is_off()), (45, 0));
    });
}
