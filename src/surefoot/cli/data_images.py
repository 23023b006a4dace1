"""The part of `surefoot data convert` for episodes of images: our folders and files, and the public code's chunks."""

from pathlib import Path
from typing import Literal, get_args

from surefoot.checkpoint import versions
from surefoot.cli.collect import coverage
from surefoot.cli.files import load_frames
from surefoot.cli.progress import ProgressLine
from surefoot.data import episode_files, npz_chunks, pixels
from surefoot.data.frames import FrameData
from surefoot.data.hdf5 import card_of
from surefoot.data.storage import reading
from surefoot.errors import ConfigError
from surefoot.tasks import Task, get_task

ImageFormat = Literal["episodes", "frames", "chunks"]
"""A folder of compressed episodes; one HDF5 file of frames; NPZ chunks of the public code of FOSP."""
IMAGE_FORMATS: tuple[str, ...] = get_args(ImageFormat)


def image_format(path: Path) -> ImageFormat | None:
    """What images lie at `path`; None where there are none."""
    if episode_files.is_folder_of_episodes(path):
        return "episodes"
    if path.is_dir():
        return "chunks" if any(path.glob("[!.]*.npz")) else None
    if path.suffix.lower() not in (".hdf5", ".h5"):
        return None
    with reading(path) as file:
        return "frames" if card_of(path, file).get("layout") == pixels.LAYOUT else None


def convert_images(path: Path, found: ImageFormat, *, task: str | None, to: str, out: Path) -> None:
    """Write the images at `path` in another format, with what its card says. Raises `ConfigError`, `DataError`."""
    if to not in IMAGE_FORMATS:
        raise ConfigError(f"--to: expected {', '.join(IMAGE_FORMATS)} for images, found {to}.")
    if out.exists():
        raise ConfigError(f"{out}: it exists already; choose another place with --out.")
    card = _card(path, found)
    name = task or card.get("task")
    if name is None:
        raise ConfigError(f"{path}: chunks do not say whose data they are; name the task with --task.")
    chosen = get_task(name)
    if chosen.image_shape is None:
        raise ConfigError(f"--task: expected one of images, found {chosen.name}.")
    frames = npz_chunks.read_chunks(path, chosen) if found == "chunks" else load_frames(path, chosen)
    recipe = {"converted": f"surefoot data convert, from {path.name}", "versions": versions()}
    _write(
        out, to, frames, chosen, {**card, **recipe, "coverage": coverage(frames)}, path if found == "episodes" else None
    )


def _card(path: Path, found: ImageFormat) -> dict:
    if found == "chunks":
        return {}
    if found == "episodes":
        return episode_files.read_card(path)
    with reading(path) as file:
        return card_of(path, file)


def _write(out: Path, to: str, frames: FrameData, task: Task, card: dict, labelled: Path | None) -> None:
    kept = {key: value for key, value in card.items() if key not in ("task", "layout")}
    if to == "frames":
        pixels.save(out, frames, card=kept)
    elif to == "chunks":
        npz_chunks.write_chunks(out, frames)
    else:
        labels = episode_files.behaviours(labelled) if labelled is not None else ["unknown"] * len(frames.lengths)
        if task.vision is not None:
            kept["vision"] = task.vision._asdict()
        with ProgressLine(f"writing {out.name}", unit="episodes") as line:
            episode_files.save(out, frames, task, labels=labels, card=kept, on_progress=line.report)
