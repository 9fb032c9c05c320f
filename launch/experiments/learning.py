"""The prox of a toy, learned from samples of its prior alone, and what the width of the matching makes of it.

The network is told neither the distribution nor the constraint: it sees u = x_0 + sqrt(lam) eps and is to say x_0.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from ml_collections import ConfigDict

from launch.experiments.findings import Table
from launch.experiments.theory_matching import LAPLACE, matched
from pgm_jax.networks import MLP, Flattened, Preconditioned
from pgm_jax.networks.prox_net import prox_coefficients
from pgm_jax.schedules import VE
from pgm_jax.training import fit
from pgm_jax.training.losses import l1, l2, matching_objective
from pgm_jax.types import Key

DEFAULTS: dict[str, Any] = dict(
    examples=100_000,  # how many samples of the prior its experiment is to draw
    width=32,
    blocks=2,
    embedding=32,
    # log lam is uniform between the squares of these, in the units of x.
    sigma_min=0.05,
    sigma_max=2.0,
    steps=4_000,
    batch_size=512,
    learning_rate=4e-3,
    ema_decay=0.995,
    # Warm start by `l1` or `l2` for this share of the steps, then proximal matching while zeta, in units of c_out,
    # falls. Without matching the network learns the posterior mean.
    warm_up="l2",
    warm_share=1.0,
    zeta_start=2.0,
    zeta_end=1.0,
)
WARM_UPS = {"l1": l1, "l2": l2}


def resolved(settings: Mapping[str, Any] | ConfigDict) -> ConfigDict:
    """All settings, those that are not given by their defaults; a ValueError names what is no setting."""
    if unknown := sorted(set(settings) - set(DEFAULTS)):
        raise ValueError(f"{', '.join(unknown)}: no setting of the learning; there are {', '.join(DEFAULTS)}.")
    return ConfigDict(DEFAULTS | dict(settings))


def learn_prox(key: Key, examples: Array, settings: Mapping[str, Any] | ConfigDict) -> Flattened:
    """Train a network on samples of a prior, `[N, ...]`; its prox takes a point of as many numbers, of any shape.

    The mean and the standard deviation of the preconditioning are those of all numbers of the examples.
    """
    c: Any = resolved(settings)
    images = examples.reshape(len(examples), 1, 1, -1)
    module = MLP(c.width, c.blocks, c.embedding)
    network = Preconditioned(module, images.shape[1:], float(jnp.mean(images)), float(jnp.std(images)))
    objective = matching_objective(
        WARM_UPS[c.warm_up], round(c.warm_share * c.steps), c.steps, c.zeta_start, c.zeta_end
    )
    rate = optax.schedules.warmup_cosine_decay_schedule(0.0, c.learning_rate, c.steps // 20, c.steps)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate, b2=0.99))
    levels = VE(c.sigma_min, c.sigma_max)
    sizes = dict(steps=c.steps, batch_size=c.batch_size, ema_decay=c.ema_decay)
    prior, _ = fit(key, network, optimizer, levels, objective, images, **sizes)
    return Flattened(prior)


def zeta_table(key: Key, widths: Sequence[float], points: Sequence[float], settings: Mapping[str, Any]) -> Table:
    """The prox of a Laplace prior of scale 1 at lam = 1, learned by matching of several last widths.

    The widths are in the units of x: the matching is told `width / c_out`. An infinite one is no matching, thus the
    mean. Beside what was learned stand the minimiser of that width by quadrature and the largest distances from it and
    from the prox, soft thresholding.
    """
    for_examples, for_learning = jax.random.split(key)
    c: Any = resolved(settings)
    examples = jax.random.laplace(for_examples, (c.examples,))
    _, c_out, _ = prox_coefficients(1.0, float(jnp.std(examples)))
    x = jnp.asarray(points)
    prox = np.asarray(LAPLACE.prox(x, 1.0))
    rows: list[tuple] = [("prox", *map(float, prox), None, 0.0)]
    for width in widths:
        matching = {"warm_share": 1.0} if np.isinf(width) else {"zeta_end": width / float(c_out)}
        learned = learn_prox(for_learning, examples, dict(settings) | matching)
        values = np.asarray(jax.vmap(learned.prox, (0, None))(x, 1.0))
        exact = np.asarray(LAPLACE.denoise(x, 1.0) if np.isinf(width) else matched(LAPLACE, x, 1.0, width))
        to_exact, to_prox = (float(np.max(np.abs(values - other))) for other in (exact, prox))
        name = "mean (L2)" if np.isinf(width) else f"ζ = {width:g}"
        rows.append((f"{name}, exact", *map(float, exact), None, float(np.max(np.abs(exact - prox)))))
        rows.append((f"{name}, learned", *map(float, values), to_exact, to_prox))
    columns = ("", *(f"x = {point:g}" for point in points), "largest |learned - exact|", "largest |row - prox|")
    caption = f"Laplace prior of scale 1, lam = 1; ζ in the units of x, {c_out:.3f} times the width in units of c_out."
    return Table("Proximal matching learns the prox as ζ falls", columns, rows, caption)
