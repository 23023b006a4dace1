"""What the cards of data hold, as far as they are read back. They may hold more, somebody else's whatever they like."""

import json
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from surefoot.data.checks import refuse
from surefoot.errors import DataError
from surefoot.json_files import parse_json


class Card(TypedDict, total=False):
    """Of a data file or a folder of episodes."""

    task: str
    layout: str
    coverage: dict[str, Any]
    vision: dict[str, Any]


class Metadata(TypedDict, total=False):
    """metadata.json of a Minari dataset."""

    data_format: str
    card: Card | None
    total_episodes: int
    total_steps: int


def written_card(path: Path, key: str, task: str, card: dict[str, Any] | None, **facts: str) -> dict[str, Any]:
    """`card` with its task and further `facts`, as every format writes it under `key` of the file at `path`.

    Raises `DataError` where the card names another task or layout, and where reading the file would refuse the card:
    numbers that JSON has not or that are too large, and characters that are no text.
    """
    full = {"task": task, **facts, **(card or {})}
    for name, value in {"task": task, **facts}.items():
        if full[name] != value:
            refuse(path, key, expected=f"{name} {value}", found=f"{name} {full[name]!a:.80}")
    expected = "JSON values that can be read back"
    try:
        text = json.dumps(full)
    except (TypeError, ValueError, RecursionError) as error:
        found = "nesting that is too deep" if isinstance(error, RecursionError) else str(error)
        refuse(path, key, expected=expected, found=f"{found:.120}", cause=error)
    parse_json(text, Card, place=f"{path}: {key}", what=expected, error=DataError)
    return full
