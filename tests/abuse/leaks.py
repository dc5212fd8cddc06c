"""Secrets that are planted in a deployment, and where they must not turn up again."""

import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.process_tree import descendants


class Planted:
    """Secrets of operators and of users, by kind."""

    def __init__(self) -> None:
        # What stands in front of the filter's own, which is another one at each start.
        self._secrets = {"login at the filter": "socks5h://fetch:"}
        self.api_key = self.plant("API key", f"bs_abuse_{secrets.token_hex(24)}")

    def plant(self, kind: str, secret: str = "") -> str:
        """Return ``secret``, by default a new one, which is looked for from now on."""
        self._secrets[kind] = secret or secrets.token_hex(12)
        return self._secrets[kind]

    def cookies_file(self, folder: Path) -> Path:
        """Write the cookies that yt-dlp is given."""
        path = folder / "cookies.txt"
        path.write_text(
            "# Netscape HTTP Cookie File\n"
            f"public.example\tFALSE\t/\tFALSE\t2147483647\tsession\t{self.plant('cookie')}\n"
        )
        return path

    def found_in(self, texts: Iterable[tuple[str, str]]) -> list[str]:
        """Return which secret turned up in which of the texts, given by name."""
        return [
            f"{kind} in {name}"
            for name, text in texts
            for kind, secret in self._secrets.items()
            if secret in text
        ]


def processes(pid: int) -> Mapping[str, str]:
    """Return the arguments of all processes below ``pid``, and what its children inherit."""
    below = descendants(pid)
    texts = {}
    for found in below:
        texts[f"arguments of {found}"] = _read(found, "cmdline")
    for parent in below:
        # Settings come to a service in its environment; its own children need none of them.
        for child in descendants(parent):
            texts[f"environment of {child}"] = environment_of(child)
    return texts


def environment_of(pid: int) -> str:
    """Return what a process was given as its environment."""
    return _read(pid, "environ")


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except OSError:
        return ""
