"""Numbers as they stand in files, checked."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["number_array", "whole_numbers"]


def number_array(values: Any, what: str) -> np.ndarray:
    """Nested lists of numbers as a float64 array.

    Args:
        values: The lists.
        what: What they are, in the plural, for the message.

    Raises:
        ValueError: If a value is no number, or lists that belong together differ in length.
    """
    try:
        return np.array(values, dtype=np.float64)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(
            f"{what} are not all numbers, or lists of them differ in length"
        ) from error


def whole_numbers(values: Any, what: str) -> np.ndarray:
    """Numbers, or texts of numbers, as integers.

    Args:
        values: The numbers.
        what: What they are, in the plural, for the message.

    Raises:
        ValueError: If one is not a whole number of at most 15 digits.
    """
    numbers = number_array(values, what)
    good = np.isfinite(numbers) & (np.abs(numbers) < 1e15) & (numbers == np.round(numbers))
    if not good.all():
        raise ValueError(f"{what} must be whole numbers, but one is {numbers[~good][0]}")
    return numbers.astype(np.int64)
