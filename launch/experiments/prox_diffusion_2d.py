"""Proximal diffusion learned in the plane: a network of two conditions, t and lam, beside a learned denoiser.

Two moons of little noise, which a score has to resolve and a prox only to project to. Both networks are the same module
and see as many batches; the first learns `prox_{-lam ln p_t}` at the pairs (t, lam) of its sampler, the second the
posterior mean at every level. Distances are exact optimal transport to samples that nobody was trained on.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from matplotlib.axes import Axes

from launch.experiments.chains import Method, chains
from launch.experiments.dino import transport
from launch.experiments.findings import Cell, Claim, Findings, Table, bounded, mean_and_deviation
from launch.experiments.plots import COLOURS, against_calls, cloud, lines, panelled
from pgm_jax.networks import MLP, DenoiserForm, Preconditioned, TimedNetwork
from pgm_jax.samplers import (
    bridge,
    diffusion,
    dpm_solver_rows,
    ended_times,
    hybrid_rows,
    left_point,
    multistep,
    proxdm,
    vp_euler,
)
from pgm_jax.schedules import VE, LinearVP, geometric_levels, uniform_levels
from pgm_jax.training import fit
from pgm_jax.training.draws import step_draws
from pgm_jax.training.losses import l1, l2, matching_objective
from pgm_jax.types import Key

SHAPE = (1, 1, 2)
VP = LinearVP()
EULER = "Euler–Maruyama"


def moons(key: Key, count: int, noise: float) -> Array:
    """Points of two interleaved half circles with noise, of mean about 0, `[count, 1, 1, 2]`."""
    key_turn, key_noise = jax.random.split(key)
    turn = jnp.pi * jax.random.uniform(key_turn, (count,))
    upper = jnp.arange(count) % 2 == 0
    x = jnp.where(upper, jnp.cos(turn), 1 - jnp.cos(turn)) - 0.5
    y = jnp.where(upper, jnp.sin(turn), 0.5 - jnp.sin(turn)) - 0.25
    points = jnp.stack([x, y], axis=1) + noise * jax.random.normal(key_noise, (count, 2))
    return points.reshape(-1, *SHAPE)


def learned(c: Any, key: Key, examples: Array) -> tuple[Any, Any]:
    """The ProxDM network and the denoiser, of one module and trained for as many steps."""
    mean, std = float(jnp.mean(examples)), float(jnp.std(examples))
    module = MLP(c.width, c.blocks, c.embedding)
    rate = optax.schedules.warmup_cosine_decay_schedule(0.0, c.learning_rate, c.steps // 20, c.steps)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate, b2=0.99))
    sizes: Any = dict(steps=c.steps, batch_size=c.batch_size, ema_decay=c.ema_decay)
    matching = matching_objective(l1, round(c.warm_share * c.steps), c.steps, c.zeta_start, c.zeta_end, c.stages)
    squares = matching_objective(l2, c.steps, c.steps, 1.0, 1.0)
    timed = TimedNetwork(module, SHAPE, VP, DenoiserForm(mean, std))
    levels = VE(VP.lam(c.end) ** 0.5, VP.lam(1.0) ** 0.5)
    prior, _ = fit(key, timed, optimizer, step_draws(VP, c.counts), matching, examples, **sizes)
    denoiser, _ = fit(key, Preconditioned(module, SHAPE, mean, std), optimizer, levels, squares, examples, **sizes)
    return prior, denoiser


def methods(c: Any, prior: Any, denoiser: Any, calls: int) -> dict[str, Method]:
    """All samplers of so many calls."""
    denoised, solver = diffusion(denoiser.prox), multistep(denoiser.prox)
    times = ended_times(calls, c.end)
    levels = geometric_levels(VP.lam(1.0), VP.lam(c.end), calls)

    def euler(eta: float) -> Method:
        return chains(denoised, vp_euler(VP, times, left_point(VP, times), eta), SHAPE)

    return {
        f"{EULER}, end at {c.end:g}": euler(1.0),
        "probability flow, Euler": euler(0.0),
        "DDIM": chains(denoised, bridge(uniform_levels(VP, calls), 0.0), SHAPE),
        "DPM-Solver++(2M)": chains(solver, dpm_solver_rows(levels), SHAPE),
        "ProxDM hybrid": chains(proxdm(prior), hybrid_rows(VP, calls), SHAPE),
        "ProxDM hybrid, flow": chains(proxdm(prior), hybrid_rows(VP, calls, 0.0), SHAPE),
    }


def run(config: Any, key: Key) -> Findings:
    """W2 of every sampler at every number of calls, to points that nobody was trained on."""
    c = config
    key_examples, key_learn, key_held, key_floor, key_chains = jax.random.split(key, 5)
    prior, denoiser = learned(c, key_learn, moons(key_examples, c.examples, c.noise))

    def sets(key: Key) -> list[np.ndarray]:
        keys = jax.random.split(key, c.repeats)
        return [np.asarray(moons(k, c.samples, c.noise), np.float64).reshape(-1, 2) for k in keys]

    held = sets(key_held)
    floor = mean_and_deviation([transport(a, b)[1] for a, b in zip(sets(key_floor), held, strict=True)])
    found: dict[str, dict[int, tuple[float, float]]] = {}
    shown: dict[str, np.ndarray] = {}
    for calls in c.calls:
        for name, method in methods(c, prior, denoiser, calls).items():
            keys = jax.random.split(key_chains, c.repeats)
            drawn = [np.asarray(method.draw(k, c.samples), np.float64).reshape(-1, 2) for k in keys]
            distances = [transport(x, target)[1] for x, target in zip(drawn, held, strict=True)]
            found.setdefault(name, {})[calls] = mean_and_deviation(distances)
            if calls == c.shown:
                shown[name] = drawn[0]
    clouds = [
        cloud(f"{name}, {c.shown} calls", x, held[0], COLOURS[name.startswith("ProxDM")], (2.0, 1.4))
        for name, x in shown.items()
    ]
    figure = panelled([curves(c, found, floor[0]), *clouds], across=4)
    return Findings([table(c, found, floor)], {"prox_diffusion_2d": figure}, claims_of(c, found))


Found = Mapping[str, Mapping[int, tuple[float, float]]]


def table(c: Any, found: Found, floor: tuple[float, float]) -> Table:
    """W2 by calls."""
    rows: list[Sequence[Cell]] = [("exact samples", *[floor] * len(c.calls))]
    rows += [(name, *(each[calls] for calls in c.calls)) for name, each in found.items()]
    caption = (
        f"W2 between {c.samples} samples and as many held-out points, by exact optimal transport, mean ± deviation of "
        f"{c.repeats} sets. One module for both networks, {c.steps:,} steps of {c.batch_size}; a step of ProxDM was "
        f"trained for {', '.join(map(str, c.counts))} calls."
    )
    return Table("Two moons: W2 by calls", ("sampler", *map(str, c.calls)), rows, caption)


def claims_of(c: Any, found: Found) -> list[Claim]:
    """The hybrid steps are ahead of Euler-Maruyama that stops early."""
    euler, hybrid = found[f"{EULER}, end at {c.end:g}"], found["ProxDM hybrid"]
    return [
        bounded(f"ProxDM hybrid, {n} calls: W2", hybrid[n][0], "<", euler[n][0], f"{euler[n][0]:.4g}, {EULER}")
        for n in c.judged
    ]


def curves(c: Any, found: Found, floor: float) -> Callable[[Axes], None]:
    """W2 against calls."""

    def panel(axis: Axes) -> None:
        distances = {name: (list(each), [w2 for w2, _ in each.values()]) for name, each in found.items()}
        lines(axis, distances, title="W2 to held-out points")
        against_calls(axis, c.calls, floor, "exact samples")

    return panel
