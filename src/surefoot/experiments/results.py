"""Results of a plan's cells, as one summary of JSON values and one list of rows."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from surefoot.evaluation.protocol import cost_limits
from surefoot.evaluation.rows import against_limits
from surefoot.evaluation.summarize import protocol_figures
from surefoot.experiments.aggregate import mean_over_tasks, scores_by_task
from surefoot.experiments.cell import Cell
from surefoot.experiments.plan import HELD_OUT, Plan
from surefoot.experiments.resolve import Resolved, key_versions
from surefoot.experiments.store import CellRecord, DataRecord, Store
from surefoot.report.held_out import is_doubtful

ROLES = ("development", HELD_OUT, "all")
SAFE_EPISODES = 0.9
"""Share of safe episodes from which a task counts as mostly safe."""


class Results(NamedTuple):
    """Results of a plan."""

    summary: dict[str, Any]
    rows: list[dict[str, Any]]
    """One for each episode, protocol and cost limit."""


class _Group(NamedTuple):
    """The cells of one method on one share of one task, of all seeds."""

    task: str
    fraction: float
    method: str
    cells: list[Cell]


def gather(
    plan: Plan,
    methods: Mapping[tuple[str, str], Resolved],
    cells: Sequence[Cell],
    data: Mapping[str, DataRecord],
    store: Store,
) -> Results:
    """Read the results of cells, and summarize them for each protocol of the plan.

    Args:
        plan: The plan.
        methods: Result of `resolve_methods`.
        cells: Cells to show, finished or not.
        data: Task -> its data.
        store: Store of the cells.

    Returns:
        Summary and rows.
    """
    entries, rows = [], []
    for group in _groups(cells):
        records = [store.record_of(cell) for cell in group.cells]
        found = [row for cell, record in zip(group.cells, records, strict=True) if record and record.status == "done"
                 for row in store.rows(cell.key) if row["episode"] < plan.episodes]  # fmt: skip
        status, reason = _status(records)
        for protocol in plan.protocols:
            scored = against_limits(found, cost_limits(methods[group.task, group.method].task, protocol), protocol)
            rows += [{"method": group.method, "fraction": group.fraction, **row} for row in scored]
            entries.append(
                {
                    "task": group.task,
                    "role": plan.tasks[group.task].role,
                    "fraction": group.fraction,
                    "method": group.method,
                    "protocol": protocol,
                    "status": status,
                    **({"reason": reason} if reason else {}),
                    "cells": [cell.key for cell in group.cells],
                    "figures": _figures(scored, data[group.task]) if status == "done" else None,
                    "doubtful": _doubtful(records),
                    "details": [_published(record) for record in records if record is not None],
                }
            )
    shown = {cell.task for cell in cells}
    summary = {
        "plan": _described(plan, methods),
        "versions": key_versions(),
        "data": {task: dataclasses.asdict(record) for task, record in data.items() if task in shown},
        "results": entries,
        "methods": {
            protocol: {key: _overall(key, protocol, entries, rows) for key in plan.methods}
            for protocol in plan.protocols
        },
        "comparison": {protocol: _comparison(plan, protocol, entries, rows) for protocol in plan.protocols},
    }
    for record in summary["data"].values():
        del record["modified"]
    return Results(summary, rows)


def _figures(rows: Sequence[Mapping[str, Any]], record: DataRecord) -> dict[str, Any]:
    """What the rows say, and whether they earn at least half of what the best safe logged episode does: standing still
    is not safe driving. None where no logged episode is safe, or the best of them earns nothing."""
    figures, best = protocol_figures(rows), record.best_safe_return
    earns = None if best is None or best <= 0 else figures["normalised_return_mean"] >= best / 2
    return {**figures, "earns_half_of_log": earns}


def _groups(cells: Sequence[Cell]) -> list[_Group]:
    found: dict[tuple[str, float, str], _Group] = {}
    for cell in cells:
        place = (cell.task, cell.fraction, cell.method)
        found.setdefault(place, _Group(*place, [])).cells.append(cell)
    return list(found.values())


def _status(records: Sequence[CellRecord | None]) -> tuple[str, str]:
    """done, failed with its reason, or open."""
    failed = [record for record in records if record is not None and record.status == "failed"]
    if failed:
        return "failed", failed[0].reason
    return ("open" if None in records else "done"), ""


def _doubtful(records: Sequence[CellRecord | None]) -> bool | None:
    """Whether the verdict before simulation was that a run is doubtful; None where there is none."""
    found = [is_doubtful(record.details.get("held_out", {})) for record in records if record is not None]
    return None if not found or None in found else any(found)


def _published(record: CellRecord) -> dict[str, Any]:
    """A cell's details; of the verdict before simulation its sentence, without the figures of each seed."""
    verdict = record.details.get("held_out", {}).get("verdict")
    return {**record.details, **({} if verdict is None else {"held_out": verdict})}


def _described(plan: Plan, methods: Mapping[tuple[str, str], Resolved]) -> dict[str, Any]:
    described = dataclasses.asdict(plan)
    del described["held_out_log"]
    for name, entry in described["tasks"].items():
        del entry["data"]
        entry["cost_limit"] = methods[name, next(iter(plan.methods))].task.cost_limit
    for key, entry in described["methods"].items():
        entry["title"] = plan.title_of(key)
        values = {name: methods[name, key].hyperparameters for name in plan.tasks}
        first = next(iter(values.values()))
        alike = {field: value for field, value in first.items() if all(one[field] == value for one in values.values())}
        entry["hyperparameters"] = alike
        # What the task alone decides, as the horizon.
        entry["of_tasks"] = {
            name: differing
            for name, one in values.items()
            if (differing := {field: value for field, value in one.items() if field not in alike})
        }
    return described


# --- over tasks ------------------------------------------------------------------------------------------------------


def _largest_share(entries: Sequence[Mapping[str, Any]], method: str, protocol: str) -> list[Mapping[str, Any]]:
    """A method's entries on the largest share of each task's data."""
    best: dict[str, Mapping[str, Any]] = {}
    for entry in entries:
        if (entry["method"], entry["protocol"]) != (method, protocol):
            continue
        before = best.get(entry["task"])
        if before is None or entry["fraction"] > before["fraction"]:
            best[entry["task"]] = entry
    return list(best.values())


def _scores(entry: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], column: str) -> Any:
    place = tuple(entry[name] for name in ("task", "fraction", "method", "protocol"))
    mine = [row for row in rows if (row["task"], row["fraction"], row["method"], row["protocol"]) == place]
    return scores_by_task(mine, column)


def _overall(
    method: str, protocol: str, entries: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """A method's figures over development tasks, held-out tasks and all."""
    found = _largest_share(entries, method, protocol)
    overall = {}
    for role in ROLES:
        mine = [entry for entry in found if role in ("all", entry["role"])]
        done = [entry for entry in mine if entry["status"] == "done"]
        overall[role] = {
            "tasks": len(mine),
            "done": len(done),
            "safe": sum(entry["figures"]["safe"] for entry in done),
            "earning_judged": sum(entry["figures"]["earns_half_of_log"] is not None for entry in done),
            "safe_and_earning": sum(
                bool(entry["figures"]["safe"] and entry["figures"]["earns_half_of_log"]) for entry in done
            ),
            "verdicts": _verdicts(done),
            "mostly_safe": sum(entry["figures"]["episode_safe_rate"] >= SAFE_EPISODES for entry in done),
            "normalised_return": mean_over_tasks([_scores(one, rows, "normalised_return") for one in done]),
            "normalised_cost": mean_over_tasks([_scores(one, rows, "normalised_cost") for one in done]),
        }
    return overall


def _verdicts(done: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How often the verdict before simulation was right: bad runs are unsafe, or earn less than half of the log's best
    safe return."""
    judged = [entry for entry in done if entry["doubtful"] is not None]
    good = [entry["figures"]["safe"] and entry["figures"]["earns_half_of_log"] is not False for entry in judged]
    pairs = [(entry["doubtful"], one) for entry, one in zip(judged, good, strict=True)]
    return {
        "bad": sum(not one for _, one in pairs),
        "bad_caught": sum(doubtful and not one for doubtful, one in pairs),
        "good": sum(one for _, one in pairs),
        "good_passed": sum(one and not doubtful for doubtful, one in pairs),
    }


def _comparison(
    plan: Plan, protocol: str, entries: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]
) -> dict[str, Any] | None:
    """Mean returns over the tasks on which the baseline is safe; None where there is no baseline."""
    if plan.baseline is None:
        return None
    of_baseline = _largest_share(entries, plan.baseline, protocol)
    tasks = [one["task"] for one in of_baseline if one["status"] == "done" and one["figures"]["safe"]]
    returns = {}
    for key in plan.methods:
        mine = [one for one in _largest_share(entries, key, protocol) if one["task"] in tasks]
        if len(mine) == len(tasks) and all(one["status"] == "done" for one in mine):
            returns[key] = mean_over_tasks([_scores(one, rows, "normalised_return") for one in mine])
    missing = [key for key in plan.methods if key not in returns]
    return {"baseline": plan.baseline, "tasks": tasks, "normalised_return": returns, "not_done": missing}
