"""Signals that ask to end: noted or raised, once; those of others, and other threads, are left alone."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from surefoot import interrupts
from surefoot.cli import main as main_module
from surefoot.cli.main import main
from surefoot.interrupts import Stopped, deferred_interrupts, stopping

NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Every test leaves the handlers as it found them; pytest's own are Python's."""
    before = [signal.getsignal(number) for number in NUMBERS]
    yield
    after = [signal.getsignal(number) for number in NUMBERS]
    for number, handler in zip(NUMBERS, before, strict=True):
        signal.signal(number, handler)
    assert after == before


def send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_first_signal_is_noted_and_raised_at_the_end(number: signal.Signals) -> None:
    noted = []

    def work() -> None:
        with deferred_interrupts() as interrupted:
            noted.append(interrupted())
            send(number)
            noted.append(interrupted())

    with pytest.raises(KeyboardInterrupt) as info:
        work()
    assert noted == [False, True]
    if number == signal.SIGINT:
        assert info.type is KeyboardInterrupt
    else:
        assert isinstance(info.value, Stopped)
        assert info.value.exit_code == {signal.SIGTERM: 143, signal.SIGHUP: 129}[number]
        assert str(info.value) == number.name


@pytest.mark.parametrize("second", NUMBERS)
def test_the_second_signal_raises_at_once(second: signal.Signals) -> None:
    reached = []

    def work() -> None:
        with deferred_interrupts():
            send(signal.SIGINT)
            send(second)
            reached.append(True)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert reached == []
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def test_a_signal_that_comes_on_two_ways_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """As `timeout` sends it: to the process and to its group."""

    def work() -> None:
        with deferred_interrupts() as interrupted:
            send(signal.SIGTERM)
            send(signal.SIGTERM)
            assert interrupted()
            monkeypatch.setattr(interrupts, "REPEATED_SECONDS", -1.0)
            send(signal.SIGTERM)
            raise AssertionError("the second one, later, raises")

    with pytest.raises(Stopped):
        work()


def test_what_others_handle_or_ignore_stays_so() -> None:
    seen: list[int] = []

    def own(number: int, frame: Any) -> None:
        seen.append(number)

    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # nohup
        signal.signal(signal.SIGTERM, own)
        with stopping(), deferred_interrupts() as interrupted:
            send(signal.SIGHUP)
            send(signal.SIGTERM)
            assert not interrupted()
        assert seen == [signal.SIGTERM]
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def test_another_thread_sets_no_handlers() -> None:
    found: list[Any] = []

    def work() -> None:
        with stopping(), deferred_interrupts() as interrupted:
            found.extend([interrupted(), *(signal.getsignal(number) for number in NUMBERS)])

    before = [signal.getsignal(number) for number in NUMBERS]
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False, *before]


def test_a_thread_that_only_python_takes_for_the_main_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where another program embeds Python."""

    def work() -> None:
        monkeypatch.setattr(threading, "main_thread", threading.current_thread)
        with stopping(), deferred_interrupts() as interrupted:
            found.append(interrupted())

    found: list[bool] = []
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [False]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_a_command_ends_with_the_signals_code_and_says_how_to_go_on(
    number: signal.Signals, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tidied = []

    def work(name: str, words: list[str]) -> int:
        try:
            send(number)
            send(number) if number != signal.SIGINT else None
            return 0
        finally:
            tidied.append(True)

    monkeypatch.setattr(main_module, "_dispatch", work)
    assert main(["train"]) == code
    assert tidied == [True]
    by = "" if number == signal.SIGINT else f" by {number.name}"
    assert capsys.readouterr().err == f"interrupted{by}: start the same command again with --resume to go on.\n"


@pytest.mark.parametrize("deferred", [False, True])
def test_a_process_that_is_asked_again_ends(deferred: bool) -> None:
    """The second signal ends a command that is tidying up; one that defers raises at the second."""
    script = f"""
import time
from surefoot.interrupts import Stopped, deferred_interrupts, stopping
from contextlib import nullcontext
with stopping():
    try:
        with deferred_interrupts() if {deferred} else nullcontext():
            print("ready", flush=True)
            if {deferred}:
                time.sleep(1.1)
                print("noted", flush=True)
            time.sleep(60)
    finally:
        print("tidying", flush=True)
        time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        if deferred:
            assert process.stdout.readline() == "noted\n"
            process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "tidying\n"
        process.send_signal(signal.SIGHUP)
        assert process.wait(10) in (-signal.SIGHUP, -signal.SIGTERM)


def test_a_command_that_was_stopped_does_not_wait_for_what_still_computes() -> None:
    """Python's own end beside a compilation of JAX crashed: exit code -11 in place of 143."""
    script = """
import atexit, os, signal, sys, threading, time
from surefoot.cli import main as module
atexit.register(lambda: os.kill(os.getpid(), signal.SIGSEGV))
def work(name, words):
    threading.Thread(target=time.sleep, args=(60,)).start()
    print("a row")
    os.kill(os.getpid(), signal.SIGTERM)
module._dispatch = work
sys.argv[1:] = ["train"]
sys.exit(module.main())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (143, "a row\n")
    assert done.stderr == "interrupted by SIGTERM: start the same command again with --resume to go on.\n"
