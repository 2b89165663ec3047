"""Chapters of a user's life, as the matrices of kills and of faults live them.

Each says what there is before it, what begins it, which calls it takes and how its end looks.
"""

from collections import Counter

from account import INLINE_POLICY

OWNED = {"managed-by": "iam-user-controller", "iam-user-controller:minting": "none"}


class Chapter:
    """One user in it. `begin`, `age` seconds, `ripen`; then the controller has something to do."""

    settings = {}
    age = 0
    #: The mutating calls that it takes, in their order, when nothing goes wrong.
    calls = ()
    #: Whether its readers have a right to a key: not to one of a user that goes.
    has_readers = True
    #: Whether something has to happen while the controller runs; else it finds everything at its start.
    is_triggered = False

    def __init__(self, world, user):
        self.world, self.account, self.user = world, world.account, user
        self.first = None

    @classmethod
    def mints(cls):
        return Counter(cls.calls)["iam:CreateAccessKey"]

    def begin(self):
        """What there is, made by hand, so that no proxy sees it."""

    def ripen(self):
        """What there is later."""

    def trigger(self):
        """What happens."""

    def between(self):
        """What must hold while the controller is down, besides what readers see."""

    def done(self):
        """For `eventually`: whether it has come to its end."""
        raise NotImplementedError

    # -- what chapters begin with ----------------------------------------------------------------

    def function_made(self):
        """The user as the function left it, without a boundary: (id, secret) of its key."""
        key = self.account.function_made_user(self.user, self.world.boundary)
        self.account.iam.delete_user_permissions_boundary(UserName=self.user)
        return key

    def owned(self):
        """The user as the controller leaves it: (id, secret) of its key."""
        key = self.account.function_made_user(self.user, self.world.boundary)
        tags = OWNED | {"iam-user-controller:table": self.world.table}
        self.account.iam.tag_user(UserName=self.user, Tags=[{"Key": k, "Value": v} for k, v in tags.items()])
        assert self.world.settled(self.user)
        return key

    def succeed(self, old):
        """Publishes another key and makes `old` the pending one: (id, secret) of the new one."""
        new = self.account.mint(self.user)
        members = {"current": new, "pending_deletion": old}
        self.account.put_document(
            self.user,
            {name: {"AccessKeyID": key, "SecretAccessKey": secret} for name, (key, secret) in members.items()},
        )
        self.account.iam.tag_user(
            UserName=self.user, Tags=[{"Key": key, "Value": name} for name, (key, _) in members.items()]
        )
        return new


class Create(Chapter):
    """From a row to a complete user."""

    calls = ("iam:CreateUser", "iam:CreateAccessKey", "ssm:PutParameter", "iam:TagUser")
    is_triggered = True

    def trigger(self):
        self.world.put(self.user)

    def between(self):
        found = self.account.user(self.user)
        assert found is None or self.account.boundary(self.user) == self.world.boundary, "a user without its boundary"

    def done(self):
        assert set(self.account.document(self.user) or {}) == {"current"}
        return self.world.settled(self.user)


class Rotate(Chapter):
    """From an old key to a published successor beside it."""

    settings = {"KEYS__ROTATE_AFTER": "5s", "KEYS__DELETE_AFTER": "1h"}
    age = 5
    calls = ("iam:TagUser", "iam:CreateAccessKey", "ssm:PutParameter", "iam:TagUser")

    def begin(self):
        self.first = self.owned()
        self.world.put(self.user)

    def done(self):
        document = self.account.document(self.user)
        assert document["current"]["AccessKeyID"] != self.first[0], "not rotated"
        assert document["pending_deletion"]["AccessKeyID"] == self.first[0], "the key that consumers used is gone"
        return self.world.settled(self.user)


class Expire(Chapter):
    """From two keys to one."""

    # The successor is young enough that its own rotation comes long after everything is looked at.
    settings = {"KEYS__ROTATE_AFTER": "100s", "KEYS__DELETE_AFTER": "101s", "KEYS__MIN_OVERLAP": "1s"}
    age = 95
    calls = ("iam:DeleteAccessKey", "ssm:PutParameter", "iam:UntagUser")

    def begin(self):
        self.first = self.owned()

    def ripen(self):
        self.second = self.succeed(self.first)
        assert self.world.settled(self.user)
        self.world.put(self.user)

    def done(self):
        assert self.first[0] not in self.account.keys(self.user), "the old key is there"
        assert self.first[0] not in str(self.account.document(self.user)), "the old key is in the document"
        assert self.account.current(self.user) == self.second, "another key is published"
        return self.world.settled(self.user)


class Remove(Chapter):
    """From a row's removal to nothing left."""

    # Times are told in whole seconds: the row goes clearly after the user was made.
    age = 2
    calls = (
        "iam:UpdateAccessKey",
        "iam:UpdateAccessKey",
        "iam:DeleteAccessKey",
        "iam:DeleteAccessKey",
        "iam:DeleteLoginProfile",
        "iam:DeleteUserPolicy",
        "iam:DeleteUser",
        "ssm:DeleteParameter",
    )
    has_readers = False
    is_triggered = True

    def begin(self):
        self.first = self.owned()
        self.account.mint(self.user)
        self.account.iam.put_user_policy(UserName=self.user, PolicyName="inline", PolicyDocument=INLINE_POLICY)
        self.account.iam.create_login_profile(UserName=self.user, Password="Correct-Horse-7-Battery")
        self.world.put(self.user)

    def trigger(self):
        self.world.delete(self.user)

    def done(self):
        assert self.account.calls_as(*self.first) == "InvalidClientTokenId", "a removed user's key works"
        return self.account.assert_gone(self.user)


class Adopt(Chapter):
    """From a user with two keys, as the function left it, to one of ours with the same keys."""

    calls = ("iam:TagUser", "iam:PutUserPermissionsBoundary")

    def begin(self):
        self.first = self.function_made()
        self.second = self.succeed(self.first)
        self.left = self.account.raw_parameter(self.user)
        self.world.put(self.user)

    def done(self):
        assert set(self.account.keys(self.user)) == {self.first[0], self.second[0]}, "not the keys that it had"
        parameter = self.account.raw_parameter(self.user)
        assert parameter["Value"] == self.left["Value"], "its keys changed"
        assert parameter["Version"] == self.left["Version"], "its parameter was written for nothing"
        return self.world.settled(self.user)


class AdoptAndRotate(Rotate):
    """From a user as the function left it, whose key is old, to one of ours with a successor."""

    calls = Adopt.calls + Rotate.calls

    def begin(self):
        self.first = self.function_made()
        self.world.put(self.user)


CHAPTERS = [Create, Rotate, Expire, Remove, Adopt, AdoptAndRotate]
