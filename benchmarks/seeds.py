"""How fast updates go when several seeds train side by side, in one `vmap`, and at each precision of products.

    JAX_PLATFORMS=cpu python benchmarks/seeds.py --sizes small      # about 3 minutes on two quiet cores
    python benchmarks/seeds.py --sizes full                         # with a GPU; compiles 27 programs

`full`: FISOR's joint update (2048 transitions of 76 numbers) and TREBI's two (64 segments of 32 steps), the authors'
networks. `small`: the presets of that name on PointRobot and SafePendulum. Synthetic data; the chunk that `surefoot
train` compiles, and compilation apart. The numbers of seeds of one case are timed in turns, block after block, so that
a machine that slows down slows all of them. `gain` is what all seeds together get done, in units of what one alone
does. Writes benchmarks/results/seeds.json, on a GPU seeds_gpu.json, after every case.
"""

import argparse
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import _machine
import fisor_update
from _chunks import training_block
from surefoot.algorithms.fisor import FISOR
from surefoot.algorithms.trebi import TREBI
from surefoot.algorithms.trebi.segments import Normalizer, SegmentData
from surefoot.data import Windows
from surefoot.hyperparameters import change
from surefoot.presets.fisor import FISOR_PRESETS
from surefoot.presets.trebi import TREBI_PRESETS
from surefoot.protocols import Algorithm
from surefoot.tasks import get_task
from surefoot.types import DataSpec

TREBI_SPEC = DataSpec(observation_dim=3, action_dim=1, horizon=200)


class Case(NamedTuple):
    """One phase of one algorithm on data of its shapes."""

    algorithm: Algorithm
    spec: DataSpec
    data: Any
    phase: str


def segments(plan_horizon: int, *, episodes: int = 500) -> SegmentData:
    """Noise in the shapes of SafePendulum's episodes."""
    random = np.random.default_rng(0)
    horizon, width = TREBI_SPEC.horizon, TREBI_SPEC.observation_dim + TREBI_SPEC.action_dim
    count = episodes * horizon
    left = jnp.tile(jnp.arange(horizon, 0, -1, dtype=jnp.int32), episodes)
    steps = random.standard_normal((count, width)).astype(np.float32)
    return SegmentData(
        windows=Windows(steps, left, jnp.arange(count, dtype=jnp.int32)),
        to_come=jnp.asarray(random.standard_normal((count, 2)), jnp.float32),
        share_left=left / jnp.float32(horizon),
        held_out=jnp.arange(horizon, dtype=jnp.int32),
        statistics=Normalizer.none(width),
        plan_horizon=plan_horizon,
    )


def cases(sizes: str) -> dict[str, Case]:
    """The name of each case and what is timed."""
    if sizes == "full":
        fisor = Case(fisor_update.full_size(), fisor_update.SPEC, fisor_update.synthetic(100_000), "joint")
        trebi = change(TREBI(), **TREBI_PRESETS["legacy"])
    else:
        spec = get_task("PointRobot").spec
        fisor = Case(
            change(FISOR(), **FISOR_PRESETS["small"]), spec, fisor_update.synthetic(100_000, spec=spec), "constraint"
        )
        trebi = change(TREBI(), **TREBI_PRESETS["small"])
    data = segments(trebi.plan_horizon)
    planners = {f"trebi {phase}": Case(trebi, TREBI_SPEC, data, phase) for phase in ("model", "values")}
    return {f"fisor {fisor.phase}": fisor} | planners


def measure(case: Case, *, counts: list[int], updates: int, rounds: int) -> dict[str, Any]:
    """Seconds of every block of each number of seeds, and what they say."""
    names = [phase.name for phase in case.algorithm.phases]
    blocks, found = {}, {}
    for count in counts:
        blocks[count], compiling = training_block(
            case.algorithm, case.spec, case.data,
            seeds=range(count), updates=updates, phase_index=names.index(case.phase),
        )  # fmt: skip
        found[count] = {"compile_seconds": compiling, "block_seconds": []}
    for turn in range(rounds + 1):
        for count, block in blocks.items():
            began = time.perf_counter()
            block()
            if turn > 0:  # the first is not counted
                found[count]["block_seconds"].append(time.perf_counter() - began)
    for count, row in found.items():
        row["updates_per_second"] = float(updates / np.median(row["block_seconds"]))
        row["seed_updates_per_second"] = count * row["updates_per_second"]
    alone = found[min(counts)]["seed_updates_per_second"] / min(counts)
    for row in found.values():
        row["gain"] = row["seed_updates_per_second"] / alone
    return {str(count): row for count, row in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", choices=("small", "full"), default="small")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 3, 8], help="numbers of seeds")
    parser.add_argument(
        "--precision", nargs="+", choices=("float32", "tensorfloat32", "bfloat16"),
        help="of matrix products; on a GPU all three unless told, elsewhere what JAX does",
    )  # fmt: skip
    parser.add_argument("--updates", type=int, default=50, help="updates in a block")
    parser.add_argument("--rounds", type=int, default=8, help="blocks of each kind that are counted")
    options = parser.parse_args()
    on_gpu = jax.default_backend() == "gpu"
    precisions = options.precision or (["float32", "tensorfloat32", "bfloat16"] if on_gpu else [None])
    results: dict[str, Any] = _machine.head() | {"settings": vars(options), "cases": {}}
    for name, case in cases(options.sizes).items():
        for precision in precisions:
            with jax.default_matmul_precision(precision):
                found = measure(case, counts=options.seeds, updates=options.updates, rounds=options.rounds)
            results["cases"][f"{name}, {precision or 'default'}"] = found
            for count, row in found.items():
                rates = f"{row['updates_per_second']:.4g} updates a second, gain {row['gain']:.3g}"
                compiled = f"compiled in {row['compile_seconds']:.1f} s"
                print(f"{name}, {precision or 'default'}, seeds {count}: {rates}; {compiled}", flush=True)
            print(_machine.write("seeds_gpu" if on_gpu else "seeds", results), flush=True)


if __name__ == "__main__":
    main()
