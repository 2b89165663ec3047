//! The seal of a user: proof that this controller has put the ownership tags on it.
//!
//! Everybody who has `iam:TagUser` can write our tags, and can copy them from one user to another. The
//! seal cannot be made without the key, and says of which user, table and life it is. The key is
//! random, is made once, and is a record of the state table (`app` reads it). Knows no tags and no
//! users: [`ownership`](super::ownership) asks.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::time::Timestamp;
use super::user::UserName;

/// Bytes of a key: as many as HMAC-SHA256 gives out.
pub const KEY_BYTES: usize = 32;

/// HMAC fills a shorter key up with zeros to a block of SHA-256.
const BLOCK_BYTES: usize = 64;

/// A seal is of a user that was created this near to its time. CreateUser is sent seconds after its
/// seal is written, and AWS refuses a request whose signature is 5 minutes old.
pub const NEAR: Duration = Duration::from_secs(300);

/// The key of all seals of one state table. Wiped when dropped; its text is only ever stored.
#[derive(Clone, PartialEq, Eq)]
pub struct SealKey(Zeroizing<[u8; KEY_BYTES]>);

/// The record's form.
#[derive(Serialize, Deserialize)]
struct Stored {
    key: Zeroizing<String>,
}

/// The stored record is not one that holds a key. Quotes nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it holds no key of {KEY_BYTES} bytes")]
pub struct Unreadable;

impl SealKey {
    /// A key of these bytes, which nobody else can guess.
    pub fn new(bytes: [u8; KEY_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Reads what [`SealKey::to_record`] has written.
    ///
    /// # Errors
    /// When it is something else. It is never replaced: every seal would be void.
    pub fn from_record(body: &str) -> Result<Self, Unreadable> {
        let stored: Stored = serde_json::from_str(body).map_err(|_| Unreadable)?;
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(stored.key.as_bytes()).map_err(|_| Unreadable)?);
        <[u8; KEY_BYTES]>::try_from(bytes.as_slice()).map(Self::new).map_err(|_| Unreadable)
    }

    /// The body of the record that keeps the key.
    pub fn to_record(&self) -> String {
        let stored = Stored { key: Zeroizing::new(URL_SAFE_NO_PAD.encode(self.0.as_slice())) };
        serde_json::to_string(&stored).unwrap_or_default()
    }

    /// The seal of a user of this name and table that is created at about this time.
    pub fn seal(&self, name: &UserName, table_arn: &str, at: Timestamp) -> String {
        let time = at.to_string();
        let mac = self.mac(name, table_arn, &time).finalize();
        format!("{time}.{}", URL_SAFE_NO_PAD.encode(mac.into_bytes()))
    }

    /// Whether this is the seal of the user of this name and table that was created then.
    pub fn proves(&self, seal: &str, name: &UserName, table_arn: &str, created: Timestamp) -> bool {
        // The time has a dot of its own, Base64 has none.
        let Some((time, mac)) = seal.rsplit_once('.') else { return false };
        let (Some(at), Ok(mac)) = (Timestamp::parse(time), URL_SAFE_NO_PAD.decode(mac)) else { return false };
        let near = at.since(created) <= NEAR && created.since(at) <= NEAR;
        // Compares in constant time.
        near && self.mac(name, table_arn, time).verify_slice(&mac).is_ok()
    }

    fn mac(&self, name: &UserName, table_arn: &str, time: &str) -> Hmac<Sha256> {
        let mut block = Zeroizing::new([0; BLOCK_BYTES]);
        block[..KEY_BYTES].copy_from_slice(self.0.as_slice());
        let mut mac = Hmac::<Sha256>::new((&*block).into());
        // None of the parts can hold a zero byte, so that no two triples have one text.
        for part in [name.folded().as_str(), "\0", table_arn, "\0", time] {
            mac.update(part.as_bytes());
        }
        mac
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[seal key]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:dynamodb:eu-west-1:123456789012:table/users";

    fn name(text: &str) -> UserName {
        UserName::parse(text).unwrap()
    }

    fn key(n: u8) -> SealKey {
        SealKey::new([n; KEY_BYTES])
    }

    /// By Python: base64.urlsafe_b64encode(hmac.new(bytes([7] * 32), b"mail.a\0" + arn + b"\0" + time,
    /// "sha256").digest()).
    #[test]
    fn a_seal_is_what_the_contract_says() {
        let seal = key(7).seal(&name("Mail.A"), ARN, Timestamp::from_millis(1_767_225_600_250));
        assert_eq!(seal, "2026-01-01T00:00:00.250Z.giaiiLafiBEnb1TGF6SnyxZTHIZjZYNlbuYw_qkjYUM");
    }

    #[test]
    #[rustfmt::skip] // The columns are the point.
    fn a_seal_proves_one_name_one_table_one_life_and_one_key() {
        let at = Timestamp::from_secs(1_800_000_000);
        let seal = key(7).seal(&name("mail"), ARN, at);
        let second = Duration::from_secs(1);
        let other_arn = ARN.replace("eu-west-1", "us-east-1");
        let check = |key: SealKey, seal: &str, user: &str, arn: &str, created, expected: bool| {
            assert_eq!(key.proves(seal, &name(user), arn, created), expected, "{seal} {user} {arn} {created}");
        };
        //    key     seal              name    table        created             proven
        check(key(7), &seal,            "mail", ARN,         at,                 true);
        check(key(7), &seal,            "MAIL", ARN,         at,                 true);
        check(key(7), &seal,            "mail", ARN,         at + NEAR,          true);
        check(key(7), &seal,            "mail", ARN,         at - NEAR,          true);
        check(key(7), &seal,            "mail", ARN,         at + NEAR + second, false);
        check(key(7), &seal,            "mail", ARN,         at - NEAR - second, false);
        check(key(7), &seal,            "maid", ARN,         at,                 false);
        check(key(7), &seal,            "mail", &other_arn,  at,                 false);
        check(key(8), &seal,            "mail", ARN,         at,                 false);
        // A MAC that is shortened, lengthened or of another time; no MAC; no seal.
        check(key(7), &seal[..60],      "mail", ARN,         at,                 false);
        check(key(7), &seal[..25],      "mail", ARN,         at,                 false);
        check(key(7), &seal[..24],      "mail", ARN,         at,                 false);
        check(key(7), &format!("{seal}AAAA"), "mail", ARN,   at,                 false);
        check(key(7), &seal.replacen(".000Z", ".001Z", 1), "mail", ARN, at,      false);
        check(key(7), &seal.replacen("000Z", "000+00:00", 1), "mail", ARN, at,   false);
        for text in ["", ".", "none", "2027-01-15T08:00:00.000Z"] {
            check(key(7), text,         "mail", ARN,         at,                 false);
        }
    }

    #[test]
    fn no_two_triples_have_one_text() {
        let at = Timestamp::from_secs(1_800_000_000);
        let seals = [("a", "bc"), ("ab", "c")].map(|(user, arn)| key(7).seal(&name(user), arn, at));
        assert_ne!(seals[0], seals[1]);
    }

    #[test]
    fn a_seal_is_a_tag_that_iam_takes() {
        let seal = key(0xFE).seal(&name("x"), ARN, Timestamp::from_secs(1));
        assert!(
            seal.len() <= 256 && seal.chars().all(|c| c.is_ascii_alphanumeric() || "_.:/=+-@".contains(c))
        );
    }

    #[test]
    fn the_record_keeps_the_key_and_nothing_shows_it() {
        let record = key(9).to_record();
        assert_eq!(SealKey::from_record(&record), Ok(key(9)));
        for ruin in ["", "{}", "null", r#"{"key":""}"#, r#"{"key":"AAAA"}"#, r#"{"key":7}"#, &record[1..]] {
            assert_eq!(SealKey::from_record(ruin), Err(Unreadable), "{ruin}");
        }
        assert_eq!(format!("{:?}", key(9)), "[seal key]");
    }
}
