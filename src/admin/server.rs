//! The server under the pages: what slow clients and many clients may take is bounded.
//!
//! A container's health check has seconds to be answered, whatever else is connected. So a client has
//! [`HEADER_TIME`] to send a request, and beyond [`CONNECTIONS`] the client goes that has waited longest
//! without one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time;
use tokio_util::sync::CancellationToken;

/// How long a client may take to send the header of a request, and an idle connection is kept.
const HEADER_TIME: Duration = Duration::from_secs(5);

/// Connections at once. A service has a scraper, a health check and a few people.
const CONNECTIONS: usize = 256;

/// A process that has no file descriptor left for a connection has one later.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves `routes` until `stop` ends; then answers what was asked before.
pub(super) async fn serve(
    listener: TcpListener,
    routes: Router,
    stop: impl Future<Output = ()>,
) -> std::io::Result<()> {
    let (open, stopping) = (Connections::default(), CancellationToken::new());
    let mut clients = JoinSet::new();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            biased;
            () = &mut stop => break,
            Some(_) = clients.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    clients.spawn(answer(stream, routes.clone(), open.enter(), stopping.clone()));
                }
                Err(error) => {
                    tracing::debug!(%error, "a connection was not accepted");
                    time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
    drop(listener);
    stopping.cancel();
    while clients.join_next().await.is_some() {}
    Ok(())
}

/// Answers one client. What breaks its connection is its own business.
async fn answer(stream: TcpStream, routes: Router, place: Place, stopping: CancellationToken) {
    let (routes, place) = (TowerToHyperService::new(routes), Arc::new(place));
    let asked = place.clone();
    let service = service_fn(move |request| {
        asked.asks();
        let (answer, asked) = (routes.call(request), asked.clone());
        async move {
            let answer = answer.await;
            asked.waits();
            answer
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    tokio::select! {
        biased;
        () = place.gone.cancelled() => return,
        _ = connection.as_mut() => return,
        () = stopping.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    tokio::select! {
        biased;
        () = place.gone.cancelled() => {}
        _ = connection => {}
    }
}

/// Who is connected. Clones share it.
#[derive(Clone, Default)]
struct Connections(Arc<Mutex<Open>>);

#[derive(Default)]
struct Open {
    /// The number of the next thing that happens.
    now: u64,
    /// Of each connection: since when it waits for a request, and what closes it.
    clients: HashMap<u64, (u64, CancellationToken)>,
    /// Connections closed for others since the limit was met.
    closed: u64,
}

/// One connection's place, given up when it is dropped.
struct Place {
    id: u64,
    gone: CancellationToken,
    open: Connections,
}

impl Connections {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more, for which another may have to go.
    fn enter(&self) -> Place {
        let mut open = self.open();
        if open.clients.len() >= CONNECTIONS {
            open.make_room();
        }
        let (id, gone) = (open.tick(), CancellationToken::new());
        open.clients.insert(id, (id, gone.clone()));
        Place { id, gone, open: self.clone() }
    }
}

impl Open {
    fn tick(&mut self) -> u64 {
        self.now += 1;
        self.now
    }

    fn make_room(&mut self) {
        let longest = self.clients.iter().min_by_key(|(_, (since, _))| *since).map(|(id, _)| *id);
        if let Some((_, gone)) = longest.and_then(|id| self.clients.remove(&id)) {
            gone.cancel();
        }
        if self.closed == 0 {
            tracing::warn!(
                connections = CONNECTIONS,
                "as many connections as the pages serve: for each further one the one is closed that has waited longest \
                 without a request"
            );
        }
        self.closed += 1;
    }
}

impl Place {
    /// Its request is there, and is answered before it can be closed for another.
    fn asks(&self) {
        self.since(|_| u64::MAX);
    }

    /// It has its answer, and may ask again.
    fn waits(&self) {
        self.since(Open::tick);
    }

    fn since(&self, when: impl FnOnce(&mut Open) -> u64) {
        let mut open = self.open.open();
        let when = when(&mut open);
        if let Some((since, _)) = open.clients.get_mut(&self.id) {
            *since = when;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.open.open();
        open.clients.remove(&self.id);
        // Half, so that a number about the limit is told once.
        if open.closed > 0 && open.clients.len() < CONNECTIONS / 2 {
            tracing::info!(closed = open.closed, "there is room for connections to the pages again");
            open.closed = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn for_one_too_many_the_one_goes_that_has_waited_longest() {
        let open = Connections::default();
        let places: Vec<_> = (0..CONNECTIONS).map(|_| open.enter()).collect();
        places[0].asks();
        places[1].asks();
        places[1].waits();
        let gone = || -> Vec<_> {
            places.iter().enumerate().filter(|(_, place)| place.gone.is_cancelled()).map(|(n, _)| n).collect()
        };
        assert_eq!(gone(), [0; 0]);
        let _one = open.enter();
        assert_eq!(gone(), [2], "0 is being answered, 1 was a moment ago");
        let _more: Vec<_> = (0..CONNECTIONS - 3).map(|_| open.enter()).collect();
        assert_eq!(gone().len(), CONNECTIONS - 2);
        let _last = open.enter();
        assert!(places[1].gone.is_cancelled() && !places[0].gone.is_cancelled());
        assert_eq!(open.open().clients.len(), CONNECTIONS);
        drop(places);
        assert_eq!(open.open().clients.len(), CONNECTIONS - 1);
    }
}
