"""Which options a command line names."""

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

from surefoot.cli.flags import with_todays_names


def given_options(kind: Any, arguments: Sequence[str], *, refused: Collection[str] = ()) -> frozenset[str]:
    """The fields of a command's options that a command line names, whatever values it gives them; without those of
    which the flags were refused already."""
    arguments = with_todays_names(kind, arguments, quietly=True)
    words = {word[2:].split("=", 1)[0].replace("-", "_") for word in arguments if word.startswith("--")}
    names = words - {name.removeprefix("--").replace("-", "_") for name in refused}
    return frozenset(field.name for field in dataclasses.fields(kind) if field.name in names)
