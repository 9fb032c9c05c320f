"""A Gaussian prior and a Gaussian measurement: every sampler against its own recursion, and against the posterior.

The prior is N(m, C) with a full C, or one on a plane; the measurement y = A x + N(0, sigma^2) sees part of x. Steps are
affine, so the distribution that each sampler reaches is known, right or wrong, and so is the posterior.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from launch.experiments.chains import Method, chains
from launch.experiments.coverage import (
    Calibration,
    calibrated,
    calibrations,
    coverage_panels,
    coverage_table,
    not_calibrated,
)
from launch.experiments.findings import Claim, Findings, Table, bounded
from launch.experiments.gaussian.methods import Parts, capped, corrected, levels, likelihood_of, parts_of
from launch.experiments.gaussian.recursion import Moments, Problem, random_problem, simulate
from launch.experiments.gaussian.truth import against_the_truth, along_axes, eigen_panels
from launch.experiments.plots import panelled
from pgm_jax import samplers
from pgm_jax.proximal import data_first, exact
from pgm_jax.samplers import Rows, bridge, pgm
from pgm_jax.schedules import Levels
from pgm_jax.types import Key


def run(config: Any, key: Key) -> Findings:
    """The samplers on a regular and on a singular prior, the optimisers, and the calibration of PGM."""
    c = config
    key_problem, key_regular, key_singular, key_many = jax.random.split(key, 4)
    with jax.default_matmul_precision("highest"):
        regular, singular = (
            random_problem(key_problem, np.array(v), np.array(c.gains), c.sigma) for v in (c.variances, c.plane)
        )
        table, found, claims = against_the_truth("full C", regular, key_regular, c)
        plane_table, on_plane, plane_claims = against_the_truth("C on a plane", singular, key_singular, c)
        optimiser_table, optimiser_claims = optimisers(parts_of(regular), regular.posterior)
        judged = calibrations_of_pgm(regular, key_many, c)
    names = ("PGM corrected", *(f"PGM, {n} levels" for n in c.levels), "DDPM", "joint Langevin, exponential", "MYULA")
    shown = {name: found[name] for name in names}
    panels = [*eigen_panels(regular.posterior, shown), *coverage_panels(judged)]
    off = on_plane["PGM corrected"].posterior.off_plane
    claims = [
        *claims,
        *plane_claims,
        bounded("C on a plane: largest distance of a sample from it", off, "≤", 1e-5, "1e-5, rounding"),
        *optimiser_claims,
        *calibrated(judged[0]),
        *map(not_calibrated, (each for each in judged if each.name.startswith("PGM alone"))),
        *calibrated(judged[-1]),
    ]
    tables = [table, plane_table, optimiser_table, coverage_table("Gaussian posterior: calibration", judged)]
    return Findings(tables, {"gaussian": panelled(panels, across=2)}, claims)


def widened(levels: Levels, truth: Moments) -> Rows:
    """Bridges with the variance that the posterior mean leaves at a level, the mean over the axes of the posterior."""
    along, lam = np.linalg.eigvalsh(truth.covariance), np.asarray(levels.lam[:-1])[:, None]
    return bridge(levels, variance=jnp.asarray((along * lam / (along + lam)).mean(axis=1), jnp.float32))


def optimisers(parts: Parts, truth: Moments) -> tuple[Table, list[Claim]]:
    """FISTA, ADMM and HQS reach the mean of the posterior, which is its mode."""
    lipschitz = float(jnp.max(parts.likelihood.eigenvalues))
    each = {
        "FISTA": (samplers.fista, jnp.full(400, 1 / lipschitz), 1e-3),
        "ADMM": (samplers.admm, jnp.full(400, 3 / lipschitz), 1e-3),
        "HQS": (samplers.hqs, 0.5 / jnp.arange(1.0, 4001.0), 1e-2),
    }
    rows, claims = [], []
    for name, (build, steps, bound) in each.items():
        method = chains(build(parts.prior, parts.likelihood), steps, truth.mean.shape)
        end = np.asarray(method.draw(jax.random.key(0), 1)[0], np.float64)
        off = float(np.abs(along_axes(Moments(end, truth.covariance), truth)[0]).max())
        rows.append((name, method.calls, off))
        claims.append(bounded(f"{name}: distance from the posterior mean, in standard deviations", off, "≤", bound))
    columns = ("optimiser", "rows", "distance from the posterior mean, in standard deviations")
    return Table("Gaussian posterior, full C: optimisers", columns, rows), claims


def calibrations_of_pgm(problem: Problem, key: Key, c: Any) -> list[Calibration]:
    """The calibration of PGM over truths from the prior, along the principal axes of the posterior."""
    parts, truth = parts_of(problem), problem.posterior
    key_truth, *keys = jax.random.split(key, 3)
    truths, ys = simulate(problem, key_truth, c.simulations)
    # The measurement is in the slopes of the likelihood alone.
    slopes = jax.vmap(lambda y: likelihood_of(problem, y).slopes)(jnp.asarray(ys, jnp.float32))
    few, many = (bridge(levels(n, c)) for n in c.levels)
    wide = [widened(levels(n, c), truth) for n in c.levels]
    full = corrected(c.correctors_many, c.rate, samplers.leimkuhler_matthews, c)

    def methods(slopes: Array) -> dict[str, Method]:
        likelihood = dataclasses.replace(parts.likelihood, slopes=slopes)
        first, shape = pgm(data_first(parts.prior, likelihood)), truth.mean.shape
        return {
            "PGM corrected": chains(first, full, shape),
            f"PGM alone, {c.levels[0]} levels": chains(first, few, shape),
            f"PGM alone, {c.levels[1]} levels": chains(first, many, shape),
            f"PGM alone, FB, {c.levels[1]} levels": chains(capped(parts.prior, likelihood), many, shape),
            **{
                f"exact step, {n} levels": chains(pgm(exact(parts.prior, likelihood)), rows, shape)
                for n, rows in zip(c.levels, wide, strict=True)
            },
        }

    axes = jnp.asarray(np.linalg.eigh(truth.covariance)[1], jnp.float32)
    names = list(methods(slopes[0]))
    return calibrations((keys[0], keys[1]), methods, names, slopes, jnp.asarray(truths, jnp.float32), c.draws, axes)
