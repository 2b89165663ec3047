"""Every kind of stream will do: only the keys of a record are relied on."""

import time

import pytest

from streams import NEVER
from waiting import eventually


@pytest.mark.parametrize("view", ["KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES"])
def test_rows_come_and_go_on_a_stream_of_any_view(view, world):
    account, user = world.account, world.name()
    if view != "KEYS_ONLY":
        account.ddb.delete_table(TableName=world.table)
        account.create_users_table(world.table, view)
    described = account.ddb.describe_table(TableName=world.table)["Table"]["StreamSpecification"]
    assert described["StreamViewType"] == view
    daemon = world.daemon(SWEEP__SCHEDULE=NEVER, ORPHANS__ACTION="report").start()
    world.put(user, team={"S": "mail"})
    eventually(lambda: world.settled(user), 20, f"{user} is complete")
    world.put(user, team={"S": "post"}, since={"N": "1"})
    # Times are told in whole seconds: the row goes clearly after the user was made.
    time.sleep(1.1)
    world.delete(user)
    eventually(lambda: account.assert_gone(user), 20, f"{user} is gone")
    assert daemon.metric("stream_records_total", kind="removed") == 1
    assert daemon.metric("stream_records_total", kind="written") == 2
    assert daemon.stop() == 0
