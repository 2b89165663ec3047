"""The image: built for real by a daemonless builder, looked at, started with a read-only root as
nobody, and doing the main job against an emulator.
"""

import json
import os
import pathlib
import re
import shutil
import time

import pytest

import emulators
from account import Account
from daemon import Daemon
from tools import CACHE, ROOT, run, tool
from waiting import eventually

HERE = pathlib.Path(__file__).resolve().parent
STORAGE = CACHE / "image"
NAME = "localhost/iam-user-controller"
MIB = 1024 * 1024


def buildah(*arguments, within=600):
    return run(tool("buildah"), "--root", STORAGE / "root", "--runroot", STORAGE / "run", *arguments, within=within)


def build(context, tag, arguments):
    """Builds the Dockerfile; what the builder said."""
    started = time.monotonic()
    said = buildah(
        "build", "--isolation", "chroot", "--format", "docker", "--layers", "--timestamp", "0", *arguments,
        "--build-arg", "VERSION=0.0.0-test", "--build-arg", "REVISION=test", "--tag", f"{NAME}:{tag}", context,
        within=3000,
    )  # fmt: skip
    print(f"\nimage {tag}: built in {time.monotonic() - started:.0f} s")
    return said


@pytest.fixture(scope="module")
def bases():
    """The `buildah build` arguments that put this machine's base images in."""
    assert os.geteuid() == 0, "the image is built and started as root, or not at all"
    STORAGE.mkdir(parents=True, exist_ok=True)
    return run(HERE / "image-base", STORAGE, within=1200).splitlines()[-10:]


@pytest.fixture(scope="module")
def context(tmp_path_factory):
    """What `docker build` would be given."""
    folder = tmp_path_factory.mktemp("context")
    for name in ["Cargo.toml", "Cargo.lock", "Dockerfile", ".dockerignore"]:
        shutil.copy2(ROOT / name, folder)
    for name in ["src", "config"]:
        shutil.copytree(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def first(bases, context):
    return build(context, "first", bases)


@pytest.fixture(scope="module")
def configuration(first):
    return json.loads(buildah("inspect", "--type", "image", f"{NAME}:first"))["Docker"]["config"]


@pytest.fixture(scope="module")
def root(first):
    """Where the image's root file system is mounted."""
    container = buildah("from", "--pull-never", f"{NAME}:first").strip()
    yield pathlib.Path(buildah("mount", container).strip())
    buildah("umount", container)
    buildah("rm", container)


def files(folder):
    """Path and size of every file."""
    return {
        str(path.relative_to(folder)): path.lstat().st_size
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def test_it_says_how_it_is_to_be_run(configuration):
    assert configuration["User"] == "65532:65532"
    assert configuration["Entrypoint"] == ["/usr/local/bin/iam-user-controller"]
    assert configuration["Cmd"] == ["run"]
    assert configuration["ExposedPorts"] == {"8080/tcp": {}}
    assert configuration["Healthcheck"]["Test"] == ["CMD", "/usr/local/bin/iam-user-controller", "health"]
    labels = configuration["Labels"]
    assert labels["org.opencontainers.image.title"] == "iam-user-controller"
    assert labels["org.opencontainers.image.version"] == "0.0.0-test"
    assert labels["org.opencontainers.image.revision"] == "test"
    assert "SECRET" not in json.dumps(configuration).upper()


def test_it_adds_little_to_its_base(root):
    base = buildah("from", "--pull-never", "localhost/base-runtime:bookworm").strip()
    try:
        before = files(pathlib.Path(buildah("mount", base).strip()))
    finally:
        buildah("umount", base)
        buildah("rm", base)
    added = {name: size for name, size in files(root).items() if before.get(name) != size}
    print("\n".join(f"{size / MIB:6.1f} MiB  {name}" for name, size in sorted(added.items())))
    assert added.keys() == {"usr/local/bin/iam-user-controller", "etc/ssl/certs/ca-certificates.crt"}
    total = sum(added.values()) / MIB
    print(f"{total:6.1f} MiB  without its base")
    assert total <= 35


def test_what_the_program_is_linked_with_is_in_the_base(root):
    said = run("chroot", root, "/lib64/ld-linux-x86-64.so.2", "--list", "/usr/local/bin/iam-user-controller")
    assert "not found" not in said and "libc.so.6" in said


@pytest.fixture
def as_ecs_would(root, tmp_path, monkeypatch):
    """A command that starts the image's program: read-only root, nobody, no new privileges."""
    script = tmp_path / "start"
    script.write_text(
        "#!/bin/sh\n"
        f"exec unshare --mount sh -c 'mount --bind {root} {root} && mount -o remount,bind,ro {root} &&\n"
        f"    exec setpriv --no-new-privs chroot --userspec=65532:65532 --groups=65532 {root} \"$@\"' start \\\n"
        '    /usr/local/bin/iam-user-controller "$@"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("IAM_USER_CONTROLLER", str(script))
    return script


def test_the_main_job_with_a_read_only_root_as_nobody(as_ecs_would, tmp_path):
    emulator = emulators.fakecloud(tmp_path)
    account = Account(dict.fromkeys(["iam", "sts", "ssm", "kms", "dynamodb", "dynamodbstreams"], emulator.url))
    account.create_users_table("users")
    account.create_state_table("users-controller")
    boundary = account.create_boundary("boundary")
    settings = {"IUC_TABLE__NAME": "users", "IUC_USERS__PERMISSIONS_BOUNDARY": boundary}
    daemon = Daemon(account.environment() | settings, tmp_path / "daemon.log")
    try:
        daemon.start()
        status = pathlib.Path(f"/proc/{daemon.process.pid}/status").read_text()
        assert re.search(r"^Uid:\t65532\t65532\t65532\t65532$", status, re.M), status
        assert re.search(r"^CapEff:\t0+$", status, re.M) and re.search(r"^NoNewPrivs:\t1$", status, re.M), status
        mounts = pathlib.Path(f"/proc/{daemon.process.pid}/mountinfo").read_text()
        assert re.search(r" / ro,", mounts), mounts

        code, _, errors = daemon.run("health")
        assert code == 0, errors
        account.put_row("users", "mail-relay")
        eventually(lambda: account.current("mail-relay"), 30, "the key is published")
        account.delete_row("users", "mail-relay")
        eventually(lambda: account.user("mail-relay") is None, 30, "the user goes with its row")
        assert daemon.stop() == 0
        assert daemon.run("health")[0] == 1
    except AssertionError as error:
        raise AssertionError(f"{error}\n{daemon.text()[-4000:]}") from error
    finally:
        daemon.kill()
        emulator.stop()


def test_a_change_of_the_source_keeps_the_dependency_layer_and_the_same_source_the_same_image(first, bases, context):
    """A comment changes no instruction: the layer of dependencies is taken from the cache, the program
    is compiled anew, and comes out the same, byte for byte."""
    with open(context / "src" / "main.rs", "a") as source:
        source.write("// A comment.\n")
    said = build(context, "second", bases)
    steps = re.split(r"^\[\d/2\] STEP ", said, flags=re.M)
    dependencies = next(step for step in steps if "RUN mkdir src" in step)
    program = next(step for step in steps if "RUN find src" in step)
    assert "Using cache" in dependencies
    assert "Using cache" not in program and "Compiling iam-user-controller" in program
    assert digest("second") == digest("first")


def digest(tag):
    """Of all layers and the configuration."""
    return json.loads(buildah("inspect", "--type", "image", f"{NAME}:{tag}"))["FromImageID"]
