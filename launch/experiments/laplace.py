"""A Laplace prior and a Gaussian measurement of one number: every sampler against the exact posterior.

    U(x) = |x| / b + (x - y)^2 / (2 sigma^2)

The posterior is two pieces of normal distributions that meet in a kink. Mode and mean of p(x_0 | x) differ here, and
with them the prox and the denoiser: the corrector has to remove this difference.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from matplotlib.axes import Axes

from launch.experiments.chains import Method, chains, corrected
from launch.experiments.coverage import calibrated, calibrations, coverage_panels, coverage_table, not_calibrated
from launch.experiments.findings import Claim, Findings, Table, bounded, mean_and_deviation
from launch.experiments.plots import COLOURS, EXACT, outlines, panelled
from pgm_jax.metrics import wasserstein_1d
from pgm_jax.posteriors import LaplacePosterior
from pgm_jax.potentials import Gaussian, Laplace
from pgm_jax.proximal import data_first, explicit, forward_backward, parallel
from pgm_jax.samplers import apportion, bridge, diffusion, langevin, pgm, proximal_mala, proximal_rows, with_last_prox
from pgm_jax.schedules import LinearVP, geometric_levels
from pgm_jax.types import Key

EXACT_SETS = 40  # sets of exact samples, whose W1 is the floor
MASS = 0.9


def methods(c: Any) -> Callable[[Array], dict[str, Method]]:
    """All samplers by name, of a measurement that may be traced; lam and steps are in units of x^2."""
    low, high = c.levels
    few, many = (bridge(geometric_levels(1e3, 1e-4, n, LinearVP())) for n in c.levels)
    # More steps at small levels, where a process forgets slowly.
    full = corrected(c.calls, 1.0, c.lam_min, c.rungs, 1.0, 0.5, LinearVP())
    # A process without predictor starts where it is stable and has to end lower.
    ladder = jnp.geomspace(0.3, 0.1 * c.lam_min, c.rungs)
    counts = apportion(c.calls - 1, np.asarray(ladder) ** -0.5)
    joint, partial = (
        with_last_prox(langevin(ladder, ladder, counts, kappa=kappa), ladder[-1])
        for kappa in (None, 1 / ladder + ladder)
    )
    smooth = c.sigma**2  # 1 / L
    short, safe = proximal_rows(0.1 * smooth, c.calls), langevin(1.0, 0.1 * smooth, c.calls)
    wide, narrow = (langevin(lam, step, c.calls) for lam, step in ((smooth, smooth / 2), (smooth / 10, smooth / 11)))
    judged = proximal_rows(smooth, c.calls // 2)

    def of(y: Array) -> dict[str, Method]:
        parts = Laplace(c.scale), Gaussian(y, c.sigma)
        posterior = LaplacePosterior(c.scale, y, c.sigma)
        first, smoothed = pgm(data_first(*parts)), pgm(parallel(*parts))
        exact, denoised = pgm(posterior.prox), diffusion(posterior.denoise)
        return {
            f"PGM alone, exact prox, {low} levels": chains(exact, few),
            f"PGM alone, exact prox, {high} levels": chains(exact, many),
            f"PGM alone, {high} levels": chains(first, many),
            "PGM corrected, exact prox": chains(exact, full),
            "PGM corrected": chains(first, full),
            "joint Langevin": chains(pgm(forward_backward(*parts)), joint),
            "partial Langevin": chains(smoothed, partial),
            "P-ULA": chains(first, short),
            "MYULA, λ = 1/L": chains(smoothed, wide),
            "MYULA, λ = 0.1/L": chains(smoothed, narrow),
            "subgradient Langevin": chains(pgm(explicit(*parts)), safe),
            "proximal MALA": chains(proximal_mala(data_first(*parts), *parts), judged, each=2),
            f"DDPM, exact Stein score, {low} levels": chains(denoised, few),
            f"DDPM, exact Stein score, {high} levels": chains(denoised, many),
        }

    return of


def run(config: Any, key: Key) -> Findings:
    """The distance to the posterior of one measurement, and calibration over many."""
    c, (low, high) = config, config.levels
    key_one, key_many = jax.random.split(key)
    of = methods(c)
    distances, panels, claims = one_measurement(c, of(jnp.asarray(c.y)), key_one)
    # The exact prox on the finer grid is shown but not judged: its intervals are off by about the width of the band.
    names = (
        "PGM corrected",
        f"PGM alone, exact prox, {low} levels",
        f"PGM alone, {high} levels",
        f"PGM alone, exact prox, {high} levels",
    )
    key_truth, key_noise, *keys = jax.random.split(key_many, 4)
    truths = c.scale * jax.random.laplace(key_truth, (c.simulations,))
    ys = truths + c.sigma * jax.random.normal(key_noise, (c.simulations,))
    found = calibrations((keys[0], keys[1]), of, names, ys, truths, c.draws)
    claims = [*claims, *calibrated(found[0]), *map(not_calibrated, found[1:3])]
    tables = [distances, coverage_table("Laplace posterior: calibration", found)]
    return Findings(tables, {"laplace": panelled([*panels, *coverage_panels(found)], across=2)}, claims)


def one_measurement(
    c: Any, each: Mapping[str, Method], key: Key
) -> tuple[Table, list[Callable[[Axes], None]], list[Claim]]:
    """W1 of all samplers, and the posterior mass of their central 90 % intervals."""
    exact = LaplacePosterior(c.scale, c.y, c.sigma)
    key_exact, key_chains = jax.random.split(key)
    quantiles = exact.quantile((jnp.arange(c.samples) + 0.5) / c.samples)
    to_exact = jax.jit(lambda x: wasserstein_1d(x, quantiles))
    sample = jax.jit(lambda key: exact.sample(key, c.samples))
    floor = mean_and_deviation([float(to_exact(sample(k))) for k in jax.random.split(key_exact, EXACT_SETS)])

    points, rows = {}, []
    for (name, method), k in zip(each.items(), jax.random.split(key_chains, len(each)), strict=True):
        x = points[name] = method.draw(k, c.samples)
        ends = exact.cdf(jnp.quantile(x, jnp.array([(1 - MASS) / 2, (1 + MASS) / 2])))
        w1, mass = float(to_exact(x)), 100 * float(ends[1] - ends[0])
        rows.append((name, method.calls, w1, w1 / floor[0], mass, float(x.mean()), float(x.std())))
    first = ("exact samples", None, floor, 1.0, 100 * MASS, float(exact.mean), float(exact.variance) ** 0.5)
    spread = 100 * (MASS * (1 - MASS) / c.samples) ** 0.5
    caption = (
        f"b = {c.scale:g}, y = {c.y:g}, σ = {c.sigma:g}; {c.samples:,} chains. W1: distance to the exact quantiles; "
        f"its floor is the mean ± deviation of {EXACT_SETS} sets of exact samples. Mass: posterior mass of the "
        f"central 90 % interval of the samples, ± {spread:.1g}. Calls: of the prior's prox or of the denoiser. Unless "
        "stated otherwise, the splitting is data first."
    )
    columns = ("sampler", "calls", "W1", "in floors", "mass of 90 % (%)", "mean", "std")
    shown = {
        "PGM": ("PGM corrected", f"PGM alone, exact prox, {c.levels[1]} levels", f"PGM alone, {c.levels[1]} levels"),
        "Langevin": ("joint Langevin", "MYULA, λ = 1/L", "subgradient Langevin"),
    }
    panels = [histograms(title, {name: points[name] for name in names}, exact) for title, names in shown.items()]
    table = Table("Laplace posterior: distance of samples", columns, [first, *rows], caption)
    return table, panels, claims_of(rows, floor[0] + 3 * floor[1], 4 * spread)


def claims_of(rows: Sequence[tuple], bound: float, slack: float) -> list[Claim]:
    """The W1 of exact samplers is as small as that of exact samples, and that of the integrator alone is not."""
    w1, mass = ({row[0]: row[column] for row in rows} for column in (2, 4))
    off = abs(mass["PGM corrected"] - 100 * MASS)
    return [
        *(
            bounded(f"{name}: W1 to the posterior", w1[name], "≤", bound, f"{bound:.4f}, as exact samples")
            for name in ("PGM corrected", "PGM corrected, exact prox", "proximal MALA")
        ),
        bounded("PGM corrected: mass of its central 90 % interval, error (%)", off, "≤", slack, f"{slack:.2g}"),
        *(
            bounded(f"{name}, uncorrected, is biased: W1", w1[name], "≥", 2 * bound, f"{2 * bound:.4f}, twice that")
            for name in w1
            if name.startswith("PGM alone")
        ),
    ]


def histograms(title: str, points: dict[str, Array], exact: LaplacePosterior) -> Callable[[Axes], None]:
    """Histograms over the exact density."""
    ends = exact.quantile(jnp.array([2e-4, 1 - 2e-4]))
    x = np.linspace(float(ends[0]), float(ends[1]), 401)
    density = np.exp(np.asarray(exact.log_density(jnp.asarray(x, jnp.float32))))
    count = len(next(iter(points.values())))

    def panel(axis: Axes) -> None:
        axis.fill_between(x, density, color=EXACT, lw=0, label="exact density")
        outlines(axis, points, list(x[::8]), COLOURS)
        axis.set(title=f"{title}: {count:,} samples", xlabel="x", yticks=(), xlim=(x[0], x[-1]))
        axis.set_ylim(0, 1.4 * axis.get_ylim()[1])

    return panel
