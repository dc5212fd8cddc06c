"""Asks a server of ours for its health: ``python -m servicekit.probe HOST:PORT``, 0 if it serves.

For container engines whose health checks are commands; Kubernetes asks by itself.
"""

import sys

import grpc
from grpc_health.v1 import health_pb2

_TIMEOUT_SECONDS = 2.0


def is_serving(address: str) -> bool:
    """Return whether the whole server behind ``address`` says SERVING in time."""
    with grpc.insecure_channel(address) as channel:
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


if __name__ == "__main__":
    sys.exit(not is_serving(sys.argv[1]))
