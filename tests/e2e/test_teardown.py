"""Everything that a user can have at once, removed, with a kill -9 before and after each call of it."""

from chapters import Remove
from test_crashes import kill_at_each_call

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
