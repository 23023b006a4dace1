"""Any valid data survive the file; any file is either loaded cleanly or refused in one sentence."""

import itertools
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parents[2]))
from tests.data_fixtures import file_arrays, is_one_sentence, make_dataset, write_arrays

from surefoot.data import Dataset, load, read_card, save, to_transitions
from surefoot.errors import DataError
from surefoot.tasks import CostLimit, Signal, Task

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
words = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=8)
whole_numbers = st.integers(-(2**64) + 1, 2**64 - 1)
json_values = st.recursive(
    st.none() | st.booleans() | whole_numbers | st.floats(allow_nan=False, allow_infinity=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def datasets(draw: st.DrawFn) -> tuple[Task, Dataset]:
    """A task and valid data of it, with the odd extreme reward and cost."""
    widths, constraints = (draw(st.integers(1, 4)), draw(st.integers(1, 3))), (CostLimit(1.0), Signal())
    task = Task("Some", *widths, 12, 0.0, 1.0, constraints[: 1 + draw(st.booleans())])
    lengths = draw(st.lists(st.integers(1, 12), min_size=1, max_size=5).filter(lambda drawn: sum(drawn) > 1))
    tail, seed = draw(st.integers(0, 12)), draw(st.integers(0, 2**32 - 1))
    dataset = make_dataset(task, lengths=lengths, tail=tail, seed=seed)
    dataset.required_rewards[draw(st.integers(0, len(dataset) - 1))] = draw(finite)
    dataset.costs[draw(st.integers(0, len(dataset) - 1))] = abs(draw(finite))
    if draw(st.booleans()):
        dataset = replace(dataset, truncated=dataset.truncated | dataset.terminated)
    return task, dataset


@settings(max_examples=40, deadline=None)
@given(datasets(), st.none() | st.dictionaries(words.filter("task".__ne__), json_values, max_size=3))
def test_saved_data_and_card_come_back(made: tuple[Task, Dataset], card: dict | None) -> None:
    task, dataset = made
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.hdf5"
        save(path, dataset, card=card)
        assert load(path, task).fingerprint() == dataset.fingerprint()
        assert read_card(path) == {"task": task.name, **(card or {})}
        assert [entry.name for entry in Path(folder).iterdir()] == ["data.hdf5"]


@settings(max_examples=40, deadline=None)
@given(datasets(), st.sampled_from(["<f4", ">f8", "<f8"]), st.booleans(), st.booleans())
def test_the_way_data_are_stored_does_not_matter(
    made: tuple[Task, Dataset], dtype: str, columns: bool, compressed: bool
) -> None:
    task, dataset = made
    arrays = {key: array.astype(dtype) for key, array in file_arrays(dataset).items()}
    if columns:
        arrays = {key: array.reshape(len(array), -1) for key, array in arrays.items()}
    with tempfile.TemporaryDirectory() as folder:
        write_arrays(Path(folder) / "x", arrays, **({"compression": "gzip"} if compressed else {}))
        assert load(Path(folder) / "x", task).fingerprint() == dataset.fingerprint()


@settings(max_examples=40, deadline=None)
@given(datasets())
def test_the_larger_of_both_signals_is_the_steps_own_or_its_predecessors(made: tuple[Task, Dataset]) -> None:
    _, dataset = made
    transitions = to_transitions(dataset, reward_scale=1.0)
    bounds = [0, *dataset.episode_ends.tolist(), len(dataset)]
    for first, after in itertools.pairwise(bounds):
        own, before = transitions.constraint[first:after], transitions.constraint_before[first:after]
        np.testing.assert_array_equal(before, [*own[:1], *own[:-1]])


def _drop(data: st.DataObject, arrays: dict[str, np.ndarray]) -> None:
    for key in data.draw(st.sets(st.sampled_from(sorted(arrays)), min_size=1, max_size=3)):
        del arrays[key]


def _retype(data: st.DataObject, arrays: dict[str, np.ndarray]) -> None:
    key = data.draw(st.sampled_from(sorted(arrays)))
    dtype = data.draw(st.sampled_from(["S5", "c8", "f2", "f8", "i1", "u8", "?", "V4", "i4,f4", "text"]))
    if dtype == "text":
        arrays[key] = np.full(arrays[key].shape, "0.5", h5py.string_dtype())
    elif dtype in ("V4", "i4,f4"):
        arrays[key] = np.zeros(arrays[key].shape, dtype)
    elif arrays[key].dtype.kind in "biuf":
        with np.errstate(all="ignore"):
            arrays[key] = arrays[key].astype(dtype)


def _inject(data: st.DataObject, arrays: dict[str, np.ndarray]) -> None:
    key = data.draw(st.sampled_from(sorted(arrays)))
    bad = data.draw(st.sampled_from([np.nan, np.inf, -np.inf, 1e300, -1e300, 3.4e38, -3.4e38, 1.5, -1.0, 0.5, 1e-320]))
    place = data.draw(st.integers(0, 10**6))
    if arrays[key].size and arrays[key].dtype.kind in "biuf":
        arrays[key] = arrays[key].astype(np.float64)
        arrays[key].flat[place % arrays[key].size] = bad


def _resize(data: st.DataObject, arrays: dict[str, np.ndarray]) -> None:
    for key in data.draw(st.sets(st.sampled_from(sorted(arrays)), min_size=1, max_size=8)):
        arrays[key] = arrays[key][data.draw(st.integers(0, 3)) :] if arrays[key].ndim else arrays[key]


def _reshape(data: st.DataObject, arrays: dict[str, np.ndarray]) -> None:
    key = data.draw(st.sampled_from(sorted(arrays)))
    old = arrays[key]
    shapes = [old.T, old[None], old[..., None], old.reshape(-1), np.float32(1.0)]
    arrays[key] = np.asarray(shapes[data.draw(st.integers(0, len(shapes) - 1))])


def _shuffle(data: st.DataObject, arrays: dict[str, np.ndarray]) -> None:
    key = data.draw(st.sampled_from(sorted(arrays)))
    arrays[key] = arrays[key][::-1] if arrays[key].ndim else arrays[key]


MUTATIONS = [_drop, _retype, _inject, _resize, _reshape, _shuffle]


@settings(max_examples=150, deadline=None)
@given(datasets(), st.data())
def test_a_mutated_file_is_loaded_cleanly_or_refused_in_one_sentence(
    made: tuple[Task, Dataset], data: st.DataObject
) -> None:
    task, dataset = made
    arrays = file_arrays(dataset)
    for mutate in data.draw(st.lists(st.sampled_from(MUTATIONS), max_size=2)):
        if arrays:
            mutate(data, arrays)
    card = data.draw(st.none() | st.sampled_from(["{", "[]", '{"task": "Other"}', '{"task": [1]}', 3.5, "[" * 10_000]))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.hdf5"
        write_arrays(path, arrays, card=card)
        if data.draw(st.integers(0, 3)) == 0:
            content = path.read_bytes()
            path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
        try:
            loaded = load(path, task)
        except DataError as refusal:
            message = str(refusal)
            assert message.startswith(f"{path}: ")
            assert ": expected " in message
            assert ", found " in message
            assert is_one_sentence(message)
        else:
            assert all(np.isfinite(array).all() for _, array in loaded.arrays())
            assert np.abs(loaded.actions).max() <= 1.001
            assert loaded.costs.min() >= 0
            assert 1 <= loaded.lengths.max() <= task.horizon
        assert [entry.name for entry in Path(folder).iterdir()] == ["data.hdf5"]
