//! `health`: asks the running service, for container images that have no curl.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time;

use super::{FAILED, fail, say};

/// Shorter than the interval of any container health check.
const PATIENCE: Duration = Duration::from_secs(3);

/// More than any answer of `/healthz`.
const LONGEST: u64 = 64 * 1_024;

/// Asks `/healthz` on the address that the service listens on.
pub async fn run(listen: SocketAddr) -> ExitCode {
    match time::timeout(PATIENCE, ask(reachable(listen))).await {
        Ok(Ok(answer)) => {
            let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((answer.as_str(), ""));
            if head.split(' ').nth(1) == Some("200") {
                say(body);
                ExitCode::SUCCESS
            } else {
                fail(FAILED, body)
            }
        }
        Ok(Err(error)) => fail(FAILED, format_args!("no answer from {listen}: {error}")),
        Err(_) => fail(FAILED, format_args!("no answer from {listen} within {PATIENCE:?}")),
    }
}

/// A service that listens everywhere is reached on loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

async fn ask(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.take(LONGEST).read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
