"""CPU seconds of an update of the baselines at OSRL's sizes, beside OSRL's own, and what seeds side by side gain.

    JAX_PLATFORMS=cpu python benchmarks/baselines.py        # about 3 minutes on two quiet cores

Observation 76, action 2, batch 512, hidden (256, 256), autoencoder 400, ten actions, one thread, synthetic rows; the
chunk that `surefoot train` compiles. Seconds are those of the process, so that other work on the machine counts little.
OSRL's are those of torch 2.13 with one thread on two other virtual cores (medians of two rounds). One seed and three
are timed in turns, block after block. Writes benchmarks/results/baselines.json with every block's seconds.
"""

import argparse
import os
import statistics
import time
from typing import Any

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import jax

import _machine
from _chunks import Block, training_block
from fisor_update import SPEC, synthetic
from surefoot.algorithms import ALGORITHMS
from surefoot.hyperparameters import change
from surefoot.presets import DEFAULT_PRESET, PRESETS

OSRL = {"bc": 0.004, "cpq": 0.148, "bcq_lag": 0.287, "bear_lag": 0.253}
"""CPU seconds of an update."""
SHARE, GAIN, COMPILE = 0.5, 1.3, 20.0
"""Most of OSRL's seconds, least gain of three seeds, most seconds of compilation."""
SEEDS = (0, 1, 2)


def cpu_seconds(block: Block) -> float:
    """Of the process, over one block."""
    began = time.process_time()
    block()
    return time.process_time() - began


def measure(name: str, preset: str, *, rounds: int, updates: int, rows: int, alone: bool) -> dict[str, Any]:
    """Seconds of an update of one seed, and of three together where they are asked for."""
    limits = {} if name == "bc" else {"cost_limit": 10.0, "horizon": SPEC.horizon}
    algorithm = change(ALGORITHMS[name](), **PRESETS[name][preset], **limits)
    data = synthetic(rows)
    began = time.process_time()
    one, _ = training_block(algorithm, SPEC, data, seeds=SEEDS[:1], updates=updates)
    compiling = time.process_time() - began
    blocks = {"one": one}
    if not alone:
        blocks["three"], _ = training_block(algorithm, SPEC, data, seeds=SEEDS, updates=updates)
    for block in blocks.values():  # the first run pays for buffers
        block()
    found: dict[str, list[float]] = {key: [] for key in blocks}
    for _ in range(rounds):
        for key, block in blocks.items():
            found[key].append(cpu_seconds(block) / updates)
    medians = {key: statistics.median(seconds) for key, seconds in found.items()}
    osrl = OSRL[name] if preset != DEFAULT_PRESET else None
    return {
        "algorithm": name,
        "preset": preset,
        "compile_cpu_seconds": round(compiling, 2),
        "cpu_seconds_per_update": round(medians["one"], 5),
        "osrl_cpu_seconds_per_update": osrl,
        "share_of_osrl": None if osrl is None else round(medians["one"] / osrl, 3),
        "three_seeds_gain": None if alone else round(len(SEEDS) * medians["one"] / medians["three"], 3),
        "blocks": {key: [round(value, 5) for value in values] for key, values in found.items()},
        "updates_in_a_block": updates,
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--algorithms", nargs="+", default=["cpq", "bcq_lag", "bear_lag"])
    parser.add_argument("--presets", nargs="+", default=["paper", "legacy", DEFAULT_PRESET])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--updates", type=int, default=4)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--alone", action="store_true", help="one seed only")
    options = parser.parse_args()
    results = []
    for name in options.algorithms:
        for preset in options.presets:
            updates = options.updates * (10 if preset == DEFAULT_PRESET else 1)
            row = measure(name, preset, rounds=options.rounds, updates=updates, rows=options.rows, alone=options.alone)
            results.append(row)
            jax.clear_caches()
            print({key: value for key, value in row.items() if key != "blocks"}, flush=True)
    targets = {"share_of_osrl": SHARE, "three_seeds_gain": GAIN, "compile_cpu_seconds": COMPILE}
    print(_machine.write("baselines", {**_machine.head(), "targets": targets, "results": results}))


if __name__ == "__main__":
    main()
