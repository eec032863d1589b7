from __future__ import annotations

import numpy as np
import pytest

from pyg_fsar.formats.timeline import (
    frames_of_names,
    frames_of_numbers,
    rate_of_times,
)


def test_numbers() -> None:
    frames, count = frames_of_numbers([7, 5, 5, 8])
    assert (frames.tolist(), count) == ([2, 0, 0, 3], 4)
    frames, count = frames_of_numbers([100, 110, 130])
    assert (frames.tolist(), count) == ([0, 1, 3], 4)
    assert frames_of_numbers([9])[1] == 1
    for wrong in ([1.5], [np.nan], [np.inf], [1e20]):
        with pytest.raises(ValueError, match=r"frame numbers must be whole numbers, but one is"):
            frames_of_numbers(wrong)
    with pytest.raises(ValueError, match="span 5000002 frames, more than 1000000"):
        frames_of_numbers([0, 1, 5_000_001])


def test_names() -> None:
    assert frames_of_names(["3.jpg", "5.jpg"])[0].tolist() == [0, 1]
    assert frames_of_names(["3.jpg", "4.jpg", "7.jpg"])[0].tolist() == [0, 1, 4]
    assert frames_of_names(["a10.jpg", "a9.jpg", "a10.jpg"])[0].tolist() == [1, 0, 1]


@pytest.mark.parametrize("unit", [1, 1e3, 1e7, 1e9])
@pytest.mark.parametrize("rate", [5, 30, 120])
def test_units_of_time_stamps(unit: float, rate: float) -> None:
    times = 1e5 * unit + np.arange(50) * unit / rate
    times[20:] += 3 * unit  # a pause
    assert rate_of_times(times) == pytest.approx(rate, rel=1e-3)
    assert rate_of_times(times[:1]) is None
