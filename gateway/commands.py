"""What operators do beside Redis: ``python -m gateway keys|users|usage|secrets|audit|doctor``.

The commands read the settings of the gateway and change nothing but Redis, so they work wherever a
gateway would. Gateways that run follow within a minute.
"""

import asyncio
import getpass
import re
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, NoReturn, TypeVar

import typer
from pydantic import ValidationError
from redis.asyncio import Redis
from rich.console import Console
from rich.table import Table

from gateway.access import Role
from gateway.api_key import ApiKey
from gateway.doctor import examine
from gateway.errors import StoreUnavailable
from gateway.secret_box import SealedForOthers, new_key
from gateway.settings import Settings
from gateway.store import Accounts, Ledger, NewKey, Outbox, StoredKey, connect
from gateway.tiers import STANDARD
from gateway.usage_export import FileFormat, Row, row, write
from servicekit.findings import tell
from servicekit.settings import problems

T = TypeVar("T")

app = typer.Typer(
    name="python -m gateway",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Without a command: run a gateway.",
)
keys = typer.Typer(no_args_is_help=True, help="Keys that callers present.")
users = typer.Typer(no_args_is_help=True, help="Users, their tiers and roles.")
usage = typer.Typer(no_args_is_help=True, help="What users have had.")
secrets = typer.Typer(no_args_is_help=True, help="What seals secrets in Redis.")
for name, commands in (("keys", keys), ("users", users), ("usage", usage), ("secrets", secrets)):
    app.add_typer(commands, name=name)

_USER = re.compile(r"[a-z0-9][a-z0-9._@-]{0,63}")
_SPAN = re.compile(r"([1-9]\d{0,4})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_MONTH = re.compile(r"20\d\d-(0[1-9]|1[0-2])")
# A table that is piped is not cut to a width that nobody sees.
_WIDE = 1000


def _month(text: str) -> str:
    if not _MONTH.fullmatch(text):
        raise typer.BadParameter("A year and a month, such as 2026-11.")
    return text


def _user(text: str) -> str:
    if not _USER.fullmatch(text):
        raise typer.BadParameter("1 to 64 of a-z, 0-9, '.', '_', '@' and '-'.")
    return text


def _span(text: str) -> timedelta:
    found = _SPAN.fullmatch(text)
    if not found:
        raise typer.BadParameter("A number and m, h or d, such as 90d.")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


UserOption = Annotated[str, typer.Option("--user", parser=_user, metavar="USER", help="Whose.")]
UserArgument = Annotated[str, typer.Argument(parser=_user, metavar="USER")]
TierOption = Annotated[
    str, typer.Option(help="What the user may do; a new user is standard, a known one stays.")
]
RoleOption = Annotated[
    Role | None, typer.Option(help="An admin may read the batches of every user.")
]


@keys.command("create")
def create_key(
    user: UserOption,
    tier: TierOption = "",
    role: RoleOption = None,
    expires: Annotated[
        timedelta | None,
        typer.Option(parser=_span, metavar="SPAN", help="Life of the key, such as 90d."),
    ] = None,
    label: Annotated[str, typer.Option(help="What the key is for.")] = "",
) -> None:
    """Make a key for a user, who need not be known before, and print it."""
    key = ApiKey.new()
    ttl_ms = int(expires.total_seconds() * 1000) if expires else 0
    new = NewKey(key.key_id, key.digest, label, ttl_ms)
    _run(
        lambda accounts: accounts.enrol(
            _me(), new, user, tier=_known(tier), role=role or "", default_tier=STANDARD
        )
    )
    print(key.text)
    _say("Keep it: it cannot be shown again.")


@keys.command("list")
def list_keys(
    user: Annotated[
        str | None, typer.Option(parser=_user, metavar="USER", help="Only those of this user.")
    ] = None,
) -> None:
    """Show who has which keys; what they open with is kept nowhere."""

    async def found(accounts: Accounts) -> list[StoredKey]:
        names = [user] if user else [account.user for account in await accounts.accounts()]
        return [key for name in names for key in await accounts.keys_of(name)]

    table = _table("KEY", "USER", "CREATED", "EXPIRES", "REVOKED", "LABEL")
    for key in _run(found):
        times = map(_when, (key.created_ms, key.end_ms, key.revoked_ms))
        table.add_row(key.key_id, key.user, *times, key.label)
    _show(table)


@keys.command("revoke")
def revoke_key(
    key: Annotated[str, typer.Argument(metavar="KEY", help="Its id, or all of it.")],
) -> None:
    """End a key; no gateway takes it after a minute at most, open streams included."""
    whole = ApiKey.parse(key)
    key_id = whole.key_id if whole else key
    if not _run(lambda accounts: accounts.revoke(_me(), key_id)):
        _fail(f"There is no key {key_id!r}: see `python -m gateway keys list`.")
    _say(f"Key {key_id} is revoked.")


@users.command("list")
def list_users() -> None:
    """Show every user."""
    table = _table("USER", "TIER", "ROLE", "CREATED")
    for account in _run(lambda accounts: accounts.accounts()):
        table.add_row(account.user, account.tier, account.role, _when(account.created_ms))
    _show(table)


@users.command("set")
def set_user(user: UserArgument, tier: TierOption = "", role: RoleOption = None) -> None:
    """Set the tier or the role of a user, who need not be known before."""
    _run(
        lambda accounts: accounts.set_account(
            _me(), user, tier=_known(tier), role=role or "", default_tier=STANDARD
        )
    )
    _say(f"User {user} is set.")


@usage.command("export")
def export_usage(
    month: Annotated[
        str, typer.Option(parser=_month, metavar="MONTH", help="Such as 2026-11, in UTC.")
    ],
    file_format: Annotated[FileFormat, typer.Option("--format")] = FileFormat.CSV,
) -> None:
    """Write what each user has had in a month to standard output; kept for 400 days."""

    async def rows(redis: Redis) -> list[Row]:
        return [row(user, had) async for user, had in Ledger(redis).month(month)]

    write(_beside_redis(rows), file_format, sys.stdout)


@secrets.command("new-key")
def new_encryption_key() -> None:
    """Print a key for GATEWAY_ENCRYPTION_KEYS."""
    print(new_key())


@secrets.command("reseal")
def reseal_secrets() -> None:
    """Seal what signs webhooks with the first of GATEWAY_ENCRYPTION_KEYS, so that others may go."""
    box = _settings().secret_box

    async def reseal(redis: Redis) -> int:
        outbox = Outbox(redis)
        stored = await outbox.stored_secrets()
        for user, old in stored:
            await outbox.reseal(user, old, box.seal(box.open(old)))
        return len(stored)

    try:
        _say(f"{_beside_redis(reseal)} secrets are sealed with the first key.")
    except SealedForOthers:
        _fail("A key that sealed a secret is missing: add it to GATEWAY_ENCRYPTION_KEYS.")


@app.command()
def audit(
    count: Annotated[int, typer.Option("-n", min=1, help="How many entries.")] = 50,
) -> None:
    """Show what operators did last, the newest first."""
    table = _table("TIME", "BY", "ACTION", "USER", "SUBJECT")
    for entry in _run(lambda accounts: accounts.audited(count)):
        table.add_row(_when(entry.at_ms), entry.by, entry.action, entry.user, entry.subject)
    _show(table)


@app.command()
def doctor(
    json_lines: Annotated[bool, typer.Option("--json", help="Print JSON, a line each.")] = False,
) -> None:
    """Look at Redis, transcribers and certificates as a gateway does; 1 if anything fails."""
    if not tell(asyncio.run(examine(_settings())), json_lines):
        raise typer.Exit(1)


def _run(job: Callable[[Accounts], Awaitable[T]]) -> T:
    return _beside_redis(lambda redis: job(Accounts(redis)))


def _beside_redis(job: Callable[[Redis], Awaitable[T]]) -> T:
    settings = _settings()

    async def connected() -> T:
        async with connect(settings.redis_url.get_secret_value(), settings.redis_ca_file) as redis:
            return await job(redis)

    try:
        return asyncio.run(connected())
    except StoreUnavailable:
        _fail("Redis does not answer. Is GATEWAY_REDIS_URL the address that gateways use?")


def _settings() -> Settings:
    try:
        return Settings()
    except ValidationError as error:
        _fail(problems(Settings, error))


def _known(tier: str) -> str:
    tiers = _settings().tiers
    if tier and tier not in tiers:
        _fail(f"There is no tier {tier!r}: GATEWAY_TIERS knows {', '.join(sorted(tiers))}.")
    return tier


def _me() -> str:
    return f"operator:{getpass.getuser()}"


def _when(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms // 1000, UTC):%Y-%m-%d %H:%M:%SZ}" if ms else "-"


def _table(*columns: str) -> Table:
    return Table(*columns, box=None, pad_edge=False)


def _show(table: Table) -> None:
    Console(width=None if sys.stdout.isatty() else _WIDE).print(table, markup=False)


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def _fail(sentence: str) -> NoReturn:
    _say(sentence)
    raise typer.Exit(1)
