"""Asks a server of ours for its health: ``python -m servicekit.probe HOST:PORT``, 0 if it serves.

For container engines whose health checks are commands; Kubernetes asks by itself. A server that
speaks TLS is asked with ``HOST:PORT NAME CA_FILE [CERT_FILE KEY_FILE]``.
"""

import sys
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2

from servicekit.tls import PemFiles

_TIMEOUT_SECONDS = 2.0


def is_serving(address: str, name: str = "", files: PemFiles | None = None) -> bool:
    """Return whether the whole server behind ``address`` says SERVING in time.

    ``name`` is what its certificate has to be for.
    """
    with _channel(address, name, files) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            health_pb2.HealthCheckRequest.SerializeToString,
            health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = check(health_pb2.HealthCheckRequest(), timeout=_TIMEOUT_SECONDS)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _channel(address: str, name: str, files: PemFiles | None) -> grpc.Channel:
    if files is None:
        return grpc.insecure_channel(address)
    options = [("grpc.ssl_target_name_override", name)]
    return grpc.secure_channel(address, files.channel_credentials(), options)


def _answer(address: str, name: str = "", *paths: str) -> bool:
    ca, cert, key = (*map(Path, paths), None, None, None)[:3]
    return is_serving(address, name, PemFiles(cert, key, ca) if ca else None)


if __name__ == "__main__":
    sys.exit(not _answer(*sys.argv[1:]))
