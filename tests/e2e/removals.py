"""Calls that take something away from a user or an account."""

TAKES = ("Delete", "Deactivate", "Detach", "Remove", "Untag")


def takes_away(call):
    """Whether a call to IAM or SSM takes something away; deactivating a key does."""
    if call.service not in ("iam", "ssm"):
        return False
    return call.action.startswith(TAKES) or (call.action, call.parameters.get("Status")) == ("UpdateAccessKey", "Inactive")


def assert_nothing_taken(proxy, mark=0):
    taken = [(str(call), call.parameters) for call in proxy.since(mark, takes_away)]
    assert not taken, f"taken away: {taken}"
