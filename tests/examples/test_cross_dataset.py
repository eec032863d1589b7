"""`examples/cross_dataset.py`, run as users run it, with tiny settings."""

from __future__ import annotations

import pytest

TINY = ["--episodes", "8", "--n-query", "2", "--n-way", "3"]
METHODS = (
    "L2",
    "Euclidean DTW",
    "cosine DTW",
    "cosine DTW, frames centred",
    "untrained, 3D",
    "untrained, 2D, ± 45°",
    "untrained, 2D, any view",
)


def test_one_table_of_generated_motions(script, tmp_path, capsys, rows_of):
    script.main([*TINY, "--out", str(tmp_path)])
    text = (tmp_path / "results.md").read_text()
    assert text.strip() in capsys.readouterr().out
    rows = rows_of(text)
    assert [(row["shots"], row["method"], row["data"]) for row in rows] == [
        (shots, method, data)
        for shots in "15"
        for method in METHODS
        for data in ("generated", "mean")
    ]
    first = {row["method"]: row for row in rows if row["shots"] == "1"}
    assert first["cosine DTW"]["gain over cosine DTW"] == "+0.00 ± 0.00"
    own, reference = (
        float(first[name]["accuracy (%)"].split()[0]) for name in ("untrained, 3D", "cosine DTW")
    )
    assert own > reference
    gain = float(first["untrained, 3D"]["gain over cosine DTW"].split()[0])
    assert gain == pytest.approx(own - reference, abs=0.011)
    script.main([*TINY, "--out", str(tmp_path)])
    assert (tmp_path / "results.md").read_text() == text
