"""From options to a model."""

from __future__ import annotations

from functools import partial

from torch import nn

from pyg_fsar.few_shot import FewShotModel
from pyg_fsar.matching import build_matcher, matcher_options
from pyg_fsar.nn import BACKBONES, NORMS, PENALTIES, MultiStream, SkeletonEncoder
from pyg_fsar.skeleton import Skeleton
from pyg_fsar.training.model_options import ModelOptions

__all__ = ["build_encoder", "build_model", "build_penalty"]


def build_encoder(
    options: ModelOptions, skeleton: str | Skeleton, in_channels: int = 3
) -> SkeletonEncoder:
    """The encoder that the options name.

    Args:
        options: Options of the model.
        skeleton: Layout of the joints, or its registered name.
        in_channels: Size of each input joint, as the data has it.
    """
    arguments = dict(options.encoder_options)
    if options.norm not in (None, "none"):
        scale = {} if options.norm_scale is None else {"scale": options.norm_scale}
        arguments["norm"] = NORMS[options.norm](**scale)
    if options.drop_edge:
        arguments["drop_edge"] = options.drop_edge
    make = partial(BACKBONES[options.backbone], skeleton, in_channels, **arguments)
    return make() if options.streams is None else MultiStream(make, options.streams)


def build_penalty(options: ModelOptions) -> nn.Module | None:
    """The penalty that the options name, if any."""
    if options.penalty in (None, "none"):
        return None
    arguments = {} if options.rank_method is None else {"method": options.rank_method}
    return PENALTIES[options.penalty](**arguments)


def build_model(
    options: ModelOptions, skeleton: str | Skeleton, in_channels: int = 3
) -> FewShotModel:
    """The encoder, matcher and penalty that the options name.

    Args:
        options: Options of the model.
        skeleton: Layout of the joints, or its registered name.
        in_channels: Size of each input joint, as the data has it.
    """
    encoder = build_encoder(options, skeleton, in_channels)
    arguments = options.matching_options
    if "channels" in matcher_options(options.matcher, **arguments):
        num_streams = getattr(encoder, "num_streams", 1)
        arguments = {"channels": encoder.out_channels // num_streams} | arguments
    matcher = build_matcher(options.matcher, **arguments)
    return FewShotModel(encoder, matcher, build_penalty(options))
