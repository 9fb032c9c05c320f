"""One training step: draw levels and noise, match the prox, descend, average.

    u = x_0 + sqrt(lam) eps,  lam = schedule.lam(t),  t ~ U[0, 1] stratified over the batch
    theta <- theta - optimizer(grad mean_i loss((phi_theta(u_i, lam_i) - x_i) / c_out(lam_i)))
    ema   <- d ema + (1 - d) theta,  d = min(decay, (1 + step) / (10 + step))

Networks of more conditions, or of another target, are drawn for by `pgm_jax.training.draws`.

A step is a pure function of (state, batch, key of the run): what is random in it comes from `fold_in(key, step)`, so a
resumed run continues as if it had never stopped. It is one global-view program: with the state replicated it is data
parallel, with the state sharded it is FSDP, and the compiler puts in the communication.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, PyTree

from pgm_jax.networks import ConvexNetwork, MetricNetwork, TimedNetwork
from pgm_jax.networks.prox_net import smallest
from pgm_jax.operators.checks import SizedShape
from pgm_jax.tracing import is_traced
from pgm_jax.training.draws import Draws, LevelDraws, Seen, StepDraws, as_draws
from pgm_jax.training.losses import Objective
from pgm_jax.training.metric_draws import MetricDraws
from pgm_jax.types import Images, Key, Schedule, Shape, pytree


@runtime_checkable
class Network(Protocol):
    """What can be trained: `Preconditioned`, `MetricNetwork`, `TimedNetwork` or `ConvexNetwork`."""

    @property
    def image_shape(self) -> SizedShape: ...

    def init(self, key: Key, /) -> PyTree: ...

    # (params, points, conditions...) -> estimates, and (conditions...) -> the unit of their residual
    apply: Callable[..., Array]
    scale: Callable[..., Array]

    def prior(self, params: PyTree, /) -> Any: ...


@pytree
class TrainState:
    """The state of a training run, and the contents of a checkpoint.

    Attributes:
        step: number of steps taken.
        params: parameters of the network.
        ema: their exponential moving average, which is what one ships.
        opt_state: state of the optimizer.
    """

    step: Array
    params: PyTree
    ema: PyTree
    opt_state: PyTree


def init_state(
    key: Key, network: Network, optimizer: optax.GradientTransformation, start: PyTree | None = None
) -> TrainState:
    """The state before the first step of a `network` and its `optimizer`; the average starts at the parameters.

    Args:
        key, network, optimizer: random key, what is trained, and how.
        start: parameters in place of those that are drawn, all or those of a part of the network, `prior.params`.

    Raises:
        ValueError: if `start` has parameters that the network lacks, or of other shapes.
    """
    params = network.init(key) if start is None else _started(network.init(key), start)
    # A copy, since a step donates its state and no buffer may be donated twice.
    return TrainState(jnp.zeros((), jnp.int32), params, jax.tree.map(jnp.copy, params), optimizer.init(params))


def _started(params: Any, start: Any, path: str = "") -> Any:
    where = path.rstrip("/") or "the root"
    if isinstance(start, Mapping) != isinstance(params, Mapping):
        raise ValueError(
            f"The parameters to start from are of another kind at {where}: give those of a network, `prior.params`."
        )
    if isinstance(start, Mapping):
        if missing := sorted(start.keys() - params.keys()):
            raise ValueError(f"The parameters to start from have {path}{missing[0]}, which the network lacks.")
        return {k: _started(v, start[k], f"{path}{k}/") if k in start else v for k, v in params.items()}
    if jnp.shape(start) != params.shape:
        raise ValueError(
            f"The parameters to start from have the shape {jnp.shape(start)} at {where}, and those of the network "
            f"{params.shape}."
        )
    return jnp.asarray(start, params.dtype)


def make_step(
    network: Network,
    optimizer: optax.GradientTransformation,
    schedule: Schedule | Draws,
    objective: Objective,
    ema_decay: float,
) -> Callable[[TrainState, Array, Key], tuple[TrainState, dict[str, Array]]]:
    """Build the training step `(state, images, key) -> (state, scalars)`.

    Args:
        network: network to train.
        optimizer: optax transformation, clipping and learning rate included.
        schedule: distribution of the levels: lam(t), t uniform; that of `VE` makes log lam uniform. For a network that
            is told the time as well, `step_draws(schedule)`.
        objective: `(residual, step, variance) -> (loss, weight)` of one example, see `matching_objective`. The variance
            is that around the target, in squared units of the residual; 0 but for `step_draws`.
        ema_decay: largest decay of the average of the parameters.

    Returns:
        A pure function of the state, images `[B, H, W, C]` in [-1, 1] and the key of the run. Its scalars are `loss`,
        `mse` (mean of r^2), `weight` (mean weight), `dead` (share of examples of weight below 0.001, which carry no
        gradient), `grad_norm` and, after the step, `param_norm`.

    Raises:
        ValueError: if the decay is not in [0, 1), or the network is told other conditions than are drawn.
        TypeError: if the objective takes or returns something else.
    """
    if not 0.0 <= ema_decay < 1.0:
        raise ValueError(f"ema_decay is {ema_decay}; the decay of an average is in [0, 1).")

    draws = as_draws(schedule)
    check_pairing(network, draws)
    _check_objective(objective, smallest(network.image_shape, getattr(network, "module", None)))

    def loss_of(params: PyTree, seen: Seen, step: Array) -> tuple[Array, dict]:
        estimate = network.apply(params, seen.point, *seen.conditions)
        if seen.target.shape[-4:] != estimate.shape:
            raise ValueError(f"The targets have the shape {seen.target.shape}, the estimates {estimate.shape}.")
        apart = estimate[None] - seen.target.reshape(-1, *estimate.shape)
        scale = network.scale(*seen.conditions)
        residual = apart / scale.reshape(1, *scale.shape, *[1] * (apart.ndim - 1 - scale.ndim))
        variance = jnp.broadcast_to(
            seen.variance / jnp.mean(scale**2, axis=tuple(range(1, scale.ndim))), scale.shape[:1]
        )
        loss, weight = jax.vmap(jax.vmap(objective, (0, None, 0)), (0, None, None))(residual, step, variance)
        scalars = dict(mse=jnp.mean(residual**2), weight=jnp.mean(weight), dead=jnp.mean(weight < 1e-3))
        return jnp.mean(loss), scalars

    def step(state: TrainState, images: Images, key: Key) -> tuple[TrainState, dict[str, Array]]:
        seen = draws.draw(jax.random.fold_in(key, state.step), images)
        (loss, scalars), grads = jax.value_and_grad(loss_of, has_aux=True)(state.params, seen, state.step)
        updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        decay = jnp.minimum(ema_decay, (1.0 + state.step) / (10.0 + state.step))
        ema = jax.tree.map(lambda a, p: decay * a + (1.0 - decay) * p, state.ema, params)
        scalars = dict(loss=loss, grad_norm=optax.tree.norm(grads), param_norm=optax.tree.norm(params), **scalars)
        return TrainState(state.step + 1, params, ema, opt_state), scalars

    return step


def _check_objective(objective: Objective, image_shape: Shape) -> None:
    residual, step, variance = (
        jax.ShapeDtypeStruct(shape, kind) for shape, kind in ((image_shape, float), ((), int), ((), float))
    )
    contract = "An objective maps (residual, step, variance) of one example to (loss, weight), two numbers"
    try:
        found = jax.tree.map(jnp.shape, jax.eval_shape(objective, residual, step, variance))
    except TypeError as error:
        raise TypeError(
            f"{contract}, and this one fails: {error}. `matching_objective` makes one of a loss."
        ) from error
    if found != ((), ()):
        raise TypeError(
            f"{contract}, and this one returns the shapes {found}. `matching_objective` makes one of a loss."
        )


def check_pairing(network: Network, draws: Draws) -> None:
    """Refuse conditions that the network is not told, and levels that it is not for, where their numbers are known.

    Args:
        network, draws: network to train, and what it is to be trained on.

    Raises:
        ValueError: if the draws are of other conditions than the network is told, or of other levels than it is for.
    """
    if isinstance(network, TimedNetwork) and isinstance(draws, LevelDraws):
        raise ValueError("A TimedNetwork is told t and lam; give `step_draws(schedule)` in place of the schedule.")
    if isinstance(draws, StepDraws) and not isinstance(network, TimedNetwork):
        raise ValueError(
            f"A {type(network).__name__} is told lam alone; give the schedule in place of `step_draws`, or train a "
            "TimedNetwork."
        )
    if isinstance(network, MetricNetwork) != isinstance(draws, MetricDraws):
        told = "give `metric_draws`" if isinstance(network, MetricNetwork) else "train a MetricNetwork"
        raise ValueError(
            f"A {type(network).__name__} does not learn from {type(draws).__name__}. `metric_draws` and a "
            f"MetricNetwork belong together: {told}."
        )
    if isinstance(draws, MetricDraws) and draws.network != network:
        raise ValueError(
            "The draws are for another network than the one that is trained; give `metric_draws` this one, whose mean, "
            "std and period say what it is told."
        )
    if isinstance(network, TimedNetwork) and isinstance(draws, StepDraws) and not is_traced(draws):
        times = jnp.array([0.25, 0.5, 1.0])
        told, drawn = network.schedule.lam(times), draws.schedule.lam(times)
        if bool(jnp.any(jnp.abs(told / drawn - 1) > 1e-2)):
            raise ValueError(
                f"The network's schedule is {network.schedule} and that of the draws {draws.schedule}; give "
                "`step_draws(network.schedule)`."
            )
    if isinstance(network, ConvexNetwork) and isinstance(draws, LevelDraws) and not is_traced(draws):
        lam = draws.schedule.lam(jnp.array([0.0, 1.0]))
        if bool(jnp.any(jnp.abs(lam / network.sigma**2 - 1) > 1e-2)):
            raise ValueError(
                f"The network is that of noise of deviation {network.sigma:g} alone, and the levels are others; give "
                f"VE({network.sigma:g}, {network.sigma:g})."
            )
