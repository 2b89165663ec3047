"""Answers of AWS that are incomplete or wrong, for the proxy's `rewrite`."""

import json
import re
import time
import xml.etree.ElementTree as ElementTree

IAM = "https://iam.amazonaws.com/doc/2010-05-08/"
ElementTree.register_namespace("", IAM)


def items(choose):
    """A Scan that tells only the items that `choose` (a function from their list to another) leaves."""

    def change(_, status, headers, content):
        answer = json.loads(content)
        answer["Items"] = choose(answer["Items"])
        answer["Count"] = len(answer["Items"])
        return status, headers, json.dumps(answer).encode()

    return change


def first_half(_, status, headers, content):
    """A Scan whose answer has a second page."""
    answer = json.loads(content)
    assert "LastEvaluatedKey" not in answer, "it had one before"
    answer["Items"] = answer["Items"][: len(answer["Items"]) // 2]
    answer["LastEvaluatedKey"] = {"UserName": answer["Items"][-1]["UserName"]}
    return status, headers, json.dumps(answer).encode()


def page_of_users(number, of):
    """The answer of GetAccountAuthorizationDetails as page `number` (from 0) of `of` pages."""

    def change(_, status, headers, content):
        root = ElementTree.fromstring(content)
        result = root.find(f"{{{IAM}}}GetAccountAuthorizationDetailsResult")
        users = result.find(f"{{{IAM}}}UserDetailList")
        everybody = list(users)
        size = -(-len(everybody) // of)
        for user in everybody[: number * size] + everybody[(number + 1) * size :]:
            users.remove(user)
        assert len(users), "an empty page"
        if number + 1 < of:
            result.find(f"{{{IAM}}}IsTruncated").text = "true"
            ElementTree.SubElement(result, f"{{{IAM}}}Marker").text = f"page-{number + 1}"
        return status, headers, ElementTree.tostring(root)

    return change


def caller(user):
    """GetCallerIdentity as it answers this user (as GetUser shows it), where it does not refuse."""

    def change(_, status, headers, content):
        for field in ("Arn", "UserId"):
            content = re.sub(rf"<{field}>.*?</{field}>", f"<{field}>{user[field]}</{field}>", content.decode()).encode()
        return status, headers, content

    return change


def dated(seconds):
    """Any answer, with a `Date` that is so many seconds off."""

    def change(_, status, headers, content):
        date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + seconds))
        kept = [(name, value) for name, value in headers if name.lower() != "date"]
        return status, [*kept, ("Date", date)], content

    return change
