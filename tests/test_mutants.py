"""The mutants of `./run teeth` keep up with the source: found out here at once, and not at the end of a long run."""

import pytest

from tests.crash.mutants import MUTANTS, Mutant
from tests.server import CHECKOUT


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.safety)
def test_what_a_mutant_takes_out_is_there_exactly_once(mutant: Mutant) -> None:
    for change in mutant.changes:
        source = (CHECKOUT / change.file).read_text()
        assert source.count(change.before) == 1, change
        compile(source.replace(change.before, change.after), change.file, "exec")
    for test in mutant.caught_by:
        assert (CHECKOUT / "tests" / "crash" / test.partition("::")[0]).exists(), test
