"""Every name and every attribute that a row can have."""

from waiting import eventually

ODD = {
    "a_string": {"S": ""},
    "a_number": {"N": "-1.5E+100"},
    "some_bytes": {"B": b"\x00\xff"},
    "strings": {"SS": ["a", "b"]},
    "numbers": {"NS": ["1", "2"]},
    "byte_strings": {"BS": [b"\x00", b"\x01"]},
    "map": {"M": {"UserName": {"S": "not-me"}, "deep": {"M": {"deeper": {"L": []}}}}},
    "list": {"L": [{"NULL": True}, {"S": "x"}, {"N": "1"}]},
    "nothing": {"NULL": True},
    "truth": {"BOOL": False},
    "username": {"S": "nor-me"},
    "Users Name/ü": {"S": "☃"},
}


def test_every_valid_name_is_served_and_no_other_name_is_in_the_way(world):
    account = world.account
    valid = [
        world.name("plain-Name_1.x"),
        world.name("all+=,.@_-"),
        world.name("A-Za.z0"),
        (world.prefix + "x" * 64)[:64],
        (world.prefix + "@" * 64)[:64],
        world.name("odd"),
        world.name("-2B"),
        world.name("+"),
    ]
    invalid = [
        world.name("with space"),
        world.name("with/slash"),
        world.name("ünïcode"),
        world.name("star*"),
        (world.prefix + "y" * 65)[:65],
        world.prefix + "z" * 300,
        world.name("nul\x00l"),
        world.name("<script>"),
    ]
    # The invalid ones first, and also the ones that the controller finds when it starts.
    for name in invalid[:4]:
        world.put(name, **ODD)
    daemon = world.daemon().start()
    for name in invalid[4:]:
        world.put(name, **ODD)
    for name in valid:
        world.put(name, **ODD)

    for name in valid:
        eventually(lambda: world.settled(name), 20, f"{name} is complete")
        daemon.wait_state(name, "ready")
    for name in invalid:
        daemon.wait_state(name, "invalid")
        assert daemon.user(name)["reason"]
    listed = str(daemon.json("/users"))
    for name in valid:
        assert name in listed, f"{name} is not in /users"
    assert daemon.metric("users", state="ready") == len(valid)
    assert daemon.metric("users", state="invalid") == len(invalid)
    assert len({world.parameter_name(name) for name in valid}) == len(valid)
    assert "\x00" not in daemon.text(), "a name must not write control characters into the log"

    for name in valid + invalid:
        world.delete(name)
    for name in valid:
        eventually(lambda: account.assert_gone(name), 20, f"{name} is gone")
    for name in invalid:
        eventually(lambda: daemon.state(name) is None, 20, f"{name!r} is forgotten")


def test_of_two_names_that_differ_only_in_case_one_is_served(world):
    account = world.account
    upper, lower = world.name("Twin"), world.name("twin")
    world.put(upper)
    world.put(lower)
    daemon = world.daemon().start()
    eventually(lambda: world.settled(upper), 15, "the first in byte order is served")
    daemon.wait_state(upper, "ready")
    daemon.wait_state(lower, "conflict")
    assert daemon.user(lower)["reason"]
    assert account.user(lower) is None and account.raw_parameter(lower) is None

    # A later twin, first in byte order, does not push out the one that has its user.
    other, late = world.name("b-second"), world.name("B-second")
    world.put(other)
    eventually(lambda: world.settled(other), 15, "it is served")
    world.put(late)
    daemon.wait_state(late, "conflict")
    daemon.wait_sweeps(2)
    key = account.current(other)
    assert world.settled(other) and account.user(late) is None

    # With the served twin's row, its user goes; the other twin then gets one.
    world.delete(other)
    eventually(lambda: account.user(other) is None, 20, "the served twin is gone")
    eventually(lambda: world.settled(late), 60, "the other twin is served")
    assert account.current(late) != key
