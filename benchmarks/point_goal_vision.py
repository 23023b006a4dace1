"""PointGoal1Vision from pixels on a CPU, end to end: collect, train FOSP, what its world model predicts, evaluate.

    python benchmarks/point_goal_vision.py                    # the whole: 20,000 decisions, about an hour of training
    python benchmarks/point_goal_vision.py --share 0.1        # a tenth of everything, to try it

Each part is a command of surefoot's, printed as it is run; killed and started again, it goes on where it was. Held-out
data are a collection of another seed. Figures: R^2 of the held-out reward at least 0.5, AUROC of the cost at least 0.9
(the mean predictor has 0 and 0.5). It is no claim of final performance. Writes results/point_goal_vision.
"""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

from _commands import run as run_command
from _machine import head, peak_memory_mb
from _predictions import score_predictions
from surefoot import presets
from surefoot.data import episode_files
from surefoot.nn import member
from surefoot.protocols import HasWorldModel
from surefoot.result_files import ROWS, read_rows, write_results
from surefoot.runs.loaded import load_run
from surefoot.tasks import get_task

TASK, MOVED = "PointGoal1Vision", "PointGoal1VisionMoved"
TRANSITIONS, HELD_OUT = 20_000, 2_500
REWARD_R2, COST_AUROC = 0.5, 0.9


def command(*words: object) -> float:
    """Run a command of surefoot; wall seconds."""
    began = time.perf_counter()
    run_command(*words)
    return time.perf_counter() - began


def cpu_seconds() -> float:
    """Of this process and of the commands that ended."""
    return sum(os.times()[:4])


def score(run: Path, held_out: Path) -> list[dict[str, Any]]:
    """What the world model of each seed predicts of held-out episodes."""
    loaded = load_run(run, {})
    assert isinstance(loaded.algorithm, HasWorldModel)
    frames = episode_files.load(held_out, get_task(TASK), in_memory=False)
    scores = []
    for place in range(len(loaded.config.seeds)):
        state = member(loaded.states, place)
        scores.append(score_predictions(loaded.algorithm, state, frames))
    return scores


def table(summary: dict[str, Any]) -> str:
    """The figures in Markdown."""
    lines = ["| predicted by | reward, R^2 | cost, AUROC |", "| --- | --- | --- |", "| mean predictor | 0 | 0.5 |"]
    names = {"seen": "the belief that has the image", "ahead": "the belief a decision before, and the action"}
    for key, words in names.items():
        values = [one[key] for one in summary["predictions"]]
        r2 = ", ".join(f"{value['reward_r2']:.3f}" for value in values)
        auroc = ", ".join(f"{value['cost_auroc']:.3f}" for value in values)
        lines.append(f"| {words} | {r2} | {auroc} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--share", type=float, default=1.0, help="of data, updates and episodes")
    parser.add_argument("--updates-share", type=float, help="of the preset's updates; by default as --share")
    parser.add_argument("--work", type=Path, default=Path("runs/point_goal_vision"), help="where data and runs lie")
    parser.add_argument("--out", type=Path, default=Path("results/point_goal_vision"))
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--finetune-steps", type=int, default=0, help="decisions on the moved layout; 0: none")
    options = parser.parse_args()
    data, held_out, run = options.work / "data", options.work / "held_out", options.work / "fosp"
    algorithm = presets.build("fosp", get_task(TASK))
    seconds = {}
    for folder, rows, seed in ((data, TRANSITIONS, 0), (held_out, HELD_OUT, 1)):
        wanted = max(1, round(options.share * rows))
        seconds[folder.name] = command(
            "collect", "--task", TASK, "--transitions", wanted, "--seed", seed, "--out", folder
        )
    updates_share = options.share if options.updates_share is None else options.updates_share
    model_updates = max(1, round(updates_share * algorithm.training.model_updates))
    policy_updates = max(1, round(updates_share * algorithm.training.policy_updates))
    seconds["train"] = command(
        "train", "--algorithm", "fosp", "--task", TASK, "--preset", "small", "--data", data, "--out", run, "--seeds",
        options.seeds, "--model-updates", model_updates, "--policy-updates", policy_updates, "--log-interval", 100,
        "--checkpoint-interval", 500, "--resume",
    )  # fmt: skip
    cpu = cpu_seconds()
    predictions = score(run, held_out)
    seconds["evaluate"] = command("evaluate", run, "--episodes", max(2, round(options.share * 20)), "--gifs", 1)
    if options.finetune_steps:
        seconds["finetune"] = command(
            "finetune", run, "--task", MOVED, "--steps", options.finetune_steps, "--num-envs", 2, "--ratio", 0.1,
            "--out", options.work / "online", "--resume",
        )  # fmt: skip
    command("report", run)
    summary = {
        **head(),
        "share": options.share,
        "data": episode_files.read_card(data),
        "held_out": episode_files.read_card(held_out)["coverage"],
        "updates": {"model": model_updates, "policy": policy_updates},
        "wall_seconds_of_this_call": {name: round(value, 1) for name, value in seconds.items()},
        "training": json.loads((run / "summary.json").read_text()).get("training"),
        "cpu_seconds": {"before_scoring": round(cpu, 1), "all": round(cpu_seconds(), 1)},
        "peak_memory_mb": round(peak_memory_mb()),
        "predictions": predictions,
        "figures": {
            f"{name}, {figure}": {"found": found, "target": target, "reached": found is not None and found >= target}
            for name in ("seen", "ahead")
            for figure, target in (("reward_r2", REWARD_R2), ("cost_auroc", COST_AUROC))
            for found in [min((one[name][figure] or 0.0) for one in predictions)]
        },
    }
    rows = read_rows(run / "evaluation" / "episodes.jsonl")
    write_results(options.out, {"summary.json": summary, "table.md": table(summary), ROWS: rows})
    print(table(summary))
    print(json.dumps(summary["figures"], indent=2))


if __name__ == "__main__":
    main()
