"""Reading options: seeds, names, presets against flags, and a help that hides nothing."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
import tyro

from surefoot import presets
from surefoot.api.options import parse_seeds
from surefoot.cli.main import main
from surefoot.cli.options import choose, parse_with_hyperparameters
from surefoot.cli.train import TrainOptions
from surefoot.errors import ConfigError, UnknownNameError, flag, options_called
from surefoot.hyperparameters import change, flat
from surefoot.tasks import get_task


def options_of(*words: str) -> TrainOptions[Any]:
    arguments = [*words, "--data", "d.hdf5", "--out", "o"]
    choice = choose(arguments)
    return parse_with_hyperparameters(
        TrainOptions,
        arguments,
        choice,
        command="train",
        algorithm=choice.algorithm,
        task=choice.task.name,
        preset=choice.preset,
        data=tyro.MISSING,
        out=tyro.MISSING,
    )


def test_options_parsed_from_words_have_the_preset_as_default() -> None:
    options = options_of("--preset", "paper")
    assert options.hyper == presets.build("fisor", get_task("PointRobot"), preset="paper")
    assert options.preset == "paper"
    assert options.data == Path("d.hdf5")


def test_command_line_wins_over_preset_and_leaves_the_rest() -> None:
    hyper = options_of("--preset=legacy", "--cost-limit", "3", "--diffusion.learning-rate", "0.5").hyper
    legacy = presets.build("fisor", get_task("PointRobot"), preset="legacy")
    assert legacy.constraint.cost_limit == 10.0
    changed = dataclasses.replace(legacy.diffusion, learning_rate=0.5)
    assert hyper == change(legacy, cost_limit=3.0, diffusion=changed)


def test_flags_of_a_preset_can_be_turned_back() -> None:
    assert options_of("--preset", "legacy").hyper.constraint.timeouts_terminal is True
    assert options_of("--preset", "legacy", "--no-timeouts-terminal").hyper.constraint.timeouts_terminal is False


def test_order_of_preset_and_flags_does_not_matter() -> None:
    assert options_of("--cost-limit", "3", "--preset", "legacy") == options_of(
        "--preset", "legacy", "--cost-limit", "3"
    )


def test_algorithms_have_their_own_flags() -> None:
    assert options_of("--algorithm", "bc", "--policy-updates", "7").hyper.policy_updates == 7


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("0:3", (0, 1, 2)),
        ("4:6", (4, 5)),
        ("0,1,2", (0, 1, 2)),
        ("7, 3", (7, 3)),
        ("5", (5,)),
        ("2147483647", (2**31 - 1,)),
    ],
)
def test_seeds_as_range_list_or_number(text: str, seeds: tuple[int, ...]) -> None:
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "3:1",
        "2:2",
        ":3",
        "0:",
        "-1",
        "1,1",
        "1,,2",
        "0:99999",
        "2147483648",
        "1.5",
        "0:3:1",
        "0:9999999999999",
    ],
)
def test_bad_seeds_are_refused_with_what_was_found(text: str) -> None:
    sentence = rf"^--seeds: expected .*found .*{re.escape(text)}"
    with options_called(flag), pytest.raises(ConfigError, match=sentence):
        parse_seeds(text)


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["--algorithm", "fisr"], "fisor or fosp"),
        (["--task", "pointrobo"], "PointRobot or PointRobotSlow or PointRobotPixels"),
        (["--preset", "smal"], "small"),
        (["--algorithm=BC"], "bc or bcrl"),
    ],
)
def test_wrong_names_list_the_near_ones(words: list[str], near: str) -> None:
    with pytest.raises(UnknownNameError, match=rf"did you mean {near}(\?|, or a system of your own)"):
        choose(words)


def test_a_name_left_out_is_said_so() -> None:
    with pytest.raises(ConfigError, match="--algorithm: expected a name, found none"):
        choose(["--algorithm"])


def leaves(instance: Any, prefix: str = "") -> dict[str, Any]:
    """Every hyper-parameter as its flag is called, and its value."""
    found = {}
    for field, value in flat(instance).items():
        name = f"{prefix}{field.replace('_', '-')}"
        found |= leaves(value, f"{name}.") if dataclasses.is_dataclass(value) else {name: value}
    return found


@pytest.mark.parametrize(("algorithm", "preset"), [("fisor", "small"), ("fisor", "legacy"), ("bc", "paper")])
def test_help_shows_every_hyperparameter_with_its_default(
    algorithm: str, preset: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--algorithm", algorithm, "--preset", preset, "--help"]) == 0
    # Without the frame, wrapped lines are one text again.
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    entries = re.split(r"(?= --[a-z])", text)
    for name, value in leaves(presets.build(algorithm, get_task("PointRobot"), preset=preset)).items():
        entry = "".join(part for part in entries if re.match(rf" --{re.escape(name)}[ ,]", part))
        negated = "".join(part for part in entries if part.startswith(f" --{_negated(name)} "))
        shown = {True: "True", False: "False"}.get(value) if isinstance(value, bool) else None
        words = shown or (" ".join(map(str, value)) if isinstance(value, tuple) else str(value))
        assert f"(default: {words})" in entry + negated, f"--{name}: {entry + negated}"
        assert len(entry + negated) > len(name) + 25, f"--{name} is not explained"


def _negated(name: str) -> str:
    head, _, last = name.rpartition(".")
    return f"{head}.no-{last}" if head else f"no-{last}"
