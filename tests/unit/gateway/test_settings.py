"""What the gateway's settings refuse."""

import pytest
from pydantic import ValidationError

from gateway.settings import Settings


@pytest.mark.parametrize("address", ["transcriber", ":50061", "transcriber:http"])
def test_a_transcriber_without_a_port_is_named(address: str) -> None:
    """An address that could never be dialled ends the start with a sentence."""
    with pytest.raises(ValidationError, match=f"{address} is not host:port"):
        Settings(transcribers=(address,))
