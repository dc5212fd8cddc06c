"""The one table from gRPC statuses to exceptions."""

import grpc
import pytest
from batchscribe.client import errors


def _subclasses(kind: type[errors.BatchscribeError]) -> set[type[errors.BatchscribeError]]:
    direct = set(kind.__subclasses__())
    return direct.union(*(_subclasses(one) for one in direct))


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code.value[0]])
def test_every_status_has_an_exception(code: grpc.StatusCode) -> None:
    """No status but OK is missing from the table."""
    assert code in errors.BY_CODE


def test_every_exception_is_raised_by_some_status() -> None:
    """No exception is drawn in the tree that the table cannot raise, save the groups."""
    raised = set(errors.BY_CODE.values())
    assert _subclasses(errors.BatchscribeError) - raised == {errors.Interrupted}


def test_the_tree_names_every_exception() -> None:
    """The module's docstring shows the whole tree."""
    assert errors.__doc__ is not None
    for kind in _subclasses(errors.BatchscribeError):
        assert f"── {kind.__name__} " in errors.__doc__
