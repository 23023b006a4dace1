"""Training data of COptiDICE: transitions, and the first states of episodes."""

from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from surefoot.algorithms.standardize import InputScales, unit_scales
from surefoot.types import DataSpec, Transition

FIRST_EVERY = 8
"""Transitions of a batch for each first state, whose value is a mean that few states tell well enough."""


class DICEBatch(NamedTuple):
    """Transitions, and first states of episodes, one for each `FIRST_EVERY` of them."""

    transition: Transition
    is_first: Float[Array, " b"]
    """1 where an episode begins."""
    first: Float[Array, "f obs"]


class DICEStatistics(NamedTuple):
    """Statistics of the data, kept in the state."""

    observation_std: Float[Array, " obs"]
    action_std: Float[Array, " act"]
    first_share: Float[Array, ""]
    """Share of the transitions that begin an episode."""
    scales: InputScales | None = None
    """Scales by which the data were standardized."""

    @staticmethod
    def none(spec: DataSpec, *, standardize: bool) -> "DICEStatistics":
        """Statistics of no data, with the shapes of measured ones.

        Args:
            spec: Dimensions of the data.
            standardize: Whether observations are standardized.

        Returns:
            The statistics.
        """
        scales = unit_scales(spec.observation_dim) if standardize else None
        return DICEStatistics(jnp.zeros(spec.observation_dim), jnp.zeros(spec.action_dim), jnp.ones(()), scales)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class DICEData:
    """The data as COptiDICE reads them: transitions and first states."""

    transitions: Transition
    is_first: Float[Array, " N"]
    first: Float[Array, "E obs"]
    """First states of the episodes."""
    statistics: DICEStatistics

    @property
    def num_rows(self) -> int:
        """Number of transitions."""
        return self.transitions.num_rows

    def take(self, rows: Int[Array, " b"]) -> DICEBatch:
        """The transitions in these rows [b], with b / `FIRST_EVERY` first states."""
        first = self.first[rows[::FIRST_EVERY] % self.first.shape[0]]
        return DICEBatch(self.transitions.take(rows), self.is_first[rows], first)
