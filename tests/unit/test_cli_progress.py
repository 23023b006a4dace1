"""Progress without a terminal: plain lines with rate and remaining time, and not too many of them."""

import io

import pytest
from rich.console import Console

from surefoot.cli import progress
from surefoot.cli.progress import ProgressLine, reading_progress
from surefoot.text import duration


class Clock:
    """Seconds that pass only when told."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


def test_a_line_every_ten_seconds_and_at_the_end(clock: Clock) -> None:
    text = io.StringIO()
    with ProgressLine("training", unit="updates", console=Console(file=text, width=200)) as line:
        line.report(0, 1000)
        for done in range(100, 1001, 100):  # one report every 4 seconds: 25 updates per second
            clock.now += 4.0
            line.report(done, 1000, phase="policy")
    lines = text.getvalue().splitlines()
    # Due at 12, 24 and 36 seconds; the last report, at 40, is the end.
    assert lines == [
        "training · policy: 300 of 1,000 updates, 25/s, 28 s left",
        "training · policy: 600 of 1,000 updates, 25/s, 16 s left",
        "training · policy: 900 of 1,000 updates, 25/s, 4 s left",
        "training · policy: 1,000 of 1,000 updates, 25/s",
    ]


def test_an_end_is_told_once(clock: Clock) -> None:
    text = io.StringIO()
    with ProgressLine("evaluating", unit="steps", console=Console(file=text, width=200)) as line:
        for done, phase in ((0, "a"), (10, "a"), (10, "a"), (10, "b")):
            line.report(done, 10, phase=phase, rate=2.0)
    assert text.getvalue().splitlines() == [f"evaluating · {phase}: 10 of 10 steps, 2/s" for phase in "ab"]


def test_work_done_before_does_not_count_into_the_rate(clock: Clock) -> None:
    text = io.StringIO()
    with ProgressLine("training", unit="updates", console=Console(file=text, width=200)) as line:
        line.report(500, 1000)
        clock.now += 50.0
        line.report(600, 1000)  # 100 updates in 50 seconds
    assert text.getvalue() == "training: 600 of 1,000 updates, 2/s, 3 min 20 s left\n"


def test_the_time_of_compiling_foretells_nothing(clock: Clock) -> None:
    text = io.StringIO()
    console = Console(file=text, width=200)
    with ProgressLine("evaluating", unit="steps", compiles=True, console=console) as line:
        line.report(500, 1000)  # done before
        for seconds, done in ((40.0, 510), (10.0, 530), (20.0, 560)):
            clock.now += seconds
            line.report(done, 1000)
    assert text.getvalue().splitlines() == [
        "evaluating: 510 of 1,000 steps",
        "evaluating: 530 of 1,000 steps, 2/s, 3 min 55 s left",  # 20 in 10 seconds: 470 more take 235
        "evaluating: 560 of 1,000 steps, 1.7/s, 4 min 24 s left",  # 50 in 30 seconds: 440 more take 264
    ]


def test_the_callers_rate_wins(clock: Clock) -> None:
    text = io.StringIO()
    with ProgressLine("training", unit="updates", console=Console(file=text, width=200)) as line:
        clock.now += 20.0
        line.report(10, 100, rate=3.0, remaining=30.0)
    assert text.getvalue() == "training: 10 of 100 updates, 3/s, 30 s left\n"


def test_a_terminal_gets_a_bar() -> None:
    text = io.StringIO()
    with ProgressLine("training", unit="updates", console=Console(file=text, force_terminal=True, width=120)) as line:
        line.report(40, 100, phase="[policy]", rate=20.0)
    assert "training · [policy]" in text.getvalue()  # rich reads no markup in it
    assert "40 of 100 updates, 20/s, 3 s left" in text.getvalue()


def test_only_reading_much_gets_a_line(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    for total in (2**30 - 1, 3 * 10**9):
        with reading_progress("checking data.hdf5") as report:
            for done in (total // 3, total):
                clock.now += 8.0
                report(done, total)
    # The line begins at its first report: 2,000 MB more in 8 seconds.
    assert capsys.readouterr().err == "checking data.hdf5: 3,000 of 3,000 MB, 250/s\n"


def test_another_unit_may_be_told(clock: Clock) -> None:
    text = io.StringIO()
    with ProgressLine("training", unit="updates", console=Console(file=text, width=200)) as line:
        clock.now += 20.0
        line.report(10, 100, rate=20.0, phase="policy, weights", unit="rows")
    assert text.getvalue() == "training · policy, weights: 10 of 100 rows, 20/s, 4 s left\n"


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (185, "3 min 5 s"), (7800, "2 h 10 min")])
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text
