//! What happened, as a hash that is always kept and as text that is kept when asked for.

/// FNV-1a over 64-bit words: cheap, and the same on every machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hash(u64);

impl Hash {
    pub(crate) const START: Self = Self(0xCBF2_9CE4_8422_2325);

    pub(crate) fn word(self, word: u64) -> Self {
        Self((self.0 ^ word).wrapping_mul(0x0000_0100_0000_01B3).rotate_left(29))
    }

    pub(crate) fn text(self, text: &str) -> Self {
        text.bytes().fold(self.word(text.len() as u64), |hash, byte| {
            Self((hash.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3))
        })
    }

    pub(crate) fn value(self) -> u64 {
        self.0
    }
}

/// A readable history longer than this helps nobody.
const MAX_LINES: usize = 200_000;

/// The history of one run.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: Hash,
    lines: Option<Vec<String>>,
}

impl Trace {
    pub(crate) fn new(keep_text: bool) -> Self {
        Self { hash: Hash::START, lines: keep_text.then(Vec::new) }
    }

    /// Mixes one event into the hash, and writes it down when text is kept.
    pub(crate) fn note(&mut self, words: &[u64], subject: &str, text: impl FnOnce() -> String) {
        self.hash = words.iter().fold(self.hash, |hash, word| hash.word(*word)).text(subject);
        if let Some(lines) = self.lines.as_mut().filter(|lines| lines.len() < MAX_LINES) {
            lines.push(text());
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash.value()
    }

    /// The history so far; empty when no text is kept.
    pub(crate) fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }
}
