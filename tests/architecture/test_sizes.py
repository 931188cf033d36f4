"""Files and functions stay small enough to be read in one go."""

from statistics import median, quantiles

import pytest

from tests.architecture.tree import functions, modules, parsed, text

PRODUCT = modules("services", "schemas")
BUDGETED = modules("services", "schemas", "examples", "deploy", "bench")
FILE_LINES = 300
FUNCTION_LINES, FUNCTION_MEDIAN, FUNCTION_P90 = 50, 10, 30
PARAMETERS = 6


def length_of(name: str) -> int:
    return sum(1 for line in text(name).splitlines() if line.strip())


def lengths(name: str) -> list[tuple[str, int]]:
    return [(node.name, (node.end_lineno or node.lineno) - node.lineno + 1) for node in functions(parsed(name))]


def test_there_is_something_to_measure() -> None:
    assert len(PRODUCT) > 80
    assert "services/common/messaging/relay.py" in PRODUCT


@pytest.mark.parametrize("name", BUDGETED)
def test_a_file_can_be_read_in_one_go(name: str) -> None:
    assert length_of(name) <= FILE_LINES


@pytest.mark.parametrize("name", BUDGETED)
def test_a_function_fits_a_screen_and_asks_for_little(name: str) -> None:
    assert [found for found, length in lengths(name) if length > FUNCTION_LINES] == []
    for node in functions(parsed(name)):
        asked = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        assert len([argument for argument in asked if argument.arg not in {"self", "cls"}]) <= PARAMETERS, node.name


def test_most_functions_are_far_smaller_than_their_limit() -> None:
    every = [length for name in PRODUCT for _, length in lengths(name)]
    assert median(every) <= FUNCTION_MEDIAN
    assert quantiles(every, n=10)[-1] <= FUNCTION_P90
