"""The chunk of updates that `surefoot train` compiles, as a block of work to be timed."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from surefoot.protocols import Algorithm
from surefoot.training.chunk import UPDATE_STREAM, init_states, replicate, run_chunk, seed_keys, seed_mesh
from surefoot.types import DataSpec

Block = Callable[[], None]
"""One block of work, finished when it returns."""


def training_block(
    algorithm: Algorithm, spec: DataSpec, data: Any, *, seeds: Sequence[int], updates: int, phase_index: int = 0
) -> tuple[Block, float]:
    """A block of `updates` of one phase for all seeds, one dispatch; and the seconds its compilation took. The phase
    draws its rows uniformly."""
    mesh = seed_mesh(seeds)
    states = replicate(init_states(algorithm, spec, seeds), mesh)
    inputs: dict[str, Any] = {"keys": seed_keys(seeds, stream=UPDATE_STREAM), "data": replicate(data, mesh)}
    inputs |= {"cumulative": None, "first": jnp.zeros((), jnp.int32)}
    began = time.perf_counter()
    compiled = run_chunk.lower(
        algorithm, states, mesh=mesh, phase_index=phase_index, length=updates, **inputs
    ).compile()
    seconds = time.perf_counter() - began

    def block() -> None:
        nonlocal states
        states, metrics = compiled(states, **inputs)
        jax.block_until_ready((states, metrics))

    return block, seconds
