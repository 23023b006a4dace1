"""Data cards, as far as they are read back; they may hold further entries."""

import json
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from surefoot.data.checks import refuse
from surefoot.errors import DataError
from surefoot.json_files import parse_json


class Card(TypedDict, total=False):
    """Card of a data file or a folder of episodes."""

    task: str
    layout: str
    coverage: dict[str, Any]
    vision: dict[str, Any]


class Metadata(TypedDict, total=False):
    """Contents of a Minari dataset's metadata.json."""

    data_format: str
    card: Card | None
    total_episodes: int
    total_steps: int


def written_card(path: Path, key: str, task: str, card: dict[str, Any] | None, **facts: str) -> dict[str, Any]:
    """Data card as every format writes it.

    Args:
        path: File, for messages.
        key: Key of the card, for messages.
        task: Name of the task.
        card: Entries of the caller, JSON values; None: none.
        facts: Further entries, such as the layout.

    Returns:
        The complete card.

    Raises:
        DataError: The card names another task or layout, or reading would refuse it: numbers that JSON lacks or that
            are too large, or characters that are no text.
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
