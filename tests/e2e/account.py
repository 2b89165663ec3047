"""An independent look at the account: plain boto3, sharing no code with the controller."""

import functools
import json
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

ONCE = Config(
    retries={"total_max_attempts": 1}, connect_timeout=5, read_timeout=30, proxies={}, max_pool_connections=32
)

#: The AWS service as boto3 calls it -> the SDK's variable that names its endpoint.
ENDPOINT_VARIABLES = {
    "iam": "AWS_ENDPOINT_URL_IAM",
    "sts": "AWS_ENDPOINT_URL_STS",
    "ssm": "AWS_ENDPOINT_URL_SSM",
    "kms": "AWS_ENDPOINT_URL_KMS",
    "dynamodb": "AWS_ENDPOINT_URL_DYNAMODB",
    "dynamodbstreams": "AWS_ENDPOINT_URL_DYNAMODB_STREAMS",
}

BOUNDARY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "ses:SendRawEmail", "Resource": "*"}],
}


#: Something for a user to have that a removal must take away.
INLINE_POLICY = json.dumps(BOUNDARY)


def code_of(error):
    return error.response["Error"]["Code"]


def parameter_name(user):
    """Where the contract says that a user's keys are stored; written from the contract alone."""
    if set(user) & set("+=,@"):
        kept = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_."
        escaped = "".join(c if c in kept else f"-{ord(c):02X}" for c in user)
        return f"/iam_users/encoded/{escaped}_keys"
    return f"/iam_users/{user}_keys"


class Account:
    """IAM, STS, SSM and DynamoDB as an administrator of the account sees them."""

    def __init__(self, endpoints):
        """`endpoints`: service -> URL."""
        self.endpoints = endpoints
        session = boto3.session.Session()

        def client(service, key="test", secret="test"):
            return session.client(
                service,
                region_name="us-east-1",
                endpoint_url=endpoints[service],
                aws_access_key_id=key,
                aws_secret_access_key=secret,
                config=ONCE,
            )

        # A client costs more than its calls, and readers sign thousands with a few keys.
        self._client = functools.lru_cache(client)
        self.iam = client("iam")
        self.ssm = client("ssm")
        self.kms = client("kms")
        self.ddb = client("dynamodb")
        self.streams = client("dynamodbstreams")

    def environment(self, instead=None):
        """The endpoints as the AWS SDK takes them; `instead` replaces some."""
        urls = self.endpoints | (instead or {})
        return {ENDPOINT_VARIABLES[service]: url for service, url in urls.items()}

    # -- the table -------------------------------------------------------------------------------

    def create_users_table(self, name, view="KEYS_ONLY"):
        self.ddb.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "UserName", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "UserName", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": view},
        )

    def create_state_table(self, name):
        self.ddb.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "Id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "Id", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )

    def put_row(self, table, user, **attributes):
        """`attributes` in DynamoDB's own form: note={"S": "x"}."""
        self.ddb.put_item(TableName=table, Item={"UserName": {"S": user}} | attributes)

    def delete_row(self, table, user):
        self.ddb.delete_item(TableName=table, Key={"UserName": {"S": user}})

    # -- IAM -------------------------------------------------------------------------------------

    def create_boundary(self, name):
        return self.iam.create_policy(PolicyName=name, PolicyDocument=json.dumps(BOUNDARY))["Policy"]["Arn"]

    def user(self, name):
        """The user as GetUser shows it, or `None`."""
        try:
            found = self.iam.get_user(UserName=name)["User"]
        except ClientError as error:
            if code_of(error) == "NoSuchEntity":
                return None
            raise
        return found

    def boundary(self, name):
        return self.user(name).get("PermissionsBoundary", {}).get("PermissionsBoundaryArn")

    def tags(self, name):
        return {tag["Key"]: tag["Value"] for tag in self.user(name).get("Tags", [])}

    def keys(self, name):
        """Access key id -> key as ListAccessKeys shows it. No user: no keys."""
        try:
            listed = self.iam.list_access_keys(UserName=name)["AccessKeyMetadata"]
        except ClientError as error:
            if code_of(error) == "NoSuchEntity":
                return {}
            raise
        return {key["AccessKeyId"]: key for key in listed}

    def mint(self, name):
        """A key made by hand: (id, secret)."""
        key = self.iam.create_access_key(UserName=name)["AccessKey"]
        return key["AccessKeyId"], key["SecretAccessKey"]

    def calls_as(self, key, secret):
        """Signs a GetCallerIdentity: the caller's ARN, or the code of the refusal."""
        try:
            return self._client("sts", key, secret).get_caller_identity()["Arn"]
        except ClientError as error:
            return code_of(error)

    # -- the parameter ---------------------------------------------------------------------------

    def raw_parameter(self, user):
        """The parameter with its value, or `None`."""
        try:
            return self.ssm.get_parameter(Name=parameter_name(user), WithDecryption=True)["Parameter"]
        except ClientError as error:
            if code_of(error) == "ParameterNotFound":
                return None
            raise

    def document(self, user):
        """The key document in the parameter, or `None`."""
        parameter = self.raw_parameter(user)
        return json.loads(parameter["Value"]) if parameter else None

    def put_document(self, user, document):
        self.ssm.put_parameter(
            Name=parameter_name(user), Type="SecureString", Overwrite=True, Value=json.dumps(document)
        )

    def current(self, user):
        """(id, secret) of the published key, or `None`."""
        document = self.document(user)
        key = (document or {}).get("current")
        return (key["AccessKeyID"], key["SecretAccessKey"]) if key else None

    # -- users as others make them ---------------------------------------------------------------

    def function_made_user(self, name, boundary, tags=()):
        """A user as the function that the controller replaces left it: (id, secret) of its key."""
        limits = {"PermissionsBoundary": boundary} if boundary else {}
        self.iam.create_user(UserName=name, Tags=list(tags), **limits)
        key, secret = self.mint(name)
        self.iam.tag_user(UserName=name, Tags=[{"Key": key, "Value": "current"}])
        self.put_document(name, {"current": {"AccessKeyID": key, "SecretAccessKey": secret}})
        return key, secret

    def owned_user(self, name, boundary, table):
        """A user as the controller leaves it: (id, secret) of its key."""
        tags = {
            "managed-by": "iam-user-controller",
            "iam-user-controller:table": table,
            "iam-user-controller:minting": "none",
        }
        return self.function_made_user(name, boundary, [{"Key": k, "Value": v} for k, v in tags.items()])

    # -- what must hold of a user at rest ----------------------------------------------------------

    def assert_settled(self, user, table, boundary=None):
        """One usable published current key, nothing stray, exactly the tags of the contract."""
        found = self.user(user)
        assert found, f"{user} does not exist"
        document = self.document(user)
        assert document and "current" in document, f"{user} has no published current key"
        assert set(document) <= {"current", "pending_deletion"}, f"{user}: members {set(document)}"
        stored = {document["current"]["AccessKeyID"]: "current"}
        if "pending_deletion" in document:
            stored[document["pending_deletion"]["AccessKeyID"]] = "pending_deletion"
        keys = self.keys(user)
        assert set(keys) == set(stored), f"{user}: IAM has {set(keys)}, the parameter {stored}"
        inactive = [key for key, data in keys.items() if data["Status"] != "Active"]
        assert not inactive, f"{user}: inactive {inactive}"
        wanted = stored | {
            "managed-by": "iam-user-controller",
            "iam-user-controller:table": table,
            "iam-user-controller:minting": "none",
        }
        tags = self.tags(user)
        assert tags == wanted, f"{user}: tags {tags}, wanted {wanted}"
        if boundary:
            assert self.boundary(user) == boundary, f"{user}: boundary {self.boundary(user)}"
        for member in document.values():
            arn = self.calls_as(member["AccessKeyID"], member["SecretAccessKey"])
            assert arn == found["Arn"], f"{user}: {member['AccessKeyID']} is answered {arn}"
        return True

    def assert_gone(self, user):
        assert self.user(user) is None, f"{user} still exists"
        assert self.raw_parameter(user) is None, f"{user} still has a parameter"
        return True


def age(moment):
    """Seconds since an AWS timestamp."""
    return time.time() - moment.timestamp()
