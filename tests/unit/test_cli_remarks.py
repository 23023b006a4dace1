"""Remarks are warnings on stderr, and errors with --strict."""

import pytest

from surefoot.cli.terminal import remark
from surefoot.errors import ConfigError


def test_remarks_are_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    remark(["data.hdf5: 3 of 20 episodes are left", "column 2 is constant."], strict=False)
    assert capsys.readouterr().err == (
        "warning: data.hdf5: 3 of 20 episodes are left.\nwarning: column 2 is constant.\n"
    )
    remark([], strict=True)
    assert capsys.readouterr() == ("", "")


def test_strict_remarks_are_one_error() -> None:
    with pytest.raises(ConfigError, match=r"^one; two \(an error because of --strict\)\.$"):
        remark(iter(["one.", "two."]), strict=True)
