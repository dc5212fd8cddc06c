"""Server reflection in both of its versions, so that grpcurl and buf can list, describe and call.

grpcio-reflection knows v1alpha only. v1 is the same protocol under another name, so both names are
answered by the same servicer. ``buf curl`` needs ``--protocol grpc``: by default it speaks Connect,
which a gRPC server ends with INTERNAL_ERROR.
"""

from collections.abc import Sequence

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, text_format
from google.rpc import error_details_pb2  # noqa: F401 - lets clients read the details of errors.
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha._async import ReflectionServicer

HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
V1 = "grpc.reflection.v1.ServerReflection"
V1ALPHA = "grpc.reflection.v1alpha.ServerReflection"


def enable(server: grpc.aio.Server, service_names: Sequence[str]) -> None:
    """Let ``server`` describe ``service_names``, health and reflection itself to whoever asks."""
    _describe_v1()
    servicer = ReflectionServicer((*service_names, HEALTH, V1, V1ALPHA))
    method = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        tuple(
            grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": method})
            for name in (V1, V1ALPHA)
        )
    )


def _describe_v1() -> None:
    """Add v1's own description, v1alpha's under another name, to what can be asked for."""
    file = descriptor_pb2.FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    text = text_format.MessageToString(file).replace("v1alpha", "v1")
    renamed = text_format.Parse(text, descriptor_pb2.FileDescriptorProto())
    descriptor_pool.Default().AddSerializedFile(renamed.SerializeToString())
