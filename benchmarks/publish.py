"""The records of a run or a benchmark's store as committed results: no page, no path of the machine, rows compressed.

    python benchmarks/publish.py runs/quickstart results/point_robot/quickstart
    python benchmarks/publish.py STORE/results results/flagship --figures return_cost_strict_development

Figures in a store's summary are rounded to six digits: rows, from which they follow, keep all of theirs.
Of a run: config.json, summary.json, calibration.json, evaluation/*.jsonl and a fine-tuning's online.jsonl. Of a store:
summary.json, table.md and rows.jsonl.gz. Figures are copied by name, those that documentation shows.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from surefoot.result_files import ROWS, read_rows, write_results

RECORDS = ("config.json", "summary.json", "calibration.json")
ROW_FILES = ("online.jsonl", "evaluation/*.jsonl", ROWS)


def publish(source: Path, out: Path, figures: Sequence[str] = ()) -> None:
    """Copy records, table and rows of a folder."""
    contents: dict[str, Any] = {
        name: json.loads((source / name).read_text(encoding="utf-8")) for name in RECORDS if (source / name).exists()
    }
    if "plan" in (summary := contents.get("summary.json", {})):
        contents["summary.json"] = rounded(summary)
    if (source / "table.md").exists():
        contents["table.md"] = (source / "table.md").read_text(encoding="utf-8")
    for path in sorted(path for pattern in ROW_FILES for path in source.glob(pattern)):
        contents[named(path)] = read_rows(path)
    contents |= {f"{name}.png": (source / f"{name}.png").read_bytes() for name in figures}
    write_results(out, contents)


def rounded(value: Any) -> Any:
    """A JSON value whose numbers with a point have six digits."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return {key: rounded(one) for key, one in value.items()} if isinstance(value, dict) else value


def named(path: Path) -> str:
    """The name of a file of rows among the results: episodes are `rows.jsonl.gz`, others keep their names."""
    stem = path.name.removesuffix(".gz").removesuffix(".jsonl")
    return f"{stem.replace('episodes', 'rows')}.jsonl.gz"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--figures", nargs="*", default=[], help="names, without .png")
    options = parser.parse_args()
    publish(options.source, options.out, options.figures)
