"""The state table is looked at before anything else: what is wrong with it ends the program, with the remedy."""

from proxy import mutating
from waiting import eventually


def to_state_table(world):
    """The calls to the state table."""
    return lambda call: call.parameters.get("TableName") == world.table + "-controller"


def refusal(world, *command, **settings):
    """What the program says when it ends by itself, having changed nothing."""
    proxy = world.proxy()
    daemon = world.daemon(proxy, **settings)
    for rule in world.refused:
        proxy.answer(1, 400, "AccessDeniedException", rule, repeat=True)
    code, out, err = daemon.run(*command, within=60)
    assert code == 1, (code, out, err)
    assert not proxy.since(matches=mutating), list(map(str, proxy.since()))
    return out + err


def test_a_state_table_that_will_not_do_is_refused_with_the_remedy(world):
    world.put(world.name())
    other = world.name("orders")
    world.account.create_users_table(other)
    world.refused = []
    for command in ("run", "sweep", "check"):
        # Missing.
        said = refusal(world, command, STATE__TABLE="no-state")
        assert "no-state" in said and "does not exist" in said
        assert "aws dynamodb create-table --table-name no-state" in said and "AttributeName=Id,KeyType=HASH" in said
        # A table of something else.
        said = refusal(world, command, STATE__TABLE=other)
        assert other in said and "another key" in said and "aws dynamodb create-table" in said
        assert "state.table" in said, "it says how to name another one"
    state = world.table + "-controller"
    at_state = to_state_table(world)
    world.refused = [lambda call: call.action in ("PutItem", "UpdateItem", "DeleteItem") and at_state(call)]
    for command in ("run", "sweep", "check"):
        said = refusal(world, command)
        assert state in said and "cannot be written" in said
        assert "dynamodb:PutItem" in said and f"aws dynamodb create-table --table-name {state}" in said
    # A spectator writes nothing, and needs no place for it.
    code, out, err = world.daemon().run("check", IUC_DRY_RUN="true", IUC_STATE__TABLE="no-state")
    assert code == 0 and "needs no state table" in out, (out, err)


def test_looking_at_the_state_table_leaves_nothing_in_it(world):
    code, out, err = world.daemon().run("check")
    assert code == 0, (out, err)
    assert world.account.ddb.scan(TableName=world.table + "-controller")["Items"] == []


def test_a_lease_record_that_somebody_deletes_costs_nothing(world):
    """What a hundred leaderships before have written is not in the next leader's way."""
    account, state = world.account, world.table + "-controller"
    stays, goes = world.name("stays"), world.name("goes")
    daemon = world.daemon().start()
    for user in (stays, goes):
        world.put(user)
    for user in (stays, goes):
        eventually(lambda: world.settled(user), 20, f"{user} is complete")
    daemon.stop()
    for item in account.ddb.scan(TableName=state)["Items"]:
        account.ddb.put_item(TableName=state, Item=item | {"Token": {"N": "100"}})
    account.ddb.delete_item(TableName=state, Key={"Id": {"S": "lease"}})
    daemon.start()
    eventually(lambda: daemon.status()["token"] == 101, 20, "it leads once another leader would have noticed")
    world.delete(goes)
    eventually(lambda: account.assert_gone(goes), 40, "a removal is carried out")
    eventually(lambda: world.settled(stays), 20, "the other one stays")
    assert daemon.status()["token"] == 101 and daemon.stop() == 0
