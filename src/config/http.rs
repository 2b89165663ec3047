//! `[http]`: the pages for health, metrics and status.

use std::net::SocketAddr;

use super::key::Key;
use super::reader::Reader;

const LISTEN: Key = Key::of("http", "listen");
const EXPOSE_USERS: Key = Key::of("http", "expose_users");

/// The keys of this section.
pub(super) const KEYS: &[Key] = &[LISTEN, EXPOSE_USERS];

/// The pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Where they are served; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Whether `/users` names users; unless set, only when nobody but this host can ask.
    pub expose_users: bool,
}

impl Http {
    pub(super) fn read(reader: &mut Reader) -> Option<Self> {
        let valid = "an IP address and a port, as in 127.0.0.1:8080 or [::]:8080; port 0 takes a free one";
        let listen = reader.required(LISTEN, valid, |raw| raw.text().and_then(address));
        let expose_users = reader.optional(EXPOSE_USERS, "true or false", |raw| raw.flag());
        let listen = listen?;
        let is_loopback = listen.ip().to_canonical().is_loopback();
        Some(Self { listen, expose_users: expose_users.unwrap_or(is_loopback) })
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| match text.rsplit_once(':') {
        Some(("", _)) => format!("the address is missing: write 0.0.0.0{text} for every interface"),
        Some((host, _)) if host.contains(|c: char| c.is_ascii_alphabetic() && !c.is_ascii_hexdigit()) => {
            format!("{host:?} is a host's name: write its address")
        }
        Some(_) => "it is no IP address with a port".to_owned(),
        None => "there is no port in it".to_owned(),
    })
}
