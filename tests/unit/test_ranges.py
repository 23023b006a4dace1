"""Every number that a user may give has a range, declared beside its field, and is refused outside of it."""

import dataclasses
import importlib
import inspect
import json
import math
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import equinox as eqx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.given import given_to

import surefoot
from surefoot import presets
from surefoot.algorithms import ALGORITHMS, BC, FISOR, FOSP, TREBI, SafeDreamer
from surefoot.cli.bench import BenchActOptions
from surefoot.cli.calibrate import CalibrateOptions
from surefoot.cli.collect import CollectOptions
from surefoot.cli.evaluate import EvaluateOptions
from surefoot.cli.finetune import FinetuneOptions
from surefoot.cli.flags import argument_faults, leaves
from surefoot.cli.options import parse
from surefoot.cli.quickstart import QuickstartOptions
from surefoot.cli.simulators import CheckOptions
from surefoot.cli.sweep import SweepOptions
from surefoot.cli.train import TrainOptions
from surefoot.errors import ConfigError, FieldError
from surefoot.experiments.data_filter import FILTERS, Imitation, Subset
from surefoot.experiments.plan import Plan
from surefoot.hyperparameters import change, from_hyperparameters, hyperparameters
from surefoot.nn import TemporalConfig
from surefoot.planning import SamplerConfig
from surefoot.ranges import Range, Ranged, Relation, check_count, check_number, declared_fields, fault_of
from surefoot.tasks import get_task
from surefoot.training import RunDirectory

RECORDS = {
    "surefoot.algorithms.cdt.data.SequenceData",
    "surefoot.algorithms.trebi.segments.SegmentData",
    "surefoot.cli.main.Command",
    "surefoot.collection.density_filter.Grid",
    "surefoot.collection.density_filter.Thinned",
    "surefoot.data.describe.Description",
    "surefoot.data.describe.Limit",
    "surefoot.data.describe.Spread",
    "surefoot.data.download.Known",
    "surefoot.data.frames.FrameWindows",
    "surefoot.data.logs.importing.Survey",
    "surefoot.data.logs.infer.Found",
    "surefoot.data.logs.infer.LogFacts",
    "surefoot.data.logs.table.Batch",
    "surefoot.evaluation.plan_file.Imaginings",
    "surefoot.experiments.cell.Cell",
    "surefoot.experiments.store.CellRecord",
    "surefoot.experiments.store.DataRecord",
    "surefoot.experiments.store.Manifest",
    "surefoot.file_sets.Mark",
    "surefoot.ranges.Range",
    "surefoot.report.budget_plots.Plane",
    "surefoot.report.image_plots.ProbabilitySlice",
    "surefoot.report.maps.RegionSlice",
    "surefoot.report.protocol_plots.QuantityBar",
    "surefoot.safety.calibration.Calibration",
    "surefoot.tasks.reference.Reference",
    "surefoot.tasks.task_file.ActionTable",
    "surefoot.tasks.task_file.ConstraintTable",
    "surefoot.tasks.task_file.EpisodesTable",
    "surefoot.tasks.task_file.TaskTable",
    "surefoot.tasks.units.Unit",
    "surefoot.training.fit.Progress",
    "surefoot.training.fit._CompiledChunks",
    "surefoot.training.fit._Training",
}
"""Dataclasses whose numbers Surefoot works out or reads with checks of its own: no user gives them."""


def dataclasses_with_numbers() -> list[Any]:
    """Every dataclass of Surefoot with a field of numbers, networks and records left out."""
    found: set[Any] = set()
    for module in pkgutil.walk_packages(surefoot.__path__, "surefoot."):
        if module.name.endswith(("__main__", "cli.import_weights")):
            continue
        for kind in vars(importlib.import_module(module.name)).values():
            if isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind.__module__ == module.name:
                found.add(kind)
    ours = [kind for kind in found if not issubclass(kind, eqx.Module)]
    chosen = [
        kind
        for kind in ours
        if not inspect.isabstract(kind) and any(one.numeric for one in declared_fields(kind).values())
    ]
    return sorted((kind for kind in chosen if name_of(kind) not in RECORDS), key=name_of)


def name_of(kind: Any) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


KINDS = dataclasses_with_numbers()


@pytest.mark.parametrize("kind", KINDS, ids=name_of)
def test_every_number_of_a_configuration_or_an_option_has_a_range(kind: Any) -> None:
    lacking = [name for name, one in declared_fields(kind).items() if one.numeric and one.range is None]
    assert not lacking, f"declare Annotated[..., Range(...)] for {lacking}, or name the class in RECORDS"


WRONG = (math.nan, math.inf, -math.inf, -1, 0, 2**63, 10**30, 10**400, True, "1", 1e300, None)


def refusal_of(good: Any, changes: dict[str, Any]) -> str:
    """What is said of a configuration with these fields changed; nothing where it is fine. A value that is fine alone
    may not go with other fields."""
    try:
        dataclasses.replace(good, **changes)
    except FieldError as error:
        return str(error)
    return ""


def instance(kind: Any) -> Any:
    """One of the class with the least that it must be given."""
    values: dict[str, Any] = {}
    for one in dataclasses.fields(kind):
        if one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING and one.init:
            values[one.name] = valid(declared_fields(kind)[one.name])
    return kind(**values | given_to(kind))


def valid(declared: Any) -> Any:
    if declared.range is None:
        (kind, *_) = declared.kinds
        if declared.optional:
            return None
        if get_origin(kind) is dict:
            item = get_args(kind)[1]
            return {"x": instance(item) if dataclasses.is_dataclass(item) else "x"}
        if dataclasses.is_dataclass(kind):
            return instance(kind)
        if kind is bool:
            return True
        return () if declared.variadic else get_args(kind)[0] if get_origin(kind) is Literal else "x"
    low, high = declared.range.low, declared.range.high
    number: float = 0.5 if float in declared.kinds and low < 0.5 < high else max(1, low)
    return (number,) * (declared.length or 1) if declared.variadic else number


@pytest.mark.parametrize("kind", KINDS, ids=name_of)
def test_numbers_outside_of_their_range_are_refused_and_others_are_not(kind: Any) -> None:
    good = instance(kind)
    for name, declared in declared_fields(kind).items():
        if declared.range is None:
            continue
        for value in WRONG:
            given_value = (value,) * (declared.length or 1) if declared.variadic and value is not None else value
            within = fault_of(value, declared.range, whole=float not in declared.kinds) is None
            if value is None:
                within = declared.optional
            refusal = refusal_of(good, {name: given_value})
            assert within or refusal, f"{name} = {value!r} was accepted"
            assert not refusal or name.replace("_", "-") in refusal.replace("_", "-")


OPTIONS: dict[str, Any] = {
    **{f"train {kind.__name__}": TrainOptions[kind] for kind in (BC, FISOR, FOSP, SafeDreamer, TREBI)},
    "sweep": SweepOptions[FISOR],
    "quickstart": QuickstartOptions[FISOR],
    **{f"data filter {name}": kind for name, kind in FILTERS.items()},
    **{
        kind.__name__: kind
        for kind in (
            BenchActOptions, CalibrateOptions, CheckOptions, CollectOptions, EvaluateOptions, FinetuneOptions,
            Imitation, Subset,
        )
    },
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
def test_every_flag_refuses_numbers_outside_of_its_range(name: str) -> None:
    flags = {found.flag: found for found in leaves(OPTIONS[name]) if found.declared.numeric}
    assert flags
    for flag, found in flags.items():
        declared = found.declared
        assert declared.range is not None
        whole = float not in declared.kinds
        for word in ("-1", "0", str(2**63)) if whole else ("nan", "inf", "-inf", "-1", "0", "1e300"):
            fault = fault_of((int if whole else float)(word), declared.range, whole=whole)
            for arguments in ([flag, word], [f"{flag.replace('-', '_').replace('__', '--', 1)}={word}"]):
                assert argument_faults(OPTIONS[name], arguments) == ([] if fault is None else [(flag, fault)])


def test_only_limits_and_budgets_may_be_infinite() -> None:
    """Where inf says "no limit" in the help; everything else is finite."""
    infinite = {
        f"{kind.__name__}.{name}"
        for kind in KINDS
        for name, one in declared_fields(kind).items()
        if one.range is not None and math.inf in one.range
    }
    assert infinite == {
        "BenchActOptions.budget", "Budget.ratio", "BudgetRequest.budget", "BudgetRequest.cost_limit",
        "EvaluateOptions.budget", "EvaluateOptions.cost_limit", "EvaluationRequest.budget",
        "EvaluationRequest.cost_limit", "LatencyRequest.budget",
    }  # fmt: skip


# --- intervals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("interval", "inside", "outside"),
    [
        ("[0, 1)", (0.0, 0.5), (-1e-9, 1.0, math.nan)),
        ("(0, 1]", (1e-9, 1.0), (0.0, 1.0000001, math.nan)),
        ("[0, 0.5]", (0.0, 0.5), (-0.1, 0.6)),
        ("(0, inf)", (1e-9, 1e30), (0.0, math.inf)),
        ("(-inf, inf)", (-1e30, 0.0), (-math.inf, math.inf, math.nan)),
    ],
)
def test_an_interval_has_the_ends_whose_brackets_are_square(
    interval: str, inside: tuple[float, ...], outside: tuple[float, ...]
) -> None:
    for value in inside:
        check_number(value, interval, "share")
    for value in outside:
        with pytest.raises(ConfigError) as error:
            check_number(value, interval, "share")
        assert str(error.value) == f"share: expected a number in {interval}, found {value:g}."


@given(value=st.integers(-5, 5), least=st.integers(-3, 3))
def test_whole_numbers_are_refused_where_they_are_smaller(value: int, least: int) -> None:
    if value >= least:
        check_count(value, "second", f"[{least}, 2^31)")
    else:
        with pytest.raises(ConfigError, match=rf"^second: expected at least {least}, found {value}\.$"):
            check_count(value, "second", f"[{least}, 2^31)")


@pytest.mark.parametrize(
    ("value", "interval", "whole", "sentence"),
    [
        (True, "[0, 2]", True, "expected a whole number, found True"),
        (True, "[0, 2]", False, "expected a number, found True"),
        (1.0, "[1, 3]", True, "expected a whole number, found 1"),
        ("7", "[1, 3]", False, "expected a number, found '7'"),
        (None, "[1, 3]", False, "expected a number, found None"),
        (2**31, "[0, 2^31)", True, "expected at most 2147483647, found 2147483648"),
        (10**30, "[0, 2^31)", True, "expected at most 2147483647, found a number of 31 digits"),
        (10**400, "(0, inf)", False, "expected a number in (0, inf), found a number of more than 400 digits"),
        (-0.5, "[0, inf]", False, "expected at least 0 (inf for no limit), found -0.5"),
        # Networks compute with 32 bits, in which the first is 1, and the others 0 and infinite.
        (1 - 1e-12, "[0, 1)", False, "expected a number in [0, 1) as 32 bits hold it, found 1"),
        (1e-60, "(0, inf)", False, "expected a number in (0, inf) as 32 bits hold it, found 1e-60"),
        (1e60, "(0, inf)", False, "expected a number in (0, inf) as 32 bits hold it, found 1e+60"),
    ],
)
def test_a_refusal_says_what_was_expected_and_found(value: Any, interval: str, whole: bool, sentence: str) -> None:
    assert fault_of(value, Range(interval), whole=whole) == sentence


@pytest.mark.parametrize("value", [np.int64(2), np.int32(1), 3])
def test_numbers_of_numpy_are_numbers(value: Any) -> None:
    check_count(value, "seed")
    check_number(np.float32(0.5), "[0, 1)", "share")
    check_number(2, "[0, 3]", "an integer is a number, too")


@pytest.mark.parametrize("text", ["0, 1", "[1, 0]", "[0 1]", ""])
def test_an_interval_is_written_as_in_mathematics(text: str) -> None:
    with pytest.raises(ConfigError, match=r"interval: expected one as \[0, 1\)"):
        Range(text)


# --- configurations --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part(Ranged, part="guide"):
    scale: Annotated[float, Range("[0, inf)")] = 1.0
    steps: Annotated[int, Range("[0, 10]")] = 2
    stop: Annotated[int, Range("[0, 10]")] = 1

    def _relations(self) -> Iterator[Relation]:
        yield Relation(self.stop <= self.steps, "stop", f"expected at most steps, found {self.stop}")


@dataclass(frozen=True)
class Whole(Ranged):
    log_interval: Annotated[int, Range("[1, 2^31)")] = 1
    units: Annotated[tuple[int, ...], Range("[1, 100]", fewest=1)] = (4, 4)
    limit: Annotated[float | None, Range("[0, inf]")] = None
    box: Annotated[tuple[float, float], Range("[0, 1]")] = (0.0, 1.0)
    kind: Literal["plain", "other"] = "plain"
    """Which."""
    fast: bool = False
    guide: Part = field(default_factory=Part)
    second: Part = field(default_factory=Part)


def test_all_faults_come_in_one_message() -> None:
    with pytest.raises(FieldError) as refused:
        Whole(log_interval=0, units=(4, 0), limit=-1.0, box=(0.0, 2.0))
    assert str(refused.value) == (
        "log_interval: expected at least 1, found 0; units: expected at least 1, found 0; "
        "limit: expected at least 0 (inf for no limit), found -1; box: expected a number in [0, 1], found 2."
    )
    with pytest.raises(FieldError, match=r"^guide.scale: expected .*, found inf; guide.steps: .*, found -1\.$"):
        Part(scale=math.inf, steps=-1)


@pytest.mark.parametrize(
    ("kind", "values", "names"),
    [
        (
            partial(change, FOSP()),
            {"data_branch": False, "imagined_branch": False, "weighting": "cloning", "actor_mode": "backprop",
             "reachability": "released"},
            ["data_branch", "weighting", "imagined_branch"],
        ),
        (
            TREBI,
            {"plan_horizon": 7, "control_interval": 9, "sampler": SamplerConfig(steps=900, warm_steps=2000)},
            ["plan_horizon", "plan_horizon", "sampler.steps", "control_interval"],
        ),
        (TREBI, {"sampler": SamplerConfig(warm_steps=2000), "control_interval": 1000},
         ["sampler.warm_steps", "control_interval"]),
        (TemporalConfig, {"width": 12, "kernel": 4}, ["network.width", "network.kernel"]),
        (
            Plan,
            {"name": "a b", "tasks": {}, "methods": {}, "baseline": "x", "seeds": (1, 1)},
            ["name", "tasks", "methods", "seeds", "baseline"],
        ),
    ],
)  # fmt: skip
def test_all_relations_come_in_one_message(kind: Any, values: dict[str, Any], names: list[str]) -> None:
    with pytest.raises(FieldError) as refused:
        kind(**values)
    assert [fault.name for fault in refused.value.faults] == names


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"units": [4, 4]}, "units: expected a tuple of whole numbers, found [4, 4]."),  # cannot be hashed
        ({"box": (0.0, 1.0, 1.0)}, "box: expected 2 numbers, found 3."),
        ({"units": ()}, "units: expected at least one number, found none."),
        ({"units": 4}, "units: expected a tuple of whole numbers, found 4."),
        ({"units": "44"}, "units: expected a tuple of whole numbers, found '44'."),
        ({"kind": "nonsense"}, "kind: expected one of plain, other, found 'nonsense'."),
        ({"fast": "no"}, "fast: expected True or False, found 'no'."),
        ({"fast": 1}, "fast: expected True or False, found 1."),
        ({"guide": {"scale": 1.0}}, "guide: expected a Part, found {'scale': 1.0}."),
        ({"guide": None}, "guide: expected a Part, found None."),
        ({"limit": "1"}, "limit: expected a number, found '1'."),
    ],
)
def test_other_types_than_declared_are_refused(values: dict[str, Any], sentence: str) -> None:
    with pytest.raises(FieldError) as refused:
        Whole(**values)
    assert str(refused.value) == sentence


def test_none_and_infinity_pass_where_they_are_declared() -> None:
    assert Whole(limit=math.inf).limit == math.inf
    assert Whole(limit=None).limit is None


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--log-interval", "0", "--guide.scale=nan", "--units", "3", "0", "--box", "0", "7"],
            "--log-interval: expected at least 1, found 0; --guide.scale: expected a number in [0, inf), found nan; "
            "--units: expected at least 1, found 0; --box: expected a number in [0, 1], found 7.",
        ),
        (["--guide.stop", "5"], "--guide.stop: expected at most steps, found 5."),
        (["--second.stop", "5"], "--second.stop: expected at most steps, found 5."),
        (["--log_interval=-1"], "--log-interval: expected at least 1, found -1."),
    ],
)
def test_the_command_line_calls_fields_by_their_flags(arguments: list[str], sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse(Whole, arguments, command="try")
    assert str(refused.value) == sentence


def test_help_shows_ranges_beside_types_defaults_and_words(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(Whole, ["--help"], command="try")
    shown = " ".join(capsys.readouterr().out.replace("│", "").split())
    assert "--log-interval INT At least 1. (default: 1)" in shown
    assert "--box FLOAT FLOAT In [0, 1]. (default: 0.0 1.0)" in shown
    assert "--limit {None}|FLOAT At least 0; inf: no limit. (default: None)" in shown
    assert "--kind {plain,other} Which. (default: plain)" in shown


# --- what stands still stands ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", presets.PRESETS)
def test_every_preset_is_within_the_ranges(algorithm: str) -> None:
    tasks = ("HazardRun", "PointRobotPixels64", "PointGoal1Vision") if algorithm in ("fosp", "safedreamer") else ()
    for name in (*tasks, "PointRobot", "SafePendulum", "Hopper", "BallRun", "CarCircle"):
        task = get_task(name)
        for preset in presets.presets_of(algorithm, task):
            presets.build(algorithm, task, preset=preset)


def test_every_configuration_of_the_results_is_within_the_ranges() -> None:
    results = Path(__file__).parents[2] / "results"
    checked = 0
    for path in sorted(results.glob("**/summary.json")):
        summary = json.loads(path.read_text())
        if isinstance(config := summary.get("config"), dict) and "algorithm" in summary:
            kind = ALGORITHMS[summary["algorithm"]]
            # The oldest lack fields that came later, and so do not load; their values are tried all the same.
            values = hyperparameters(kind()) | {
                name: config[name] for name in config if name in hyperparameters(kind())
            }
            from_hyperparameters(kind, values, source=str(path))
            checked += 1
    assert checked > 10
    for path in sorted(results.glob("**/config.json")):
        RunDirectory(path.parent).read_config()
