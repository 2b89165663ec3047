"""No secret access key in any output, at any level."""

from urllib.parse import quote, quote_plus

from waiting import eventually


def test_no_secret_is_ever_said_at_trace(world, figure):
    account = world.account
    users = [world.name("one"), world.name("two@x")]
    proxy = world.proxy()
    daemon = world.daemon(
        proxy, KEYS__ROTATE_AFTER="5s", KEYS__DELETE_AFTER="9s", KEYS__MIN_OVERLAP="2s", LOG__LEVEL="trace"
    )
    daemon.settings(RUST_BACKTRACE="full", RUST_LOG="trace")
    # Errors are where secrets slip out: the first publication is refused, a later one loses its answer.
    publishes = lambda call: call.action == "PutParameter"  # noqa: E731
    proxy.answer(1, 400, "ValidationException", publishes)
    proxy.after(3, None, publishes)
    proxy.answer(2, 500, "InternalServerError", lambda call: call.action == "GetParameter")
    daemon.start()
    for user in users:
        world.put(user)
    for user in users:
        # After a publication that was refused, the next mint waits for a minute.
        first = eventually(lambda: account.current(user), 100, f"{user} has a key")[0]
        eventually(lambda: account.current(user)[0] != first, 60, f"{user} is rotated")
    # A document that somebody broke must not be quoted either.
    broken = "broken-Secret/document+0123456789abcdefghij"
    account.ssm.put_parameter(
        Name=world.parameter_name(users[0]), Type="SecureString", Overwrite=True, Value='{"current": "' + broken + '"'
    )
    daemon.wait_sweeps(2)
    for page in ("/status", "/users", f"/users/{users[0]}", f"/users/{quote(users[1])}", "/metrics", "/healthz"):
        assert daemon.get(page)[0] in (200, 503), page
    for command in (["plan"], ["plan", "--json"], ["plan", "--user", users[0]]):
        daemon.run(*command)
    daemon.stop()
    daemon.run("sweep")

    secrets = proxy.secrets | {broken}
    assert len(secrets) > 5, "the test has seen the secrets"
    output = daemon.text() + daemon.pages.decode(errors="replace")
    assert len(output) > 10_000, "trace says much"
    figure(f"secrets: {len(secrets)} looked for in {len(output)} characters of trace and pages")
    for secret in secrets:
        for form in {secret, quote(secret), quote_plus(secret), quote(secret, safe=""), secret[:20], secret[-20:]}:
            at = output.find(form)
            assert at < 0, f"a secret was said: ...{output[max(0, at - 200):at]}"
