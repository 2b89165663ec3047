"""What the controller's role and its users' boundary must allow, and abuses that they must deny.

Requests are written as AWS describes them to its policies: the action, the ARN that it acts on, and
the condition keys that AWS sends with it.
"""

from dataclasses import dataclass, field

REGION, ACCOUNT = "eu-west-1", "123456789012"
IAM = f"arn:aws:iam::{ACCOUNT}"
SSM = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter"
DYNAMODB = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table"
KMS = f"arn:aws:kms:{REGION}:{ACCOUNT}:key"
KEY_ID = "AKIAIOSFODNN7EXAMPLE"
ALLOWED, DENIED = "allowed", "denied"


@dataclass(frozen=True)
class Request:
    """One call, as a policy sees it."""

    what: str
    action: str
    resource: str
    context: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Deployment:
    """One applied example: the names that its requests need."""

    example: str
    table: str
    state_table: str
    boundary: str
    path: str
    kms_key: str | None
    tables_key: str | None = None

    def user(self, name, path=None):
        return f"{IAM}:user{self.path if path is None else path}{name}"

    def labels(self, where, table=None, by="iam-user-controller"):
        """The ownership tags, as condition keys: `where` is RequestTag or ResourceTag."""
        return {f"aws:{where}/managed-by": by, f"aws:{where}/iam-user-controller:table": table or self.table}

    @property
    def owned(self):
        return self.labels("ResourceTag")

    def through_ssm(self, parameter):
        return {
            "kms:ViaService": f"ssm.{REGION}.amazonaws.com",
            "kms:EncryptionContext:PARAMETER_ARN": f"{SSM}{parameter}",
        }


def tag_context(keys, values):
    return {"aws:TagKeys": list(keys)} | values


OWN_TAGS = ["managed-by", "iam-user-controller:table", "iam-user-controller:minting"]
MINTING = {"aws:RequestTag/iam-user-controller:minting": "2026-01-31T12:00:00.000Z"}
STEPS_OF_TEARDOWN = [
    "UpdateAccessKey",
    "DeleteAccessKey",
    "DeleteLoginProfile",
    "DeactivateMFADevice",
    "DeleteSSHPublicKey",
    "DeleteSigningCertificate",
    "DeleteServiceSpecificCredential",
    "DeleteUserPolicy",
    "DetachUserPolicy",
    "DeleteUser",
]
READS_OF_A_USER = [
    "GetUser",
    "ListAccessKeys",
    "ListAttachedUserPolicies",
    "GetLoginProfile",
    "ListMFADevices",
    "ListSSHPublicKeys",
    "ListSigningCertificates",
    "ListServiceSpecificCredentials",
    "ListGroupsForUser",
    "ListUserPolicies",
]


def needed(d: Deployment, group="mailers-eu"):
    """Everything that the program does, each action of its list at least once."""
    user = d.user("mail-relay")
    birth = tag_context(OWN_TAGS, d.labels("RequestTag") | MINTING)
    yield Request("see the whole account", "iam:GetAccountAuthorizationDetails", "*")
    yield Request("know itself", "sts:GetCallerIdentity", "*")
    for read in READS_OF_A_USER:
        yield Request("look at a user", f"iam:{read}", user, d.owned)
        yield Request("look at somebody else's user", f"iam:{read}", d.user("someone", "/people/"))
    yield Request(
        "create a user with boundary and tags", "iam:CreateUser", user, birth | {"iam:PermissionsBoundary": d.boundary}
    )
    yield Request("put the tags on in the same call", "iam:TagUser", user, birth)
    yield Request("begin to mint", "iam:TagUser", user, d.owned | tag_context(OWN_TAGS[2:], MINTING))
    yield Request(
        "publish: three tags in one call",
        "iam:TagUser",
        user,
        d.owned
        | tag_context(
            [KEY_ID, "AKIAI44QH8DHBEXAMPLE", OWN_TAGS[2]],
            {
                f"aws:RequestTag/{KEY_ID}": "current",
                "aws:RequestTag/AKIAI44QH8DHBEXAMPLE": "pending_deletion",
                "aws:RequestTag/iam-user-controller:minting": "none",
            },
        ),
    )
    yield Request("label an owned user again", "iam:TagUser", user, d.owned | tag_context(OWN_TAGS[:2], d.labels("RequestTag")))
    yield Request("forget a key", "iam:UntagUser", user, d.owned | {"aws:TagKeys": [KEY_ID]})
    yield Request(
        "restore the boundary", "iam:PutUserPermissionsBoundary", user, d.owned | {"iam:PermissionsBoundary": d.boundary}
    )
    yield Request("mint a key", "iam:CreateAccessKey", user, d.owned)
    for step in STEPS_OF_TEARDOWN:
        yield Request("take a user down", f"iam:{step}", user, d.owned)
    yield Request("delete its virtual device", "iam:DeleteVirtualMFADevice", f"{IAM}:mfa/mail-relay")
    yield Request("take it out of a group", "iam:RemoveUserFromGroup", f"{IAM}:group/{group}")
    for action in ["GetParameter", "PutParameter", "DeleteParameter"]:
        yield Request("keep a key document", f"ssm:{action}", f"{SSM}/iam_users/mail-relay_keys")
        yield Request("keep one with an escaped name", f"ssm:{action}", f"{SSM}/iam_users/encoded/a-40b.c_keys")
    if d.kms_key:
        for action in ["Encrypt", "Decrypt", "GenerateDataKey"]:
            yield Request(
                "through Parameter Store", f"kms:{action}", d.kms_key, d.through_ssm("/iam_users/mail-relay_keys")
            )
    for action in ["DescribeTable", "GetItem", "Scan"]:
        yield Request("read the users table", f"dynamodb:{action}", f"{DYNAMODB}/{d.table}")
    for action in ["DescribeStream", "GetShardIterator", "GetRecords"]:
        yield Request(
            "follow its stream", f"dynamodb:{action}", f"{DYNAMODB}/{d.table}/stream/2026-01-31T12:00:00.000"
        )
    if d.tables_key:
        for table in [d.table, d.state_table]:
            yield Request(
                "open a table",
                "kms:Decrypt",
                d.tables_key,
                {
                    "kms:ViaService": f"dynamodb.{REGION}.amazonaws.com",
                    "kms:EncryptionContext:aws:dynamodb:tableName": table,
                    "kms:EncryptionContext:aws:dynamodb:subscriberId": ACCOUNT,
                },
            )
    for action in ["DescribeTable", "GetItem", "Scan", "PutItem", "DeleteItem"]:
        yield Request("keep its state", f"dynamodb:{action}", f"{DYNAMODB}/{d.state_table}")


def adoption(d: Deployment):
    """What adoption needs beside."""
    user = d.user("of-the-function")
    labels = tag_context(OWN_TAGS, d.labels("RequestTag") | {"aws:RequestTag/iam-user-controller:minting": "none"})
    yield Request("adopt a user of the function", "iam:TagUser", user, labels)
    yield Request("adopt one with a label of its own", "iam:TagUser", user, labels | {"aws:ResourceTag/managed-by": "function"})
    half = {"aws:ResourceTag/iam-user-controller:table": d.table}
    yield Request("make half of the labels whole", "iam:TagUser", user, labels | half)


def sweeps_of_the_account(d: Deployment):
    """What the scope of the account allows beside: to take down users that no controller owns."""
    unlabelled, of_another_tool = {}, {"aws:ResourceTag/managed-by": "terraform"}
    of_this_table = {"aws:ResourceTag/iam-user-controller:table": d.table}
    for step in STEPS_OF_TEARDOWN:
        yield Request("take down a user that nobody owns", f"iam:{step}", d.user("robot"), unlabelled)
        yield Request("take down another tool's user", f"iam:{step}", d.user("robot"), of_another_tool)
        yield Request("take down a user with half of the labels", f"iam:{step}", d.user("robot"), of_this_table)


def abuses_of_every_scope(d: Deployment):
    """What no scope of sweeps allows: to take down a user that another table's controller owns."""
    theirs, half = d.labels("ResourceTag", table="other"), {"aws:ResourceTag/iam-user-controller:table": "other"}
    for step in STEPS_OF_TEARDOWN:
        yield Request("take down another table's user", f"iam:{step}", d.user("mail-relay"), theirs)
        yield Request("take down a user with half of another table's labels", f"iam:{step}", d.user("mail-relay"), half)
    in_capitals = d.labels("ResourceTag", table=d.table.upper())
    yield Request("take down the user of a table whose name differs in case", "iam:DeleteUser", d.user("mail-relay"), in_capitals)


def abuses(d: Deployment):
    """What somebody who got hold of the role would try."""
    user, admin = d.user("mail-relay"), d.user("administrator")
    birth = tag_context(OWN_TAGS, d.labels("RequestTag") | MINTING)
    bounded = {"iam:PermissionsBoundary": d.boundary}
    administrator_access = "arn:aws:iam::aws:policy/AdministratorAccess"

    # A user that can do more than it should.
    yield Request("create a user without a boundary", "iam:CreateUser", user, birth)
    yield Request(
        "create a user with another boundary",
        "iam:CreateUser",
        user,
        birth | {"iam:PermissionsBoundary": administrator_access},
    )
    yield Request("create a user without tags", "iam:CreateUser", user, bounded)
    yield Request(
        "create a user for another table",
        "iam:CreateUser",
        user,
        bounded | tag_context(OWN_TAGS, d.labels("RequestTag", table="other") | MINTING),
    )
    yield Request(
        "create a user that looks like another tool's",
        "iam:CreateUser",
        user,
        bounded | tag_context(OWN_TAGS, d.labels("RequestTag", by="terraform") | MINTING),
    )
    yield Request(
        "create a user with a tag that opens doors elsewhere",
        "iam:CreateUser",
        user,
        bounded | tag_context([*OWN_TAGS, "team"], d.labels("RequestTag") | MINTING | {"aws:RequestTag/team": "security"}),
    )
    yield Request(
        "put a wider boundary on",
        "iam:PutUserPermissionsBoundary",
        user,
        d.owned | {"iam:PermissionsBoundary": administrator_access},
    )
    yield Request("take the boundary off", "iam:DeleteUserPermissionsBoundary", user, d.owned | bounded)
    yield Request("take a role's boundary off", "iam:DeleteRolePermissionsBoundary", f"{IAM}:role/deploy")
    yield Request(
        "attach a policy", "iam:AttachUserPolicy", user, d.owned | {"iam:PolicyARN": administrator_access} | bounded
    )
    yield Request("write an inline policy", "iam:PutUserPolicy", user, d.owned | bounded)
    yield Request("add to a group", "iam:AddUserToGroup", f"{IAM}:group/mailers-eu")
    yield Request("attach a policy to a group", "iam:AttachGroupPolicy", f"{IAM}:group/mailers-eu")
    yield Request("give a console password", "iam:CreateLoginProfile", user, d.owned)
    yield Request("change a console password", "iam:UpdateLoginProfile", admin)
    yield Request("rename a user out of its path", "iam:UpdateUser", user, d.owned)
    yield Request("give a git password", "iam:CreateServiceSpecificCredential", user, d.owned)
    yield Request("give an SSH key", "iam:UploadSSHPublicKey", user, d.owned)
    yield Request("give a certificate", "iam:UploadSigningCertificate", user, d.owned)

    # A wider boundary policy, or a wider role.
    yield Request("write another version of the boundary", "iam:CreatePolicyVersion", d.boundary)
    yield Request("go back to an older boundary", "iam:SetDefaultPolicyVersion", d.boundary)
    yield Request("delete the boundary", "iam:DeletePolicy", d.boundary)
    yield Request("create a role", "iam:CreateRole", f"{IAM}:role/mine")
    yield Request("attach a policy to its own role", "iam:AttachRolePolicy", f"{IAM}:role/iam-user-controller-task")
    yield Request("write into its own role", "iam:PutRolePolicy", f"{IAM}:role/iam-user-controller-task")
    yield Request("trust somebody else", "iam:UpdateAssumeRolePolicy", f"{IAM}:role/iam-user-controller-task")
    yield Request("pass a role on", "iam:PassRole", f"{IAM}:role/deploy", {"iam:PassedToService": "ec2.amazonaws.com"})
    yield Request("become another role", "sts:AssumeRole", f"{IAM}:role/deploy")

    # Users of others.
    yield Request("mint a key for a user that nobody owns", "iam:CreateAccessKey", admin)
    yield Request(
        "mint a key for another table's user", "iam:CreateAccessKey", user, d.labels("ResourceTag", table="other")
    )
    yield Request(
        "mint a key for another tool's user", "iam:CreateAccessKey", user, d.labels("ResourceTag", by="terraform")
    )
    yield Request(
        "mint a key with half of the labels", "iam:CreateAccessKey", user, {"aws:ResourceTag/managed-by": "iam-user-controller"}
    )
    for step in STEPS_OF_TEARDOWN:
        yield Request("take down a user that nobody owns", f"iam:{step}", admin)
    yield Request("put the boundary on a user that nobody owns", "iam:PutUserPermissionsBoundary", admin, bounded)
    yield Request(
        "take a user from another table",
        "iam:TagUser",
        user,
        d.labels("ResourceTag", table="other") | tag_context(OWN_TAGS[:2], d.labels("RequestTag")),
    )
    yield Request(
        "take a user with half of another table's labels",
        "iam:TagUser",
        user,
        {"aws:ResourceTag/iam-user-controller:table": "other"} | tag_context(OWN_TAGS[:2], d.labels("RequestTag")),
    )
    for key in OWN_TAGS[:2]:
        yield Request(
            "take a user with half of the labels",
            "iam:TagUser",
            admin,
            tag_context([key], {f"aws:RequestTag/{key}": d.labels("RequestTag")[f"aws:RequestTag/{key}"]}),
        )
    yield Request(
        "take a user and tag it otherwise",
        "iam:TagUser",
        admin,
        tag_context([*OWN_TAGS[:2], "team"], d.labels("RequestTag") | {"aws:RequestTag/team": "security"}),
    )
    yield Request(
        "tag another table's user", "iam:TagUser", user, d.labels("ResourceTag", table="other") | tag_context(OWN_TAGS[2:], MINTING)
    )
    yield Request(
        "tag another tool's user", "iam:TagUser", user, d.labels("ResourceTag", by="terraform") | tag_context(OWN_TAGS[2:], MINTING)
    )
    yield Request("tag a user without owning it", "iam:TagUser", admin, tag_context([KEY_ID], {f"aws:RequestTag/{KEY_ID}": "current"}))
    yield Request(
        "put a tag of somebody else's on an owned user",
        "iam:TagUser",
        user,
        d.owned | tag_context(["team"], {"aws:RequestTag/team": "security"}),
    )
    yield Request(
        "hand an owned user to another table",
        "iam:TagUser",
        user,
        d.owned | tag_context(OWN_TAGS[1:2], {"aws:RequestTag/iam-user-controller:table": "other"}),
    )
    yield Request(
        "hand an owned user to another tool",
        "iam:TagUser",
        user,
        d.owned | tag_context(OWN_TAGS[:1], {"aws:RequestTag/managed-by": "terraform"}),
    )
    for others in [d.labels("ResourceTag", table="other"), d.labels("ResourceTag", by="terraform")]:
        yield Request("untag a user of others", "iam:UntagUser", user, others | {"aws:TagKeys": [KEY_ID]})
        yield Request("put the boundary on a user of others", "iam:PutUserPermissionsBoundary", user, others | bounded)
        yield Request("take down a user of others", "iam:DeleteUser", user, others)
    yield Request("disown a user", "iam:UntagUser", user, d.owned | {"aws:TagKeys": ["managed-by"]})
    yield Request(
        "disown a user among other things",
        "iam:UntagUser",
        user,
        d.owned | {"aws:TagKeys": [KEY_ID, "iam-user-controller:table"]},
    )
    yield Request("take a foreign tag off", "iam:UntagUser", user, d.owned | {"aws:TagKeys": ["team"]})
    yield Request("untag a user that nobody owns", "iam:UntagUser", admin, {"aws:TagKeys": [KEY_ID]})

    yield from abuses_of_every_scope(d)

    # Secrets of others.
    yield Request("read another parameter", "ssm:GetParameter", f"{SSM}/database/password")
    yield Request("write another parameter", "ssm:PutParameter", f"{SSM}/database/password")
    yield Request("delete another parameter", "ssm:DeleteParameter", f"{SSM}/iam_users/mail-relay")
    yield Request("read all parameters", "ssm:GetParametersByPath", f"{SSM}/iam_users")
    yield Request("read what was there before", "ssm:GetParameterHistory", f"{SSM}/iam_users/mail-relay_keys")
    yield Request("read a secret", "secretsmanager:GetSecretValue", f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:db-AbCdEf")
    key = d.kms_key or f"{KMS}/00000000-0000-4000-8000-000000000000"
    yield Request("decrypt without Parameter Store", "kms:Decrypt", key)
    yield Request("decrypt another parameter", "kms:Decrypt", key, d.through_ssm("/database/password"))
    yield Request(
        "decrypt through another service",
        "kms:Decrypt",
        key,
        d.through_ssm("/iam_users/mail-relay_keys") | {"kms:ViaService": f"secretsmanager.{REGION}.amazonaws.com"},
    )
    yield Request(
        "decrypt with another key",
        "kms:Decrypt",
        f"{KMS}/00000000-0000-4000-8000-0000000000ff",
        d.through_ssm("/iam_users/mail-relay_keys"),
    )
    yield Request("destroy the key", "kms:ScheduleKeyDeletion", key)
    yield Request("let somebody else use the key", "kms:CreateGrant", key)

    # Tables.
    yield Request("write a row", "dynamodb:PutItem", f"{DYNAMODB}/{d.table}")
    yield Request("change a row", "dynamodb:UpdateItem", f"{DYNAMODB}/{d.table}")
    yield Request("delete a row", "dynamodb:DeleteItem", f"{DYNAMODB}/{d.table}")
    yield Request("write many rows", "dynamodb:BatchWriteItem", f"{DYNAMODB}/{d.table}")
    yield Request("drop the users table", "dynamodb:DeleteTable", f"{DYNAMODB}/{d.table}")
    yield Request("stop the stream", "dynamodb:UpdateTable", f"{DYNAMODB}/{d.table}")
    yield Request("drop the state table", "dynamodb:DeleteTable", f"{DYNAMODB}/{d.state_table}")
    yield Request("read another table", "dynamodb:Scan", f"{DYNAMODB}/customers")
    yield Request("read another stream", "dynamodb:GetRecords", f"{DYNAMODB}/customers/stream/2026-01-31T12:00:00.000")


def abuses_of_a_narrow_deployment(d: Deployment):
    """What a path, protected names and named groups keep out of reach beside: the complete example."""
    birth = tag_context(OWN_TAGS, d.labels("RequestTag") | MINTING)
    bounded = {"iam:PermissionsBoundary": d.boundary}
    yield Request(
        "take a user from another tool",
        "iam:TagUser",
        d.user("mail-relay"),
        {"aws:ResourceTag/managed-by": "terraform"} | tag_context(OWN_TAGS[:2], d.labels("RequestTag")),
    )
    yield Request(
        "take a user without adoption",
        "iam:TagUser",
        d.user("mail-relay"),
        {"aws:ResourceTag/iam-user-controller:table": d.table} | tag_context(OWN_TAGS[:2], d.labels("RequestTag")),
    )
    yield Request("create a user outside of the path", "iam:CreateUser", d.user("mail-relay", "/"), birth | bounded)
    yield Request(
        "label an administrator outside of the path",
        "iam:TagUser",
        d.user("administrator", "/people/"),
        tag_context(OWN_TAGS[:2], d.labels("RequestTag")),
    )
    yield Request(
        "mint a key outside of the path, whatever the labels",
        "iam:CreateAccessKey",
        d.user("administrator", "/people/"),
        d.owned,
    )
    yield Request("delete a user outside of the path, whatever the labels", "iam:DeleteUser", d.user("someone", "/"), d.owned)
    yield Request("create a user with a protected name", "iam:CreateUser", d.user("admin-eu"), birth | bounded)
    yield Request(
        "label a protected user", "iam:TagUser", d.user("admin-eu"), tag_context(OWN_TAGS[:2], d.labels("RequestTag"))
    )
    yield Request("mint a key for a protected user", "iam:CreateAccessKey", d.user("break-glass"), d.owned)
    yield Request("delete a protected user", "iam:DeleteUser", d.user("break-glass"), d.owned)
    through_dynamodb = {
        "kms:ViaService": f"dynamodb.{REGION}.amazonaws.com",
        "kms:EncryptionContext:aws:dynamodb:tableName": d.table,
        "kms:EncryptionContext:aws:dynamodb:subscriberId": ACCOUNT,
    }
    for what, changed in {
        "decrypt another table": {"kms:EncryptionContext:aws:dynamodb:tableName": "customers"},
        "decrypt another account's table": {"kms:EncryptionContext:aws:dynamodb:subscriberId": "999999999999"},
        "decrypt a table past DynamoDB": {"kms:ViaService": f"s3.{REGION}.amazonaws.com"},
    }.items():
        yield Request(what, "kms:Decrypt", d.tables_key, through_dynamodb | changed)
    yield Request("take somebody out of a group that denies", "iam:RemoveUserFromGroup", f"{IAM}:group/quarantine")


def users_may(d: Deployment):
    """What the boundary leaves to a user to whom everything was allowed."""
    own = f"{SSM}/iam_users/mail-relay_keys"
    yield Request("send mail", "ses:SendRawEmail", f"arn:aws:ses:{REGION}:{ACCOUNT}:identity/example.org")
    yield Request("send mail", "ses:SendEmail", f"arn:aws:ses:us-east-1:{ACCOUNT}:identity/example.org")
    yield Request("read its own keys", "ssm:GetParameter", own)
    if d.kms_key:
        yield Request("decrypt its own keys", "kms:Decrypt", d.kms_key, d.through_ssm("/iam_users/mail-relay_keys"))


def users_may_not(d: Deployment):
    """What it takes away from such a user."""
    yield Request("read another's keys", "ssm:GetParameter", f"{SSM}/iam_users/other_keys")
    yield Request("read another's keys with an escaped name", "ssm:GetParameter", f"{SSM}/iam_users/encoded/a-40b.c_keys")
    yield Request("read another parameter", "ssm:GetParameter", f"{SSM}/database/password")
    yield Request("write its own keys", "ssm:PutParameter", f"{SSM}/iam_users/mail-relay_keys")
    yield Request("read all keys", "ssm:GetParametersByPath", f"{SSM}/iam_users/")
    if d.kms_key:
        yield Request("decrypt another's keys", "kms:Decrypt", d.kms_key, d.through_ssm("/iam_users/other_keys"))
        yield Request("decrypt without Parameter Store", "kms:Decrypt", d.kms_key)
    yield Request("mint a key for itself", "iam:CreateAccessKey", d.user("mail-relay"), d.owned)
    yield Request("create a user", "iam:CreateUser", d.user("mine"))
    yield Request("take its own boundary off", "iam:DeleteUserPermissionsBoundary", d.user("mail-relay"), d.owned)
    yield Request("become a role", "sts:AssumeRole", f"{IAM}:role/deploy")
    yield Request("write a row", "dynamodb:PutItem", f"{DYNAMODB}/{d.table}")
    yield Request("read a bucket", "s3:GetObject", "arn:aws:s3:::bucket/object")
    yield Request("start a machine", "ec2:RunInstances", f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/*")
    yield Request("verify an address to send from", "ses:VerifyEmailIdentity", "*")
