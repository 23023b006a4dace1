"""Damages data files, run folders and evaluations, and counts what Surefoot makes of them.

    python benchmarks/fuzz.py                      # 2,100 mutations, some 8 minutes on two cores
    python benchmarks/fuzz.py --only dsrl --count 50 --show
    python benchmarks/fuzz.py --first 100000 --count 300      # others than the committed ones

Each mutation (fixed seeds) is looked at in a process of its own memory limit, as training, loading and the reports read
it. It must be refused in one sentence, or give what it gave before; values may come back changed where nothing could
tell. Wrong are: a traceback, a process that dies, more than 20 s or 1 GB, and damage that was taken for data. Writes
benchmarks/results/fuzz.json.
"""

import argparse
import contextlib
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

HERE = Path(__file__).parent
COUNT, SECONDS, MEGABYTES = 2100, 20.0, 1000
DRAWN = 10
"""Of so many reports one is drawn."""
GOOD = ("refused", "as before", "changed")


def outcome(folder: Path, subject: Any, references: list[list[str]]) -> tuple[str, str]:
    """What came of the looks: the worst one, and what was said."""
    from _fuzz_subjects import Refused
    from surefoot.errors import SurefootError

    said, changed = "", False
    for number, look in enumerate(subject.looks):
        try:
            changed |= look(folder) not in [right[number] for right in references]
        except (SurefootError, Refused) as refusal:
            said = str(refusal)
            if not _is_plain(said):
                return "not a sentence", said
        except BaseException:
            return "traceback", traceback.format_exc()[-1500:]
    return ("refused" if said else "changed" if changed else "as before"), said


def _is_plain(said: str) -> bool:
    """One error of one line; progress and warnings may stand before it."""
    lines = said.removeprefix("2: ").strip().split("\n")
    errors = [line for line in lines if line.startswith("error: ")]
    alone = len(lines) == 1 or (len(errors) == 1 and lines[-1] == errors[0])
    return alone and "Traceback" not in said and "\x1b" not in said


def worker(originals: Path) -> None:
    """Answer the cases of stdin, one a line, on stdout."""
    from _fuzz_mutations import DAMAGE, STRICT, apply, free_links
    from _fuzz_subjects import SUBJECTS

    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    subjects = {subject.name: subject for subject in SUBJECTS}
    references: dict[str, list[list[str]]] = {}
    for line in sys.stdin:
        case = json.loads(line)
        subject = subjects[case["subject"]]
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "it"
            if subject.name not in references:
                references[subject.name] = [
                    _looked(originals / subject.name, folder, subject, change) for change in (None, *subject.also)
                ]
            shutil.copytree(originals / subject.name, folder)
            mutation = apply(folder, np.random.default_rng([case["seed"], len(case["subject"])]))
            _reset_peak()
            began = time.perf_counter()
            with _drawing(case["seed"] % DRAWN == 0):
                kind, said = outcome(folder, subject, references[subject.name])
            seconds = time.perf_counter() - began
            free_links(folder)
            told = said.replace(str(folder), "IT")
        answers.write(json.dumps({
            **case, "kind": kind, "said": told, "seconds": seconds, "megabytes": _peak_megabytes(),
            "mutation": mutation.name, "file": mutation.file,
            "strict": mutation.may == STRICT or (mutation.may == DAMAGE and subject.checksums),
        }) + "\n")  # fmt: skip


@contextlib.contextmanager
def _drawing(really: bool) -> Iterator[None]:
    """Figures are laid out but not drawn, which takes nine tenths of a report's time, unless `really`."""
    from matplotlib.figure import Figure

    def blank(self: Figure, file: Any, **_: Any) -> None:
        file.write(b"x") if hasattr(file, "write") else Path(file).write_bytes(b"x")

    with contextlib.nullcontext() if really else mock.patch.object(Figure, "savefig", blank):
        yield


def _looked(original: Path, folder: Path, subject: Any, change: Any) -> list[str]:
    """What the looks give for files that are whole."""
    shutil.copytree(original, folder)
    if change is not None:
        change(folder)
    with _drawing(False):
        digests = [look(folder) for look in subject.looks]
    shutil.rmtree(folder)
    return digests


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def _peak_megabytes() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1000


class Worker:
    """A process that is started again when it dies or takes too long."""

    def __init__(self, originals: Path) -> None:
        self._originals = originals
        self._process: subprocess.Popen[str] | None = None

    def ask(self, case: dict[str, Any]) -> dict[str, Any]:
        first = self._process is None
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        # The first case of a subject is preceded by looks at it as it was, for which programs are compiled.
        timer = threading.Timer(300 if first else 120, process.kill)
        timer.start()
        try:
            process.stdin.write(json.dumps(case) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        finally:
            timer.cancel()
        if answer:
            return json.loads(answer)
        code = process.wait()
        self._process = None
        return {**case, "kind": "died", "said": f"exit code {code}", "mutation": "?", "file": "?", "strict": True,
                "seconds": 0.0, "megabytes": 0.0}  # fmt: skip

    def _start(self) -> subprocess.Popen[str]:
        words = [sys.executable, str(HERE / "fuzz.py"), "--worker", str(self._originals)]
        log = (self._originals / "stderr.txt").open("a")
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
        return self._process

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()


def verdict(answer: dict[str, Any]) -> str:
    """The answer's kind, or what is wrong with it."""
    if answer["kind"] not in GOOD:
        return answer["kind"]
    if answer["kind"] == "changed" and answer["strict"]:
        return "accepted wrongly"
    if answer["seconds"] > SECONDS:
        return "slow"
    return "much memory" if answer["megabytes"] > MEGABYTES else answer["kind"]


def cases(count: int, only: list[str], first: int = 0) -> list[dict[str, Any]]:
    """(subject, seed), seeds from `first` on, in an order that does not depend on what is left out."""
    from _fuzz_subjects import SUBJECTS

    chosen = [
        {"subject": subject.name, "seed": seed}
        for subject in SUBJECTS
        for seed in range(first, first + round(subject.share * count))
        if not only or subject.name in only
    ]
    return chosen


def run(count: int, only: list[str], workers: int, *, show: bool, first: int = 0) -> dict[str, Any]:
    """All cases, over some processes; counts and what failed."""
    from _fuzz_subjects import make

    waiting: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    chosen = cases(count, only, first)
    for case in chosen:
        waiting.put(case)
    answers: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as place:
        make(Path(place), {case["subject"] for case in chosen})

        def work() -> None:
            own = Worker(Path(place))
            while not waiting.empty():
                try:
                    case = waiting.get_nowait()
                except queue.Empty:
                    break
                answers.append(own.ask(case))
                answer = answers[-1]
                if show or verdict(answer) not in GOOD:
                    print(json.dumps({"verdict": verdict(answer), **answer}, ensure_ascii=True), file=sys.stderr)
            own.close()

        threads = [threading.Thread(target=work) for _ in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for answer in answers:
        counts[answer["subject"]][verdict(answer)] += 1
    failed = sorted(
        ({"verdict": verdict(answer), **answer} for answer in answers if verdict(answer) not in GOOD),
        key=lambda answer: (answer["subject"], answer["seed"]),
    )
    return {
        "mutations": len(answers),
        "counts": {name: dict(sorted(found.items())) for name, found in sorted(counts.items())},
        "longest_seconds": round(max(answer["seconds"] for answer in answers), 2),
        "most_megabytes": round(max(answer["megabytes"] for answer in answers)),
        "failed": failed,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--count", type=int, default=COUNT, help="mutations in all")
    parser.add_argument("--only", nargs="*", default=[], help="names of subjects; nothing is written then")
    parser.add_argument("--first", type=int, default=0, help="first seed; with others nothing is written")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--show", action="store_true", help="print each answer")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker is not None:
        worker(options.worker)
        return
    results = run(options.count, options.only, options.workers, show=options.show, first=options.first)
    print(json.dumps({key: value for key, value in results.items() if key != "failed"}, indent=2))
    print(f"failed: {len(results['failed'])}")
    if not options.only and not options.first and options.count >= COUNT:
        import _machine

        print(_machine.write("fuzz", {**_machine.head(), **results}))


if __name__ == "__main__":
    main()
