"""Somebody who may write the users table, and nothing else, tries to get at users that are not owned."""

import xml.etree.ElementTree as ElementTree

from lies import IAM
from removals import takes_away
from waiting import eventually


class Victim:
    """A user that the controller has no business with, and all that it must not change."""

    def __init__(self, world, rest, tags=None, key_tag=None):
        self.world, self.name = world, world.name(rest)
        account = world.account
        account.iam.create_user(UserName=self.name, Path="/staff/")
        self.key, self.secret = account.mint(self.name)
        tags = dict(tags or {}) | ({self.key: key_tag} if key_tag else {})
        if tags:
            account.iam.tag_user(UserName=self.name, Tags=[{"Key": k, "Value": v} for k, v in tags.items()])
        self.before = self.seen()

    def seen(self):
        account = self.world.account
        return account.user(self.name), account.keys(self.name), account.raw_parameter(self.name)

    def assert_untouched(self):
        assert self.seen() == self.before, f"{self.name} is changed: {self.seen()}, was {self.before}"
        assert self.world.account.calls_as(self.key, self.secret).endswith(f"/{self.name}")


def seen_as(user):
    """IAM finds users without regard to case: its answer to GetUser with another spelling."""

    def change(_, status, headers, content):
        root = ElementTree.Element(f"{{{IAM}}}GetUserResponse")
        shown = ElementTree.SubElement(ElementTree.SubElement(root, f"{{{IAM}}}GetUserResult"), f"{{{IAM}}}User")
        for field in ("Path", "UserName", "UserId", "Arn"):
            ElementTree.SubElement(shown, f"{{{IAM}}}{field}").text = user[field]
        ElementTree.SubElement(shown, f"{{{IAM}}}CreateDate").text = user["CreateDate"].strftime("%Y-%m-%dT%H:%M:%SZ")
        return 200, headers, ElementTree.tostring(root)

    return change


def test_rows_hand_out_no_key_of_change_and_delete_nobody_who_is_not_owned(world, figure):
    account, proxy = world.account, world.proxy()
    admin = Victim(world, "admin", {"team": "platform"})
    other = "users-of-another-team"
    victims = {
        "an administrator": admin,
        "tagged with another user's key": Victim(world, "other-key", {admin.key: "current"}),
        "its own key tagged with another word": Victim(world, "other-word", key_tag="primary"),
        "only the first ownership tag": Victim(world, "half-1", {"managed-by": "iam-user-controller"}),
        "only the second ownership tag": Victim(world, "half-2", {"iam-user-controller:table": world.table}),
        "an open mint and no more": Victim(world, "minting", {"iam-user-controller:minting": "2026-01-01T00:00:00Z"}),
        "owned from another table, its key tagged": Victim(
            world,
            "elsewhere",
            {"managed-by": "iam-user-controller", "iam-user-controller:table": other},
            key_tag="current",
        ),
    }
    # What IAM does, and the emulator does not: names are one without regard to case. Whether GetUser
    # finds the other spelling is not documented, so one is found and one is not.
    chief, boss = Victim(world, "chief", key_tag="current"), Victim(world, "boss", key_tag="current")
    spelled, taken = world.name("CHIEF"), world.name("BOSS")
    proxy.rewrite(1, seen_as(account.user(chief.name)), lambda c: c.action == "GetUser" and c.user == spelled, repeat=True)
    proxy.answer(1, 409, "EntityAlreadyExists", lambda c: c.action == "CreateUser" and c.user == spelled, repeat=True)
    proxy.answer(1, 409, "EntityAlreadyExists", lambda c: c.action == "CreateUser" and c.user == taken, repeat=True)
    lookalikes = {
        "Cyrillic a": world.prefix + "\u0430dmin",
        "full-width a": world.prefix + "\uff41dmin",
        "zero-width space": admin.name + "\u200b",
        "combining accent": admin.name + "\u0301",
        "space after": admin.name + " ",
        "space before": " " + admin.name,
        "line break": admin.name + "\n",
        "NUL": admin.name + "\x00",
        "path before": "staff/" + admin.name,
        "ARN": admin.before[0]["Arn"],
        "up and down": f"../{admin.name}",
        "percent-encoded": admin.name.replace("admin", "%61dmin"),
        "query": admin.name + "&UserName=x",
        "wildcard": world.prefix + "*",
        "too long": (admin.name + "x" * 64)[:65],
    }
    escaped, plain = world.name("jane-40example.org"), world.name("jane@example.org")
    attributes = world.name("attributes")
    ours = [escaped, plain, attributes]

    daemon = world.daemon(proxy, ORPHANS__SWEEPS="1", ORPHANS__MIN_AGE="1s", KEYS__FOREIGN="revoke").start()
    rows = [victim.name for victim in victims.values()] + [spelled, taken, *lookalikes.values(), escaped, plain]
    for name in rows:
        world.put(name)
    # Attributes that would be dangerous if anybody read them.
    world.put(
        attributes,
        Path={"S": "/staff/"},
        PermissionsBoundary={"S": "arn:aws:iam::aws:policy/AdministratorAccess"},
        UserId={"S": admin.before[0]["UserId"]},
        Tags={"M": {"managed-by": {"S": "me"}}},
        **{"iam-user-controller:table": {"S": other}, admin.key: {"S": "current"}},
    )
    outcomes = {}
    for what, victim in victims.items():
        daemon.wait_state(victim.name, "conflict")
        outcomes[what] = f"conflict: {daemon.user(victim.name)['reason']}"
    daemon.wait_state(spelled, "conflict")
    outcomes["an administrator, upper case, found by IAM"] = f"conflict: {daemon.user(spelled)['reason']}"
    for what, name in lookalikes.items():
        daemon.wait_state(name, "invalid")
        outcomes[what] = f"invalid: {daemon.user(name)['reason']}"
    for name in ours:
        eventually(lambda: world.settled(name), 20, f"{name} is an ordinary user")
        assert account.user(name)["Path"] == "/"
    outcomes["name that looks like an escaped one"] = "an ordinary user, with a parameter of its own"
    outcomes["attributes that name boundary, path and key"] = "an ordinary user, attributes ignored"
    assert world.parameter_name(escaped) != world.parameter_name(plain)
    # IAM says that the name is taken; until that is certain, seconds later, it is asked again.
    daemon.wait_state(taken, "conflict", within=40)
    outcomes["an administrator, upper case, not found by IAM"] = f"conflict: {daemon.user(taken)['reason']}"
    for victim in [*victims.values(), chief, boss]:
        victim.assert_untouched()

    # Then the rows go: a REMOVE record and an orphan of every name.
    for name in rows:
        if name not in ours:
            world.delete(name)
    daemon.wait_sweeps(2)
    # They come and go again, in a hurry.
    for victim in victims.values():
        world.put(victim.name)
        world.delete(victim.name)
    eventually(lambda: daemon.metric("stream_lag_seconds") == 0, 20, "every record is handled")
    daemon.wait_sweeps(3)
    for victim in [*victims.values(), chief, boss]:
        victim.assert_untouched()
    refused = {victim.name for victim in [*victims.values(), chief, boss]} | {spelled, *lookalikes.values()}
    parameters = {world.parameter_name(name) for name in refused | {taken}}
    touched = [str(call) for call in proxy.since() if call.user in refused or call.parameters.get("Name") in parameters]
    assert not touched, touched
    tried = [call for call in proxy.since() if call.user == taken]
    assert tried and {(call.action, call.status) for call in tried} == {("CreateUser", None)}, "IAM was not asked, or more was"
    # What IAM would not take as a name is not even asked about.
    asked = [str(call) for call in proxy.since(matches=lambda call: call.service == "iam") if call.user in lookalikes.values()]
    assert not asked, asked
    assert not proxy.since(matches=takes_away), "nobody of ours has gone either"
    assert all(world.settled(name) for name in ours)
    for what, outcome in outcomes.items():
        figure(f"forged row, {what}: {outcome.replace(world.prefix, '')}")
