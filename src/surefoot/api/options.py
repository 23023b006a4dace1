"""Options of the Python API by name, as a request takes them."""

import os
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from surefoot.errors import ConfigError, check_name, option
from surefoot.experiments.unread import limits_elsewhere
from surefoot.hyperparameters import declarations, renamed
from surefoot.protocols import Algorithm
from surefoot.training.run_directory import MOST_SEEDS


def known_options(kind: Any, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as a request takes them.

    Lists become tuples, a single value becomes a tuple where several are allowed, text becomes a path where the option
    is one, and former names become present ones.

    Args:
        kind: Dataclass of the request.
        options: Values by name.

    Returns:
        Values by field name.

    Raises:
        UnknownNameError: `kind` has no such option.
    """
    options = renamed(kind, options, warn=True)
    hints = {field.name: str(field.type) for field in fields(kind)}
    return {name: _value(hints[check_name("option", name, hints)], value) for name, value in options.items()}


def training_options(kind: Any, options: Mapping[str, Any], name: str, algorithm: Algorithm) -> dict[str, Any]:
    """Options of a training by keyword, as of `known_options`.

    Args:
        kind: Class of the options.
        options: Keywords and their values.
        name: Name of the algorithm.
        algorithm: The algorithm with its hyper-parameters.

    Returns:
        The options that are fields of `kind`.

    Raises:
        ConfigError: A keyword is unknown, a hyper-parameter, or a limit that the algorithm does not have in training;
            the sentence says where it belongs.
    """
    own = {one.field.name for one in declarations(type(algorithm))} - {field.name for field in fields(kind)}
    inside = f"expected among the hyper-parameters, as in {type(algorithm).__name__}"
    elsewhere = {one: f"{inside}({one}=...), found beside them" for one in own} | limits_elsewhere(name, algorithm)
    for one in options:
        if one in elsewhere:
            raise ConfigError(f"{one}: {elsewhere[one]}.")
    return known_options(kind, options)


def _value(hint: str, value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    if "tuple[" in hint and isinstance(value, int | float) and not isinstance(value, bool):
        return (value,)
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    return Path(value) if "Path" in hint and isinstance(value, str) else value


def seeds_of(seeds: object) -> tuple[int, ...]:
    """Seeds as a tuple: 3 means 0, 1 and 2; a list means its entries. Raises `ConfigError`."""
    if isinstance(seeds, int) and not isinstance(seeds, bool) and 1 <= seeds <= MOST_SEEDS:
        return tuple(range(seeds))
    found = tuple(seeds) if isinstance(seeds, list | tuple | range) else ()
    if not found or len(set(found)) != len(found) or len(found) > MOST_SEEDS:
        raise ConfigError(f"seeds: expected a number of seeds, or a list of different ones, found {seeds!r:.80}.")
    return found


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds that a text means: `0:3` is (0, 1, 2), `0,1,5` the three, `5` that one. Raises `ConfigError`."""
    if match := re.fullmatch(r"\s*(\d{1,10}):(\d{1,10})\s*", text):
        first, end = (int(number) for number in match.groups())
        if not 0 < end - first <= MOST_SEEDS:
            raise ConfigError(
                f"{option('seeds')}: expected 1 to {MOST_SEEDS} seeds, found {max(end - first, 0)} in '{text}'."
            )
        seeds = tuple(range(first, end))
    elif re.fullmatch(r"\s*\d{1,10}(\s*,\s*\d{1,10})*\s*", text):
        seeds = tuple(int(number) for number in text.split(","))
    else:
        raise ConfigError(f"{option('seeds')}: expected a range as 0:3, a list as 0,1,2 or a number, found '{text}'.")
    if len(set(seeds)) != len(seeds) or max(seeds) >= 2**31:
        raise ConfigError(f"{option('seeds')}: expected different whole numbers from 0 to 2**31 - 1, found '{text}'.")
    return seeds
