"""A run's records as committed results: its JSON and rows, without the folders of the machine that it ran on.

    python benchmarks/publish.py runs/quickstart results/point_robot/quickstart

Copies config.json, summary.json and evaluation/*.jsonl (online.jsonl of a fine-tuning too).
"""

import argparse
import json
import shutil
from pathlib import Path

from _machine import write_public

RECORDS = ("config.json", "summary.json", "calibration.json")
ROWS = ("online.jsonl", "evaluation/*.jsonl")


def publish(run: Path, out: Path) -> None:
    """Copy a run's records."""
    for path in (run / name for name in RECORDS if (run / name).exists()):
        write_public(out / path.name, json.loads(path.read_text(encoding="utf-8")))
    for path in sorted(path for pattern in ROWS for path in run.glob(pattern)):
        shutil.copy(path, out / path.name)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    publish(options.run, options.out)
