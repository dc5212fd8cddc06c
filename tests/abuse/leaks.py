"""Secrets that are planted in a deployment, and where they must not turn up again."""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.process_tree import descendants


@dataclass(frozen=True)
class Planted:
    """Secrets of an operator and of a user, and what stands in front of the filter's own."""

    proxy_login: str = "socks5h://fetch:"
    cookie: str = field(default_factory=lambda: secrets.token_hex(12))
    api_key: str = field(default_factory=lambda: f"bs_abuse_{secrets.token_hex(24)}")

    def cookies_file(self, folder: Path) -> Path:
        """Write the cookies that yt-dlp is given."""
        path = folder / "cookies.txt"
        path.write_text(
            "# Netscape HTTP Cookie File\n"
            f"public.example\tFALSE\t/\tFALSE\t2147483647\tsession\t{self.cookie}\n"
        )
        return path

    def found_in(self, texts: Iterable[tuple[str, str]]) -> list[str]:
        """Return which secret turned up in which of the texts, given by name."""
        return [
            f"{kind} in {name}"
            for name, text in texts
            for kind, secret in vars(self).items()
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
            texts[f"environment of {child}"] = _read(child, "environ")
    return texts


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text(errors="replace")
    except OSError:
        return ""
