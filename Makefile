VENV := .venv
BIN := $(VENV)/bin
PROTOS := $(sort $(shell find protos/batchscribe -name "*.proto"))
SERVICES := $(filter %_service.proto,$(PROTOS))

.PHONY: proto
proto:
	rm -rf protos/gen && mkdir -p protos/gen
	$(BIN)/python -m grpc_tools.protoc -Iprotos --plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy \
	  --python_out=protos/gen --mypy_out=protos/gen $(PROTOS)
	$(BIN)/python -m grpc_tools.protoc -Iprotos --plugin=protoc-gen-mypy_grpc=$(BIN)/protoc-gen-mypy_grpc \
	  --grpc_python_out=protos/gen --mypy_grpc_out=only_async:protos/gen $(SERVICES)
