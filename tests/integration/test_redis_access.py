"""Redis as it should be run: over TLS, for a user who may do what gateways do and no more."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from batchscribe.v1.batch_pb2 import BatchState
from redis.exceptions import NoPermissionError

from gateway.errors import StoreUnavailable
from gateway.store import BatchStore, connect, scripts
from tests.architecture.repository import ROOT
from tests.certificates import Authority
from tests.integration.test_faults import CALLS, make_world
from tests.redis_proxy import proxied
from tests.running_gateway import running_gateway
from tests.scripted_transcriber import ScriptedTranscriber, running
from tests.valkey import Valkey

PASSWORD = "of-the-test"


def documented_rules() -> list[str]:
    """Return the rules that docs/security.md gives for the user of gateways."""
    text = (ROOT / "docs/security.md").read_text()
    found = re.search(r"^user batchscribe on >PASSWORD\s(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert found
    return found[1].replace("\\\n", " ").split()


@pytest.fixture
def restricted_url(valkey: Valkey) -> Iterator[str]:
    """Address of an empty Redis for a user with the documented rules."""
    valkey.flush()
    with redis.Redis.from_url(valkey.url) as admin:
        admin.execute_command(
            "ACL", "SETUSER", "batchscribe", "on", f">{PASSWORD}", *documented_rules()
        )
        admin.execute_command("ACL", "LOG", "RESET")
        yield f"unix://batchscribe:{PASSWORD}@{valkey.path}"
        admin.execute_command("ACL", "DELUSER", "batchscribe")


def denied(valkey: Valkey) -> list[object]:
    """Return what the user asked for and may not do."""
    with redis.Redis.from_url(valkey.url) as admin:
        return list(admin.execute_command("ACL", "LOG"))


async def test_a_gateway_needs_no_more_than_is_documented(
    valkey: Valkey, restricted_url: str
) -> None:
    """A whole batch is served by a user with the rules of docs/security.md."""
    async with (
        running(ScriptedTranscriber()) as transcriber,
        running_gateway(restricted_url, [transcriber.address]) as gateway,
    ):
        batch = await gateway.create("http://x/1", "http://x/2")
        assert (await gateway.ended(batch.batch_id)).state == BatchState.BATCH_STATE_SUCCEEDED
    assert denied(valkey) == []


@pytest.mark.parametrize("name", scripts.NAMES)
async def test_every_script_runs_under_the_documented_rules(
    valkey: Valkey, restricted_url: str, name: str
) -> None:
    """No script does what the documented user may not."""
    async with connect(restricted_url) as client:
        world = await make_world(valkey.url, client)
        await CALLS[name](world)
    assert denied(valkey) == []


def test_the_rules_name_every_command_of_the_scripts() -> None:
    """Also those that a test may not have come by; and none that nobody uses."""
    source = "".join(scripts.source(name) for name in scripts.NAMES)
    used = {command.lower() for command in re.findall(r"redis\.call\('([A-Z]+)'", source)}
    allowed = {rule.removeprefix("+") for rule in documented_rules() if rule.startswith("+")}
    assert used <= allowed


@pytest.mark.parametrize(
    "command", [("FLUSHALL",), ("KEYS", "*"), ("CONFIG", "SET", "dir", "/"), ("GET", "other"),
                ("ACL", "LIST"), ("SHUTDOWN",), ("MONITOR",)],
)  # fmt: skip
def test_the_user_may_do_nothing_else(valkey: Valkey, command: tuple[str, ...]) -> None:
    """What no gateway does is denied, and so are the keys of others."""
    with redis.Redis.from_url(valkey.url) as admin:
        admin.execute_command("ACL", "SETUSER", "other", "on", f">{PASSWORD}", *documented_rules())
        with (
            redis.Redis.from_url(f"unix://other:{PASSWORD}@{valkey.path}") as client,
            pytest.raises(NoPermissionError),
        ):
            client.execute_command(*command)
        admin.execute_command("ACL", "DELUSER", "other")


async def test_redis_is_reached_over_tls(valkey: Valkey, tmp_path: Path) -> None:
    """A rediss:// address works with the authority of the settings, and with no other."""
    valkey.flush()
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    tls = ours.issue("redis", "127.0.0.1").server_context()
    async with proxied(valkey.path, tls) as proxy:
        async with connect(proxy.url, theirs.ca) as client:
            with pytest.raises(StoreUnavailable):
                await BatchStore(client).batch_ids("ann", None, 1)
        async with (
            running(ScriptedTranscriber()) as transcriber,
            running_gateway(proxy.url, [transcriber.address], redis_ca_file=ours.ca) as gateway,
        ):
            batch = await gateway.create("http://x/1")
            assert (await gateway.ended(batch.batch_id)).state == BatchState.BATCH_STATE_SUCCEEDED
