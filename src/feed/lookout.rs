//! What a standby does about the stream: looks at it once a minute, so that it can read at once when
//! it leads. Reads no changes, writes nothing, decides nothing.
//!
//! Called by `app` for as long as another replica leads.

use std::convert::Infallible;

use tokio::time;

use super::answer::limited;
use super::limits::{DISCOVERY_INTERVAL, FIRST_LOOK, LOOK_PAGES, LOOK_SPACING};
use super::listing::{Listing, Walk};
use super::outlook::Outlook;
use crate::ports::{Clock, Ports, ShardDescription, StreamError, StreamStatus, Streams, UsersTable};

/// Keeps an [`Outlook`].
pub struct Lookout<P> {
    ports: P,
    newest: Option<Outlook>,
}

impl<P: Ports> Lookout<P> {
    /// One that has seen nothing yet.
    pub fn new(ports: P) -> Self {
        Self { ports, newest: None }
    }

    /// Looks again and again. May be dropped at any await.
    ///
    /// A look that fails is not repeated before the next is due: a standby that sees nothing stands
    /// by all the same, and lists the shards when it leads.
    pub async fn keep(&mut self) -> Infallible {
        time::sleep(FIRST_LOOK).await;
        loop {
            match self.look().await {
                Ok(outlook) => self.newest = outlook,
                Err(error) => tracing::debug!("standing by without a look at the stream: {error}"),
            }
            time::sleep(DISCOVERY_INTERVAL).await;
        }
    }

    /// What was seen last. Whether that is still good, the feed decides.
    pub fn into_outlook(self) -> Option<Outlook> {
        self.newest
    }

    /// `None` when there is no stream in use, or no end of its shards.
    async fn look(&self) -> Result<Option<Outlook>, StreamError> {
        let (monotonic, wall) = (self.ports.clock().monotonic(), self.ports.clock().now());
        let table = limited("dynamodb:DescribeTable", self.ports.users_table().describe()).await?;
        let Some(table) = table else { return Ok(None) };
        let Some(stream) = table.stream.as_ref().filter(|stream| stream.enabled) else { return Ok(None) };
        let shards = self.shards(&stream.arn).await?;
        Ok(shards.map(|shards| Outlook { table, shards, monotonic, wall }))
    }

    async fn shards(&self, stream: &str) -> Result<Option<Vec<ShardDescription>>, StreamError> {
        let mut listing = Listing::default();
        let mut shards = Vec::new();
        for _ in 0..LOOK_PAGES {
            let call = self.ports.streams().shards(stream, listing.after());
            let page = limited("dynamodb:DescribeStream", call).await?;
            if page.status != StreamStatus::Enabled {
                return Ok(None);
            }
            let walk = listing.page(&page);
            shards.extend(page.shards);
            if let Walk::Complete { odd, .. } = walk {
                return Ok(odd.is_none().then_some(shards));
            }
            time::sleep(LOOK_SPACING).await;
        }
        Ok(None)
    }
}
