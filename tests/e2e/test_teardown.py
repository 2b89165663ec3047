"""Everything that a user can have at once, removed, with a kill -9 before and after each call of it."""

import traceback
from concurrent.futures import ThreadPoolExecutor

from chapters import Remove
from readers import Readers
from test_crashes import live

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nTUlJ\n-----END CERTIFICATE-----"
PUBLIC_KEY = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC7 nobody@nowhere"

#: Lives lived at the same time; more of them make a small machine slower, not faster.
AT_ONCE = 18


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
    calls = RemoveEverything.calls
    kills = [(kth, side) for kth in range(1, len(calls) + 1) for side in ("before", "after")]

    def outcome(fault, world):
        try:
            live(RemoveEverything(world, world.name()), readers, fault)
        except Exception:
            what = f"killed {fault[1]} call {fault[0]} ({calls[fault[0] - 1]})" if fault else "no fault"
            return f"{what}, {world.prefix}:\n{traceback.format_exc(limit=-2)}"

    faults = [None, *kills]
    with Readers(account) as readers, ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = list(pool.map(outcome, faults, [worlds() for _ in faults]))
    figure(f"teardown of everything: {len(kills)} kills, {outcomes[1:].count(None)} survived; calls: {', '.join(calls)}")
    failed = [text for text in outcomes if text]
    assert not failed, f"{len(failed)} of {len(faults)}:\n" + "\n".join(failed)
