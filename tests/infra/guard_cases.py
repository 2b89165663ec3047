"""What the guard (deploy/guard) denies, and what it must leave alone.

The requests are those of principals who may do everything else: an administrator of the account, a
pipeline, an operator.
"""

import itertools

from policy_cases import ACCOUNT, DYNAMODB, IAM, KEY_ID, REGION, Request, tag_context

CONTROLLER = f"{IAM}:role/services/iam-user-controller-task"
FUNCTION = f"{IAM}:role/users-function"
OPERATOR = f"{IAM}:role/aws-reserved/sso.amazonaws.com/{REGION}/AWSReservedSSO_BreakGlass_0123456789abcdef"
SOMEBODY = f"{IAM}:role/administrator"
#: Names that look like the controller's to a careless policy.
IMPOSTORS = [
    f"{IAM}:role/iam-user-controller-task",
    f"{IAM}:user/services/iam-user-controller-task",
    f"arn:aws:iam::999999999999:role/services/iam-user-controller-task",
    f"arn:aws:iam::{ACCOUNT}:root",
]
STATE_TABLE = f"{DYNAMODB}/iam-users-controller"
OF_THE_CONTROLLER = {"aws:ResourceTag/managed-by": "iam-user-controller"}
USER = f"{IAM}:user/break-glass"


#: What the controller writes on its users, beside `managed-by` and the marks of keys.
OWN_TAGS = [f"iam-user-controller:{name}" for name in ["table", "table-arn", "seal", "minting", "attached"]]


def forgeries():
    """What makes a user look like the controller's, or no longer like it."""
    for key in OWN_TAGS:
        for spelled in [key, key.upper(), key.title()]:
            labels = tag_context([spelled], {f"aws:RequestTag/{spelled}": "anything"})
            yield Request("forge a tag of the controller", "iam:TagUser", USER, labels)
            yield Request("create a user with a tag of the controller", "iam:CreateUser", USER, labels)
            yield Request("take a tag of the controller off", "iam:UntagUser", USER, {"aws:TagKeys": [spelled]})
    for action in ["TagUser", "CreateUser", "UntagUser"]:
        to_come = {"aws:TagKeys": ["iam-user-controller:new"]}
        yield Request("forge a tag that a later version may write", f"iam:{action}", USER, to_come)
    among_others = ["team", "stage", OWN_TAGS[2]]
    hidden = tag_context(among_others, {f"aws:RequestTag/{key}": "mail" for key in among_others})
    yield Request("forge a tag among others", "iam:TagUser", USER, hidden)
    yield from claims("managed-by")
    for key in ["managed-by", "Managed-By", "MANAGED-BY"]:
        yield Request("take a user away from the controller", "iam:UntagUser", USER, OF_THE_CONTROLLER | {"aws:TagKeys": [key]})
        other = tag_context([key], {f"aws:RequestTag/{key}": "terraform"})
        yield Request("hand a user of the controller to another tool", "iam:TagUser", USER, OF_THE_CONTROLLER | other)


def claims(key):
    """Writing the tag `managed-by`, spelled as `key`, with the controller's value."""
    claim = tag_context([key], {f"aws:RequestTag/{key}": "iam-user-controller"})
    yield Request("claim a user for the controller", "iam:TagUser", USER, claim)
    yield Request("create a user that is claimed for the controller", "iam:CreateUser", USER, claim)


def forgeries_of_key_tags():
    """What makes a user look like one of the function's."""
    for letters in itertools.product("Aa", "Kk", "Ii", "Aa"):
        key = "".join(letters) + KEY_ID[4:]
        for value in ["current", "pending_deletion"]:
            yield Request("mark a key", "iam:TagUser", USER, tag_context([key], {f"aws:RequestTag/{key}": value}))
        yield Request("create a user with a mark of a key", "iam:CreateUser", USER, tag_context([key], {f"aws:RequestTag/{key}": "current"}))
        yield Request("take the mark of a key off", "iam:UntagUser", USER, {"aws:TagKeys": [key]})


def ways_into_the_state():
    """Reading the key of the seals, and writing what lifts the brake."""
    for action in ["GetItem", "BatchGetItem", "Query", "Scan", "PartiQLSelect", "ExportTableToPointInTime", "RestoreTableToPointInTime"]:
        yield Request("read the controller's state", f"dynamodb:{action}", STATE_TABLE)
    for action in ["PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "PartiQLInsert", "PartiQLUpdate", "PartiQLDelete"]:
        yield Request("write the controller's state", f"dynamodb:{action}", STATE_TABLE)


def harmless():
    """What goes on as if there were no guard."""
    team = tag_context(["team", "managed-by"], {"aws:RequestTag/team": "mail", "aws:RequestTag/managed-by": "terraform"})
    yield Request("create a user", "iam:CreateUser", USER)
    yield Request("create a user with tags of one's own", "iam:CreateUser", USER, team)
    yield Request("tag a user", "iam:TagUser", USER, team)
    yield Request("tag a user of the controller", "iam:TagUser", USER, OF_THE_CONTROLLER | tag_context(["team"], {}))
    yield Request("untag a user", "iam:UntagUser", USER, {"aws:TagKeys": ["team", "managed-by"]})
    yield Request("untag a user of the controller", "iam:UntagUser", USER, OF_THE_CONTROLLER | {"aws:TagKeys": ["team"]})
    yield Request("tag a user with a name that only begins like ours", "iam:TagUser", USER, tag_context(["iam-user-controllers"], {}))
    yield Request("tag a role", "iam:TagRole", f"{IAM}:role/deploy", tag_context([OWN_TAGS[3]], {}))
    yield Request("delete a user", "iam:DeleteUser", USER)
    yield Request("read a row", "dynamodb:GetItem", f"{DYNAMODB}/iam-users")
    yield Request("write a row", "dynamodb:PutItem", f"{DYNAMODB}/iam-users")
    yield Request("look at the state table", "dynamodb:DescribeTable", STATE_TABLE)
