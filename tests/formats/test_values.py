from __future__ import annotations

import pytest

from pyg_fsar.formats.values import number_array, whole_numbers


def test_numbers() -> None:
    assert number_array([["1", 2], [3.5, 4]], "it").tolist() == [[1, 2], [3.5, 4]]
    assert whole_numbers(["3", 4.0], "it").tolist() == [3, 4]


@pytest.mark.parametrize("values", [[[1, 2], [3]], [1, "a"], [1, None, {}], [10**400], {"a": 1}])
def test_what_is_none(values: object) -> None:
    with pytest.raises(ValueError, match="scores are not all numbers, or lists of them differ"):
        number_array(values, "scores")
