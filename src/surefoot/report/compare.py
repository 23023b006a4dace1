"""Comparison of several runs on one task, evaluated by one protocol, in a folder.

FOLDER/table.md         a row for each method
FOLDER/summary.json     their figures, commands, configurations and versions; paths by their last names
FOLDER/episodes.jsonl   a row for each episode, with its method
FOLDER/cost_return.png, report.html
FOLDER/report/          figures as PDF and SVG, tables as CSV and LaTeX
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from surefoot.data.selection import is_whole, method_name
from surefoot.errors import ConfigError
from surefoot.evaluation.rows import evaluation_rows_of
from surefoot.file_sets import check_writable
from surefoot.files import json_rows, replacement, write_json, write_text, write_whole
from surefoot.observer import Observer
from surefoot.report.html import Animation, write_report
from surefoot.report.protocol_figures import animations, data_points
from surefoot.report.protocol_plots import cost_against_return, scores_of
from surefoot.report.style import save_figure
from surefoot.report.summary_rows import comparison_rows
from surefoot.report.tables import markdown_table
from surefoot.report.task_text import task_sentence
from surefoot.report.verdicts import FEWEST_EPISODES
from surefoot.runs.origin import check_origin
from surefoot.runs.run_data import run_data
from surefoot.runs.summary import read_summary
from surefoot.text import shell_word, without_folders
from surefoot.training import RunConfig, RunDirectory

PICTURED_ROLLOUTS = 1
"""Animations of each method on the page."""
_KEPT = ("task", "algorithm", "preset", "seeds", "command", "config", "versions", "data", "training", "protocol",
         "simulator", "acting")  # fmt: skip
_CAPTION = (
    "Every episode's normalised cost against its normalised return (small), and the means of the seeds (large). "
    "Shaded: within the cost limit. Grey: the logged episodes."
)


class ComparedRun(NamedTuple):
    """One run that was evaluated by a protocol."""

    path: Path
    name: str
    """Name of the method."""
    config: RunConfig
    summary: dict[str, Any]
    rows: list[dict[str, Any]]


def compare(paths: Sequence[Path], out: Path, *, observer: Observer | None = None) -> Path:
    """Write the comparison of runs into a folder.

    Args:
        paths: Folders of the runs.
        out: Folder of the comparison.
        observer: Receives warnings.

    Returns:
        Path of the page.

    Raises:
        ConfigError: A run was not evaluated by a protocol, or on another task or protocol than the first.
    """
    check_writable(out)
    runs = [_read(path) for path in paths]
    _check_alike(runs)
    task = runs[0].config.known_task()
    table = comparison_rows([(run.name, run.summary) for run in runs])
    whole = next((run for run in runs if is_whole(run.config.data_selection)), None)
    found = None if whole is None else run_data(RunDirectory(whole.path), whole.config)
    if found is not None and found.reason:
        (observer or Observer()).warn(f"the comparison shows no data: {found.reason}.")
    dataset = None if found is None else found.transitions
    figure = cost_against_return(
        [scores_of(run.name, run.rows) for run in runs], data=data_points(dataset, task, runs[0].summary)
    )
    rows = [{"method": run.name, **row} for run in runs for row in run.rows]
    write_whole(out / "episodes.jsonl", json_rows(rows))
    write_text(out / "table.md", markdown_table(table))
    methods = {run.name: {key: run.summary[key] for key in _KEPT if key in run.summary} for run in runs}
    write_json(out / "summary.json", without_folders({"task": task.name, "methods": methods}))
    with replacement(out / "cost_return.png") as temporary, temporary.open("xb") as file:
        save_figure(figure, file, format="png", dpi=150)
    page = out / "report.html"
    write_report(
        page,
        title=f"{task.name}: {_listed([run.name for run in runs])}",
        summary={"task": task.name, "seeds": list(runs[0].config.seeds), "versions": runs[0].summary.get("versions")},
        headline=_headline(runs),
        figures={"cost-return": (figure, _CAPTION)},
        table_rows=table,
        about=task_sentence(task),
        exports=True,
        details={run.name: {"command": run.summary.get("command"), **run.summary.get("config", {})} for run in runs},
        animations=[animation for run in runs for animation in _pictured(run)],
    )
    return page


def _read(path: Path) -> ComparedRun:
    config = RunDirectory(path).read_config()
    summary, rows = read_summary(path), evaluation_rows_of(path)
    check_origin(RunDirectory(path), config, summary)
    if "protocol" not in summary or not rows:
        other = next((key for key in ("evaluation", "budgets") if key in summary), None)
        found = (
            f"none; run it first: surefoot evaluate {shell_word(path)}"
            if other is None
            else f"another; its page is written by: surefoot report {shell_word(path)}"
        )
        raise ConfigError(f"{path}: expected an evaluation by a protocol, to compare, found {found}")
    return ComparedRun(path, method_name(config.algorithm, config.data_selection), config, summary, rows)


def _check_alike(runs: Sequence[ComparedRun]) -> None:
    first = _what(runs[0])
    for run in runs[1:]:
        if (found := _what(run)) != first:
            raise ConfigError(f"{run.path}: expected an evaluation of {first} as in {runs[0].path}, found {found}.")
    names = [run.name for run in runs]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigError(f"runs to compare: expected each method once, found {twice} twice.")


def _what(run: ComparedRun) -> str:
    return f"{run.config.task} by the protocol {run.summary['protocol'].get('protocol')}"


def _headline(runs: Sequence[ComparedRun]) -> str:
    if few := [run.name for run in runs if run.summary["protocol"]["episodes"] < FEWEST_EPISODES]:
        return f"No verdict: fewer than {FEWEST_EPISODES} episodes of {_listed(few)}."
    safe = [run.name for run in runs if run.summary["protocol"]["safe"]]
    unsafe = [run.name for run in runs if not run.summary["protocol"]["safe"]]
    parts = [f"mean cost within the limit: {_listed(safe)}" if safe else "no method keeps the mean cost limit"]
    parts += [f"above it: {_listed(unsafe)}"] if safe and unsafe else []
    sentence = "; ".join(parts)
    return f"{sentence[:1].upper()}{sentence[1:]}."


def _pictured(run: ComparedRun) -> list[Animation]:
    found = animations(run.path, run.summary)[:PICTURED_ROLLOUTS]
    return [Animation(f"{run.name}-{one.name}", one.content, f"{run.name}. {one.caption}") for one in found]


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
