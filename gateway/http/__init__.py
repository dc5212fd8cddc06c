"""The HTTP edge: the REST routes of the original plan, over this gateway's own gRPC service.

A gRPC client like any other. It holds no rule and no state, so both doors accept and refuse the
same.
"""

from gateway.http.app import create_app
from gateway.http.serving import HttpServer, serve_http

__all__ = ["HttpServer", "create_app", "serve_http"]
