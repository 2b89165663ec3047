//! Follows IAM's pages, for all of a user's things of one kind.

use crate::aws::errors::unexpected;
use crate::aws::limits::MAX_PAGES;
use crate::ports::CallError;

/// The entries of one page, and the marker of the next.
pub(super) type Listed<T> = (Vec<T>, Option<String>);

/// IAM's two fields as one. Truncated without a marker gives an empty one, which is refused.
pub(super) fn marker(is_truncated: bool, marker: Option<String>) -> Option<String> {
    is_truncated.then(|| marker.unwrap_or_default())
}

/// Whether `next` can lead on from the page that `current` asked for.
pub(super) fn check(call: &'static str, current: Option<&str>, next: Option<&str>) -> Result<(), CallError> {
    match next {
        Some("") => Err(unexpected(call, "the answer says that there is more, and not where")),
        Some(_) if next == current => Err(unexpected(call, "the answer leads to the same page again")),
        _ => Ok(()),
    }
}

/// Every page's entries, in order.
pub(super) async fn all<T, F>(
    call: &'static str,
    mut page: impl FnMut(Option<String>) -> F + Send,
) -> Result<Vec<T>, CallError>
where
    T: Send,
    F: Future<Output = Result<Listed<T>, CallError>> + Send,
{
    let mut entries = Vec::new();
    let mut current: Option<String> = None;
    for _ in 0..MAX_PAGES {
        let (more, next) = page(current.clone()).await?;
        entries.extend(more);
        check(call, current.as_deref(), next.as_deref())?;
        if next.is_none() {
            return Ok(entries);
        }
        current = next;
    }
    Err(unexpected(call, "the answer has more pages than anything of a user can fill"))
}
