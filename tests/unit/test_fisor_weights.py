"""FISOR's weights and its choice of a candidate, by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from surefoot.algorithms.fisor.acting import Estimates, choose_candidate
from surefoot.algorithms.fisor.agent import transition_weights
from surefoot.algorithms.fisor.config import Extraction, Weighting
from surefoot.algorithms.fisor.scales import advantage_spreads
from surefoot.errors import ConfigError

# (q_r, v_r, q_h, v_h) and the weights of the two formulas, with alpha_r = 3 and alpha_h = 5
ROWS = {
    "inside, better": ((1.2, 1.0, -0.5, -0.1), np.exp(0.6), 3.0),
    "inside, worse": ((0.8, 1.0, -0.5, -0.1), np.exp(-0.6), 3.0),
    "inside, at the cap: exp(6) = 403": ((3.0, 1.0, -0.5, -0.1), 100.0, 3.0),
    "inside, leaves it": ((3.0, 1.0, 0.1, -0.1), 0.0, 0.0),
    "on the border, stays": ((1.0, 1.0, 0.0, 0.0), 1.0, 3.0),
    "outside, towards it": ((-9.0, 1.0, 0.3, 0.5), np.exp(1.0), np.exp(1.0)),
    "outside, into it": ((-9.0, 1.0, -0.1, 0.5), np.exp(3.0), np.exp(3.0)),
    "outside, at the cap: exp(7.5) = 1808": ((9.0, 1.0, -1.0, 0.5), 150.0, 150.0),
    "outside, further out": ((9.0, 1.0, 0.7, 0.5), np.exp(-1.0), 0.0),
    "outside, no further": ((9.0, 1.0, 0.5, 0.5), 1.0, 0.0),
}


def estimates_of(*rows: tuple[float, float, float, float]) -> Estimates:
    return Estimates(*(jnp.array(column) for column in zip(*rows, strict=True)))


def weigh(estimates: Estimates, weighting: Weighting = "feasibility") -> np.ndarray:
    weights = transition_weights(estimates, weighting=weighting, reward_temperature=3.0, constraint_temperature=5.0)
    return np.asarray(weights)


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_weights_by_hand(row: tuple[tuple[float, float, float, float], float, float]) -> None:
    estimates, feasibility, imitation = row
    np.testing.assert_allclose(weigh(estimates_of(estimates)), [feasibility], rtol=1e-5)
    np.testing.assert_allclose(weigh(estimates_of(estimates), "imitation"), [imitation], rtol=1e-5)
    np.testing.assert_array_equal(weigh(estimates_of(estimates), "behaviour_cloning"), [1.0])


def test_huge_advantages_neither_overflow_nor_make_nan() -> None:
    rows = [(1e4, 0.0, -1.0, -1.0), (-1e4, 0.0, -1.0, -1.0), (1e4, 0.0, 1.0, -1.0), (0.0, 0.0, -1e4, 1.0)]
    np.testing.assert_array_equal(weigh(estimates_of(*rows)), [100.0, 0.0, 0.0, 150.0])


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ConfigError, match="unknown weighting 'all'; known: feasibility"):
        weigh(estimates_of((0.0, 0.0, 0.0, 0.0)), "all")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match="unknown extraction 'best'; known: minqc"):
        choose_candidate(jnp.zeros((1, 2)), jnp.zeros((1, 2)), extraction="best", margin=0.0)  # pyright: ignore[reportArgumentType]


# --- scaled advantages ---


def random_estimates(count: int = 200) -> Estimates:
    columns = np.random.default_rng(0).normal(size=(4, count)).astype(np.float32)
    return Estimates(*(jnp.asarray(column) for column in columns))


def scaled_weights(estimates: Estimates, *, margin: float = 0.0) -> np.ndarray:
    """Feasibility weights with temperatures 1, in units of the advantages' spreads."""
    reward_spread, constraint_spread = advantage_spreads(estimates, margin=margin)
    weights = transition_weights(
        estimates,
        weighting="feasibility",
        reward_temperature=1.0 / reward_spread,
        constraint_temperature=1.0 / constraint_spread,
        margin=margin,
    )
    return np.asarray(weights)


def test_spreads_by_hand() -> None:
    """Inside and staying: advantages 2 and 4 (spread 1); outside: 1 and 4 (spread 1.5); leaving rows do not count."""
    rows = [(2.0, 0.0, -1.0, -1.0), (4.0, 0.0, -1.0, -1.0), (99.0, 0.0, 1.0, -1.0), (0, 0, 1.0, 2.0), (0, 0, 1.0, 5.0)]
    reward_spread, constraint_spread = advantage_spreads(estimates_of(*rows))
    np.testing.assert_allclose([reward_spread, constraint_spread], [1.0, 1.5], rtol=1e-5)


def test_a_margin_moves_the_border_of_both_spreads_and_weights() -> None:
    """With margin 0.5 the row at V_h = -0.2 counts as outside (weight exp(alpha_h 0.1)), Q_h = -0.3 as leaving (0)."""
    estimates = estimates_of((1.0, 0.0, -0.3, -0.2), (1.0, 0.0, -0.3, -0.9), (1.0, 0.0, -0.8, -0.9))
    weights = transition_weights(
        estimates, weighting="feasibility", reward_temperature=2.0, constraint_temperature=3.0, margin=0.5
    )
    np.testing.assert_allclose(weights, [np.exp(0.3), 0.0, np.exp(2.0)], rtol=1e-5)
    assert float(advantage_spreads(estimates, margin=0.5)[0]) == 1.0  # a single row inside and staying: no spread


def test_scaled_weights_do_not_depend_on_units() -> None:
    """Rewards in millimetres and h in kilometres give the weights of metres."""
    q_r, v_r, q_h, v_h = estimates = random_estimates()
    converted = Estimates(1000 * q_r, 1000 * v_r, q_h / 1000, v_h / 1000)
    np.testing.assert_allclose(scaled_weights(converted), scaled_weights(estimates), rtol=1e-3)
    assert not np.allclose(weigh(converted), weigh(estimates))  # without scaling they do depend on them


@pytest.mark.parametrize("count", [0, 1, 2])
def test_without_a_spread_nothing_is_scaled(count: int) -> None:
    """No, one, or two equal rows inside."""
    estimates = estimates_of(*[(3.0, 1.0, -1.0, -1.0)] * count, (5.0, 1.0, 1.0, 2.0))
    np.testing.assert_array_equal(advantage_spreads(estimates), [1.0, 1.0])


# --- the executed candidate ---

Q_R = [[1.0, 5.0, 3.0, 9.0]]
Q_H = [[-0.5, -0.3, -0.2, 0.4]]


@pytest.mark.parametrize(
    ("extraction", "margin", "chosen"),
    [
        ("minqc", 0.0, 0),
        ("maxq", 0.0, 3),
        ("feasible_first", 0.0, 1),  # 5.0 is the largest Q_r among the first three
        ("feasible_first", 0.4, 0),  # only -0.5 keeps that margin
        ("feasible_first", 0.5, 0),  # equal counts as kept
        ("feasible_first", 0.6, 0),  # none: the smallest Q_h
        ("feasible_first", -1.0, 3),  # a negative margin allows all
    ],
)
def test_choices_by_hand(extraction: Extraction, margin: float, chosen: int) -> None:
    index = choose_candidate(jnp.array(Q_R), jnp.array(Q_H), extraction=extraction, margin=margin)
    assert np.asarray(index).tolist() == [chosen]


@pytest.mark.parametrize("extraction", ["minqc", "maxq", "feasible_first"])
@pytest.mark.parametrize("q_h", [-1.0, 1.0])
def test_ties_go_to_the_first_and_rows_are_chosen_on_their_own(extraction: Extraction, q_h: float) -> None:
    q_r, q_h_rows = jnp.zeros((2, 3)), jnp.full((2, 3), q_h)
    tied = choose_candidate(q_r, q_h_rows, extraction=extraction, margin=0.0)
    assert np.asarray(tied).tolist() == [0, 0]
    # The second row alone has a better last candidate, by both critics.
    better = choose_candidate(q_r.at[1, 2].set(1.0), q_h_rows.at[1, 2].add(-1.5), extraction=extraction, margin=0.0)
    assert np.asarray(better).tolist() == [0, 2]


def test_when_none_is_allowed_reward_does_not_matter() -> None:
    index = choose_candidate(jnp.array(Q_R), jnp.array(Q_H) + 1.0, extraction="feasible_first", margin=0.0)
    assert np.asarray(index).tolist() == [0]
