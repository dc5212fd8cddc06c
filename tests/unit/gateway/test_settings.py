"""What the gateway's settings refuse, and how the start tells of it."""

import pytest
from pydantic import ValidationError

from gateway.settings import Settings
from servicekit.settings import problems


@pytest.mark.parametrize("address", ["transcriber", ":50061", "transcriber:http"])
def test_a_transcriber_without_a_port_is_named(address: str) -> None:
    """An address that could never be dialled ends the start with a sentence."""
    with pytest.raises(ValidationError, match=f"{address} is not host:port"):
        Settings(transcribers=(address,))


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("LISTEN", "50051", "50051 is not host:port"),
        ("HTTP_LISTEN", "localhost", "localhost is not host:port"),
        ("METRICS_LISTEN", ":9100", ":9100 is not host:port"),
        ("REDIS_URL", "redis.test:6379", "an address begins with redis://"),
        ("TIERS", "{", "EOF while parsing an object"),
        ("TIERS", '{"pro": {"weight": 0}}', "Input should be greater than"),
        ("LOG_LEVEL", "loud", "Input should be 'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    """A mistyped variable ends the start with its name and what would do."""
    monkeypatch.setenv(f"GATEWAY_{name}", value)
    with pytest.raises(ValidationError) as caught:
        Settings()
    variable, _, said = problems(Settings, caught.value).partition(": ")
    assert variable.startswith(f"GATEWAY_{name}")
    assert said.startswith(sentence)


def test_ports_that_are_not_wanted_are_left_empty() -> None:
    """An empty address for HTTP or metrics stands for none."""
    settings = Settings(http_listen="", metrics_listen="")
    assert (settings.http_listen, settings.metrics_listen) == ("", "")
