"""Two independent evaluators of policies. A verdict counts when both give it.

iam-simulate knows AWS's service authorization reference, and so finds a condition on something that
AWS never sends. fakecloud answers SimulateCustomPolicy, AWS's own call for it.
"""

import itertools
import json
import os
import pathlib
import subprocess

import boto3
from botocore.config import Config

HERE = pathlib.Path(__file__).resolve().parent
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "iam-user-controller"
MODULES = CACHE / "policy-simulation"


def iam_simulate(requests, policies, boundary, principal, account):
    """Verdicts by iam-simulate: `allowed`, `implicitDeny`, `explicitDeny`, or an error message."""
    return iam_simulate_many([(requests, policies)], boundary, principal, account)[0]


def iam_simulate_many(batches, boundary, principal, account):
    """The same for many pairs of requests and policies."""
    asked = [
        {
            "policies": list(policies),
            "boundary": boundary,
            "principal": principal,
            "account": account,
            "action": r.action,
            "resource": r.resource,
            "context": _with_username(r.context, principal),
            **_key_policy(r, account),
        }
        for requests, policies in batches
        for r in requests
    ]
    # Node looks for packages beside the script: run the copy beside the installed ones.
    script = MODULES / "simulate.mjs"
    script.write_text((HERE / "simulate.mjs").read_text())
    done = subprocess.run(["node", script], input=json.dumps(asked), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    answers = iter(json.loads(done.stdout))
    return [
        [answer.get("verdict") or f"error: {answer['error']}" for answer in itertools.islice(answers, len(requests))]
        for requests, _ in batches
    ]


def _with_username(context, principal):
    """What AWS sends with each call of a user, and policies use as a variable."""
    return {"aws:username": principal.rsplit("/", 1)[-1]} | context if ":user/" in principal else context


def _key_policy(request, account):
    """A KMS key hands decisions to IAM only because its own policy says so."""
    if not request.action.startswith("kms:"):
        return {}
    statement = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{account}:root"}, "Action": "kms:*", "Resource": "*"}
    return {"resourcePolicy": {"Version": "2012-10-17", "Statement": [statement]}}


def simulate_custom_policy(url, requests, policies, boundary, principal):
    """Verdicts by the emulator."""
    iam = boto3.client(
        "iam",
        endpoint_url=url,
        region_name="eu-west-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"max_attempts": 1}),
    )
    verdicts = []
    for r in requests:
        answer = iam.simulate_custom_policy(
            PolicyInputList=[json.dumps(p) for p in policies],
            **({"PermissionsBoundaryPolicyInputList": [json.dumps(boundary)]} if boundary else {}),
            ActionNames=[r.action],
            ResourceArns=[r.resource],
            CallerArn=principal,
            ContextEntries=[
                {
                    "ContextKeyName": name,
                    "ContextKeyType": "stringList" if isinstance(value, list) else "string",
                    "ContextKeyValues": value if isinstance(value, list) else [value],
                }
                for name, value in _with_username(r.context, principal).items()
            ],
        )
        verdicts.append(answer["EvaluationResults"][0]["EvalDecision"])
    return verdicts
