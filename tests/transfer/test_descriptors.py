import resource
from collections.abc import Iterator

import pytest

from transfer.descriptors import FOR_A_CONNECTION, FOR_THE_REST, connections_that_fit, raise_descriptor_limit


@pytest.fixture(autouse=True)
def limits_as_before() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def lower(soft: int) -> int:
    """Lower the soft limit, and return the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return hard


def test_the_soft_limit_is_raised_to_the_hard_one() -> None:
    hard = lower(512)
    raise_descriptor_limit()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)


def test_as_many_connections_fit_as_there_are_descriptors_for() -> None:
    lower(FOR_THE_REST + 100 * FOR_A_CONNECTION)
    assert connections_that_fit() == 100
    lower(FOR_THE_REST)
    assert connections_that_fit() == 1
