"""Credentials from a profile, as people have them on their own machines."""

import stat
import sys


def profile(folder, text, **environment):
    config = folder / "config"
    config.write_text(text)
    unset = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    return unset | {"AWS_CONFIG_FILE": str(config), "AWS_PROFILE": "laptop", "HOME": str(folder)} | environment


def test_a_profile_with_a_credential_process_works(world, tmp_path):
    proxy = world.proxy()
    script = tmp_path / "credentials"
    script.write_text(
        f"#!{sys.executable}\nprint('{{\"Version\": 1, \"AccessKeyId\": \"test\", \"SecretAccessKey\": \"test\"}}')\n"
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    settings = profile(tmp_path, f"[profile laptop]\ncredential_process = {script}\nregion = us-east-1\n")
    code, out, err = world.daemon(proxy).run("plan", **settings)
    assert code == 0, (out, err)
    assert {call.signed_by for call in proxy.since(matches=lambda call: True)} == {"test"}


SSO = """[profile laptop]
sso_session = company
sso_account_id = 123456789012
sso_role_name = Operator
region = us-east-1

[sso-session company]
sso_region = us-east-1
sso_start_url = https://example.awsapps.com/start
sso_registration_scopes = sso:account:access
"""


def test_an_sso_profile_without_a_session_says_how_to_sign_in(world, tmp_path):
    code, out, err = world.daemon().run("plan", **profile(tmp_path, SSO))
    said = out + err
    assert code == 1, (code, out, err)
    assert "aws sso login" in said, said
    assert "feature" not in said, said


def test_an_sso_profile_with_an_expired_session_says_how_to_sign_in(world, tmp_path):
    import hashlib
    import json

    cache = tmp_path / ".aws" / "sso" / "cache"
    cache.mkdir(parents=True)
    token = {"accessToken": "secret-token", "expiresAt": "2020-01-01T00:00:00Z", "region": "us-east-1", "startUrl": "x"}
    (cache / (hashlib.sha1(b"company").hexdigest() + ".json")).write_text(json.dumps(token))
    code, out, err = world.daemon().run("plan", **profile(tmp_path, SSO))
    said = out + err
    assert code == 1 and "aws sso login" in said, (code, out, err)
    assert "secret-token" not in said
