"""AWS with late reads: IAM and SSM answer from what they held some seconds ago.

IAM is documented to be eventually consistent; SSM's GetParameter was seen to be late in the field
(aws/aws-sdk-js#3586, aws/aws-cdk-cli#830). Neither emulator is: what was there is remembered here.
"""

import json
import threading
import time

from proxy import error

#: Reads of one user that are answered from the past, and the error that says that there is none.
OF_A_USER = {"GetUser": "get_user", "ListAccessKeys": "list_access_keys"}


class Late:
    """From now on reads that pass `proxy` are late. Only what passes it is known to change."""

    def __init__(self, proxy, account, parameters, iam):
        """`parameters`, `iam`: by how many seconds."""
        self._account, self._parameters, self._iam = account, parameters, iam
        self._lock = threading.Lock()
        self._raw = threading.local()
        #: (action, name) -> [(since when, status, content)], oldest first.
        self._held = {}
        self._pages = []
        #: How many reads have answered something else than the truth.
        self.answered = 0
        for action in OF_A_USER:
            account.iam.meta.events.register(f"after-call.iam.{action}", self._keep)
        proxy.watch(self._note)
        if parameters:
            proxy.rewrite(1, self._parameter, lambda call: call.action == "GetParameter", repeat=True)
        if iam:
            proxy.rewrite(1, self._user, lambda call: call.action in OF_A_USER, repeat=True)
            proxy.rewrite(1, self._everybody, lambda call: call.action == "GetAccountAuthorizationDetails", repeat=True)

    # -- what is held --------------------------------------------------------------------------------

    def _keep(self, http_response, **_):
        self._raw.answer = http_response.status_code, http_response.content

    def _note(self, call):
        if not call.mutates or call.status != 200:
            return
        if call.service == "ssm":
            self._remember("GetParameter", call.parameters["Name"], *self._get_parameter(call.parameters["Name"]))
        elif call.service == "iam" and call.user:
            for action, method in OF_A_USER.items():
                try:
                    getattr(self._account.iam, method)(UserName=call.user)
                except self._account.iam.exceptions.NoSuchEntityException:
                    pass
                self._remember(action, call.user, *self._raw.answer)

    def _get_parameter(self, name):
        try:
            found = self._account.ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]
        except self._account.ssm.exceptions.ParameterNotFound:
            return None, None
        found["LastModifiedDate"] = found["LastModifiedDate"].timestamp()
        return 200, json.dumps({"Parameter": found}).encode()

    def _remember(self, action, name, status, content):
        with self._lock:
            self._held.setdefault((action, name), []).append((time.monotonic(), status, content))

    # -- what is answered ----------------------------------------------------------------------------

    def _then(self, call, name, seconds, truth, missing):
        """The answer of so many seconds ago, where something has changed since."""
        moment = time.monotonic() - seconds
        with self._lock:
            held = list(self._held.get((call.action, name), ()))
        if not held or held[-1][0] <= moment:
            return truth
        self.answered += 1
        before = [answer for answer in held if answer[0] <= moment]
        status, content = before[-1][1:] if before else (None, None)
        if content is None or status == 404:
            return error(call, *missing)
        return status, truth[1], content

    def _parameter(self, call, *truth):
        return self._then(call, call.parameters["Name"], self._parameters, truth, (400, "ParameterNotFound"))

    def _user(self, call, *truth):
        return self._then(call, call.user, self._iam, truth, (404, "NoSuchEntity"))

    def _everybody(self, _, status, headers, content):
        now = time.monotonic()
        with self._lock:
            if status == 200:
                self._pages.append((now, content))
            old = [page for page in self._pages if page[0] <= now - self._iam] or self._pages[:1]
            self._pages = [page for page in self._pages if page[0] >= old[-1][0]] if old else []
        return (status, headers, old[-1][1]) if old else (status, headers, content)
