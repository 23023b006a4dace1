"""Card and coverage figure of each collected dataset, under results/dsrl.

    python benchmarks/dsrl_cards.py /work/datasets/BallRun.hdf5 ...

Writes results/dsrl/<task>/card.json, coverage.png, and results/dsrl/README.md, a table over all cards there.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _machine import write_public
from surefoot import data
from surefoot.files import write_text
from surefoot.report.data_figure import dataset_figure
from surefoot.tasks import get_task

RESULTS = Path(__file__).parents[1] / "results" / "dsrl"

HEAD = """# Datasets recreated by `surefoot collect`

Each was made with `surefoot collect --task NAME --out NAME.hdf5`, by DSRL's recipe with PPO in place of TRPO; none is
the published file. The files are too large for the repository; their cards, which hold recipe, versions, seed and
coverage, and a figure of each lie beside this page. Returns are normalised by the benchmark's reference scores. "Safe"
is the strict limit on an episode's cost: 5 for Bullet, 10 for Safety-Gymnasium. What falls short stands below,
as the cards compute it. The machine's two cores were shared with other work, so minutes are far above CPU minutes.

"""
COLUMNS = (
    "Task", "Transitions", "Episodes", "Tenths of the cost range", "Best safe return", "Best return",
    "Steps simulated", "Minutes", "CPU minutes",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("files", type=Path, nargs="*")
    for path in parser.parse_args().files:
        card = data.read_card(path)
        task = get_task(card["task"])
        folder = RESULTS / task.name
        write_public(folder / "card.json", card)
        dataset_figure(data.load(path, task), task).savefig(folder / "coverage.png", dpi=110)
        print(f"{folder}: {path.stat().st_size:,} bytes, {len(card['falls_short'])} targets missed")
    cards = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*/card.json"))]
    write_text(
        RESULTS / "README.md",
        "".join([HEAD, line(COLUMNS), line(["---"] * len(COLUMNS)), *map(row, cards), "\n", *map(missed, cards)]),
    )


def row(card: dict[str, Any]) -> str:
    found = card["coverage"]
    cells = (
        card["task"],
        f"{found['transitions']:,}",
        f"{found['episodes']:,}",
        f"{found['cost_bins_reached']} of {len(found['episodes_per_cost_bin'])}",
        f"{found['best_safe_normalized_return']:.2f}",
        f"{found['best_normalized_return']:.2f}",
        f"{card['simulated_steps']:,}",
        f"{card['wall_seconds'] / 60:.1f}",
        f"{card['cpu_seconds'] / 60:.1f}",
    )
    return line(cells)


def line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def missed(card: dict[str, Any]) -> str:
    note = f" {card['note']}" if "note" in card and card["falls_short"] else ""
    return "".join(f"- {card['task']} falls short: {sentence}{note}\n" for sentence in card["falls_short"])


if __name__ == "__main__":
    main()
