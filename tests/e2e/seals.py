"""The seal of an owned user; written from the contract alone."""

import base64
import datetime
import hashlib
import hmac
import json
import secrets

from botocore.exceptions import ClientError

#: CreateDate is within this of the seal's time.
NEAR = datetime.timedelta(minutes=5)


def text(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def raw(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def rfc3339(moment):
    return moment.astimezone(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def now():
    return rfc3339(datetime.datetime.now(datetime.timezone.utc))


def seal(key, user, arn, at):
    """Of a user of this name and table, created at about this RFC 3339 time."""
    message = b"\0".join(part.encode() for part in (user.lower(), arn, at))
    return f"{at}.{text(hmac.new(key, message, hashlib.sha256).digest())}"


def proves(key, sealed, user, arn, created):
    at = sealed.rpartition(".")[0]
    near = abs(datetime.datetime.fromisoformat(at) - created) <= NEAR
    return near and hmac.compare_digest(sealed, seal(key, user, arn, at))


def key_of(ddb, state_table):
    """The key in the state table; made as the first leader would make it, when there is none yet."""
    made = {"key": text(secrets.token_bytes(32))}
    record = {"Id": {"S": "seal"}, "Body": {"S": json.dumps(made)}, "Token": {"N": "0"}}
    try:
        ddb.put_item(TableName=state_table, Item=record, ConditionExpression="attribute_not_exists(Id)")
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
    found = ddb.get_item(TableName=state_table, Key={"Id": {"S": "seal"}}, ConsistentRead=True)["Item"]
    return raw(json.loads(found["Body"]["S"])["key"])
