"""Whether the list of abuses would notice a weaker policy.

Many doors have two locks: a condition where something is allowed, and a refusal. So each condition
is taken away from a role without refusals, and each refusal from a role that may do everything; at
least one abuse must then succeed that did not before.
"""

import copy

from examples import live
from policy_cases import ACCOUNT, abuses, abuses_of_a_narrow_deployment, abuses_of_every_scope
from simulators import iam_simulate_many
from test_policies import EVERYTHING, TASK, deployment

#: AWS sends aws:TagKeys with every TagUser and UntagUser. These conditions are there because
#: ForAllValues is true of a key that is missing, should that ever change.
SPARE = ["TagOwnedUser: Null aws:TagKeys", "UntagOwnedUser: Null aws:TagKeys"]


def without_each_condition(policies):
    """(what was taken away, the other policies)."""
    for name, policy in policies.items():
        for index, statement in enumerate(policy["Statement"]):
            for operator, keys in statement.get("Condition", {}).items():
                for key in keys:
                    weaker = copy.deepcopy(policies)
                    condition = weaker[name]["Statement"][index]["Condition"]
                    del condition[operator][key]
                    if not condition[operator]:
                        del condition[operator]
                    yield f"{statement['Sid']}: {operator} {key}", weaker


def without_each_refusal(refusals):
    """(what was taken away, the other refusals)."""
    for index, statement in enumerate(refusals["Statement"]):
        weaker = copy.deepcopy(refusals)
        del weaker["Statement"][index]
        yield statement["Sid"], weaker


def unnoticed(attempts, strong, weak):
    """Names of the weaker policies under which no attempt succeeds that failed before."""
    batches = [(attempts, strong), *((attempts, policies) for _, policies in weak)]
    before, *after = iam_simulate_many(batches, None, TASK, ACCOUNT)
    return [
        what
        for (what, _), verdicts in zip(weak, after, strict=True)
        if not any(b != "allowed" == a for b, a in zip(before, verdicts, strict=True))
    ]


def test_the_refusal_of_the_scope_of_the_account_would_be_missed():
    seen, d = live("account"), deployment("account")
    refusals = seen.task_policies["iam-user-controller-refusals"]
    weak = [(what, [EVERYTHING, p]) for what, p in without_each_refusal(refusals) if what == "NeverUsersOfOtherTables"]
    assert len(weak) == 1
    assert unnoticed(list(abuses_of_every_scope(d)), [EVERYTHING, refusals], weak) == []


def test_each_condition_and_each_refusal_would_be_missed():
    seen, d = live("complete"), deployment("complete")
    attempts = [*abuses(d), *abuses_of_a_narrow_deployment(d)]

    allowing = {name: p for name, p in seen.task_policies.items() if not name.endswith("-refusals")}
    weak = [(what, list(p.values())) for what, p in without_each_condition(allowing)]
    assert len(weak) > 20
    assert unnoticed(attempts, list(allowing.values()), weak) == SPARE

    refusals = seen.task_policies["iam-user-controller-refusals"]
    weak = [(what, [EVERYTHING, p]) for what, p in without_each_refusal(refusals)]
    assert len(weak) == len(refusals["Statement"])
    assert unnoticed(attempts, [EVERYTHING, refusals], weak) == []
