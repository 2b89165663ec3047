"""Everything that a user can have at once, removed, with a kill -9 before and after each call of it."""

import traceback
from concurrent.futures import ThreadPoolExecutor

from test_crashes import Remove, live

CERTIFICATE = "-----BEGIN CERTIFICATE-----\nTUlJ\n-----END CERTIFICATE-----"
PUBLIC_KEY = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC7 nobody@nowhere"

#: Lives lived at the same time; more of them make a small machine slower, not faster.
AT_ONCE = 18

#: What takes each kind of the contract away.
KINDS = {
    "UpdateAccessKey",
    "DeleteAccessKey",
    "DeleteLoginProfile",
    "DeactivateMFADevice",
    "DeleteVirtualMFADevice",
    "DeleteSSHPublicKey",
    "DeleteSigningCertificate",
    "DeleteServiceSpecificCredential",
    "RemoveUserFromGroup",
    "DeleteUserPolicy",
    "DetachUserPolicy",
    "DeleteUser",
    "DeleteParameter",
}


class RemoveEverything(Remove):
    """The removal of a user with two keys and one of each other kind."""

    def prepare(self, world, user):
        super().prepare(world, user)
        iam, self.group = world.account.iam, world.name("group")
        iam.create_group(GroupName=self.group)
        iam.add_user_to_group(GroupName=self.group, UserName=user)
        iam.attach_user_policy(UserName=user, PolicyArn=world.boundary)
        device = iam.create_virtual_mfa_device(VirtualMFADeviceName=world.name("mfa"))["VirtualMFADevice"]
        iam.enable_mfa_device(
            UserName=user, SerialNumber=device["SerialNumber"], AuthenticationCode1="123456", AuthenticationCode2="654321"
        )
        iam.create_service_specific_credential(UserName=user, ServiceName="codecommit.amazonaws.com")
        iam.upload_ssh_public_key(UserName=user, SSHPublicKeyBody=PUBLIC_KEY)
        iam.upload_signing_certificate(UserName=user, CertificateBody=CERTIFICATE)

    def between(self, world, user):
        """Access by key ends with the first calls: before anything else goes, no key works."""
        works = [key for key, data in world.account.keys(user).items() if data["Status"] == "Active"]
        assert not works or self.has_password(world, user), f"the password went before {works}"
        assert world.account.user(user) is None or world.account.raw_parameter(user), "the parameter went before the user"

    def has_password(self, world, user):
        try:
            return bool(world.account.iam.get_login_profile(UserName=user))
        except world.account.iam.exceptions.NoSuchEntityException:
            return False

    def done(self, world, user):
        assert super().done(world, user)
        assert world.account.iam.get_group(GroupName=self.group)["Users"] == [], "the group stays, without the user"
        return True


def test_the_complete_teardown_survives_a_kill_at_each_of_its_calls(worlds, figure):
    calls = live(RemoveEverything(), worlds(), None)
    assert {call.action for call in calls} == KINDS
    faults = [(k, side) for k in range(1, len(calls) + 1) for side in ("before", "after")]

    def outcome(fault, world):
        try:
            live(RemoveEverything(), world, fault)
        except Exception:
            return f"killed {fault[1]} call {fault[0]} ({calls[fault[0] - 1]}), {world.prefix}:\n{traceback.format_exc(limit=-2)}"

    with ThreadPoolExecutor(AT_ONCE) as pool:
        failed = [text for text in pool.map(outcome, faults, [worlds() for _ in faults]) if text]
    told = ", ".join(map(str, calls))
    figure(f"teardown of everything: {len(faults)} kills, {len(faults) - len(failed)} survived; calls: {told}")
    assert not failed, f"{len(failed)} of {len(faults)}:\n" + "\n".join(failed)
