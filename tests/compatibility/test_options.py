"""Flags of the first edition are still flags, with their types, defaults and ranges; fixed presets are what they were.

What is new is not looked at here. A flag that is changed on purpose: write_options.py.
"""

import json

import pytest
from tests.compatibility.recipes import OPTIONS
from tests.compatibility.write_options import COMMANDS, fixed_presets, options_of

EXPECTED = json.loads(OPTIONS.read_text())


@pytest.mark.parametrize("command", COMMANDS)
def test_flags_are_what_they_were(command: str) -> None:
    expected = EXPECTED["flags"][command]
    found = options_of(command)
    assert {name: found.get(name) for name in expected} == expected


def test_fixed_presets_are_what_they_were() -> None:
    found = json.loads(json.dumps(fixed_presets()))
    assert {name: {key: found[name].get(key) for key in values} for name, values in EXPECTED["presets"].items()} == (
        EXPECTED["presets"]
    )
