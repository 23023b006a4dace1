"""Logged transitions: the format, its checks, what algorithms see of it, and drawing batches of it."""

from surefoot.data.dataset import Dataset
from surefoot.data.density import DensityGrid
from surefoot.data.frame_stream import FrameStream
from surefoot.data.hdf5 import read_card, rewrite, save
from surefoot.data.library import load
from surefoot.data.prepare import reward_scale_of, to_transitions
from surefoot.data.sampler import cumulative_weights, sample_batch
from surefoot.data.stream import TransitionStream
from surefoot.data.windows import Windows, gather
from surefoot.data.writing import replacing

__all__ = [
    "Dataset",
    "DensityGrid",
    "FrameStream",
    "TransitionStream",
    "Windows",
    "cumulative_weights",
    "gather",
    "load",
    "read_card",
    "replacing",
    "reward_scale_of",
    "rewrite",
    "sample_batch",
    "save",
    "to_transitions",
]
