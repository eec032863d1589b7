"""Drawing few-shot episodes from a dataset."""

from pyg_fsar.loader.episode_loader import EpisodeLoader
from pyg_fsar.loader.episode_sampler import EpisodeSampler

__all__ = ["EpisodeLoader", "EpisodeSampler"]
