"""A one-step flow policy on FISOR's critics (after SafeFQL, RLC 2026, arXiv 2603.15136).

The student maps a state and a draw of noise to one action, without denoising steps. In the order of training:

- values and critics: `FISOR.update`
- teacher, a flow of the data's actions by FISOR's weights: `flow_matching_loss`
- student, distillation with rewards inside and safety outside: `student_loss`
- alpha, which holds the distillation error at its target: `distillation_multiplier`
- acting, the first feasible of a few draws: `OneStepFlow.decide`

Beyond the paper: the teacher's transitions are drawn by FISOR's feasibility weights, alpha follows from a target error,
and several draws compete under a margin.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from surefoot.algorithms.fisor import FISOR, FISORState
from surefoot.algorithms.fisor.acting import acting_margin, candidate_values, choose, cut, estimate, safer
from surefoot.algorithms.fisor.scales import standardized
from surefoot.constraints import ExponentialConfig, exponential_update
from surefoot.data import Dataset
from surefoot.diffusion.flow import FlowNetwork, flow_actions, flow_matching_loss
from surefoot.nn.offline import Trained, descend, start_training
from surefoot.protocols import Inputs
from surefoot.ranges import Range, Ranged, Relation
from surefoot.tasks import Task
from surefoot.types import GROUP, ActionBounds, DataSpec, Decision, Metrics, Phase, Policy, PolicyInputs, Transition


@dataclass(frozen=True)
class StudentConfig(Ranged, part="student"):
    """Teacher and student, and how they learn."""

    hidden: Annotated[tuple[int, ...], Range("[1, 65536]", fewest=1)] = (512, 512, 512, 512)
    """Units of the hidden layers of both."""
    learning_rate: Annotated[float, Range("(0, inf)")] = 3e-4
    """Of Adam for both."""
    flow_steps: Annotated[int, Range("[1, 1000]")] = 10
    """Euler steps of the teacher."""
    distillation_error: Annotated[float, Range("(0, inf)")] = 0.02
    """Mean squared difference from the teacher's actions that is aimed at; alpha follows from it."""
    safety_weight: Annotated[float, Range("[0, inf)")] = 1.0
    """Weight of Q_h above the margin, in units of scaled h (w)."""


@dataclass(frozen=True)
class OneStepFlow(Ranged):
    """One-step flow: FISOR's hyper-parameters for values, weights and the choice of candidates, and the student's."""

    fisor: FISOR = field(
        default_factory=lambda: FISOR(extraction="first_feasible", num_candidates=4), metadata={GROUP: FISOR}
    )
    """Critics, weights, candidates."""
    student: StudentConfig = field(default_factory=StudentConfig)
    """Teacher and student."""
    alpha: ExponentialConfig = field(default_factory=lambda: ExponentialConfig(learning_rate=2e-3, most=7.0))
    """The multiplier of the distillation."""

    def _relations(self) -> Iterator[Relation]:
        sentence = f"expected decoupled, for the student learns from finished critics, found {self.fisor.schedule}"
        yield Relation(self.fisor.schedule == "decoupled", "schedule", sentence, config=self.fisor)

    inputs: ClassVar[Inputs] = Inputs()
    paper: ClassVar[str] = "after SafeFQL, RLC 2026, arXiv 2603.15136"

    # --- data and phases: FISOR's ---

    def prepare(self, dataset: Dataset, task: Task) -> Transition:
        """Transitions as FISOR prepares them."""
        return self.fisor.prepare(dataset, task)

    @property
    def phases(self) -> tuple[Phase, ...]:
        """FISOR's phases; in the last, teacher and student learn on transitions drawn by FISOR's weights."""
        return self.fisor.phases

    @property
    def planned_over(self) -> dict[str, str]:
        """Numbers of updates that a schedule depends on -> how, as of FISOR."""
        return self.fisor.planned_over

    @property
    def calibrated_phases(self) -> tuple[str, ...]:
        """Phases that begin with a measurement on the data, as of FISOR."""
        return self.fisor.calibrated_phases

    def calibrate(self, state: "OneStepFlowState", data: Transition, *, phase: str) -> "OneStepFlowState":
        """State with the scales that FISOR measures on `data` as `phase` begins."""
        return state._replace(fisor=self.fisor.calibrate(state.fisor, data, phase=phase))

    def relabel_interval(self, phase: str) -> int:
        """Updates of `phase` between two computations of returns, as of FISOR."""
        return self.fisor.relabel_interval(phase)

    def refreeze(self, state: "OneStepFlowState", *, phase: str) -> "OneStepFlowState":
        """State with a new copy of FISOR's values to bootstrap returns from."""
        return state._replace(fisor=self.fisor.refreeze(state.fisor, phase=phase))

    def labels(self, state: "OneStepFlowState", data: Transition, *, phase: str) -> Any:
        """Returns [N] of all rows, as of FISOR."""
        return self.fisor.labels(state.fisor, data, phase=phase)

    def sample_weights(self, state: "OneStepFlowState", data: Transition, *, phase: str) -> Float[Array, " n"] | None:
        """FISOR's feasibility weights [n] in the last phase; None in other phases."""
        return self.fisor.sample_weights(state.fisor, data, phase=phase)

    # --- init, update ---

    def init(self, spec: DataSpec, key: Key[Array, ""], statistics: None = None) -> "OneStepFlowState":
        """Fresh networks, and FISOR's first state without its diffusion policy.

        Args:
            spec: Shapes of the data.
            key: Random key of the parameters.
            statistics: None; the data have none.

        Returns:
            The state before the first update.
        """
        k_fisor, k_teacher, k_student = jax.random.split(key, 3)
        size, hidden = spec.observation_dim + spec.action_dim, self.student.hidden
        teacher = FlowNetwork.create(k_teacher, size + 1, hidden, spec.action_dim)
        student = FlowNetwork.create(k_student, size, hidden, spec.action_dim)
        rate, without_policy = self.student.learning_rate, {"policy": None}
        return OneStepFlowState(
            self.fisor.init(spec, k_fisor)._replace(**without_policy),
            start_training(teacher, rate, with_target=False),
            start_training(student, rate, with_target=False),
            jnp.zeros(()),
        )

    def update(
        self, state: "OneStepFlowState", batch: Any, key: Key[Array, ""], *, phase: str
    ) -> tuple["OneStepFlowState", Metrics]:
        """One update of FISOR's values or critics, or of teacher and student.

        Args:
            state: Training state.
            batch: b transitions.
            key: Random key of the update.
            phase: Name of a phase of FISOR's; in `policy` teacher and student learn.

        Returns:
            (state, metrics) as of `FISOR.update`, or of `step_policy`.
        """
        if phase != "policy":
            fisor, metrics = self.fisor.update(state.fisor, batch, key, phase=phase)
            return state._replace(fisor=fisor), metrics
        k_time, k_noise, k_student = jax.random.split(key, 3)
        time = jax.random.uniform(k_time, batch.reward.shape)
        noise, draw = (jax.random.normal(one, batch.action.shape) for one in (k_noise, k_student))
        return step_policy(state, batch, time, noise, draw, self)

    # --- acting, and what the values say ---

    def policy(self, state: "OneStepFlowState") -> Policy:
        """Policy that chooses among several draws of the student by the target critics."""

        def act(carry: Any, inputs: PolicyInputs, key: Key[Array, ""]) -> tuple[Any, Float[Array, "n act"]]:
            return carry, self.decide(state, inputs.observation, key, inputs.within).action

        return Policy(initial=lambda n: None, act=act)

    def decide(
        self, state: "OneStepFlowState", observation: Float[Array, "n obs"], key: Key[Array, ""],
        within: ActionBounds | None = None,
    ) -> Decision:  # fmt: skip
        """The executed action in each of n states, and whether any draw is feasible there.

        Args:
            state: Training state.
            observation: Raw observations, [n, obs].
            key: Random key of the draws.
            within: Bounds that draws are cut to before they are judged, or None.

        Returns:
            Actions [n, act] in [-1, 1], and flags [n].
        """
        count, action_dim = self.fisor.num_candidates, state.student.network.layers[-1].bias.shape[-1]
        noise = jax.random.normal(key, (count, len(observation), action_dim))
        seen = standardized(state.fisor.scales, observation)
        actions = jnp.swapaxes(jnp.clip(state.student.network(seen, noise), -1.0, 1.0), 0, 1)
        if self.fisor.beyond.safer_step > 0:
            actions = jnp.concatenate([actions, safer(state.fisor, observation, actions, self.fisor)], axis=1)
        actions = cut(actions, within)
        q_r, q_h, q_c = candidate_values(state.fisor, observation, actions, self.fisor)
        chosen = choose(state.fisor, q_r, q_h, q_c, self.fisor)
        action = jnp.take_along_axis(actions, chosen[:, None, None], axis=1)[:, 0]
        return Decision(action, q_h.min(-1) <= -acting_margin(state.fisor, self.fisor))

    @property
    def choice(self) -> dict[str, object]:
        """How the executed action is chosen among draws, for summaries."""
        return self.fisor.choice

    @property
    def forbids_violations(self) -> bool:
        """Whether the values call every state in violation infeasible, as of FISOR."""
        return self.fisor.forbids_violations

    def feasible_margin(self, state: "OneStepFlowState") -> Float[Array, ""]:
        """Margin m in units of h: a state is feasible where V_h is at most -m."""
        return self.fisor.feasible_margin(state.fisor)

    def feasible_value(self, state: "OneStepFlowState", observation: Float[Array, "n obs"]) -> Float[Array, " n"]:
        """FISOR's V_h [n], in units of h; <= 0 is feasible."""
        return self.fisor.feasible_value(state.fisor, observation)

    def action_value(
        self, state: "OneStepFlowState", observation: Float[Array, "n obs"], action: Float[Array, "n act"]
    ) -> Float[Array, " n"]:
        """FISOR's Q_r of actions [n], in units of the scaled rewards."""
        return self.fisor.action_value(state.fisor, observation, action)


class OneStepFlowState(NamedTuple):
    """Training state of FISOR, teacher, student and alpha."""

    fisor: FISORState
    """FISOR's state without its diffusion policy."""
    teacher: Trained
    student: Trained
    log_alpha: Float[Array, ""]


# --- the policy's update ---


def step_policy(
    state: OneStepFlowState,
    batch: Transition,
    time: Float[Array, " b"],
    noise: Float[Array, "b act"],
    draw: Float[Array, "b act"],
    config: OneStepFlow,
) -> tuple[OneStepFlowState, Metrics]:
    """One step of the teacher, of the student and of alpha.

    Args:
        state: Training state.
        batch: b transitions, drawn by FISOR's weights.
        time: Flow times of the teacher in [0, 1], [b].
        noise: Standard normal numbers of the teacher, [b, act].
        draw: Standard normal numbers of the student, [b, act].
        config: Hyper-parameters.

    Returns:
        `(state, metrics)`: those of `student_loss`, `policy/flow_loss` and `policy/alpha`.
    """
    seen, rate = standardized(state.fisor.scales, batch.observation), config.student.learning_rate

    def teacher_loss(network: FlowNetwork) -> tuple[Float[Array, ""], None]:
        return flow_matching_loss(network, seen, batch.action, noise, time), None

    teacher, (flow_loss, _) = descend(state.teacher, teacher_loss, learning_rate=rate)
    aimed = flow_actions(teacher.network, seen, draw, steps=config.student.flow_steps)

    def loss(network: FlowNetwork) -> tuple[Float[Array, ""], Metrics]:
        return student_loss(network, state, batch.observation, draw, aimed, config)

    student, (_, metrics) = descend(state.student, loss, learning_rate=rate)
    log_alpha = distillation_multiplier(state.log_alpha, metrics["policy/distillation_error"], config)
    moved = state._replace(teacher=teacher, student=student, log_alpha=log_alpha)
    return moved, metrics | {"policy/flow_loss": flow_loss, "policy/alpha": jnp.exp(log_alpha)}


def student_loss(
    student: FlowNetwork,
    state: OneStepFlowState,
    observation: Float[Array, "b obs"],
    draw: Float[Array, "b act"],
    aimed: Float[Array, "b act"],
    config: OneStepFlow,
) -> tuple[Float[Array, ""], Metrics]:
    """alpha |mu - teacher|^2 - 1[inside] Q_r / mean |Q_r| + w 1[outside] (Q_h + margin); inside is Q_h <= -margin.

    No gradient goes through 1[inside] and mean |Q_r|.

    Args:
        student: Network from (s, z) to an action.
        state: Training state, whose critics are frozen.
        observation: Raw observations, [b, obs].
        draw: Standard normal numbers z, [b, act].
        aimed: The teacher's actions for the same draws, [b, act].
        config: Hyper-parameters; `student.safety_weight` is w.

    Returns:
        `(loss, metrics)`: `policy/loss`, the squared error `policy/distillation_error`, and the share `policy/inside`.
    """
    answered = student(standardized(state.fisor.scales, observation), draw)
    error = jnp.mean((answered - aimed) ** 2)
    said = estimate(state.fisor, observation, jnp.clip(answered, -1.0, 1.0), config.fisor)
    above = said.q_h + acting_margin(state.fisor, config.fisor)
    inside = jax.lax.stop_gradient(above <= 0)
    size = jax.lax.stop_gradient(jnp.abs(said.q_r).mean()) + 1e-6
    reward = (inside * said.q_r).mean() / size
    unsafe = (jnp.where(inside, 0.0, above)).mean()
    loss = jnp.exp(state.log_alpha) * error - reward + config.student.safety_weight * unsafe
    metrics = {"policy/loss": loss, "policy/distillation_error": error, "policy/inside": inside.mean()}
    return loss, metrics


def distillation_multiplier(
    log_alpha: Float[Array, ""], error: Float[Array, ""], config: OneStepFlow
) -> Float[Array, ""]:
    """Logarithm of alpha after an update: it grows where the error is above its target and falls below it.

    Args:
        log_alpha: Logarithm of alpha, a scalar.
        error: Mean squared distillation error, a scalar.
        config: Target error and learning rate; alpha changes by at most a factor e^rate.

    Returns:
        A scalar.
    """
    excess = jnp.clip(error / config.student.distillation_error - 1.0, -1.0, 1.0)
    return exponential_update(log_alpha, excess * jnp.exp(-log_alpha), config=config.alpha)
