"""An ASGI application served inside the event loop that is already running."""

import asyncio
import socket
from contextlib import AbstractContextManager, nullcontext

import uvicorn
from fastapi import FastAPI

from servicekit.tls import PemFiles

_GRACE_SECONDS = 5
# uvicorn's own 5 s is how often clients like to poll: their connections would break as they ask.
_KEEP_ALIVE_SECONDS = 65


class HttpServer:
    """A server that listens; ``stop`` ends it."""

    def __init__(self, app: FastAPI, listener: socket.socket, tls: PemFiles | None = None) -> None:
        config = uvicorn.Config(
            app,
            access_log=False,
            lifespan="off",
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            ws="none",
            ssl_context_factory=(lambda *_: tls.server_context()) if tls else None,
        )
        self.port: int = listener.getsockname()[1]
        self._server = _WithoutSignals(config)
        self._serving = asyncio.create_task(self._server.serve([listener]))

    async def stop(self) -> None:
        """Take no more requests, let open ones end within seconds."""
        self._server.should_exit = True
        await self._serving


async def serve_http(app: FastAPI, host: str, port: int, tls: PemFiles | None = None) -> HttpServer:
    """Serve ``app`` until ``stop``; port 0 takes any. Raises OSError if it cannot listen."""
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family)
    # Connections inherit it. Without, each answer's body waits 40 ms for the head to be confirmed.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return HttpServer(app, listener, tls)


class _WithoutSignals(uvicorn.Server):
    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        return nullcontext()  # The process drains as a whole, on signals of its own.
