"""A Laplace prior and a Gaussian measurement of one number: every sampler against the exact posterior.

    U(x) = |x| / b + (x - y)^2 / (2 sigma^2)

Two pieces of normal distributions that meet in a kink. Mode and mean of p(x_0 | x) differ here, and with them the prox
and the denoiser: that is what the corrector has to mend.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from matplotlib.axes import Axes

from launch.experiments.chains import Method
from launch.experiments.coverage import (
    Calibration,
    calibrate,
    calibrated,
    coverage_panels,
    coverage_table,
    not_calibrated,
)
from launch.experiments.findings import Claim, Findings, Table
from launch.experiments.panels import COLOURS
from launch.experiments.theory_panels import figure_of
from pgm_jax.metrics import wasserstein_1d
from pgm_jax.posteriors import LaplacePosterior
from pgm_jax.potentials import Gaussian, Laplace
from pgm_jax.proximal import data_first, explicit, forward_backward, parallel
from pgm_jax.samplers import (
    Rows,
    apportion,
    bridge,
    diffusion,
    langevin,
    pgm,
    proximal_mala,
    proximal_rows,
    with_corrector,
    with_last_prox,
)
from pgm_jax.schedules import LinearVP, geometric_levels
from pgm_jax.types import Key

EXACT_SETS = 40  # sets of exact samples, whose W1 is the floor
MASS = 0.9


def methods(c: Any, y: Array) -> dict[str, Method]:
    """All samplers of a measurement, which may be traced; lam and steps are in units of x^2."""
    parts = Laplace(c.scale), Gaussian(y, c.sigma)
    posterior = LaplacePosterior(c.scale, y, c.sigma)
    first, smoothed = pgm(data_first(*parts)), pgm(parallel(*parts))
    exact, denoised = pgm(posterior.prox), diffusion(posterior.denoise)
    low, high = c.levels
    few, many = (bridge(geometric_levels(1e3, 1e-4, n, LinearVP())) for n in c.levels)
    grid = geometric_levels(1.0, c.lam_min, c.rungs, LinearVP())
    corrected = with_corrector(bridge(grid), growing(c.calls - c.rungs, grid.lam[:-1]), 1.0)
    # A process without predictor starts where it is stable and has to end lower.
    ladder = jnp.geomspace(0.3, 0.1 * c.lam_min, c.rungs)
    counts = growing(c.calls - 1, ladder)
    smooth = c.sigma**2  # 1 / L

    def down(kappa: Array | None = None) -> Rows:
        return with_last_prox(langevin(ladder, ladder, counts, kappa=kappa), ladder[-1])

    return {
        f"PGM alone, exact prox, {low} levels": Method(exact, few),
        f"PGM alone, exact prox, {high} levels": Method(exact, many),
        f"PGM alone, {high} levels": Method(first, many),
        "PGM corrected, exact prox": Method(exact, corrected),
        "PGM corrected": Method(first, corrected),
        "joint Langevin": Method(pgm(forward_backward(*parts)), down()),
        "partial Langevin": Method(smoothed, down(1 / ladder + ladder)),
        "P-ULA": Method(first, proximal_rows(0.1 * smooth, c.calls)),
        "MYULA, λ = 1/L": Method(smoothed, langevin(smooth, smooth / 2, c.calls)),
        "MYULA, λ = 0.1/L": Method(smoothed, langevin(smooth / 10, smooth / 11, c.calls)),
        "subgradient Langevin": Method(pgm(explicit(*parts)), langevin(1.0, 0.1 * smooth, c.calls)),
        "proximal MALA": Method(proximal_mala(data_first(*parts), *parts), proximal_rows(smooth, c.calls // 2), 2),
        f"DDPM, exact Stein score, {low} levels": Method(denoised, few),
        f"DDPM, exact Stein score, {high} levels": Method(denoised, many),
    }


def growing(budget: int, lam: Array) -> tuple[int, ...]:
    """More steps at small levels, where a process forgets slowly."""
    return apportion(budget, np.asarray(lam) ** -0.5)


def run(config: Any, key: Key) -> Findings:
    """One measurement, by distance to the posterior; many, by calibration."""
    c, (low, high) = config, config.levels
    key_one, key_many = jax.random.split(key)
    distances, panels, claims = one_measurement(c, key_one)
    alone = (f"PGM alone, exact prox, {low} levels", f"PGM alone, {high} levels")
    found = simulated(c, key_many, ("PGM corrected", *alone, f"PGM alone, exact prox, {high} levels"))
    # The exact prox on the finer grid is shown and not judged: its intervals are off by about the width of the band.
    claims = [*claims, *calibrated(found[0]), *map(not_calibrated, found[1:3])]
    tables = [distances, coverage_table("Laplace posterior: calibration", found)]
    return Findings(tables, {"laplace": figure_of([*panels, *coverage_panels(found)], across=2)}, claims)


def one_measurement(c: Any, key: Key) -> tuple[Table, list[Callable[[Axes], None]], list[Claim]]:
    """W1 of all samplers, and how much of the posterior their central 90 % hold."""
    exact, each = LaplacePosterior(c.scale, c.y, c.sigma), methods(c, jnp.asarray(c.y))
    key_exact, key_chains = jax.random.split(key)
    quantiles = exact.quantile((jnp.arange(c.samples) + 0.5) / c.samples)
    to_exact = jax.jit(lambda x: wasserstein_1d(x, quantiles))
    sample = jax.jit(lambda key: exact.sample(key, c.samples))
    sets = np.array([float(to_exact(sample(k))) for k in jax.random.split(key_exact, EXACT_SETS)])
    floor, bound = (float(sets.mean()), float(sets.std(ddof=1))), float(sets.mean() + 3 * sets.std(ddof=1))

    points, w1, mass, rows = {}, {}, {}, []
    for (name, method), k in zip(each.items(), jax.random.split(key_chains, len(each)), strict=True):
        x = points[name] = method.draw(k, c.samples)
        ends = exact.cdf(jnp.quantile(x, jnp.array([(1 - MASS) / 2, (1 + MASS) / 2])))
        w1[name], mass[name] = float(to_exact(x)), 100 * float(ends[1] - ends[0])
        rows.append((name, method.total, w1[name], w1[name] / floor[0], mass[name], float(x.mean()), float(x.std())))
    first = ("exact samples", None, floor, 1.0, 100 * MASS, float(exact.mean), float(exact.variance) ** 0.5)
    spread = 100 * (MASS * (1 - MASS) / c.samples) ** 0.5
    caption = (
        f"b = {c.scale:g}, y = {c.y:g}, σ = {c.sigma:g}; {c.samples:,} chains. W1 to the exact quantiles; its floor is "
        f"the mean ± deviation of {EXACT_SETS} sets of exact samples. Mass: what the posterior has in the central 90 % "
        f"of the samples, ± {spread:.1g}. Calls: of the prior's prox or of the denoiser. The splitting is data first "
        "where nothing is said."
    )
    columns = ("sampler", "calls", "W1", "in floors", "mass of 90 % (%)", "mean", "std")
    shown = {
        "PGM": ("PGM corrected", f"PGM alone, exact prox, {c.levels[1]} levels", f"PGM alone, {c.levels[1]} levels"),
        "Langevin": ("joint Langevin", "MYULA, λ = 1/L", "subgradient Langevin"),
    }
    panels = [histograms(title, {name: points[name] for name in names}, exact) for title, names in shown.items()]
    table = Table("Laplace posterior: distance of samples", columns, [first, *rows], caption)
    return table, panels, claims_of(w1, mass, bound, 4 * spread)


def claims_of(w1: dict[str, float], mass: dict[str, float], bound: float, slack: float) -> list[Claim]:
    """That what should sample the posterior does, to a W1 as of exact sets, and that the integrator alone does not."""
    claims = [
        Claim(f"{name}: W1 to the posterior", w1[name], f"≤ {bound:.4f}, as exact sets", w1[name] <= bound)
        for name in ("PGM corrected", "PGM corrected, exact prox", "proximal MALA")
    ]
    off = abs(mass["PGM corrected"] - 100 * MASS)
    claims.append(Claim("PGM corrected: mass of its central 90 %, off by %", off, f"≤ {slack:.2g}", off <= slack))
    return claims + [
        Claim(f"{name}, uncorrected, is off: W1", w1[name], f"≥ {2 * bound:.4f}, twice that", w1[name] >= 2 * bound)
        for name in w1
        if name.startswith("PGM alone")
    ]


def histograms(title: str, points: dict[str, Array], exact: LaplacePosterior) -> Callable[[Axes], None]:
    """Histograms over the exact density."""
    ends = exact.quantile(jnp.array([2e-4, 1 - 2e-4]))
    x = np.linspace(float(ends[0]), float(ends[1]), 401)
    density = np.exp(np.asarray(exact.log_density(jnp.asarray(x, jnp.float32))))

    def panel(axis: Axes) -> None:
        axis.fill_between(x, density, color="#dddddd", lw=0, label="exact density")
        for (name, values), colour in zip(points.items(), COLOURS, strict=False):
            axis.hist(np.asarray(values), list(x[::8]), density=True, histtype="step", color=colour, lw=1.3, label=name)
        axis.set(title=f"{title}: {len(values):,} samples", xlabel="x", yticks=(), xlim=(x[0], x[-1]))
        axis.set_ylim(0, 1.4 * axis.get_ylim()[1])

    return panel


def simulated(c: Any, key: Key, names: Sequence[str]) -> list[Calibration]:
    """The calibration of samplers over truths from the prior."""
    key_truth, key_noise, key_chains, key_judge = jax.random.split(key, 4)
    truths = c.scale * jax.random.laplace(key_truth, (c.simulations,))
    ys = truths + c.sigma * jax.random.normal(key_noise, (c.simulations,))
    keys = jax.random.split(key_chains, c.simulations)
    found = []
    for name in names:
        samples = jax.vmap(lambda key, y, name=name: methods(c, y)[name].draw(key, c.draws))(keys, ys)
        found.append(calibrate(key_judge, name, methods(c, ys[0])[name].total, samples, truths))
    return found
