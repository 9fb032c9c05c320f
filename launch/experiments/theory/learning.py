"""Proposition 3 of PGM (arXiv 2605.13278) with networks that see samples alone: matching with falling widths."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from launch.experiments.findings import Claim, Table
from launch.experiments.learning import learn_prox, resolved
from launch.experiments.theory.matching import LAPLACE, POINTS, matched
from launch.experiments.theory.parts import Line, Part
from pgm_jax.networks.prox_net import prox_coefficients
from pgm_jax.types import Key


def proposition_3_learned(key: Key, widths: Sequence[float], settings: Mapping[str, Any]) -> Part:
    """Networks trained with no matching, which learn the mean, and with the widths: how they approach the prox."""
    table = zeta_table(key, (np.inf, *widths), POINTS, settings)
    learned = np.array([row[-2:] for row in table.rows if str(row[0]).endswith("learned")], float)
    off, left = learned[:, 0].max(), learned[:, 1]
    falls = bool(np.all(np.diff(left) < 0))
    line = Line(
        "Prop. 3, learned from samples",
        f"networks trained on Laplace samples, ζ down to {widths[-1]:g}",
        f"|network - prox| goes from {left[0]:.2f} (the mean) to {left[-1]:.2f}; ≤ {off:.2f} from the exact minimisers",
        "yes, down to the smallest ζ" if falls else "not monotone here",
    )
    claims = [Claim("Prop. 3, learned: the distance to the prox falls with ζ", falls, "yes", falls)]
    return Part([line], claims, [table], [])


def zeta_table(key: Key, widths: Sequence[float], points: Sequence[float], settings: Mapping[str, Any]) -> Table:
    """The prox of a Laplace prior of scale 1 at lam = 1, learned by matching with several final widths.

    Widths are in the units of x; an infinite one trains without matching, for the mean. Each has a row for the network,
    one for its minimiser by quadrature, and the largest distances from it and from the prox, soft thresholding.
    """
    for_examples, for_learning = jax.random.split(key)
    c: Any = resolved(settings)
    examples = jax.random.laplace(for_examples, (c.examples,))
    _, c_out, _ = prox_coefficients(1.0, float(jnp.std(examples)))
    x = jnp.asarray(points)
    prox = np.asarray(LAPLACE.prox(x, 1.0))
    rows: list[tuple] = [("prox", *map(float, prox), None, 0.0)]
    for width in widths:
        # The training takes its width in units of c_out.
        matching = {"warm_share": 1.0} if np.isinf(width) else {"zeta_end": width / float(c_out)}
        learned = learn_prox(for_learning, examples, dict(settings) | matching)
        values = np.asarray(jax.jit(jax.vmap(learned.prox, (0, None)))(x, 1.0))
        exact = np.asarray(LAPLACE.denoise(x, 1.0) if np.isinf(width) else matched(LAPLACE, x, 1.0, width))
        to_exact, to_prox = (float(np.max(np.abs(values - other))) for other in (exact, prox))
        name = "mean (L2)" if np.isinf(width) else f"ζ = {width:g}"
        rows.append((f"{name}, exact", *map(float, exact), None, float(np.max(np.abs(exact - prox)))))
        rows.append((f"{name}, learned", *map(float, values), to_exact, to_prox))
    columns = ("", *(f"x = {point:g}" for point in points), "largest |learned - exact|", "largest |row - prox|")
    caption = f"Laplace prior of scale 1, λ = 1; ζ in the units of x, {c_out:.3f} times the width in units of c_out."
    return Table("Prop. 3, learned: proximal matching learns the prox as ζ falls", columns, rows, caption)
