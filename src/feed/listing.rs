//! One walk through the pages of a stream's shards. Pure.

use std::collections::BTreeSet;
use std::mem;

use super::limits::{LISTING_PAGES, PAGE_FAILURES};
use crate::ports::{ShardId, ShardPage};

/// A walk under way.
#[derive(Debug, Default)]
pub(super) struct Listing {
    after: Option<ShardId>,
    seen: BTreeSet<ShardId>,
    tokens: BTreeSet<ShardId>,
    pages: u32,
    failures: u32,
}

/// What a page meant for the walk.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Walk {
    /// There are more pages.
    On,
    /// That was all; these shards are listed.
    Complete {
        /// Every shard on any page.
        listed: BTreeSet<ShardId>,
        /// What was strange about the end.
        odd: Option<&'static str>,
    },
}

impl Listing {
    /// The token for the next page.
    pub(super) fn after(&self) -> Option<&ShardId> {
        self.after.as_ref()
    }

    /// Takes a page. Tokens that are empty or repeated, and walks without end, end it: there is
    /// nothing more to be learned by going on.
    pub(super) fn page(&mut self, page: &ShardPage) -> Walk {
        self.failures = 0;
        self.pages += 1;
        self.seen.extend(page.shards.iter().map(|shard| shard.id.clone()));
        let odd = match &page.next {
            None => None,
            Some(token) if token.0.is_empty() => None,
            Some(token) if !self.tokens.insert(token.clone()) => Some("a page token came twice"),
            Some(_) if self.pages >= LISTING_PAGES => Some("the pages do not end"),
            Some(token) => {
                self.after = Some(token.clone());
                return Walk::On;
            }
        };
        Walk::Complete { listed: mem::take(self).seen, odd }
    }

    /// A page could not be had. Returns how often in a row; after some, the walk begins anew.
    pub(super) fn failed(&mut self) -> u32 {
        let failures = self.failures.saturating_add(1);
        if failures.is_multiple_of(PAGE_FAILURES) {
            *self = Self::default();
        }
        self.failures = failures;
        failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::{ShardDescription, StreamStatus};

    fn page(shard: &str, next: Option<&str>) -> ShardPage {
        ShardPage {
            status: StreamStatus::Enabled,
            shards: vec![ShardDescription { id: ShardId(shard.to_owned()), parent: None, closed: false }],
            next: next.map(|token| ShardId(token.to_owned())),
        }
    }

    /// Walks pages until the walk ends; tells how many shards it saw and what was odd.
    fn walk(next: impl Fn(u32) -> Option<String>) -> (u32, usize, Option<&'static str>) {
        let mut listing = Listing::default();
        for n in 0.. {
            if let Walk::Complete { listed, odd } = listing.page(&page(&n.to_string(), next(n).as_deref())) {
                assert_eq!(listing.after(), None);
                return (n + 1, listed.len(), odd);
            }
        }
        unreachable!()
    }

    #[test]
    fn every_walk_ends() {
        assert_eq!(walk(|n| (n < 2).then(|| n.to_string())), (3, 3, None));
        assert_eq!(walk(|_| Some(String::new())), (1, 1, None));
        assert_eq!(walk(|_| Some("same".to_owned())), (2, 2, Some("a page token came twice")));
        assert_eq!(walk(|n| Some((n % 3).to_string())), (4, 4, Some("a page token came twice")));
        assert_eq!(walk(|n| Some(n.to_string())).0, LISTING_PAGES);
    }

    #[test]
    fn failures_repeat_the_page_and_then_the_walk() {
        let mut listing = Listing::default();
        listing.page(&page("1", Some("t")));
        for n in 1..PAGE_FAILURES {
            assert_eq!(listing.failed(), n);
            assert!(listing.after().is_some());
        }
        assert_eq!(listing.failed(), PAGE_FAILURES);
        assert_eq!(listing.after(), None);
        assert_eq!(listing.failed(), PAGE_FAILURES + 1);
    }
}
