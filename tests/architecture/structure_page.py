"""Writes ``docs/structure.md`` from what each module says of itself first: ``make docs``."""

import ast
import re
from collections.abc import Iterator
from itertools import dropwhile, takewhile
from pathlib import PurePath

from tests.architecture.repository import ROOT, files

INTRODUCTION = """\
# Structure

Every module in a sentence, the first it says of itself; this page is written by `make docs`. Which
package may import which is checked by `make check` (`tool.importlinter` in `pyproject.toml`), and
why things are cut this way is in [the decisions](adr/README.md).
"""

# In the order in which a newcomer would read them.
FOLDERS = {
    "protos/batchscribe/v1": "The public contract. Its comments are the reference for users.",
    "protos/batchscribe/transcriber/v1": "The contract inside a deployment.",
    "clients/python/batchscribe/client": "The SDK: needs gRPC and nothing else.",
    "clients/python/batchscribe/cli": "The command `batchscribe`.",
    "clients/python/batchscribe/local": "The whole service on one machine, as child processes.",
    "gateway": "Takes batches, keeps their state, spreads their videos over transcribers.",
    "gateway/store": "State in Redis: one Lua script for each transition.",
    "gateway/store/prelude": "What every script begins with: records, events, queues, quota, "
    "items, results, messages, batches, accounts, in this order.",
    "gateway/http": "The REST edge, a gRPC client of its own gateway.",
    "transcriber": "Turns one video into a transcript; knows no batch, no user, no Redis.",
    "transcriber/fetch": "The child process that talks to the network and reads media.",
    "transcriber/engine": "The child process that holds the models.",
    "servicekit": "What both services share.",
    "samples": "Spoken clips for the demo and the tests.",
    "bench": "What is measured, and how.",
    "bench/arq": "The peer that the gateway is measured beside.",
}


def modules() -> dict[str, str]:
    """Return what each source module says of itself first, by path."""
    tops = {folder.split("/")[0] for folder in FOLDERS} - {"protos"}
    paths = files("protos/batchscribe/*", *(f"{top}/*" for top in tops))
    said = {path: first_sentence(path) for path in paths if not path.endswith("/__init__.py")}
    return {path: sentence for path, sentence in said.items() if sentence}


def first_sentence(path: str) -> str:
    readers = {".py": of_python, ".lua": of_lua, ".proto": of_proto}
    read = readers.get(PurePath(path).suffix)
    text = " ".join(read((ROOT / path).read_text()).split()) if read else ""
    return re.split(r"(?<=\.) ", text)[0].replace("``", "`")


def of_python(source: str) -> str:
    return (ast.get_docstring(ast.parse(source)) or "").split("\n\n")[0]


def of_lua(source: str) -> str:
    """Return the comment at the top without the signature, whose lines begin in lower case."""
    return "\n".join(dropwhile(lambda line: line[:1].islower(), comment(source, "--")))


def of_proto(source: str) -> str:
    return "\n".join(comment(source, "//"))


def comment(source: str, mark: str) -> list[str]:
    """Return the first paragraph of the first comment, by lines."""
    lines = dropwhile(lambda line: not line.startswith(mark), source.splitlines())
    block = takewhile(lambda line: line.startswith(mark), lines)
    return list(takewhile(bool, (line.removeprefix(mark).strip() for line in block)))


def sections() -> Iterator[str]:
    known = modules()
    for folder, purpose in FOLDERS.items():
        here = {path: said for path, said in known.items() if path.rpartition("/")[0] == folder}
        lines = (f"- `{PurePath(path).name}`: {said}" for path, said in here.items())
        if here:
            yield "\n".join((f"## `{folder}/`", "", purpose, "", *lines, ""))


def page() -> str:
    return "\n".join((INTRODUCTION, *sections()))


if __name__ == "__main__":
    print(page(), end="")
