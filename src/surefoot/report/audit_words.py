"""The verdict of an audit in words, and its tables.

Thresholds on states and actions are those of `report.held_out`; those here were chosen on other systems than the ones
that docs/audit.md shows them on.
"""

import math
from collections.abc import Mapping
from typing import Any

from surefoot.report.held_out import held_out_figures
from surefoot.report.tables import DASH, bracketed, percent
from surefoot.report.verdicts import KeyFigure
from surefoot.text import listed

ACTION_FEASIBLE = 0.05
"""Largest share of the logged actions into a violation that may count as feasible."""
FAR_ACTIONS = 0.3
"""Largest share of actions far from those logged in similar states, of methods that are not judged on states."""
BOUND, CONFIDENCE = 0.05, 0.95
"""Rate of violations that episodes without one are said to exclude, and its confidence."""


def audit_checks(found: Mapping[str, Any]) -> list[KeyFigure]:
    """Figures of an audit that have a threshold; `met` is None where nothing can be judged."""
    checks = held_out_figures(found["judged"]) if "judged" in found else []
    if not checks:
        far = found["support"]["far_actions"]
        checks.append(
            KeyFigure(
                "Actions far from those logged in similar states", _share(far), f"≤ {percent(FAR_ACTIONS)}",
                None if far["share"] is None else _low(far) <= FAR_ACTIONS,
            )
        )  # fmt: skip
    if "judged" in found:
        for row in found["violations"]:
            checks += _on_actions(row, named=len(found["violations"]) > 1)
    for name, values in found.get("values", {}).items():
        checks.append(_on_value(name, values))
        if name != "return" and "model" in values:
            checks.append(_on_modeled_cost(name, values))
    return checks


def is_doubtful(found: Mapping[str, Any]) -> bool:
    """Whether a figure misses its threshold."""
    return any(check.met is False for check in audit_checks(found))


def audit_verdict(found: Mapping[str, Any]) -> list[str]:
    """The verdict in sentences: faults of the policy, what was judged, and the limits of a log."""
    checks, kept = audit_checks(found), found["data"]["episodes"]["held_out"]
    missed = [f"{check.name[:1].lower()}{check.name[1:]} {check.reached} (expected {check.target})"
              for check in checks if check.met is False]  # fmt: skip
    met = sum(check.met is True for check in checks)
    if missed:
        first = f"Verdict of the log: doubtful, as {len(missed)} of {len(checks)} checks fail: {listed(missed)}."
    elif "judged" not in found:
        first = f"No verdict on states; nothing speaks against the policy in {met} of {len(checks)} checks."
    elif met < len(checks):
        first = f"Verdict of the log: nothing speaks against the policy in {met} of {len(checks)} checks; the others had nothing to judge."  # noqa: E501
    else:
        first = f"Verdict of the log: nothing speaks against the policy in {met} checks."
    sentences = [first, f"Judged on {kept:,} episodes that training never saw."]
    sentences += [f"Not offered: {one}." for one in found["not_offered"]]
    return [*sentences, *what_a_log_cannot_show()]


def what_a_log_cannot_show() -> list[str]:
    """Sentences on the limits of a log, which stand under every verdict."""
    needed = math.ceil(math.log(1.0 - CONFIDENCE) / math.log(1.0 - BOUND))
    return [
        "A log cannot show how often the policy will be safe: a logged violation proves nothing of the states before "
        "it, no logged state is one that the policy meets where nobody has driven, and V_h extrapolates there.",
        "Estimated values hold as far as logged actions reach; their intervals hold draws of episodes, not that error.",
        f"A rate of violations needs episodes of the policy in the system, or in a simulator that one trusts: {needed} "
        f"of them without a violation would say at most {BOUND:.0%}, at a confidence of {CONFIDENCE:.0%}.",
    ]


def value_rows(found: Mapping[str, Any]) -> list[dict[str, str]]:
    """A table row for each estimated quantity: the policy, a baseline and the log, with 95 % intervals in brackets."""
    rows = []
    other = found.get("baseline", {})
    for name, values in found.get("values", {}).items():
        row = {"per episode": _quantity(name), "policy": _number(values["policy"]), "log": _number(values["log"]),
               "policy less log": _number(values["difference"])}  # fmt: skip
        if "model" in values:
            row["policy in a model of the log"] = _number(values["model"])
        if other:
            row[other["algorithm"]] = _number(other["values"][name]["policy"])
        rows.append(row)
    return rows


def violation_rows(found: Mapping[str, Any]) -> list[dict[str, str]]:
    """A table row for each constraint: its held-out violations, and how many of them V_h and Q_h call feasible."""
    return [
        {
            "constraint": row["name"],
            "episodes with a violation": f"{row['episodes']:,}",
            "steps": f"{row['steps']:,}",
            "V_h calls feasible": _share(row["state_feasible"]),
            "Q_h calls feasible": DASH if row["action_feasible"] is None else _share(row["action_feasible"]),
        }
        for row in found.get("violations", [])
    ]


def sign_rows(found: Mapping[str, Any]) -> list[dict[str, str]]:
    """Table rows of warnings and alarms."""
    rows = []
    if (warned := found.get("warning")) and warned["missed"] is not None:
        steps = warned["steps"]
        rows.append({"figure": "episodes with a violation and no warning", "held out":
                     _bracket_share(warned["missed"], warned["missed_interval"])})  # fmt: skip
        rows.append({"figure": "steps of warning: tenth, median, nine tenths", "held out":
                     f"{steps['tenth']:.0f}, {steps['median']:.0f}, {steps['nine_tenths']:.0f}"})  # fmt: skip
    if signs := found.get("calibration"):
        rows.append({"figure": "states that do not count as feasible", "held out": percent(signs["alarms"])})
        if signs["refuted"] is not None:
            rows.append({"figure": "of them, those after which the log has no violation", "held out":
                         _bracket_share(signs["refuted"], signs["refuted_interval"])})  # fmt: skip
        if signs["ranks"] is not None:
            rows.append({"figure": "chance that V_h is larger before a violation than elsewhere", "held out":
                         percent(signs["ranks"])})  # fmt: skip
    return rows


def support_rows(found: Mapping[str, Any]) -> list[dict[str, str]]:
    """Table rows of distances from logged actions in similar states, of the policy's and of held-out logged actions."""
    return [
        {"actions": name, **{key.replace("_", " "): f"{value:.3g}" for key, value in found["support"][kind].items()}}
        for name, kind in (("policy", "distance"), ("log, held out", "logged_distance"))
    ]


def _on_actions(row: Mapping[str, Any], *, named: bool) -> list[KeyFigure]:
    share = row["action_feasible"]
    if share is None:
        return []
    which = f" of {row['name']}" if named else ""
    name = f"Logged actions into a violation{which} that Q_h calls feasible"
    met = None if share["share"] is None else _low(share) <= ACTION_FEASIBLE
    return [KeyFigure(name, _share(share), f"≤ {percent(ACTION_FEASIBLE)}", met)]


def _on_value(name: str, values: Mapping[str, Any]) -> KeyFigure:
    """The return is not surely below the worst tenth of the logged episodes, a cost not surely above the log's mean."""
    if name == "return":
        least = values["log"]["tenth"]
        return KeyFigure("Estimated return", _number(values["policy"]), f"≥ {least:.2f}, a tenth of the log below",
                         values["policy"]["interval"][1] >= least, is_return=True)  # fmt: skip
    return KeyFigure(f"Estimated {_quantity(name)} less the log's", _number(values["difference"]),
                     "not surely above 0", values["difference"]["interval"][0] <= 0)  # fmt: skip


def _on_modeled_cost(name: str, values: Mapping[str, Any]) -> KeyFigure:
    """A cost is not surely above the log's in episodes of a model of the log."""
    difference = values["model_difference"]
    title = f"{_quantity(name).capitalize()} in a model of the log, less the log's"
    return KeyFigure(title, _number(difference), "not surely above 0", difference["interval"][0] <= 0)


def _quantity(name: str) -> str:
    return name if name in ("return", "cost") else f"cost of {name}"


def _low(share: Mapping[str, Any]) -> float:
    return share["share"] if share["interval"] is None else share["interval"][0]


def _share(share: Mapping[str, Any]) -> str:
    return DASH if share["share"] is None else _bracket_share(share["share"], share["interval"])


def _bracket_share(share: float, interval: list[float] | None) -> str:
    if interval is None:
        return percent(share)
    low, high = (percent(bound).removesuffix(" %") for bound in interval)
    return f"{percent(share)} [{low}, {high}]"


def _number(value: Mapping[str, Any]) -> str:
    return bracketed(value["mean"], value["interval"])
