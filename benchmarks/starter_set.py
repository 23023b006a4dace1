"""The tests' starter set: 200 episodes of BallRun over the whole cost range, out of a file of `surefoot collect`.

    python benchmarks/starter_set.py /work/datasets/BallRun.hdf5 tests/data/ballrun_starter.hdf5

Twenty episodes of each tenth of the reference cost range, drawn with seed 0, in the order in which they were collected.
"""

import argparse
from pathlib import Path

import h5py
import numpy as np

from surefoot import data
from surefoot.collection.card import COST_RANGE_BINS, make_card
from surefoot.data import Dataset
from surefoot.tasks import get_task

EPISODES = 200
SEED = 0


def choose(dataset: Dataset, *, low: float, high: float) -> np.ndarray:
    """Indices of the episodes, rising: as many from each bin, all of a bin that has fewer."""
    generator = np.random.default_rng(SEED)
    edges = np.linspace(low, high, COST_RANGE_BINS + 1)
    number = np.clip(np.digitize(dataset.cost_returns, edges) - 1, 0, COST_RANGE_BINS - 1)
    inside = dataset.cost_returns <= high
    share = EPISODES // COST_RANGE_BINS
    chosen = [generator.permutation(np.flatnonzero(inside & (number == n)))[:share] for n in range(COST_RANGE_BINS)]
    return np.sort(np.concatenate(chosen))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    task = get_task("BallRun")
    dataset, card = data.load(options.source, task), data.read_card(options.source)
    chosen = choose(dataset, low=task.cost_return_min, high=task.cost_return_max)
    spans = zip(dataset.episode_starts[chosen], dataset.episode_ends[chosen], strict=True)
    rows = np.concatenate([np.arange(start, end) for start, end in spans])
    starter = Dataset(task=task.name, **{name: array[rows] for name, array in dataset.arrays()})
    dropped = ("task", "coverage", "targets", "falls_short", "versions", "origin", "published_file", "note")
    made = {name: value for name, value in card.items() if name not in dropped}
    made["versions_of_collection"] = card["versions"]
    made["starter_set"] = f"{EPISODES // COST_RANGE_BINS} episodes of each tenth of the cost range, seed {SEED}"
    new = make_card(starter, task, transitions=len(starter), made=made)
    # The targets are those of whole files.
    data.save(options.out, starter, card={name: new[name] for name in new if name not in ("targets", "falls_short")})
    compress(options.out)
    print(f"{options.out}: {len(chosen)} episodes, {len(rows):,} transitions, {options.out.stat().st_size:,} bytes")


def compress(path: Path) -> None:
    """The same keys and attributes, gzipped."""
    aside = path.with_suffix(".tmp")
    with h5py.File(path, "r") as source, h5py.File(aside, "w") as target:
        for name, value in source.attrs.items():
            target.attrs[name] = value
        for name, node in source.items():
            if isinstance(node, h5py.Dataset):
                target.create_dataset(name, data=node[()], compression="gzip", compression_opts=9, shuffle=True)
    aside.replace(path)


if __name__ == "__main__":
    main()
