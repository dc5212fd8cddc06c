"""Which videos a job is about: the addresses given, but for what is there already."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from batchscribe.cli.files import TranscriptFolder, part_of
from batchscribe.cli.session import Misuse
from batchscribe.v1 import batch_pb2


def all_given(urls: Sequence[str], lines: Iterable[str]) -> list[str]:
    """Return the addresses among the arguments and in a file; Misuse if there is none."""
    try:
        listed = [line.strip() for line in lines]
    except UnicodeDecodeError as error:
        raise Misuse("What -f names is no text: put an address on each line.") from error
    given = [*urls, *(line for line in listed if line and not line.startswith("#"))]
    if not given:
        raise Misuse("Give at least one address, or a file of them with -f.")
    return [_address_of(one) for one in given]


def missing(
    urls: Sequence[str],
    clip: batch_pb2.Clip | None,
    folder: TranscriptFolder,
    announce: Callable[[str], None],
) -> list[str]:
    """Leave out what ``folder`` holds already, and say so."""
    found = {url: folder.find(part_of(url, clip)) for url in urls}
    for path in filter(None, found.values()):
        announce(f"already there  {path}")
    return [url for url in urls if not found[url]]


def _address_of(text: str) -> str:
    """Return the address of a file that is there, and anything else as it is."""
    path = Path(text)
    return path.absolute().as_uri() if "://" not in text and path.is_file() else text
