"""Calibration over simulations: truths from the prior, a measurement of each, posterior samples for each measurement.

The credible sets of an exact sampler contain the truth at their nominal rate. The band is the simultaneous bootstrap
band of the whole curve: an exact sampler stays inside it with probability `LEVEL`.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from matplotlib.axes import Axes

from launch.experiments.chains import Method
from launch.experiments.findings import Claim, Table, bounded
from launch.experiments.plots import COLOURS
from pgm_jax.metrics import bootstrap_bands, interval_coverage, rank_scores, sbc_ranks, tarp
from pgm_jax.metrics.calibration import Coverage, RankScores
from pgm_jax.types import Key

LEVEL = 0.99
CREDIBLE = tuple(i / 20 for i in range(1, 20))


class Curve(NamedTuple):
    """A coverage curve, its name, and half the width of its band."""

    name: str
    coverage: Coverage
    reach: float

    @property
    def deviation(self) -> float:
        """The largest distance from the diagonal; the curve is inside its band if this is at most `reach`."""
        return float(self.coverage.deviation)


class Calibration(NamedTuple):
    """A sampler, its calls for one sample, the curves of its intervals and of TARP, and the ranks of the truths."""

    name: str
    calls: int
    curves: tuple[Curve, Curve]
    ranks: RankScores

    @property
    def rank_tops(self) -> tuple[float, float, float]:
        """The largest scores of the ranks over all coordinates: bias, spread and histogram; small is good."""
        bias, spread, histogram = self.ranks
        return float(jnp.max(jnp.abs(bias))), float(jnp.max(jnp.abs(spread))), float(jnp.max(histogram))


def calibrations(
    keys: tuple[Key, Key],
    methods: Callable[[Array], Mapping[str, Method]],
    names: Sequence[str],
    measured: Float[Array, "n ..."],
    truths: Float[Array, "n ..."],
    draws: int,
    axes: Float[Array, "d d"] | None = None,
) -> list[Calibration]:
    """The calibration of some samplers over N simulations, with keys for the chains and for the judgement.

    `methods` gives the samplers of one measurement, which may be traced; vectors are judged along columns of `axes`.
    """
    key_chains, key_judge = keys
    each, found = jax.random.split(key_chains, len(measured)), []
    for name in names:
        samples = jax.vmap(lambda key, y, name=name: methods(y)[name].draw(key, draws))(each, measured)
        along = (samples, truths) if axes is None else (samples @ axes, truths @ axes)
        found.append(calibrate(key_judge, name, methods(measured[0])[name].calls, *along))
    return found


def calibrate(
    key: Key, name: str, calls: int, samples: Float[Array, "n s ..."], truths: Float[Array, "n ..."]
) -> Calibration:
    """Judge S samples for each of N truths."""
    (interval, expected), reaches, ranks = _judged(key, samples, truths)
    curves = Curve("Central intervals", interval, float(reaches[0])), Curve("TARP", expected, float(reaches[1]))
    return Calibration(name, calls, curves, ranks)


@jax.jit
def _judged(key: Key, samples: Array, truths: Array) -> tuple[tuple[Coverage, Coverage], list[Array], RankScores]:
    levels = jnp.asarray(CREDIBLE)
    key_tarp, key_ranks, *keys = jax.random.split(key, 4)
    coverages = interval_coverage(samples, truths, levels), tarp(key_tarp, samples, truths, levels)
    bands = [bootstrap_bands(k, coverage, LEVEL).simultaneous for k, coverage in zip(keys, coverages, strict=True)]
    reaches = [(band.high[0] - band.low[0]) / 2 for band in bands]
    return coverages, reaches, rank_scores(sbc_ranks(key_ranks, samples, truths), samples.shape[1])


def coverage_table(title: str, found: Sequence[Calibration]) -> Table:
    """The coverage of central 90 % intervals, the distance of the curves from the diagonal, the scores of the ranks."""
    at = CREDIBLE.index(0.9)
    columns = ("sampler", "calls", "in 90 % (%)", "intervals", "band", "TARP", "band", "bias", "spread", "histogram")
    rows = []
    for c in found:
        hits = np.asarray(c.curves[0].coverage.hits[:, at])
        covered = (100 * float(hits.mean()), 100 * float(hits.std() / len(hits) ** 0.5))
        rows.append((c.name, c.calls, covered, *(v for u in c.curves for v in (u.deviation, u.reach)), *c.rank_tops))
    n, coordinates = len(found[0].curves[0].coverage.hits), int(found[0].ranks.bias.size)
    caption = (
        f"{n} simulations. In 90 %: truths in central 90 % intervals. Intervals, TARP: largest distance of the "
        f"coverage curve from the diagonal at levels of {100 * CREDIBLE[0]:g} to {100 * CREDIBLE[-1]:g} %; beside it "
        f"half the width of the simultaneous {100 * LEVEL:g} % band. Bias, spread, histogram: scores of the ranks of "
        f"the truths, the largest of {coordinates} coordinate{'s' * (coordinates > 1)}."
    )
    return Table(title, columns, rows, caption)


def calibrated(c: Calibration) -> list[Claim]:
    """The claims that a sampler is calibrated."""
    claims = [
        bounded(f"{c.name}: {u.name}, distance from nominal", u.deviation, "≤", u.reach, f"{u.reach:.3f}, the band")
        for u in c.curves
    ]
    return [*claims, bounded(f"{c.name}: ranks of the truths, largest score", float(np.max(c.rank_tops)), "<", 4)]


def not_calibrated(c: Calibration) -> Claim:
    """The claim that a sampler is outside one of its bands."""
    u = max(c.curves, key=lambda curve: curve.deviation / curve.reach)
    text = f"{c.name}, uncorrected, is not calibrated: {u.name}"
    return bounded(text, u.deviation, ">", u.reach, f"{u.reach:.3f}, the band")


def coverage_panels(found: Sequence[Calibration]) -> list[Callable[[Axes], None]]:
    """Two panels, central intervals and TARP: coverage minus its nominal level, with bands."""

    def panel(axis: Axes, which: int) -> None:
        axis.axhline(0.0, color="black", lw=1)
        for c, colour in zip(found, COLOURS, strict=False):
            coverage, reach = c.curves[which].coverage, 100 * c.curves[which].reach
            nominal, off = 100 * coverage.nominal, 100 * (coverage.empirical - coverage.nominal)
            axis.fill_between(nominal, off - reach, off + reach, color=colour, alpha=0.15, lw=0)
            axis.plot(nominal, off, color=colour, label=c.name)
        axis.set(title=f"{found[0].curves[which].name}: coverage minus nominal", xlabel="nominal, %", ylabel="%")

    return [partial(panel, which=0), partial(panel, which=1)]
