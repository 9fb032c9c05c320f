"""The tables of the mixture of 25 Gaussians: distances, costs, and PGM beside the quoted samplers."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from launch.experiments.findings import Cell, Claim, Table, bounded, mean_and_deviation
from launch.experiments.mixture.bench import Found, Place
from launch.experiments.mixture.methods import BY_ROUNDS, DDPM, EXACT, FLOOR, PRIOR, SPLIT
from launch.experiments.mixture.quoted import QUOTED, quoted_cells

# Quoted samplers that do not and that do differentiate the denoiser, and how a claim says "below all of them".
VERSUS = (
    ([name for name, quoted in QUOTED.items() if not quoted.jacobian], "below all quoted without ∇"),
    ([name for name, quoted in QUOTED.items() if quoted.jacobian], "below all quoted with ∇"),
)


def summary(values: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """Mean and half of its 95 % interval; 0 for a single value."""
    mean, deviation = mean_and_deviation(np.asarray(values))
    return mean, 1.96 * deviation / len(values) ** 0.5


def table_of(d: int, names: Sequence[str], found: Found, config: Any) -> Table:
    """The samplers of one dimension, and below them the figures quoted for it."""
    places = [place for place in found.distances if place.d == d]
    rows: list[tuple[Cell, ...]] = []
    for index, (name, calls) in enumerate(zip(names, found.calls[d], strict=True)):
        cells = [summary([seed[index] for seed in found.distances[place]]) for place in places]
        rows.append((name, *cells, calls))
    for name, quoted in QUOTED.items():
        known = quoted_cells(quoted, d)
        if known:
            cells = [known.get((place.sigma, place.m)) for place in places]
            rows.append((f"quoted: {name}{' (∇)' if quoted.jacobian else ''}", *cells, quoted.calls))
    counts = sorted({len(found.distances[place]) for place in places})
    return Table(
        f"Mixture of 25 Gaussians, d = {d}",
        ("sampler", *(f"σ {place.sigma:g}, dy {place.m}" for place in places), "calls"),
        rows,
        f"Sliced W1 along {config.directions} directions between {config.samples} samples and as many exact ones, mean "
        f"± 1.96 standard errors over {' to '.join(map(str, counts))} problems. Calls: proxes of the prior, or "
        "denoisers, for one sample. Quoted rows were not run here: they come from an earlier implementation in "
        "float64, on problems from the same distribution with other seeds; (∇): it differentiates the denoiser.",
    )


def costs(names: Sequence[str], found: Found) -> Table:
    """Calls and seconds of a run of each sampler."""
    seconds = found.seconds.items()
    mean = {d: np.mean([t for p, seeds in seconds if p.d == d for t in seeds], axis=0) for d in found.calls}
    rows = [
        (name, *(value for d in mean for value in (found.calls[d][index], float(mean[d][index]))))
        for index, name in enumerate(names)
    ]
    return Table(
        "Cost of a run",
        ("sampler", *(column for d in mean for column in (f"calls, d = {d}", f"seconds, d = {d}"))),
        rows,
        f"Calls for one sample, seconds for all, with as many runs at a time as there are cores ({os.cpu_count()}). "
        "Joint Langevin caps its gradient step at 1 / L, and partial Langevin takes steps of 1 / (L + λ + 1/λ): both "
        "are explicit, and L is up to 1/σ². The λ|x|²/2 of the partial form pulls towards the origin. The rows of PGM "
        "were chosen on other problems.",
    )


def where_pgm_stands(names: Sequence[str], found: Found) -> tuple[Table, list[Claim]]:
    """Each sampler in floors, the number of columns in which it is below each quoted one, and the claims for PGM."""
    means = {place: np.mean(seeds, axis=0) for place, seeds in found.distances.items()}
    index = {name: i for i, name in enumerate(names)}

    def floors(name: str) -> float:
        ratios = [mean[index[name]] / mean[index[FLOOR]] for mean in means.values()]
        return float(np.exp(np.mean(np.log(ratios))))

    def below(name: str, others: Sequence[str]) -> tuple[int, int]:
        # In how many columns a sampler is below the best of others, and of how many.
        wins = total = 0
        for place, mean in means.items():
            known = [quoted_cells(QUOTED[other], place.d).get((place.sigma, place.m)) for other in others]
            best = min((cell[0] for cell in known if cell), default=None)
            if best is not None:
                total, wins = total + 1, wins + int(mean[index[name]] < best)
        return wins, total

    def said(name: str) -> str:
        counts = [(*below(name, others), words) for others, words in VERSUS]
        return f"{name}: " + ", ".join(f"{wins} of {total} {words}" for wins, total, words in counts)

    rows = [
        (name, floors(name), *("{} of {}".format(*below(name, [other])) for other in QUOTED))
        for name in names
        if name not in (FLOOR, PRIOR)
    ]
    table = Table(
        "PGM beside the quoted samplers",
        ("sampler", "in floors", *(f"below {name}" for name in QUOTED)),
        rows,
        "In floors: sliced W1 over that of exact samples, the geometric mean over all columns of the tables above. "
        "Below: columns in which its mean is below the quoted one, regardless of both intervals. Columns below the "
        f"best of several: {'; '.join(map(said, (SPLIT, BY_ROUNDS, EXACT)))}.",
    )
    claims = [
        bounded("DDPM with the exact denoiser, in floors", floors(DDPM), "≤", 1.5),
        bounded("PGM corrected with the exact prox of U, in floors", floors(EXACT), "≤", 1.5),
        bounded("PGM corrected, data first over exact prox", floors(SPLIT) / floors(EXACT), "≥", 2, "2, a bias"),
    ]
    for name, (others, words), share in (
        (EXACT, VERSUS[1], 0.75),
        (EXACT, VERSUS[0], 0.75),
        (BY_ROUNDS, VERSUS[0], 0.75),
        (BY_ROUNDS, VERSUS[1], 0.5),
    ):
        wins, total = below(name, others)
        if total:
            least = int(np.ceil(share * total))
            claims.append(bounded(f"{name}: columns {words}", wins, "≥", least, f"{least} of {total}"))
    return table, claims


def precision(names: Sequence[str], place: Place, single: np.ndarray, double: np.ndarray) -> tuple[Table, Claim]:
    """Distances in float32 and in float64, `[problems, methods]` each, beside one another."""
    gaps = [summary(gap) for gap in (single - double).T]
    rows = [
        (name, summary(one), summary(two), gap)
        for name, one, two, gap in zip(names, single.T, double.T, gaps, strict=True)
    ]
    table = Table(
        f"float32 against float64, d = {place.d}, σ = {place.sigma:g}, dy = {place.m}",
        ("sampler", "float32", "float64", "difference"),
        rows,
        f"Sliced W1 on the same {len(single)} problems; each draws its own noise, so they differ by chance too.",
    )
    value, interval = gaps[names.index(EXACT)]
    bound = max(float(np.mean(double, axis=0)[names.index(FLOOR)]), interval)
    return table, bounded(
        "PGM corrected, exact prox: float32 minus float64", abs(value), "≤", bound, f"{bound:.2g}, by chance"
    )
