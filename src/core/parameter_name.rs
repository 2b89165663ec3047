//! Where a user's keys are stored: the name of the SSM parameter.

use std::fmt;

use super::user::UserName;

/// The placeholder in `parameters.name`.
const PLACEHOLDER: &str = "{UserName}";

/// The name of one SSM parameter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct ParameterName(String);

impl ParameterName {
    /// The name as SSM knows it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ParameterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The setting `parameters.name`: a parameter name with the placeholder `{UserName}` in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterTemplate {
    /// Up to and including the `/` before the segment with the placeholder.
    folder: String,
    /// That segment, before the placeholder.
    prefix: String,
    /// All that follows the placeholder.
    suffix: String,
}

impl ParameterTemplate {
    /// Checks a template.
    ///
    /// # Errors
    /// Says in a sentence what SSM, or the unambiguity of names, does not allow.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parts = text.split(PLACEHOLDER);
        let (Some(before), Some(after), None) = (parts.next(), parts.next(), parts.next()) else {
            return Err(format!("it must hold {PLACEHOLDER} exactly once"));
        };
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-/".contains(c);
        if let Some(refused) = before.chars().chain(after.chars()).find(|c| !allowed(*c)) {
            return Err(format!("SSM does not allow {refused:?}; letters, digits and _ . - / are valid"));
        }
        let Some((folder, prefix)) = before.rsplit_once('/').filter(|_| before.starts_with('/')) else {
            return Err("it must begin with a '/'".to_owned());
        };
        let first = folder.split('/').nth(1).unwrap_or_default().to_ascii_lowercase();
        if first.is_empty() {
            return Err(format!(
                "a folder must come before {PLACEHOLDER}, as in /iam_users/{PLACEHOLDER}_keys"
            ));
        }
        if first.starts_with("aws") || first.starts_with("ssm") {
            return Err("SSM reserves names that begin with 'aws' or 'ssm'".to_owned());
        }
        if text.contains("//") || text.ends_with('/') {
            return Err("SSM does not allow an empty part between two '/'".to_owned());
        }
        // SSM: 15 levels; an encoded name has one more than its template.
        if text.matches('/').count() > 14 || text.len() > 512 {
            return Err("it must have at most 14 levels and 512 characters".to_owned());
        }
        Ok(Self { folder: format!("{folder}/"), prefix: prefix.to_owned(), suffix: after.to_owned() })
    }

    /// Where the keys of `user` are stored.
    ///
    /// SSM knows no `+ = , @`. A name with one of them goes to the sub-folder `encoded`, with every
    /// byte but letters, digits, `_` and `.` written as `-XX`. User names hold no `/`, so no plain
    /// name can mean a place in that folder.
    pub fn name_for(&self, user: &UserName) -> ParameterName {
        let Self { folder, prefix, suffix } = self;
        let plain = user.as_str();
        if plain.contains(['+', '=', ',', '@']) {
            ParameterName(format!("{folder}encoded/{prefix}{}{suffix}", escape(plain)))
        } else {
            ParameterName(format!("{folder}{prefix}{plain}{suffix}"))
        }
    }
}

fn escape(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len() * 3);
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.' {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("-{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn stored_at(template: &str, user: &str) -> String {
        let template = ParameterTemplate::parse(template).unwrap();
        template.name_for(&UserName::parse(user).unwrap()).to_string()
    }

    #[test]
    fn names() {
        let contract = "/iam_users/{UserName}_keys";
        assert_eq!(stored_at(contract, "mail-relay"), "/iam_users/mail-relay_keys");
        assert_eq!(stored_at(contract, "a@b.c"), "/iam_users/encoded/a-40b.c_keys");
        assert_eq!(stored_at(contract, "x-y+z=1,2"), "/iam_users/encoded/x-2Dy-2Bz-3D1-2C2_keys");
        assert_eq!(stored_at("/t/k-{UserName}/v", "a+b"), "/t/encoded/k-a-2Bb/v");
    }

    #[test]
    fn no_two_users_share_a_parameter() {
        let template = ParameterTemplate::parse("/iam_users/{UserName}_keys").unwrap();
        let alphabet = ["a", "A", "-", "_", ".", "+", "=", ",", "@", "2", "B", "encoded"];
        let mut seen = BTreeMap::new();
        for a in alphabet {
            for b in alphabet {
                for c in alphabet {
                    let user = UserName::parse(&format!("{a}{b}{c}")).unwrap();
                    let at = template.name_for(&user);
                    let other = seen.insert(at.clone(), user.clone());
                    assert!(other.is_none_or(|other| other == user), "{user} at {at}");
                }
            }
        }
    }

    #[test]
    fn bad_templates_are_refused() {
        for bad in [
            "/iam_users/keys",
            "/{UserName}/{UserName}",
            "x/{UserName}",
            "/{UserName}_keys",
            "/aws/{UserName}",
            "/SSMx/{UserName}",
            "/a b/{UserName}",
            "/a//{UserName}",
            "/a/{UserName}/",
        ] {
            assert!(ParameterTemplate::parse(bad).is_err(), "{bad}");
        }
    }
}
