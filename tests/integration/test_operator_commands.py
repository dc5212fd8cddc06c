"""``python -m gateway keys|users|secrets|audit`` beside a real Redis."""

import asyncio

import pytest
from typer.testing import CliRunner, Result

from gateway.access import Caller, KeyRing, Role
from gateway.commands import app
from gateway.errors import Unauthenticated
from gateway.secret_box import SecretBox, new_key
from gateway.store import Accounts, Outbox, connect


@pytest.fixture(autouse=True)
def store(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Address of an empty Redis, which the commands find in the environment."""
    monkeypatch.setenv("GATEWAY_REDIS_URL", redis_url)
    return redis_url


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def done(*arguments: str) -> str:
    """Return what a command printed that had to succeed."""
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    return result.stdout.strip()


def caller_of(url: str, key: str) -> Caller:
    async def ask() -> Caller:
        async with connect(url) as redis:
            return await KeyRing(Accounts(redis)).caller_of([f"Bearer {key}"])

    return asyncio.run(ask())


def test_a_key_is_printed_once_and_opens(store: str) -> None:
    """What ``keys create`` prints is a key of the user; ``keys list`` shows its id alone."""
    key = done("keys", "create", "--user", "ann", "--tier", "unlimited", "--label", "laptop")
    assert caller_of(store, key).user == "ann"
    assert caller_of(store, key).tier == "unlimited"
    listed = done("keys", "list")
    assert key.split("_")[1] in listed
    assert "laptop" in listed
    assert key.split("_")[2] not in listed


def test_a_second_key_changes_nothing_about_its_user(store: str) -> None:
    """Tier and role are those of the user, whatever keys there are."""
    done("users", "set", "ann", "--tier", "unlimited", "--role", "admin")
    second = done("keys", "create", "--user", "ann")
    assert caller_of(store, second).role is Role.ADMIN
    assert caller_of(store, second).tier == "unlimited"


def test_a_revoked_key_is_shown_as_such(store: str) -> None:
    """``keys revoke`` takes the id, and the key opens nothing any more."""
    key = done("keys", "create", "--user", "ann", "--expires", "90d")
    done("keys", "revoke", key.split("_")[1])
    with pytest.raises(Unauthenticated):
        caller_of(store, key)
    assert run("keys", "revoke", "nobody").exit_code == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("keys", "create", "--user", "Ann/b"),
        ("keys", "create", "--user", "ann", "--expires", "soon"),
        ("keys", "create", "--user", "ann", "--expires", "0d"),
        ("keys", "create", "--user", "ann", "--tier", "gold"),
        ("keys", "create"),
    ],
)
def test_what_cannot_be_is_refused(arguments: tuple[str, ...]) -> None:
    """Bad names, spans and tiers are said, and nothing is made."""
    assert run(*arguments).exit_code in (1, 2)
    assert len(done("users", "list").splitlines()) == 1


def test_what_operators_do_is_on_record() -> None:
    """``audit`` tells who made, changed and revoked what."""
    key = done("keys", "create", "--user", "ann")
    done("users", "set", "ann", "--role", "admin")
    done("keys", "revoke", key)
    actions = [line.split("  ")[2].strip() for line in done("audit").splitlines()[1:]]
    assert [action.split("  ")[0] for action in actions] == ["revoke key", "set user", "create key"]


def test_secrets_are_sealed_anew(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After ``secrets reseal`` the first key alone opens what signs webhooks."""
    old, new = new_key(), new_key()

    async def signing(box: SecretBox) -> list[str]:
        async with connect(store) as redis:
            return await Outbox(redis, box).secrets("ann", "whsec_spare")

    assert asyncio.run(signing(SecretBox())) == ["whsec_spare"]
    for keys in (old, f"{new},{old}", new):
        monkeypatch.setenv("GATEWAY_ENCRYPTION_KEYS", keys)
        done("secrets", "reseal")
    assert asyncio.run(signing(SecretBox([new]))) == ["whsec_spare"]
    monkeypatch.setenv("GATEWAY_ENCRYPTION_KEYS", old)
    assert run("secrets", "reseal").exit_code == 1


def test_nothing_secret_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that is wrong is named, its value is not; an address keeps its password."""
    monkeypatch.setenv("GATEWAY_API_KEY", "planted-secret")
    refused = run("users", "list")
    assert refused.exit_code == 1
    assert "GATEWAY_API_KEY" in refused.stderr
    monkeypatch.delenv("GATEWAY_API_KEY")
    monkeypatch.setenv("GATEWAY_REDIS_URL", "redis://:planted-secret@127.0.0.1:1/0")
    away = run("users", "list")
    assert away.exit_code == 1
    assert "planted-secret" not in refused.output + refused.stderr + away.output + away.stderr
