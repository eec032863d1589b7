from __future__ import annotations

import pytest
import torch

from pyg_fsar.data import EmbeddedClips
from pyg_fsar.matching import SHOTS, ReferenceMatcher
from pyg_fsar.testing import assert_matcher


class MeanPose(ReferenceMatcher):
    def pair_distances(self, query, references):
        return torch.cdist(query.x.mean(1).flatten(1), references.x.mean(1).flatten(1))


@pytest.mark.parametrize("shots", sorted(SHOTS))
def test_a_subclass_says_how_far_clips_are(shots):
    assert_matcher(MeanPose(shots), num_joints=5, channels=4, lengths=False)
    support, y = torch.randn(5, 4, 5, 3), torch.tensor([1, 0, 1, 1, 0])
    references = MeanPose(shots).references(EmbeddedClips(support, y=y), 2)
    assert len(references) == (5 if SHOTS[shots].reduce else 2)


def test_refuses_an_unknown_rule():
    with pytest.raises(ValueError, match="shots must be one of mean"):
        MeanPose("most")
