//! Makes one step: one exhaustive match, one call an arm. What is already as the step wants it is
//! success.

use super::{AwsTime, File, LOOK_AGAIN, Look, Reconciler, Trigger};
use crate::core::document::KeyDocument;
use crate::core::memory::{Hand, Memory, Mint};
use crate::core::observed::{Key, Observed, Tags, User};
use crate::core::plan::Plan;
use crate::core::step::Step;
use crate::core::tags;
use crate::core::time::Timestamp;
use crate::core::user::{AccessKeyId, UserName};
use crate::pace::{ChangeError, Lane};
use crate::ports::{CallError, Directory, Fault, NewUser, Ports, Receipt, Vault};

/// So often in a row a user may be said to have something that keeps it from being deleted.
const CONFLICTS: u32 = 10;

impl<P: Ports> Reconciler<P> {
    /// Makes one step and takes its effect in. `Err` ends the look.
    pub(super) async fn apply(
        &self,
        name: &UserName,
        step: &Step,
        plan: &Plan,
        observed: &mut Observed,
        file: &mut File,
        trigger: Trigger,
    ) -> Result<(), Look> {
        if step.takes_away() {
            self.prove_identity(name, observed, file).await?;
        }
        let answer = self.call(name, step, observed, file).await;
        let now = AwsTime::of(self.ports.clock()).now;
        let answer = match step {
            // A key that IAM does not know yet has not been deleted.
            Step::DeleteKey { key } if observed.may_be_unknown(key, &file.memory, now) => answer,
            _ => answer.or_else(|error| already_done(step, error)),
        };
        self.metrics.acted(step, answer.is_ok());
        match answer {
            Ok(receipt) => {
                tracing::info!(
                    user = %name, action = step.action(), key = keys_of(step, observed, &file.memory),
                    why = plan.why, rule = plan.rule, trigger = trigger.as_str(),
                    request_id = receipt.request_id, "changed"
                );
                file.conflicts = 0;
                observed.after(step, &mut file.memory, now);
                Ok(())
            }
            Err(ChangeError::LeaseEnds) => Err(Look::Stopped),
            Err(ChangeError::Call(error)) => Err(refused(step, error, file, now)),
        }
    }

    /// Ownership is proven anew before everything that takes something away: names can be used
    /// again, ids cannot.
    async fn prove_identity(
        &self,
        name: &UserName,
        observed: &Observed,
        file: &mut File,
    ) -> Result<(), Look> {
        let Some(expected) = &observed.user else { return Ok(()) };
        let call = self.ports.directory().user(name);
        let seen = self.pace.read(&self.ports, Lane::Iam, call).await?;
        let condemned = file.memory.condemned.as_ref() == Some(&expected.id);
        let same = seen.is_some_and(|seen| {
            let ours = tags::owned(&seen.tags, &self.policy.table);
            seen.id == expected.id && (ours || condemned && tags::sweepable(&seen.tags, &self.policy))
        });
        if same {
            return Ok(());
        }
        file.doubt();
        Err(Look::Again(AwsTime::of(self.ports.clock()).now + LOOK_AGAIN))
    }

    async fn call(
        &self,
        name: &UserName,
        step: &Step,
        observed: &mut Observed,
        file: &mut File,
    ) -> Result<Receipt, ChangeError> {
        let directory = self.ports.directory();
        match step {
            Step::CreateUser { minting } => self.create_user(name, *minting, observed, file).await,
            Step::CreateKey => self.create_key(name, observed, file).await,
            Step::Adopt { tags } | Step::TagKeys { tags } => self.iam(directory.tag_user(name, tags)).await,
            Step::OpenMint { at } => {
                file.memory.last_mint = Some(*at);
                let tag = Tags::from([(tags::MINTING.to_owned(), at.to_string())]);
                self.iam(directory.tag_user(name, &tag)).await
            }
            Step::RestoreBoundary { policy } => self.iam(directory.put_boundary(name, policy)).await,
            Step::UntagKeys { tags } => self.iam(directory.untag_user(name, tags)).await,
            Step::DeactivateKey { key } => self.iam(directory.deactivate_key(name, key)).await,
            Step::DeleteKey { key } => self.iam(directory.delete_key(name, key)).await,
            Step::Remove { leftover } => self.iam(directory.remove(name, leftover)).await,
            Step::DeleteUser { .. } => self.iam(directory.delete_user(name)).await,
            Step::Publish { document, .. } => {
                let (parameter, text) = (self.template.name_for(name), document.to_text());
                self.write_parameter(self.ports.vault().put(&parameter, &text)).await
            }
            Step::DeleteParameter => {
                let parameter = self.template.name_for(name);
                self.write_parameter(self.ports.vault().delete(&parameter)).await
            }
        }
    }

    async fn iam<T>(&self, call: impl Future<Output = Result<T, CallError>>) -> Result<T, ChangeError> {
        self.pace.change(&self.ports, &self.lease, Lane::Iam, call).await
    }

    async fn write_parameter<T>(
        &self,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, ChangeError> {
        self.pace.change(&self.ports, &self.lease, Lane::ParameterWrites, call).await
    }

    async fn create_user(
        &self,
        name: &UserName,
        minting: Timestamp,
        observed: &mut Observed,
        file: &mut File,
    ) -> Result<Receipt, ChangeError> {
        let mut tags = tags::ownership(&self.policy.table);
        tags.insert(tags::MINTING.to_owned(), minting.to_string());
        let boundary = self.policy.boundary.clone();
        let new = NewUser { name: name.clone(), path: self.path.clone(), boundary: boundary.clone(), tags };
        file.memory.mint = Mint::Opened { at: minting, sent: false };
        file.memory.last_mint = Some(minting);
        let (id, created, receipt) = self.iam(self.ports.directory().create_user(&new)).await?;
        observed.user = Some(User { name: name.clone(), id, created, boundary, tags: new.tags });
        Ok(receipt)
    }

    async fn create_key(
        &self,
        name: &UserName,
        observed: &mut Observed,
        file: &mut File,
    ) -> Result<Receipt, ChangeError> {
        let Mint::Opened { at, .. } = file.memory.mint else { return Ok(Receipt::default()) };
        // Until the answer says otherwise, there may be a key that nobody knows.
        file.memory.mint = Mint::Opened { at, sent: true };
        let answer = self.iam(self.ports.directory().create_key(name)).await;
        match answer {
            Ok((minted, receipt)) => {
                observed.keys.push(Key { id: minted.id.clone(), active: true, created: minted.created });
                file.memory.mint = Mint::InHand(Hand {
                    id: minted.id,
                    secret: minted.secret,
                    opened: at,
                    minted: AwsTime::of(self.ports.clock()).now,
                    proven: !self.policy.verify,
                    rejected: None,
                    unanswered_put: None,
                });
                Ok(receipt)
            }
            Err(error) => {
                let unknown =
                    matches!(&error, ChangeError::Call(error) if error.fault == Fault::Indeterminate);
                file.memory.mint = Mint::Opened { at, sent: unknown };
                Err(error)
            }
        }
    }
}

/// Things that are gone already need not be removed. But for a user, which was seen a moment ago: IAM
/// may not know it yet, and the next look tells.
fn already_done(step: &Step, error: ChangeError) -> Result<Receipt, ChangeError> {
    match &error {
        ChangeError::Call(call)
            if call.fault == Fault::NotFound
                && (step.takes_away() || *step == Step::DeleteParameter)
                && !matches!(step, Step::DeleteUser { .. }) =>
        {
            Ok(Receipt::default())
        }
        ChangeError::Call(_) | ChangeError::LeaseEnds => Err(error),
    }
}

/// The ids of the keys that a change was about, for its line in the log; `observed` is from before it.
fn keys_of(step: &Step, observed: &Observed, memory: &Memory) -> Option<String> {
    let keys: Vec<AccessKeyId> = match step {
        Step::CreateKey => match &memory.mint {
            Mint::InHand(hand) => vec![hand.id.clone()],
            Mint::Opened { .. } | Mint::Idle => Vec::new(),
        },
        Step::Publish { document, minted: None } => {
            let ids = |of: &KeyDocument| [of.current_id().cloned(), of.pending_id().cloned()];
            let kept = ids(document);
            let before = observed.stored.document().map(ids).unwrap_or_default();
            before.into_iter().filter(|id| !kept.contains(id)).flatten().collect()
        }
        Step::TagKeys { tags } => tags::key_tags(tags).map(|(_, id)| id).collect(),
        Step::UntagKeys { tags } => tags.iter().filter_map(|tag| AccessKeyId::parse(tag)).collect(),
        _ => step.key().cloned().into_iter().collect(),
    };
    let words: Vec<&str> = keys.iter().map(AccessKeyId::as_str).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// What a refusal means for the user's next look.
fn refused(step: &Step, error: CallError, file: &mut File, now: Timestamp) -> Look {
    file.doubt();
    if error.fault == Fault::Indeterminate {
        // It may take effect yet, and not be visible for a while after that.
        file.memory.last_change = Some(now);
    }
    match (step, error.fault) {
        (Step::CreateUser { .. }, Fault::AlreadyExists) => {
            // Who created it, and whether a mint is under way, its tags will tell.
            file.memory.mint = Mint::Idle;
            file.memory.name_taken(now);
            Look::Again(now + LOOK_AGAIN)
        }
        (Step::DeleteParameter | Step::Publish { minted: None, .. }, Fault::Indeterminate) => {
            file.memory.unanswered_write = Some(now);
            Look::Failed(error)
        }
        (Step::Publish { minted: Some(_), .. }, fault) => {
            if let Mint::InHand(hand) = &mut file.memory.mint {
                match fault {
                    Fault::Indeterminate => hand.unanswered_put = Some(now),
                    Fault::Denied | Fault::Invalid => hand.rejected = Some(error.to_string()),
                    Fault::NotFound
                    | Fault::AlreadyExists
                    | Fault::Conflict
                    | Fault::Quota
                    | Fault::Throttled { .. } => {}
                }
            }
            Look::Failed(error)
        }
        // Leftovers that appeared meanwhile are listed anew. What goes on refusing is none of those that
        // are listed, and a person has to know.
        (Step::DeleteUser { .. }, Fault::Conflict) if file.conflicts < CONFLICTS => {
            file.conflicts += 1;
            Look::Again(now + LOOK_AGAIN)
        }
        // It is the boundary's policy that is not there: a user was seen to be, or is none yet.
        (Step::CreateUser { .. } | Step::RestoreBoundary { .. }, Fault::NotFound) => Look::Failed(error),
        // The user is gone, or not visible yet.
        (_, Fault::NotFound) => Look::Again(now + LOOK_AGAIN),
        _ => Look::Failed(error),
    }
}
