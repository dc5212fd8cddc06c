"""Lists what playlists consist of, for callers that wait.

This takes no slot, so it has a bound of its own; a call that is cancelled stops its work.
"""

from collections.abc import Awaitable, Callable

from batchscribe.transcriber.v1 import transcriber_service_pb2 as contract

from transcriber.tasks import Busy, Draining, Refused

Work = Callable[[contract.ResolveSourceRequest], Awaitable[contract.ResolveSourceResponse]]


class LimitOutOfRange(Refused):
    """A list of no entries was asked for."""


class SourceResolver:
    """``work`` lists a source, ``most`` of them at a time."""

    def __init__(self, work: Work, most: int, is_draining: Callable[[], bool]) -> None:
        self._work = work
        self._most = most
        self._is_draining = is_draining
        self._running = 0

    async def resolve(
        self, request: contract.ResolveSourceRequest
    ) -> contract.ResolveSourceResponse:
        """Return what is at the address or what is wrong with it, or raise a kind of Refused."""
        if request.limit < 1:
            raise LimitOutOfRange
        if self._is_draining():
            raise Draining
        if self._running >= self._most:
            raise Busy
        self._running += 1
        try:
            return await self._work(request)
        finally:
            self._running -= 1
