//! Where an emulator is not as AWS is documented to be, and why that is no fault of ours.
//!
//! Where an emulator is kinder than AWS, AWS wins: the line stays as the documentation says, and the
//! program is tested for it on the simulated account.

use crate::scenarios::Scenario;

/// One line of one scenario that an emulator answers otherwise than AWS.
#[derive(Debug)]
pub(crate) struct Difference {
    pub(crate) scenario: Scenario,
    pub(crate) line: &'static str,
    /// What the emulator answers, with `<prefix>` for the prefix of this run's names.
    pub(crate) got: &'static str,
    /// For whoever reads this list, and for the message when the difference is gone.
    #[expect(dead_code, reason = "read by people, and by Debug")]
    pub(crate) reason: &'static str,
}

/// What is known of the emulator of this name.
pub(crate) fn of_emulator(name: &str) -> &'static [Difference] {
    match name {
        "fakecloud" => FAKECLOUD,
        "ministack" => MINISTACK,
        _ => panic!("no emulator is called {name}"),
    }
}

/// fakecloud 0.51.0
const FAKECLOUD: &[Difference] = &[];

/// ministack 1.5.33
const MINISTACK: &[Difference] = &[];
