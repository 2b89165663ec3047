//! The whole configuration as an operator meets it: a file and variables on the left, what comes of
//! them on the right.

use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use crate::core::policy::{Adopt, ForeignKeys, OrphanAction, OrphanScope};
use crate::core::user::UserName;

use super::*;

/// A line of the contract's table, and a way to set the key: as the environment's text and as TOML.
struct Row {
    key: &'static str,
    /// As `config/default.toml` says it; `None` where there is no default.
    default: Option<&'static str>,
    toml: &'static str,
    env: &'static str,
}

const fn row(key: &'static str, default: Option<&'static str>, toml: &'static str, env: &'static str) -> Row {
    Row { key, default, toml, env }
}

/// The contract.
#[rustfmt::skip]
const CONTRACT: &[Row] = &[
    row("dry_run",                    Some("false"),                          "true",                 "true"),
    row("table.name",                 None,                                   "'123'",                "123"),
    row("state.table",                None,                                   "'0x10'",               "0x10"),
    row("users.path",                 Some("\"/\""),                          "'/bots/'",             "/bots/"),
    row("users.permissions_boundary", None,      "'arn:aws-cn:iam::123456789012:policy/p/b'", "arn:aws-cn:iam::123456789012:policy/p/b"),
    row("users.adopt",                Some("\"tagged\""),                     "'always'",             "always"),
    row("keys.rotate_after",          Some("\"15d\""),                        "'2s'",                 "2s"),
    row("keys.delete_after",          Some("\"30d\""),                        "'20d 4s'",             "20d 4s"),
    row("keys.min_overlap",           None,                                   "'1h 30m'",             "1h 30m"),
    row("keys.foreign",               Some("\"report\""),                     "'revoke'",             "revoke"),
    row("keys.verify",                Some("true"),                           "false",                "false"),
    row("keys.verify_timeout",        Some("\"60s\""),                        "'2s'",                 "2s"),
    row("parameters.name",            Some("\"/iam_users/{UserName}_keys\""), "'/k/{UserName}'",      "/k/{UserName}"),
    row("parameters.kms_key_id",      None,                                   "'alias/k'",            "alias/k"),
    row("stream.poll_interval",       Some("\"250ms\""),                      "'50ms'",               "50ms"),
    row("stream.idle_interval",       Some("\"1s\""),                         "'2s'",                 "2s"),
    row("sweep.schedule",             Some("\"0 0 * * * *\""),                "'* * * * * *'",        "* * * * * *"),
    row("sweep.full_every",           Some("\"24h\""),                        "'1s'",                 "1s"),
    row("orphans.scope",              Some("\"owned\""),                      "'owned'",              "owned"),
    row("orphans.action",             Some("\"delete\""),                     "'report'",             "report"),
    row("orphans.protect",            Some("[]"),                             "['Admin-*', 'x']",     r#"["Admin-*", "x"]"#),
    row("orphans.include_console_users", Some("false"),                       "true",                 "true"),
    row("orphans.min_age",            Some("\"15m\""),                        "'0s'",                 "0s"),
    row("orphans.sweeps",             Some("2"),                              "1",                    "1"),
    row("deletions.max_count",        Some("10"),                             "0",                    "0"),
    row("deletions.max_percent",      Some("20"),                             "100",                  "100"),
    row("deletions.window",           Some("\"1h\""),                         "'10s'",                "10s"),
    row("executor.concurrency",       Some("16"),                             "256",                  "256"),
    row("lease.ttl",                  Some("\"15s\""),                        "'2s'",                 "2s"),
    row("http.listen",                Some("\"0.0.0.0:8080\""),               "'[::1]:0'",            "[::1]:0"),
    row("http.expose_users",          None,                                   "true",                 "true"),
    row("log.format",                 Some("\"json\""),                       "'text'",               "text"),
    row("log.level",                  Some("\"info\""),                       "'warn,a::b=trace'",    "warn,a::b=trace"),
    row("shutdown.grace",             Some("\"20s\""),                        "'1s'",                 "1s"),
];

fn load_text(toml: &str, env: &[(&str, &str)]) -> Result<Settings, String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(toml.as_bytes()).unwrap();
    let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let path = file.path().display().to_string();
    load(Some(file.path()), env).map_err(|faults| faults.to_string().replace(&path, "FILE"))
}

/// What an operator reads, without the heading and the layout: one line a fault.
fn faults(toml: &str, env: &[(&str, &str)]) -> Vec<String> {
    let text = load_text(toml, env).unwrap_err();
    text.split("\n\n")
        .skip(1)
        .map(|fault| {
            let lines = fault.lines().enumerate().map(|(index, line)| match index {
                0 => line.split_once(". ").unwrap().1,
                _ => line.trim_start(),
            });
            lines.collect::<Vec<_>>().join(" | ")
        })
        .collect()
}

/// A file, variables, and what the one fault in them has to say.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], [&'a str; 4]);

/// One fault, and it says all of this: key, value and source, what is wrong, what is valid.
fn check(toml: &str, env: &[(&str, &str)], [key, parts @ ..]: &[&str; 4]) {
    let with_table = [&[("IUC_TABLE__NAME", "users")], env].concat();
    let found = faults(toml, &with_table);
    let [fault] = &found[..] else { panic!("{toml} {env:?}: {found:#?}") };
    assert!(fault.starts_with(key), "{toml} {env:?}: {fault}");
    for part in parts {
        assert!(fault.contains(*part), "{toml} {env:?}: {fault}\nlacks: {part}");
    }
}

#[test]
fn a_table_name_is_enough_and_the_rest_is_the_contract() {
    let settings = load(None, [("IUC_TABLE__NAME".to_owned(), "users".to_owned())].into_iter()).unwrap();
    let days = |days: u64| Duration::from_secs(days * 86_400);
    assert_eq!(settings.state.table, "users-controller");
    assert_eq!((settings.users.path.as_str(), settings.users.permissions_boundary), ("/", None));
    assert_eq!(settings.users.adopt, Adopt::Tagged);
    assert_eq!((settings.keys.rotate_after, settings.keys.delete_after), (days(15), days(30)));
    assert_eq!(settings.keys.min_overlap, days(15) / 2);
    assert_eq!((settings.keys.foreign, settings.keys.verify), (ForeignKeys::Report, true));
    assert_eq!((settings.orphans.scope, settings.orphans.action), (OrphanScope::Owned, OrphanAction::Delete));
    assert!(settings.orphans.protect.is_empty() && !settings.orphans.include_console_users);
    assert_eq!(settings.deletions.max_percent.get(), 20);
    assert_eq!(settings.http.listen, "0.0.0.0:8080".parse::<SocketAddr>().unwrap());
    assert!(!settings.http.expose_users && !settings.dry_run);
    assert_eq!(settings.log.format, LogFormat::Json);
}

#[test]
fn the_default_file_documents_every_key_with_the_contracts_value() {
    let mut section = String::new();
    let mut documented = Vec::new();
    let mut explained = false;
    for line in DEFAULTS.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = format!("{name}.");
        }
        // A key without default is a line that is a setting but for the sign before it.
        let unset = line.strip_prefix("# ").filter(|rest| {
            rest.split_once(" = ")
                .is_some_and(|(name, _)| name.bytes().all(|b| b == b'_' || b.is_ascii_lowercase()))
        });
        if let Some((name, value)) = unset.or(Some(line)).and_then(|line| line.split_once(" = "))
            && (unset.is_some() || !line.starts_with('#'))
        {
            assert!(explained, "{section}{name} has no word of explanation");
            documented.push((format!("{section}{name}"), unset.is_none().then(|| value.to_owned())));
        }
        explained = line.starts_with('#') && unset.is_none();
    }
    let contract = CONTRACT.iter().map(|row| (row.key.to_owned(), row.default.map(str::to_owned)));
    assert_eq!(documented, contract.collect::<Vec<_>>());
    assert_eq!(documented.into_iter().map(|(key, _)| key).collect::<Vec<_>>(), names());
}

#[test]
fn the_default_files_bounds_are_those_that_are_enforced() {
    // No key takes this, so every fault says what its key takes.
    let nonsense: Vec<_> = keys().iter().map(|key| (key.variable(), "\n".to_owned())).collect();
    let faults = load(None, nonsense.into_iter()).unwrap_err();
    assert_eq!(faults.iter().count(), keys().len());
    let is_number = |word: &str| word.starts_with(|c: char| c.is_ascii_digit());
    let mut bounds = None;
    let mut compared = 0;
    for line in DEFAULTS.lines() {
        let words: Vec<_> = line.split([' ', '.', ',', ';']).collect();
        if let Some([least, _, most]) =
            words.windows(3).find(|w| w[1] == "to" && is_number(w[0]) && is_number(w[2]))
        {
            bounds = Some(format!("from {least} to {most}"));
        } else if let Some((name, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#'))
            && let Some(bounds) = bounds.take()
        {
            let key = |fault: &&Fault| fault.key.rsplit('.').next() == Some(name);
            assert!(faults.iter().filter(key).any(|fault| fault.valid.contains(&bounds)), "{name}: {bounds}");
            compared += 1;
        } else if line.is_empty() {
            bounds = None;
        }
    }
    assert_eq!(compared, 14);
}

fn names() -> Vec<String> {
    keys().iter().map(Key::to_string).collect()
}

#[test]
fn every_key_can_be_set_by_file_and_by_variable_and_the_variable_wins() {
    let with = |toml: &str, env: &[(&str, &str)]| {
        let settings = load_text(toml, env).unwrap_or_else(|faults| panic!("{toml} {env:?}: {faults}"));
        format!("{settings:?}")
    };
    let base = [("IUC_TABLE__NAME", "users")];
    let unset = with("", &base);
    assert_eq!(CONTRACT.iter().map(|row| row.key).collect::<Vec<_>>(), names());
    for (row, key) in CONTRACT.iter().zip(keys()) {
        let variable = key.variable();
        let toml = match key.section {
            Some(section) => format!("[{section}]\n{} = {}", key.name, row.toml),
            None => format!("{} = {}", key.name, row.toml),
        };
        let table: &[(&str, &str)] = if row.key == "table.name" { &[] } else { &base };
        let by_file = with(&toml, table);
        let by_variable = with("", &[table, &[(variable.as_str(), row.env)]].concat());
        assert_eq!(by_file, by_variable, "{}", row.key);
        // `owned` is the only scope that stands by itself.
        if row.key != "orphans.scope" {
            assert_ne!(by_file, unset, "{}", row.key);
        }
        if let Some(default) = row.default {
            let default = default.trim_matches('"');
            assert_eq!(with(&toml, &[table, &[(variable.as_str(), default)]].concat()), unset, "{}", row.key);
        }
    }
}

#[test]
fn values_are_refused_with_what_would_be_valid() {
    const ROTATE: &str = "IUC_KEYS__ROTATE_AFTER";
    #[rustfmt::skip]
    let cases: &[Case] = &[
        // Types.
        ("[keys]\nrotate_after = 15", &[],
            ["keys.rotate_after (environment: IUC_KEYS__ROTATE_AFTER)", "value:  15 | source: file FILE",
             "it has no unit: write \"15s\"", "a duration from 1s to 36500d"]),
        ("", &[(ROTATE, "15")],
            ["keys.rotate_after", "value:  \"15\" | source: environment variable IUC_KEYS__ROTATE_AFTER",
             "it has no unit", "such as 250ms, 15d"]),
        ("", &[(ROTATE, "")],
            ["keys.rotate_after", "value:  \"\"", "it is empty", "a duration"]),
        ("", &[(ROTATE, "15 bananas")],
            ["keys.rotate_after", "15 bananas", "unknown time unit", "1s to 36500d"]),
        ("[users]\npath = 5", &[],
            ["users.path", "value:  5", "write it in quotes", "an IAM path"]),
        ("dry_run = 'true'", &[],
            ["dry_run (environment: IUC_DRY_RUN)", "\"true\"", "it is a text, not true or false", "true or false"]),
        ("", &[("IUC_DRY_RUN", "yes")],
            ["dry_run", "\"yes\"", "neither true nor false", "true or false"]),
        ("dry_run.x = 1", &[],
            ["dry_run", "{ x = 1 }", "it is a table", "true or false"]),
        ("[lease]\nttl = 2026-01-01", &[],
            ["lease.ttl", "value:  2026-01-01", "it is a date, not a text", "2s to 10m"]),
        ("[executor]\nconcurrency = 1.5", &[],
            ["executor.concurrency", "1.5", "a number with a fraction", "1 to 256"]),
        ("", &[("IUC_ORPHANS__PROTECT", "admin-*")],
            ["orphans.protect", "\"admin-*\"", "no TOML array", "[\"admin-*\""]),
        ("", &[("IUC_ORPHANS__PROTECT", "[]\nb = 1")],
            ["orphans.protect", "b = 1", "no TOML array", "a list"]),
        ("[orphans]\nprotect = ['a', 7]", &[],
            ["orphans.protect", "[\"a\", 7]", "7 in it is a whole number", "a list"]),
        // Bounds.
        ("", &[("IUC_EXECUTOR__CONCURRENCY", "0")],
            ["executor.concurrency", "\"0\"", "less than 1", "1 to 256"]),
        ("", &[("IUC_EXECUTOR__CONCURRENCY", "99999999999")],
            ["executor.concurrency", "99999999999", "more than 256", "1 to 256"]),
        ("[deletions]\nmax_percent = -1", &[],
            ["deletions.max_percent", "-1", "less than 0", "0 to 100"]),
        ("", &[("IUC_DELETIONS__MAX_PERCENT", "20%")],
            ["deletions.max_percent", "20%", "not a whole number", "without %"]),
        ("", &[("IUC_LEASE__TTL", "1s")],
            ["lease.ttl", "\"1s\"", "less than 2s", "from 2s to 10m"]),
        ("", &[("IUC_ORPHANS__SWEEPS", "0")],
            ["orphans.sweeps", "0", "less than 1", "1 to 100"]),
        // Words.
        ("[users]\nadopt = 'allways'", &[],
            ["users.adopt", "\"allways\"", "did you mean always?", "one of never, tagged, always"]),
        ("", &[("IUC_LOG__LEVEL", "infoo")],
            ["log.level", "infoo", "did you mean info?", "off, error, warn"]),
        ("", &[("IUC_LOG__LEVEL", "info,x=loud")],
            ["log.level", "x=loud", "parsing level filter", "off, error, warn"]),
        // AWS's own rules.
        ("", &[("IUC_STATE__TABLE", "ab")],
            ["state.table", "\"ab\"", "2 characters", "3 to 255"]),
        ("", &[("IUC_STATE__TABLE", "a/b")],
            ["state.table", "\"a/b\"", "'/'", "A-Z a-z 0-9 _ . -"]),
        ("", &[("IUC_STATE__TABLE", "arn:aws:dynamodb:x:1:table/t")],
            ["state.table", "arn:", "only the name is wanted", "3 to 255"]),
        ("", &[("IUC_USERS__PATH", "bots/")],
            ["users.path", "bots/", "begin and end", "an IAM path"]),
        ("", &[("IUC_USERS__PERMISSIONS_BOUNDARY", "boundary")],
            ["users.permissions_boundary", "boundary", "no ARN of IAM", "arn:aws:iam::1"]),
        ("", &[("IUC_USERS__PERMISSIONS_BOUNDARY", "arn:aws:iam::12:policy/b")],
            ["users.permissions_boundary", "b", "12 digits", "managed policy"]),
        ("", &[("IUC_USERS__PERMISSIONS_BOUNDARY", "arn:aws:iam::123456789012:role/b")],
            ["users.permissions_boundary", "b", "\"role/b\" is no policy", "policy"]),
        ("[users]\npermissions_boundary = ''", &[],
            ["users.permissions_boundary", "\"\"", "it is empty", "policy"]),
        ("", &[("IUC_PARAMETERS__NAME", "/k/user")],
            ["parameters.name", "/k/user", "exactly once", "/iam_users/{UserName}_keys"]),
        ("", &[("IUC_PARAMETERS__KMS_KEY_ID", "my key")],
            ["parameters.kms_key_id", "my key", "' '", "a KMS key's id"]),
        ("", &[("IUC_HTTP__LISTEN", ":8080")],
            ["http.listen", ":8080", "write 0.0.0.0:8080", "127.0.0.1:8080"]),
        ("", &[("IUC_HTTP__LISTEN", "localhost:8080")],
            ["http.listen", "localhost", "a host's name", "127.0.0.1:8080"]),
        // Schedules: too few fields, no such minute, no such day in any year.
        ("", &[("IUC_SWEEP__SCHEDULE", "0 * * * *")],
            ["sweep.schedule", "0 * * * *", "fields is 5, not 6; a field for the seconds", "second minute hour"]),
        ("", &[("IUC_SWEEP__SCHEDULE", "0 61 * * * *")],
            ["sweep.schedule", "61", "out of bounds", "second minute hour"]),
        ("", &[("IUC_SWEEP__SCHEDULE", "0 0 0 30 2 *")],
            ["sweep.schedule", "30 2", "no day of any year", "second minute hour"]),
        ("", &[("IUC_SWEEP__SCHEDULE", "@hourly")],
            ["sweep.schedule", "@hourly", "fields is 1, not 6", "second minute hour"]),
        // Patterns that protect nobody.
        ("orphans.protect = ['a', '/admins/*']", &[],
            ["orphans.protect", "/admins/*", "'/', which no user name has", "glob"]),
        ("orphans.protect = ['[a']", &[],
            ["orphans.protect", "[a", "the pattern \"[a\": ", "glob"]),
        ("orphans.protect = ['']", &[],
            ["orphans.protect", "[\"\"]", "is empty", "glob"]),
        // Fine by themselves, but not together.
        ("[keys]\nrotate_after = '30d'", &[],
            ["keys.delete_after", "value:  \"30d\" | source: the default",
             "not more than keys.rotate_after (\"30d\" from file FILE)", "more than 30d"]),
        ("keys.rotate_after = '2s'\nkeys.delete_after = '4s'", &[("IUC_KEYS__MIN_OVERLAP", "3s")],
            ["keys.min_overlap", "\"3s\"",
             "more than keys.delete_after − keys.rotate_after: keys.delete_after (\"4s\" from file FILE)", "at most 2s, or unset"]),
        ("", &[("IUC_STREAM__POLL_INTERVAL", "2s")],
            ["stream.poll_interval", "\"2s\"",
             "more than stream.idle_interval (\"1s\" from the default)", "at most"]),
        ("", &[("IUC_STATE__TABLE", "users")],
            ["state.table", "\"users\"", "it is the users table", "by default users-controller"]),
        ("", &[("IUC_ORPHANS__SCOPE", "account")],
            ["orphans.scope", "\"account\"", "orphans.protect spares nobody", "owned, or account with"]),
        // What is not there.
        ("[keys]\nrotate_afer = '15d'", &[],
            ["keys.rotate_afer", "value:  \"15d\" | source: file FILE",
             "no such key", "did you mean keys.rotate_after?"]),
        ("rotate_after = '15d'", &[],
            ["rotate_after", "\"15d\"", "no such key", "did you mean keys.rotate_after?"]),
        ("'table.name' = 'users'", &[],
            ["table.name", "\"users\"", "no such key", "table.name"]),
        ("[deletions]\nq = 1", &[],
            ["deletions.q", "1", "no such key", "max_count, max_percent, window"]),
        ("[zzzzz]", &[],
            ["zzzzz", "source: file FILE", "no such key", "sections table, state"]),
        ("keys = '15d'", &[],
            ["keys", "\"15d\"", "it is a section", "a line [keys]"]),
        ("", &[("IUC_STATE_TABLE", "x")],
            ["IUC_STATE_TABLE", "source: environment variable IUC_STATE_TABLE",
             "no such setting", "did you mean IUC_STATE__TABLE?"]),
        ("", &[("IUC_keys__verify", "true")],
            ["IUC_keys__verify", "", "no such", "did you mean IUC_KEYS__VERIFY?"]),
        ("", &[("IUC_KEYS", "x")],
            ["IUC_KEYS", "", "no such", "IUC_<SECTION>__<KEY>"]),
    ];
    for (toml, env, expected) in cases {
        check(toml, env, expected);
    }
}

#[test]
fn the_text_of_all_faults_at_once() {
    let toml = "[tabel]\nname = 'users'\n[keys]\nrotate_after = '40d'\n";
    let env = [
        ("IUC_DRY_RUN", "1"),
        ("IUC_EXTRA", "a\nb"),
        ("IUC_SECRET", "hunter2"),
        ("IUC_CONFIG", "/etc/iuc.toml"),
        ("HOME", "/"),
    ];
    let expected = "\
the configuration has 6 faults

 1. tabel.name
     value:  \"users\"
     source: file FILE
     wrong:  there is no such key
     valid:  did you mean table.name?

 2. IUC_EXTRA
     value:  \"a\\nb\"
     source: environment variable IUC_EXTRA
     wrong:  there is no such setting
     valid:  unset it, or name a key as IUC_<SECTION>__<KEY>, with two underscores, in capitals

 3. IUC_SECRET
     source: environment variable IUC_SECRET
     wrong:  there is no such setting; its value is not shown
     valid:  unset it, or name a key as IUC_<SECTION>__<KEY>, with two underscores, in capitals

 4. table.name (environment: IUC_TABLE__NAME)
     source: set nowhere
     wrong:  it has no default and must be set
     valid:  a DynamoDB table's name: 3 to 255 of A-Z a-z 0-9 _ . -; set IUC_TABLE__NAME, or name \
under [table] in the configuration file

 5. keys.delete_after (environment: IUC_KEYS__DELETE_AFTER)
     value:  \"30d\"
     source: the default
     wrong:  it is not more than keys.rotate_after (\"40d\" from file FILE)
     valid:  more than 40d: a key gets its successor first

 6. dry_run (environment: IUC_DRY_RUN)
     value:  \"1\"
     source: environment variable IUC_DRY_RUN
     wrong:  it is neither true nor false
     valid:  true or false";
    assert_eq!(load_text(toml, &env).unwrap_err(), expected);
}

#[test]
fn a_file_that_cannot_be_read_is_one_fault_and_hides_only_what_may_follow_from_it() {
    let env = [("IUC_KEYS__ROTATE_AFTER", "40d"), ("IUC_LEASE__TTL", "never")];
    let found = faults("[table]\nname = \n", &env);
    // Neither the missing table.name nor the order of the ages: the file may have said both right.
    let [file, ttl] = &found[..] else { panic!("{found:#?}") };
    assert!(file.starts_with("configuration file (environment: IUC_CONFIG)"), "{file}");
    assert!(file.contains("source: file FILE") && file.contains("wrong:  line 2, column 8: "), "{file}");
    assert!(ttl.starts_with("lease.ttl"), "{ttl}");

    let missing = load(Some(Path::new("no/such/file.toml")), std::iter::empty()).unwrap_err().to_string();
    assert!(missing.contains("source: file no/such/file.toml"), "{missing}");
    assert!(missing.contains("there is no such file; looked at /"), "{missing}");
    let folder = load(Some(Path::new("/")), std::iter::empty()).unwrap_err().to_string();
    assert!(folder.contains("it cannot be read: "), "{folder}");
}

#[test]
fn an_empty_variable_of_a_key_without_default_leaves_the_layers_below() {
    let toml = "[users]\npermissions_boundary = 'arn:aws:iam::aws:policy/ReadOnlyAccess'";
    let env = [
        ("IUC_TABLE__NAME", "true"),
        ("IUC_STATE__TABLE", ""),
        ("IUC_USERS__PERMISSIONS_BOUNDARY", ""),
        ("IUC_KEYS__MIN_OVERLAP", ""),
        ("IUC_PARAMETERS__KMS_KEY_ID", ""),
        ("IUC_HTTP__EXPOSE_USERS", ""),
    ];
    let settings = load_text(toml, &env).unwrap();
    assert_eq!((settings.table.name.as_str(), settings.state.table.as_str()), ("true", "true-controller"));
    let policy = settings.policy();
    assert_eq!(policy.boundary.as_deref(), Some("arn:aws:iam::aws:policy/ReadOnlyAccess"));
    assert_eq!(policy.min_overlap, Duration::from_secs(15 * 86_400) / 2);
    assert_eq!((settings.parameters.kms_key_id, settings.http.expose_users), (None, false));
}

#[test]
fn users_are_named_on_loopback_only_unless_set() {
    let exposed = |listen: &str, set: &str| {
        let env =
            [("IUC_TABLE__NAME", "users"), ("IUC_HTTP__LISTEN", listen), ("IUC_HTTP__EXPOSE_USERS", set)];
        load_text("", &env).unwrap().http.expose_users
    };
    for (listen, expected) in [
        ("127.0.0.1:0", true),
        ("127.8.9.1:80", true),
        ("[::1]:80", true),
        ("[::ffff:127.0.0.1]:80", true),
        ("0.0.0.0:80", false),
        ("[::]:80", false),
        ("10.0.0.1:80", false),
    ] {
        assert_eq!(exposed(listen, ""), expected, "{listen}");
        assert!(exposed(listen, "true") && !exposed(listen, "false"), "{listen}");
    }
}

#[test]
fn protected_names_match_whole_names_without_regard_to_case() {
    let settings =
        load_text("table.name = 'users'\norphans.protect = ['Admin-*', 'ops?', '{a,b}.c', '[!x]y']", &[]);
    let protect = settings.unwrap().orphans.protect;
    let protects = |name: &str| protect.matches(&UserName::parse(name).unwrap());
    for name in ["admin-1", "ADMIN-", "opsX", "B.C", "zy"] {
        assert!(protects(name), "{name}");
    }
    for name in ["xadmin-1", "admin", "ops", "ops12", "c.c", "xy"] {
        assert!(!protects(name), "{name}");
    }
}

#[test]
fn the_state_tables_default_has_to_be_a_name_too() {
    let long = "x".repeat(250);
    let found = faults("", &[("IUC_TABLE__NAME", long.as_str())]);
    assert!(found.len() == 1 && found[0].contains("it has 261 characters"), "{found:#?}");
    assert!(load_text("", &[("IUC_TABLE__NAME", long.as_str()), ("IUC_STATE__TABLE", "state")]).is_ok());
}

#[test]
fn values_that_sound_secret_are_not_shown() {
    let found = faults("[aws]\nsecret_access_key = 'hunter2'", &[("IUC_AWS__SECRET", "hunter2")]);
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(!found.concat().contains("hunter2"), "{found:#?}");
}

#[test]
fn the_example_files_load() {
    let load = |name: &str| {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("config").join(name);
        load(Some(&file), [("IUC_TABLE__NAME".to_owned(), "users".to_owned())].into_iter())
            .unwrap_or_else(|faults| panic!("{name}: {faults}"))
    };
    assert!(load("local.toml").http.expose_users);
    let production = load("production.toml");
    assert!(!production.http.expose_users && !production.orphans.protect.is_empty());
    // The documentation may be copied and changed.
    assert_eq!(load("default.toml").keys, load("production.toml").keys);
}
