"""Published samplers on the mixture of 25 Gaussians, as an earlier implementation measured them in float64."""

from typing import NamedTuple


class Quoted(NamedTuple):
    """The figures of one sampler.

    Attributes:
        calls: calls of its denoiser in a run.
        jacobian: whether it differentiates its denoiser.
        sliced: by dimension, sliced W1 as (mean, half of its 95 % interval), in the order of `QUOTED_CELLS`.
    """

    calls: int
    jacobian: bool
    sliced: dict[int, tuple[tuple[float, float], ...]]


# (sigma, number of measurements)
QUOTED_CELLS = ((1.0, 1), (1.0, 2), (1.0, 4), (0.1, 1), (0.1, 2), (0.1, 4))

# fmt: off
QUOTED = {
    "DPS ζ 0.1": Quoted(1000, True, {
        8: ((2.76, 0.91), (3.79, 1.10), (1.71, 0.45), (2.64, 0.95), (0.96, 0.48), (0.54, 0.50)),
        80: ((1.77, 0.67), (2.79, 1.54), (0.34, 0.13), (2.08, 1.17), (1.04, 1.31), (0.06, 0.02))}),
    "ΠGDM": Quoted(1000, True, {
        8: ((1.49, 0.42), (1.07, 0.42), (0.46, 0.21), (2.31, 0.77), (0.81, 0.38), (0.08, 0.03)),
        80: ((0.97, 0.48), (0.92, 0.40), (0.33, 0.43), (1.72, 0.99), (0.78, 1.25), (0.06, 0.00))}),
    "TMPD": Quoted(1000, True, {
        8: ((1.22, 0.50), (1.13, 0.36), (0.90, 0.28), (2.57, 0.80), (1.16, 0.44), (0.25, 0.13)),
        80: ((0.91, 0.52), (0.93, 0.37), (0.80, 0.62), (1.81, 0.99), (1.37, 1.42), (0.23, 0.15))}),
    "DiffPIR λ 8, ζ 0.3": Quoted(1000, False, {
        8: ((3.44, 0.72), (3.73, 0.72), (2.88, 0.67), (3.71, 0.84), (3.79, 1.13), (1.01, 0.38)),
        80: ((4.43, 1.17), (6.49, 1.46), (6.86, 1.51), (5.15, 1.13), (7.77, 1.36), (6.16, 1.75))}),
    "DiffPIR λ 1, ζ 1": Quoted(1000, False, {
        8: ((1.40, 0.41), (1.57, 0.46), (0.94, 0.35), (2.94, 0.78), (2.77, 1.00), (0.35, 0.14)),
        80: ((3.14, 0.73), (4.04, 1.19), (4.30, 1.61), (4.33, 1.14), (6.02, 1.34), (4.10, 1.75))}),
    "DDRM": Quoted(100, False, {
        8: ((2.41, 0.70), (2.69, 0.78), (1.92, 0.80), (3.92, 0.88), (4.16, 1.21), (1.11, 0.47)),
        80: ((4.71, 1.13), (6.73, 1.77), (7.73, 1.45), (5.75, 1.10), (8.85, 1.38), (7.69, 1.59))}),
    "DAPS, true σ": Quoted(1000, False, {
        8: ((2.11, 0.58), (2.56, 0.66), (1.61, 0.51), (3.71, 0.84), (3.89, 1.15), (0.82, 0.30)),
        80: ((4.07, 0.87), (5.77, 1.50), (6.21, 1.55), (5.12, 1.09), (7.61, 1.44), (5.96, 1.74))}),
}
# fmt: on


def quoted_cells(quoted: Quoted, dimension: int) -> dict[tuple[float, int], tuple[float, float]]:
    """The figures of a dimension by (sigma, number of measurements); empty where it was not measured."""
    return dict(zip(QUOTED_CELLS, quoted.sliced.get(dimension, ()), strict=False))
