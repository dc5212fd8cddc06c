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
    assert problems(Settings, caught.value).startswith(f"GATEWAY_{name}: {sentence}")


def test_what_is_wrong_within_a_setting_is_named_by_its_place() -> None:
    """Of a list the number is told, of tiers the field; whatever is right goes unsaid."""
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate(
            {
                "transcribers": "one:50061, two",
                "egress_ports": "80,99999",
                "tiers": '{"pro": {"weight": 0}}',
            }
        )
    assert [line.split(":")[0] for line in problems(Settings, caught.value).splitlines()] == [
        "GATEWAY_TRANSCRIBERS[1]",
        "GATEWAY_TIERS.pro.weight",
        "GATEWAY_EGRESS_PORTS[1]",
    ]


def test_ports_that_are_not_wanted_are_left_empty() -> None:
    """An empty address for HTTP or metrics stands for none."""
    settings = Settings(http_listen="", metrics_listen="")
    assert (settings.http_listen, settings.metrics_listen) == ("", "")
