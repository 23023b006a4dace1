"""FISOR beside behaviour cloning, on all data and on safe episodes, on one simulator task: the strict protocol.

    python benchmarks/dsrl.py BallRun --data FILE [--seeds 0:3] [--runs runs/dsrl] [--out results/dsrl]

Trains what is not trained yet (killed and started again it goes on), evaluates 20 episodes a seed, draws one episode of
each method, and writes RESULTS/<task>/ as `surefoot report RUN RUN ...` does: table.md, episodes.jsonl, summary.json,
cost_return.png, report.html. Every option after `--` goes to the training of FISOR.
"""

import argparse
from pathlib import Path

from _commands import run
from _machine import own_and_further_words

METHODS: dict[str, list[str]] = {
    "fisor": ["--algorithm", "fisor"],
    "bc": ["--algorithm", "bc"],
    "bc_safe": ["--algorithm", "bc", "--data-filter", "safe"],
}
"""Folder of the run -> what its training is given."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", default="0:3")
    parser.add_argument("--episodes", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--runs", type=Path, default=Path("runs/dsrl"))
    parser.add_argument("--out", type=Path, default=Path("results/dsrl"))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    own, further = own_and_further_words()
    options = parser.parse_args(own)
    paths = []
    for name in options.methods:
        path = options.runs / options.task / name
        extra = further if name == "fisor" else []
        run(
            "train", "--task", options.task, "--data", options.data, "--out", path, "--seeds", options.seeds,
            "--resume", *METHODS[name], *extra,
        )  # fmt: skip
        run("evaluate", path, "--episodes", options.episodes, "--workers", options.workers, "--gifs", 1)
        run("report", path)
        paths.append(path)
    if len(paths) > 1:
        run("report", *paths, "--out", options.out / options.task)


if __name__ == "__main__":
    main()
