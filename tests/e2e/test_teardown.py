"""Everything that a user can have at once, removed, with a kill -9 before and after each call of it.

And with AWS's own reasons to refuse a call for now.
"""

import itertools
import traceback
from concurrent.futures import ThreadPoolExecutor

from chapters import Remove
from test_crashes import kill_at_each_call
from waiting import eventually

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nTUlJ\n-----END CERTIFICATE-----"
PUBLIC_KEY = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC7 nobody@nowhere"


class RemoveEverything(Remove):
    """The removal of a user with two keys and one of each other kind."""

    calls = (
        "iam:UpdateAccessKey",
        "iam:UpdateAccessKey",
        "iam:DeleteAccessKey",
        "iam:DeleteAccessKey",
        "iam:DeleteLoginProfile",
        "iam:DeactivateMFADevice",
        "iam:DeleteVirtualMFADevice",
        "iam:DeleteSSHPublicKey",
        "iam:DeleteSigningCertificate",
        "iam:DeleteServiceSpecificCredential",
        "iam:RemoveUserFromGroup",
        "iam:DeleteUserPolicy",
        "iam:DetachUserPolicy",
        "iam:DeleteUser",
        "ssm:DeleteParameter",
    )

    def begin(self):
        super().begin()
        iam, user, self.group = self.account.iam, self.user, self.world.name("group")
        iam.create_group(GroupName=self.group)
        iam.add_user_to_group(GroupName=self.group, UserName=user)
        iam.attach_user_policy(UserName=user, PolicyArn=self.world.boundary)
        device = iam.create_virtual_mfa_device(VirtualMFADeviceName=self.world.name("mfa"))["VirtualMFADevice"]
        iam.enable_mfa_device(
            UserName=user, SerialNumber=device["SerialNumber"], AuthenticationCode1="123456", AuthenticationCode2="654321"
        )
        iam.create_service_specific_credential(UserName=user, ServiceName="codecommit.amazonaws.com")
        iam.upload_ssh_public_key(UserName=user, SSHPublicKeyBody=PUBLIC_KEY)
        iam.upload_signing_certificate(UserName=user, CertificateBody=CERTIFICATE)

    def between(self):
        """Access by key ends with the first calls: before anything else goes, no key works."""
        works = [key for key, data in self.account.keys(self.user).items() if data["Status"] == "Active"]
        assert not works or self.has_password(), f"the password went before {works}"
        gone = self.account.user(self.user) is None
        assert gone or self.account.raw_parameter(self.user), "the parameter went before the user"

    def has_password(self):
        try:
            return bool(self.account.iam.get_login_profile(UserName=self.user))
        except self.account.iam.exceptions.NoSuchEntityException:
            return False

    def done(self):
        assert super().done()
        assert self.account.iam.get_group(GroupName=self.group)["Users"] == [], "the group stays, without the user"
        return True


def test_the_complete_teardown_survives_a_kill_at_each_of_its_calls(account, worlds, figure):
    kill_at_each_call(RemoveEverything, account, worlds, figure)


def refuse_once(world, actions):
    """One life in which each of these calls is refused once, because something else is under way."""
    chapter, proxy = RemoveEverything(world, world.name()), world.proxy()
    daemon = world.daemon(proxy, **chapter.settings)
    chapter.begin()
    rules = []
    for action, code in zip(actions, itertools.cycle(("ConcurrentModification", "EntityTemporarilyUnmodifiable"))):
        code = "DeleteConflict" if action == "iam:DeleteUser" else code
        rules.append(proxy.answer(1, 409, code, lambda call, action=action: str(call) == action))
    daemon.start()
    chapter.trigger()
    try:
        eventually(chapter.done, 90, "it settles", every=0.3)
    except AssertionError as error:
        raise AssertionError(f"{error}; calls: {list(map(str, proxy.since()))}") from None
    assert all(rule.fired.is_set() for rule in rules), [str(call) for call in proxy.since()]


def test_the_complete_teardown_survives_conflicts_at_each_of_its_calls(worlds, figure):
    actions = [action for action in dict.fromkeys(RemoveEverything.calls) if action.startswith("iam:")]
    # Each refusal doubles the pause before the next look, so that one life is not refused everything.
    groups = [actions[n::4] for n in range(4)]

    def outcome(group, world):
        try:
            refuse_once(world, group)
        except Exception:
            return f"{group}, {world.prefix}:\n{traceback.format_exc(limit=-2)}"
        finally:
            world.close()

    with ThreadPoolExecutor(len(groups)) as pool:
        failed = [text for text in pool.map(outcome, groups, [worlds() for _ in groups]) if text]
    assert not failed, "\n".join(failed)
    figure(f"teardown of everything: refused once with a conflict: {', '.join(actions)}")
