"""Losses of whole clips over all training classes, beside the one of the episode."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pyg_fsar.data import EmbeddedClips, Episode
from pyg_fsar.few_shot import EpisodeOutput, FewShotModel

__all__ = ["ClipHead", "PretrainingModel", "PretrainingOutput", "clip_vectors"]


class ClipHead(nn.Module):
    r"""Classification of clips among all training classes, and supervised contrast.

    Both compare unit vectors by their product, divided by one temperature :math:`\tau`. The first
    is the cross-entropy of :math:`z_i^\top w_c / \tau` over the classes, with label smoothing. The
    second is that of "Supervised Contrastive Learning" (NeurIPS 2020), over the other clips
    :math:`a` of a batch, of which :math:`P(i)` are of the class of :math:`i`:

    .. math::
        -\frac{1}{|P(i)|} \sum_{p \in P(i)} \log
        \frac{\exp(z_i^\top z_p / \tau)}{\sum_{a \ne i} \exp(z_i^\top z_a / \tau)}

    A clip that is the only one of its class does not count in it. Both losses are computed in the
    precision of the weights, under autocast too.

    Args:
        num_features: Size of the vector of a clip.
        classes: Labels of the training classes.
        temperature: The temperature, or where it starts if it is learned.
        learn_temperature: Train it.
        smoothing: Label smoothing of the classification.

    Shapes:
        - **vectors:** ``[B, F]``
        - **y:** ``[B]``, labels that are among the classes
        - **output:** both losses, ``[]`` each

    Raises:
        ValueError: If the temperature is not positive.

    Example:
        >>> head = ClipHead(num_features=16, classes=torch.arange(5))
        >>> classification, contrast = head(torch.randn(8, 16), torch.arange(8) % 4)
        >>> classification.shape
        torch.Size([])
    """

    classes: Tensor

    def __init__(
        self,
        num_features: int,
        classes: Tensor,
        temperature: float = 0.1,
        learn_temperature: bool = False,
        smoothing: float = 0.1,
    ) -> None:
        super().__init__()
        if not 0 < temperature < math.inf:
            raise ValueError(f"temperature must be positive and finite, got {temperature}")
        self.register_buffer("classes", classes.unique())
        self.weight = nn.Parameter(torch.randn(len(self.classes), num_features))
        log_scale = torch.tensor(-math.log(temperature))
        self.log_scale = nn.Parameter(log_scale, requires_grad=learn_temperature)
        self.smoothing = smoothing

    def forward(self, vectors: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Both losses of a batch."""
        target = torch.searchsorted(self.classes, y)
        with torch.autocast(vectors.device.type, enabled=False):
            z, scale = F.normalize(vectors.to(self.weight), dim=1), self.log_scale.exp()
            logits = scale * z @ F.normalize(self.weight, dim=1).t()
            classification = F.cross_entropy(logits, target, label_smoothing=self.smoothing)
            return classification, _contrast(scale * z @ z.t(), y)


def _contrast(similarity: Tensor, y: Tensor) -> Tensor:
    """Supervised contrast of clips with similarities ``[B, B]``."""
    itself = torch.eye(len(y), dtype=torch.bool, device=y.device)
    positive = (y[:, None] == y) & ~itself
    log_likelihood = similarity.masked_fill(itself, -math.inf).log_softmax(dim=1)
    total = log_likelihood.masked_fill(~positive, 0).sum(dim=1)
    count = positive.sum(dim=1)
    mean = total / count.clamp(min=1)
    return -mean.sum() / (count > 0).sum().clamp(min=1)


class PretrainingOutput(NamedTuple):
    """What a :class:`PretrainingModel` says of an episode.

    Shapes:
        - **classification, contrast:** ``[]``

    Example:
        >>> losses = torch.zeros(()), torch.zeros(())
        >>> PretrainingOutput(model(episode), *losses).contrast
        tensor(0.)
    """

    episode: EpisodeOutput
    classification: Tensor
    contrast: Tensor


class PretrainingModel(nn.Module):
    """A few-shot model with a head for the losses of its clips; both encode once.

    Args:
        model: The few-shot model.
        classes: Labels of the training classes.
        num_features: Size of :func:`clip_vectors`.
        mirrored: Count the mirror image of every clip as another clip, of a class of its own. The
            matcher mirrors what is embedded already, so this is for encoders whose embedding of a
            mirrored clip is the mirrored embedding, such as :class:`~pyg_fsar.nn.MotionEncoder`.
        **options: Further arguments of :class:`ClipHead`.

    Raises:
        ValueError: If the matcher cannot mirror.

    Example:
        >>> model = FewShotModel(STGCN("ntu25", num_blocks=2), build_matcher("dtw"))
        >>> pretraining = PretrainingModel(model, classes=torch.arange(15), num_features=25 * 64)
        >>> output = pretraining(episode)
        >>> loss = output.classification + output.contrast
    """

    def __init__(
        self,
        model: FewShotModel,
        classes: Tensor,
        num_features: int,
        mirrored: bool = False,
        **options: Any,
    ) -> None:
        super().__init__()
        if mirrored and getattr(model.matcher, "skeleton", None) is None:
            raise ValueError(
                "mirrored needs a matcher that mirrors embedded clips, such as "
                "MotionMatcher('body15'); join data sets with JoinedDatasets(..., mirrored=True)"
            )
        self.mirrored, self.num_labels = mirrored, int(classes.max()) + 1
        if mirrored:
            classes = torch.cat([classes, classes + self.num_labels])
        self.model, self.head = model, ClipHead(num_features, classes, **options)

    def forward(self, episode: Episode) -> PretrainingOutput:
        """Output for the episode, and the losses of all its clips."""
        embedded = self.model.embed(episode)
        y = episode.classes[torch.cat([episode.support_y, episode.query_y])]
        vectors = clip_vectors(self.model, embedded)
        if self.mirrored:
            matcher: Any = self.model.matcher
            images = embedded.with_x(matcher.mirrored(embedded.x))
            vectors = torch.cat([vectors, clip_vectors(self.model, images)])
            y = torch.cat([y, y + self.num_labels])
        losses = self.head(vectors, y)
        return PretrainingOutput(self.model.match_episode(embedded, episode), *losses)


def clip_vectors(model: FewShotModel, clips: EmbeddedClips) -> Tensor:
    """One vector for each clip: by the matcher's method of this name if it has one, as
    :class:`~pyg_fsar.matching.MotionMatcher` has, else all joints in the mean over time.

    Shapes:
        - **output:** ``[B, F]``
    """
    own = getattr(model.matcher, "clip_vectors", None)
    return clips.time_mean.flatten(1) if own is None else own(clips)
