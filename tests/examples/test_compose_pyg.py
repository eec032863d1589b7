"""`examples/compose_pyg.py`, run as users run it, with tiny settings."""

from __future__ import annotations

import pytest
import torch

TINY = "--accelerator cpu --num-frames 6 --n-query 2 --epochs 1 --train-episodes 2 --val-episodes 2"
TINY = f"{TINY} --test-episodes 4 --graphs 2 --steps 3".split()


def test_one_table_of_generated_data(script, tmp_path, capsys, rows_of):
    script.main([*TINY, "--out", str(tmp_path)])
    text = (tmp_path / "results.md").read_text()
    assert text.strip() in capsys.readouterr().out
    rows = rows_of(text)
    assert [row["model"] for row in rows] == [
        "GAT, soft-DTW",
        "GIN, soft-DTW",
        "4 x RankMaxConv, without rank loss",
        "4 x RankMaxConv, with rank loss",
    ]
    assert all("GENERATED" in row["data"] for row in rows)
    assert all(0 <= float(row["accuracy (%)"]) <= 100 for row in rows)
    assert (tmp_path / "gat" / "best.ckpt").is_file()
    with pytest.raises(FileExistsError, match="--out"):
        script.main([*TINY, "--out", str(tmp_path)])


@pytest.mark.filterwarnings("ignore:.* cannot be written; the store goes to")
def test_real_motions(script, utd_root, tmp_path, rows_of):
    script.main([*TINY, "--root", str(utd_root), "--out", str(tmp_path)])
    rows = rows_of((tmp_path / "results.md").read_text())
    assert [row["data"] for row in rows] == ["UTD-MHAD"] * 2 + ["GENERATED graphs"] * 2


def test_rank_loss_keeps_nodes_apart(script):
    graph = script.generate_graph(0)
    assert graph.is_undirected()
    assert graph.train_mask.sum() == 10 * script.NUM_CLASSES
    same, other = (graph.y[graph.edge_index[i]] for i in (0, 1))
    assert 0.5 < (same == other).float().mean() < 0.7
    ranks = [script.classify_nodes(graph, weight, steps=40)[1] for weight in (0.0, 1.0)]
    assert ranks[1] > 1.5 * ranks[0]


def test_rank_loss_is_the_mean_over_layers(script):
    model, graph = script.NodeClassifier(), script.generate_graph(1)
    x, losses = graph.x, []
    for conv in model.convs:
        x = conv(x, graph.edge_index)
        losses.append(conv.rank_max(x))
        x = x.relu()
    model(graph)
    torch.testing.assert_close(model.rank_loss(), torch.stack(losses).mean())
