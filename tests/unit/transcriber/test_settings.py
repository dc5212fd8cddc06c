"""Reading the environment."""

import pytest
from pydantic import ValidationError

from servicekit.settings import problems
from transcriber.settings import Settings


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spaces and empty names do not count."""
    monkeypatch.setenv("TRANSCRIBER_MODELS", "base, tiny.en,")
    assert Settings().models == ("base", "tiny.en")


def test_the_first_model_is_preloaded_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator who names models need not name them twice."""
    monkeypatch.setenv("TRANSCRIBER_MODELS", "small,base")
    assert Settings().preloaded == ("small",)


def test_only_offered_models_are_preloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that is loaded and cannot be asked for is a mistake."""
    monkeypatch.setenv("TRANSCRIBER_PRELOAD", "small")
    with pytest.raises(ValidationError, match="not offered"):
        Settings()


def test_who_fetches_has_no_privileges(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user that is unknown, or root itself, is a mistake of the operator."""
    for user in ("root", "no-such-user"):
        monkeypatch.setenv("TRANSCRIBER_FETCH_USER", user)
        with pytest.raises(ValidationError, match="fetch_user"):
            Settings()


@pytest.mark.parametrize(
    "proxy",
    ["socks5://me:secret#1@proxy:1080", "http://me:secret@proxy", "socks5://me:secret@[::1:9"],
)
def test_a_proxy_that_is_none_is_not_repeated(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    """An address that cannot be one is refused at the start, without its password."""
    monkeypatch.setenv("TRANSCRIBER_PROXY", proxy)
    with pytest.raises(ValidationError, match="a proxy looks like") as caught:
        Settings()
    assert "secret" not in problems(Settings, caught.value)
