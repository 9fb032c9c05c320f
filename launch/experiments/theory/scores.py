"""The Moreau score and the Stein score: Lemma 1, Proposition 2 and Theorem 5 of PGM (arXiv 2605.13278).

    Moreau  (mu Prox_U^lam(x / mu) - x) / sigma^2          Stein  (mu E[x_0 | x] - x) / sigma^2

Where mu = 1, their difference is that of mode and mean of p(x_0 | x), divided by lam.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from matplotlib.axes import Axes

from launch.experiments.findings import Table, bounded
from launch.experiments.plots import COLOURS, FAINT, lines
from launch.experiments.theory.distributions import Distribution
from launch.experiments.theory.parts import Line, Part, slope
from pgm_jax.potentials import Mixture
from pgm_jax.proximal import moreau_score
from pgm_jax.schedules import VE, LinearVP
from pgm_jax.types import Key, Scalar

HALF_NORMAL = 1 / np.sqrt(np.pi)  # |mean - mode| of a half-normal over the bound of Proposition 2


def lemma_1(key: Key, dims: int, points: int) -> Part:
    """Quadratic U: the two scores agree, at full rank by covariances, at lower rank as a limit and by quadrature."""
    schedules = {"VE": VE(), "VP": LinearVP()}
    times = (0.01, 0.1, 0.3, 0.6, 1.0)
    eps = np.logspace(-1, -10, 10)
    full, singular = {}, {}
    for name, schedule in schedules.items():
        worst = np.zeros((dims, len(eps)))
        for rank in range(1, dims + 1):
            key_q, key_h, key_c, key_x, key = jax.random.split(key, 5)
            q = jnp.linalg.qr(jax.random.normal(key_q, (dims, dims)))[0]
            h = jnp.exp(jax.random.uniform(key_h, (dims,), minval=-3, maxval=3)) * (jnp.arange(dims) < rank)
            centre, noise = jax.random.normal(key_c, (dims,)), jax.random.normal(key_x, (points, dims))
            for t in times:
                found = _difference_of_scores(q, h, centre, noise, schedule.mu(t), schedule.lam(t), jnp.asarray(eps))
                worst[rank - 1] = np.maximum(worst[rank - 1], found)
        full[name], singular[name] = float(worst[-1].max()), worst[:-1].max(axis=0)
    improper = float(_rank_one_by_quadrature(key, points))
    largest, smallest = max(full.values()), max(weak[-1] for weak in singular.values())
    order = min(slope(eps[6:], weak[6:]) for weak in singular.values())

    def panel(axis: Axes) -> None:
        curves = {f"{name}, ranks 1 to {dims - 1}": (eps, weak) for name, weak in singular.items()}
        labels = dict(xlabel="precision ε of the null space", ylabel="|Moreau − Stein| / |Stein|")
        lines(axis, curves, title="Lemma 1: quadratic U", **labels)
        for (name, level), colour in zip(full.items(), COLOURS, strict=False):
            axis.axhline(level, color=colour, ls=":", label=f"{name}, rank {dims}")

    summary = [
        Line(
            "Lemma 1: equal scores for quadratic U",
            f"d = {dims}, full rank, VE and VP, float64",
            f"largest relative difference {largest:.1e}",
            "yes",
        ),
        Line(
            "Lemma 1, any rank",
            f"ranks 1 to {dims - 1}: null space of precision ε; rank 1 of 2 by quadrature of exp(-U) itself",
            f"difference falls as ε^{order:.2f}, {smallest:.0e} at ε = {eps[-1]:.0e}; by quadrature {improper:.0e}",
            "yes, as functions: exp(-U) is not a distribution, but its noised score exists",
        ),
    ]
    claims = [
        bounded("Lemma 1, full rank: largest relative difference of the scores", largest, "≤", 1e-9),
        bounded("Lemma 1, singular: the difference falls as ε^s, s", order, "≥", 0.99),
        bounded("Lemma 1, singular: relative difference by quadrature", improper, "≤", 1e-9),
    ]
    return Part(summary, claims, [], [panel])


@jax.jit
def _difference_of_scores(
    q: Array, h: Array, centre: Array, noise: Array, mu: Array, lam: Array, eps: Array
) -> Float[Array, " n"]:
    # Of U = (u - c)^T Q diag(h) Q^T (u - c) / 2, with each eps replacing 0 in the null space for the Stein score.
    hessian = (q * h[None]) @ q.T

    def prox(v: Array, lam: Scalar) -> Array:
        return jnp.linalg.solve(jnp.eye(len(h)) + lam * hessian, v + lam * hessian @ centre)

    def stein(e: Array) -> Array:
        # The noised distribution is N(mu c, mu^2 (H^-1 + lam I)).
        return -(((x - mu * centre[None]) @ q) / (mu**2 * (1 / jnp.where(h > 0, h, e) + lam))[None]) @ q.T

    x = mu * (centre[None] + jnp.sqrt(1.0 + lam) * noise)
    moreau = jax.vmap(lambda x: moreau_score(prox, x, lam, mu))(x)
    return jax.lax.map(lambda e: _relative(moreau, stein(e)), eps)


def _relative(a: Array, b: Array) -> Float[Array, ""]:
    return jnp.max(jnp.abs(a - b)) / jnp.max(jnp.abs(b))


@partial(jax.jit, static_argnames="points")
def _rank_one_by_quadrature(key: Key, points: int) -> Float[Array, ""]:
    # The score of exp(-U) * N(0, lam), which is finite everywhere although its integral over the plane is infinite.
    key_a, key_x = jax.random.split(key)
    a, lam = jax.random.normal(key_a, (2,)), 0.4
    x = jax.random.normal(key_x, (points, 2))
    z, w = (jnp.asarray(n) for n in np.polynomial.hermite_e.hermegauss(80))
    grid = jnp.stack(jnp.meshgrid(z, z), axis=-1)
    log_weights = jnp.log(w)[:, None] + jnp.log(w)[None, :]

    def log_noised(x: Array) -> Array:
        inner = (x[None, None] + jnp.sqrt(lam) * grid) @ a - 1.0
        return jax.nn.logsumexp(log_weights - inner**2 / 2)

    def prox(v: Array, lam: Scalar) -> Array:
        return v - lam * a * (a @ v - 1.0) / (1 + lam * a @ a)

    return _relative(jax.vmap(lambda x: moreau_score(prox, x, lam))(x), jax.vmap(jax.grad(log_noised))(x))


def proposition_2_1() -> Part:
    """Symmetric unimodal p(x_0 | x): equal scores, which a non-Gaussian target has at single points only."""
    target, lam = Distribution(left=1.0, right=1.0), 1.0
    x = jnp.linspace(-6.0, 6.0, 241)
    gap = jnp.abs(target.mean_less_mode(x, lam)) / lam
    at_centre, elsewhere = float(gap[len(x) // 2]), float(jnp.max(gap))
    modes = Mixture(jnp.ones(2), jnp.array([[-1.0], [1.0]]), 0.3)
    two = float(jnp.abs(modes.prox(jnp.zeros(1), 4.0))[0]) / 4.0

    shown = {
        "Laplace": target,
        "uniform on [-1, 1]": Distribution(low=-1.0, high=1.0),
        "exponential": Distribution(right=1.0, low=0.0),
    }
    curves = {name: (x, np.asarray(-each.mean_less_mode(x, lam) / lam)) for name, each in shown.items()}

    def panel(axis: Axes) -> None:
        labels = dict(xlabel="x, at λ = 1", ylabel="Moreau − Stein")
        lines(axis, curves, "-", "linear", title="Prop. 2.1: equal where p(x₀|x) is symmetric", **labels)
        axis.margins(y=0.2)

    summary = [
        Line(
            "Prop. 2.1: equal where p(x₀|x) is symmetric and unimodal",
            "Laplace target, at its centre; λ = 1",
            f"|difference| {at_centre:.1e} at x = 0, up to {elsewhere:.2f} elsewhere",
            "yes, at such x; a symmetric target is not enough: only a Gaussian has it at every x",
        ),
        Line(
            "Prop. 2.1: unimodality is needed",
            "two Gaussians at ±1 of deviation 0.3, x = 0, λ = 4: symmetric, two modes",
            f"|difference| {two:.2f}",
            "yes: the condition is needed",
        ),
    ]
    claims = [
        bounded("Prop. 2.1: difference at the centre of a Laplace distribution", at_centre, "≤", 1e-12),
        bounded("Prop. 2.1: largest difference away from it", elsewhere, "≥", 0.1),
    ]
    return Part(summary, claims, [], [panel])


def proposition_2_2(betas: tuple[float, ...], levels: int) -> Part:
    """Convex U: the difference over its bounds, over lam, beta and every x where p(x_0 | x) is near a kink."""
    lams = np.logspace(-4, 4, levels)
    tried = {
        "Laplace": (0.0, Distribution(left=1.0, right=1.0)),
        "one-sided exponential": (0.0, Distribution(right=1.0, low=0.0)),
        "uniform on [-1, 1]": (0.0, Distribution(low=-1.0, high=1.0)),
    }
    for b in betas:
        tried[f"N(0, 1/β) on [-1, 1], β = {b:g}"] = (b, Distribution(weight=b, low=-1.0, high=1.0))
    for b in betas:
        tried[f"Laplace × N(0.5, 1/β), β = {b:g}"] = (b, Distribution(weight=b, centre=0.5, left=1.0, right=1.0))
    rows, curves = [], {}
    for name, (strength, target) in tried.items():
        gaps = np.max(_gaps(target, jnp.asarray(lams))[0], axis=1) / lams
        plain = gaps / np.sqrt(2 / lams)
        strong = gaps / np.sqrt(2 / (strength * lams**2 + lams))
        curves[name] = strong
        rows.append((name, strength, float(plain.max()), float(strong.max()), float(lams[strong.argmax()])))
    plain, strong = (max(float(row[i]) for row in rows) for i in (2, 3))

    def panel(axis: Axes) -> None:
        shown = [*tried][:3] + [name for name in tried if name.endswith("β = 10")]
        labels = dict(title="Prop. 2.2: difference over its bound", xlabel="λ", ylabel="max over x")
        lines(axis, {name: (lams, curves[name]) for name in shown}, "-", "linear", **labels)
        axis.axhline(1.0, color="black", lw=1)
        axis.axhline(HALF_NORMAL, color=FAINT, ls="--", lw=1)
        axis.text(lams[0], HALF_NORMAL + 0.03, "1/√π: a half-normal", color=FAINT, fontsize=8.5)
        axis.text(lams[0], 1.03, "the bound", fontsize=8.5)
        axis.set(xscale="log", ylim=(0, 1.65))

    columns = ("distribution", "β m", "over √(2d/λ)", "over √(2d/(βmλ²+λ))", "at λ")
    caption = (
        f"Largest |Moreau - Stein| over its bound, d = 1: {levels} levels, λ from {lams[0]:g} to {lams[-1]:g}, and "
        f"every x where p(x₀|x) is centred within 8 of its widths of a kink or an end. 1/√π = {HALF_NORMAL:.4f}."
    )
    tight = "yes; in 1-D at most 1/√π = 0.564 of the bound, which a half-normal p(x₀|x) attains"
    swept = f"{len(tried)} distributions, quadrature"
    summary = [
        Line("Prop. 2.2: |difference| ≤ √(2d/λ), U convex", swept, f"≤ {plain:.4f} of it", tight),
        Line("Prop. 2.2: ≤ √(2d/(βmλ²+λ)), f m-strongly convex", swept, f"≤ {strong:.4f} of it", "yes; equally tight"),
    ]
    claims = [
        bounded("Prop. 2.2: largest difference over √(2d/λ)", plain, "≤", 1),
        bounded("Prop. 2.2: largest difference over √(2d/(βmλ²+λ))", strong, "≤", HALF_NORMAL + 1e-9, "1/√π = 0.5642"),
    ]
    table = Table("Prop. 2.2: difference of the scores over its bound", columns, rows, caption)
    return Part(summary, claims, [table], [panel])


def theorem_5(betas: int, levels: int) -> Part:
    """The constant M(beta) = max |Moreau - Stein| sigma^2 / (1 + |x|) of a quadratic f of weight beta."""
    grid = np.logspace(-1, 5, betas)
    lams = jnp.logspace(-7, 3, levels)
    families = {
        "box [-1, 1], f centred inside": lambda b: Distribution(weight=b, low=-1.0, high=1.0),
        "box [-1, 1], f centred at its end": lambda b: Distribution(weight=b, centre=1.0, low=-1.0, high=1.0),
        "Laplace, f centred at 0": lambda b: Distribution(weight=b, left=1.0, right=1.0),
        "Laplace, f centred at 1": lambda b: Distribution(weight=b, centre=1.0, left=1.0, right=1.0),
    }
    constants = {name: np.array([_constant(make(b), lams) for b in grid]) for name, make in families.items()}
    large = grid >= 100
    slopes = {name: slope(grid[large], m[large]) for name, m in constants.items()}
    bound = np.sqrt(2 / grid)
    tightness = max(float(np.max(m / bound)) for m in constants.values())
    rising = [name for name, m in constants.items() if np.any(np.diff(m) > 1e-12)]
    shown = [int(np.abs(np.log(grid / b)).argmin()) for b in (0.1, 1, 10, 100, 1e3, 1e4, 1e5)]

    def panel(axis: Axes) -> None:
        curves = {f"{name}: slope {slopes[name]:.2f}": (grid, m) for name, m in constants.items()}
        lines(axis, curves, "-", title="Theorem 5: M falls with β", xlabel="β", ylabel="M(β)")
        axis.loglog(grid, bound, color=FAINT, ls="--", label="√(2/β)")
        axis.set_ylim(axis.get_ylim()[0] / 30, None)

    rows = [(name, *(float(m[i]) for i in shown), slopes[name]) for name, m in constants.items()]
    table = Table(
        "Theorem 5: M against β",
        ("g, f = (x - c)²/2", *(f"β = {grid[i]:.3g}" for i in shown), "slope"),
        rows,
        "M = max over x and λ of |Moreau - Stein| σ²/(1 + |x|), VE. Slope of log M against log β from β = 100.",
    )
    span = f"{min(slopes.values()):.2f} to {max(slopes.values()):.2f}"
    worst = max(slopes.values())
    line = Line(
        "Theorem 5: score error ≤ M (1 + |x|)/σ², M falls as β grows",
        "four convex U = βf + g, M by quadrature over λ and x",
        f"for large β, M falls as β^s, s from {span}; M ≤ {tightness:.3f} √(2d/(βm)) everywhere",
        "yes for large β; " + f"not monotone at small β in {len(rising)} of {len(constants)}",
    )
    claims = [
        bounded("Theorem 5: the slowest fall of M for large β, β^s, s", worst, "≤", -0.45),
        bounded("Theorem 5: M over √(2d/(βm)), which follows from Prop. 2.2", tightness, "≤", 1),
    ]
    return Part([line], claims, [table], [panel])


def _constant(target: Distribution, lams: Array) -> float:
    gap, x = _gaps(target, lams)
    return float(jnp.max(gap / (1 + jnp.abs(x))))


@jax.jit
def _gaps(target: Distribution, lams: Array) -> tuple[Array, Array]:
    # |mean - mode| and x, for each level at all points that matter
    x = target.probes(lams)
    return jnp.abs(target.mean_less_mode(x, lams[:, None])), x
