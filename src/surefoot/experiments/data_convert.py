"""Conversion of datasets between the formats of DSRL, D4RL, Minari and Surefoot's images, where they fit."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from surefoot import data
from surefoot.checkpoint import versions
from surefoot.data import Dataset, episode_files, library, npz_chunks, pixels
from surefoot.data.d4rl import load_d4rl
from surefoot.data.describe import coverage
from surefoot.data.frames import FrameData
from surefoot.data.minari import save_minari
from surefoot.data.remarks import remarks
from surefoot.data.travel import lagged_travel_cost
from surefoot.errors import ConfigError, option
from surefoot.experiments.data_source import Source, check_output, check_outside
from surefoot.faults import Faults
from surefoot.file_sets import check_writable
from surefoot.observer import Observer
from surefoot.routes import SWITCH, Routes, refuse_others
from surefoot.tasks import Task, get_task


@dataclass(frozen=True, kw_only=True)
class ConvertRequest(Source):
    """Read DSRL's or D4RL's HDF5, a Minari dataset, or episodes of images, check them, and write another format.

    DSRL's files are rewritten block by block, uncompressed, so that data larger than the memory can stay in the file.
    D4RL's lack costs, which are computed where the task limits the speed of the same robot, or charges for it."""

    to: Literal["dsrl", "minari", "episodes", "frames", "chunks"] = "dsrl"
    """dsrl: an HDF5 file. minari: a folder. Images, from each of them to the others: episodes, a folder of compressed
    episodes; frames, one HDF5 file; chunks, a folder of NPZ chunks as FOSP's public code keeps them."""
    lagged_costs: Annotated[bool, SWITCH] = False
    """D4RL's runners only: label each step with the speed of the step before, as TREBI's published code does."""
    out: Path
    """What to write; a folder must be new."""
    overwrite: Annotated[bool, SWITCH] = False
    """Replace the file if it exists."""


_CONVERT = frozenset(("source", "task", "to", "out", "strict"))
ROUTES: Routes = {
    "images": _CONVERT,
    "minari": _CONVERT | {"lagged_costs"},
    "dsrl": _CONVERT | {"lagged_costs", "overwrite"},
}
"""Source or target of a conversion -> the options that are read."""


def convert(
    options: ConvertRequest, observer: Observer, *, given: Collection[str] = (), faults: Faults | None = None
) -> None:
    """Write a dataset in another format.

    Args:
        options: Source, target and format.
        observer: Receives progress and remarks.
        given: Options that the user named, which are refused where nothing reads them.
        faults: Faults of the options found so far.

    Raises:
        ConfigError: The data cannot be converted so.
    """
    source = Path(options.source)
    with faults or Faults() as gathered:
        named = None if options.task is None else get_task(options.task)
        images = library.format_of(source, named) if source.exists() else ""
        with gathered.also():
            check_outside(options.out, source)
        if images in library.IMAGE_FORMATS:
            refuse_others(options, ROUTES["images"], "images", given=given)
        else:
            _check(options, source, given, gathered)
    if images in library.IMAGE_FORMATS:
        _convert_images(options, source, images, observer)
    else:
        _convert_transitions(options, observer)
    observer.say(f"{options.out}: written, {options.to}.")


def _check(options: ConvertRequest, source: Path, given: Collection[str], faults: Faults) -> None:
    """Gather why transitions cannot be converted as the options say."""
    if options.to in library.IMAGE_FORMATS:
        raise ConfigError(f"{option('to')} {options.to}: expected images in {source}, found none.")
    with faults.also():
        refuse_others(options, ROUTES[options.to], "a folder, which must be new", given=given)
    with faults.also():
        check_output(options.out, overwrite=options.overwrite)


def _convert_transitions(options: ConvertRequest, observer: Observer) -> None:
    path, task = options.resolve()
    card = {"recipe": f"surefoot data convert, from {path.name}", "versions": versions()}
    if options.lagged_costs:
        labeller = lagged_travel_cost(task)
        if (found := library.format_of(path, task)) != "d4rl":
            raise ConfigError(
                f"{option('lagged_costs')}: expected a file of D4RL's, which has no costs, found {found}'s format."
            )
        card["costs"] = "lagged: the speed of the step before"
        _write(options, load_d4rl(path, task, labeller=labeller), path, task, card, observer)
    elif options.to == "dsrl" and library.format_of(path, task) == "dsrl":
        # What the file itself says of its origin is kept; it may be larger than the memory.
        with data.replacing(options.out) as temporary:
            data.rewrite(path, temporary, task, card={**data.read_card(path), "converted": card})
            written = data.load(temporary, task, mapped=True, checked=False)
            observer.remark(remarks(written, task, place=str(path)))
    else:
        _write(options, library.load(path, task), path, task, card, observer)


def _write(
    options: ConvertRequest, dataset: Dataset, path: Path, task: Task, card: dict[str, Any], observer: Observer
) -> None:
    """Write transitions that were read from `path`, with what is suspicious in them on their card."""
    card |= _remarked(dataset, task, path, observer)
    if options.to == "minari":
        save_minari(options.out, dataset, task, card=card)
    else:
        data.save(options.out, dataset, card=card)


def _remarked(dataset: Dataset | FrameData, task: Task, path: Path, observer: Observer) -> dict[str, Any]:
    """What a card says of suspicious data, of which the observer hears."""
    found = remarks(dataset, task, place=str(path))
    observer.remark(found)
    return {"remarks": found} if found else {}


def _convert_images(options: ConvertRequest, path: Path, found: str, observer: Observer) -> None:
    """Write the images at `path`, in the format `found`, in another one."""
    if options.to not in library.IMAGE_FORMATS:
        raise ConfigError(
            f"{option('to')}: expected {', '.join(library.IMAGE_FORMATS)} for images, found {options.to}."
        )
    if options.out.exists():
        raise ConfigError(f"{options.out}: it exists already; choose another place with {option('out')}.")
    check_writable(options.out.parent)
    card = library.card_of(path)
    name = options.task or card.get("task")
    if name is None:
        raise ConfigError(f"{path}: chunks do not say whose data they are; name the task with {option('task')}.")
    task = get_task(name)
    if task.image_shape is None:
        raise ConfigError(f"{option('task')}: expected one of images, found {task.name}.")
    frames = library.read_frames(path, task, in_files=True)
    recipe: dict[str, Any] = {"converted": f"surefoot data convert, from {path.name}", "versions": versions()}
    recipe |= _remarked(frames, task, path, observer)
    kept = {key: value for key, value in {**card, **recipe}.items() if key not in ("task", "layout")}
    kept["coverage"] = coverage(frames)
    if options.to == "frames":
        pixels.save(options.out, frames, card=kept)
    elif options.to == "chunks":
        npz_chunks.write_chunks(options.out, frames)
    else:
        labels = episode_files.behaviors(path) if found == "episodes" else ["unknown"] * len(frames.lengths)
        if task.vision is not None:
            kept["vision"] = task.vision._asdict()
        with observer.progress(f"writing {options.out.name}", unit="episodes") as line:
            episode_files.save(options.out, frames, task, labels=labels, card=kept, on_progress=line.report)
