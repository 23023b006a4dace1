"""Cards and a table of the data of a plan's tasks, under results/plan_data.

    python benchmarks/plan_data.py benchmarks/plans/flagship.toml DATA

Writes results/plan_data/<task>.json (the card, and what identifies the file) for each task whose file lies in the
folder DATA, and results/plan_data/README.md, a table over all that are there.
"""

import argparse
import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any

from _machine import write_public
from _results import line
from surefoot import data
from surefoot.collection.card import NOTES, shortfalls, targets
from surefoot.files import write_text
from surefoot.tasks import get_task

RESULTS = Path(__file__).parents[1] / "results" / "plan_data"

HEAD = """# Data of the flagship's tasks

Each was made with `surefoot collect --task NAME --workers 0 --out NAME.hdf5` (MetaDrive: `--workers 1`), seed 0;
none is the published file. The files are too large for the repository: their cards
lie beside this page, which `python benchmarks/plan_data.py` writes.
"Safe" is the strict limit on an episode's cost, 5 for Bullet and MetaDrive, 10 for Safety-Gymnasium; returns are
normalised by the benchmark's reference scores. *Scripted* is the share of the file's episodes that scripted drivers
made ([docs/architecture.md](../../docs/architecture.md#adding-a-recipe)); a learner made the others. Held-out tasks are
marked by a star. The data are identified by the first twelve letters of their SHA-256, which a plan's results hold too;
that of the file stands in the card.

"""
COLUMNS = (
    "Task", "Data", "Transitions", "Episodes", "Scripted", "Safe", "Tenths of the cost range", "Best safe return",
    "Best return", "CPU minutes",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("plan", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    tasks: dict[str, Any] = tomllib.loads(options.plan.read_text(encoding="utf-8"))["tasks"]
    for name, entry in tasks.items():
        file = options.folder / (entry["data"] if isinstance(entry, dict) else entry)
        if file.exists():
            held_out = isinstance(entry, dict) and entry.get("role") == "held-out"
            write_public(RESULTS / f"{name}.json", described(name, file, held_out=held_out))
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("*.json"))]
    found.sort(key=lambda one: list(tasks).index(one["card"]["task"]))
    table = [line(COLUMNS), line(["---"] * len(COLUMNS)), *map(row, found)]
    write_text(RESULTS / "README.md", "".join([HEAD, *table, "\n", *map(missed, found)]))


def described(name: str, file: Path, *, held_out: bool) -> dict[str, Any]:
    """The card of a file beside what identifies it; known files are not read again."""
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    place = RESULTS / f"{name}.json"
    before = json.loads(place.read_text(encoding="utf-8")) if place.exists() else {}
    known = before.get("file_sha256") == digest
    return {
        "held_out": held_out,
        "file_sha256": digest,
        "file_bytes": file.stat().st_size,
        "fingerprint": before["fingerprint"] if known else data.load(file, get_task(name)).fingerprint(),
        "card": data.read_card(file),
    }


def row(one: dict[str, Any]) -> str:
    card, found = one["card"], one["card"]["coverage"]
    drivers = [rows["episodes"] for rows in card.get("behaviours", []) if rows["name"] == "scripted drivers"]
    scripted = sum(after - first for first, after in drivers) / found["episodes"]
    best_safe = found["best_safe_normalized_return"]
    return line(
        (
            f"{card['task']}{' *' if one['held_out'] else ''}",
            f"`{one['fingerprint'][:12]}`",
            f"{found['transitions']:,}",
            f"{found['episodes']:,}",
            f"{scripted:.0%}",
            f"{found['safe_episodes'] / found['episodes']:.1%}",
            f"{found['cost_bins_reached']} of {len(found['episodes_per_cost_bin'])}",
            "none" if best_safe is None else f"{best_safe:.2f}",
            f"{found['best_normalized_return']:.2f}",
            f"{card['cpu_seconds'] / 60:.1f}",
        )
    )


def missed(one: dict[str, Any]) -> str:
    """Targets that a file misses: those of its card, and newer ones that older cards lack."""
    card, found = one["card"], one["card"]["coverage"]
    found = {**found, "safe_episode_share": found["safe_episodes"] / found["episodes"]}
    task = get_task(card["task"])
    wanted = next(target["wanted"] for target in card["targets"] if target["name"] == "transitions")
    sentences = shortfalls(targets(found, task, transitions=wanted))
    note = card.get("note", NOTES.get(card["task"]))
    note = "" if note is None else f" {note}"
    return "".join(f"- {card['task']}: {sentence}{note}\n" for sentence in sentences)


if __name__ == "__main__":
    main()
