//! Refuses an XML answer that ends before its root element does.
//!
//! The SDK's parser takes the end of the input for the end of whatever is open: of an answer that was
//! cut off inside a secret it makes a shorter secret, and of one cut off between two keys a shorter
//! list. HTTP mostly notices first; where a length is not told, by a proxy say, nobody does.

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::AfterDeserializationInterceptorContextRef;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

/// For the clients of services that answer in XML.
#[derive(Clone, Copy, Debug)]
pub(super) struct WholeAnswers;

impl Intercept for WholeAnswers {
    fn name(&self) -> &'static str {
        "WholeAnswers"
    }

    fn read_after_deserialization(
        &self,
        context: &AfterDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let answer = context.response();
        // A refusal is told by its status and code; one cut off is not mistaken for success.
        if !answer.status().is_success() || answer.body().bytes().is_none_or(is_whole) {
            Ok(())
        } else {
            Err("the answer is cut off".into())
        }
    }
}

/// Whether the root element is closed. An empty answer holds nothing that could be short.
fn is_whole(body: &[u8]) -> bool {
    let body = body.trim_ascii();
    let opens = |pair: &[u8]| pair[0] == b'<' && pair[1].is_ascii_alphabetic();
    let Some(start) = body.windows(2).position(opens) else { return body.is_empty() };
    let tag = &body[start + 1..];
    let name = tag.split(|b| b.is_ascii_whitespace() || matches!(b, b'>' | b'/')).next().unwrap_or_default();
    let closed = |rest: &[u8]| rest.strip_suffix(name).is_some_and(|rest| rest.ends_with(b"</"));
    match body.strip_suffix(b">") {
        Some(rest) => closed(rest) || (rest.ends_with(b"/") && !tag[..tag.len() - 1].contains(&b'>')),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_whole;

    #[test]
    fn no_beginning_of_an_answer_is_whole() {
        for answer in [
            "<?xml version=\"1.0\"?>\n<A xmlns=\"x\"><B><C>s</C><A>t</A></B></A>",
            "<A><B/><AA>x</AA></A>",
            "<A x=\"1\"/>",
        ] {
            assert!(is_whole(answer.as_bytes()) && is_whole(format!("{answer}\n").as_bytes()), "{answer}");
            for end in 1..answer.len() {
                assert!(
                    !is_whole(&answer.as_bytes()[..end]) || answer[..end].ends_with("</A>"),
                    "{}",
                    &answer[..end]
                );
            }
        }
        assert!(is_whole(b""));
        assert!(!is_whole(b"It works!"));
    }
}
