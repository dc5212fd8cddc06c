"""Who shares a child with whom."""

import asyncio

from tests.support import wait_until
from transcriber.isolation import Room


async def test_many_share_and_one_is_alone() -> None:
    """A job that is to be alone waits for the others to leave, and none enters before it left."""
    room, log = Room(), []
    may_leave = asyncio.Event()

    async def share(name: str, until: asyncio.Event) -> None:
        async with room.shared():
            log.append(f"{name} in")
            await until.wait()
            log.append(f"{name} out")

    async def be_alone() -> None:
        async with room.alone():
            log.append("alone")

    first = [asyncio.create_task(share(name, may_leave)) for name in "ab"]
    await wait_until(lambda: len(log) == 2)
    alone = asyncio.create_task(be_alone())
    await asyncio.sleep(0)
    late = asyncio.create_task(share("c", may_leave))
    await asyncio.sleep(0)
    assert log == ["a in", "b in"]
    may_leave.set()
    await asyncio.gather(*first, alone, late)
    assert log.index("alone") == 4
    assert log[5:] == ["c in", "c out"]


async def test_giving_up_waiting_lets_the_others_in() -> None:
    """A job that is cancelled while it waits to be alone does not keep the room closed."""
    room, until = Room(), asyncio.Event()

    async def share() -> None:
        async with room.shared():
            await until.wait()

    async def be_alone() -> None:
        async with room.alone():
            pass

    first = asyncio.create_task(share())
    await asyncio.sleep(0)
    alone = asyncio.create_task(be_alone())
    await asyncio.sleep(0)
    alone.cancel()
    second = asyncio.create_task(share())
    await asyncio.sleep(0)
    until.set()
    await asyncio.wait_for(asyncio.gather(first, second), 1)
    assert alone.cancelled()
