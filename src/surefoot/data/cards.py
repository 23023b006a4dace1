"""What the cards of data hold, as far as they are read back. They may hold more, somebody else's whatever they like."""

from typing import Any

from typing_extensions import TypedDict


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
