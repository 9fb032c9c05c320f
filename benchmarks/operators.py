"""What a measurement, its adjoint and its data step cost, beside the same operators of the library deepinv.

    python -m benchmarks.operators
    python -m benchmarks.operators --only=mask,blur --repeats=50 --json=operators.json

Every row is a batch of images, ours by `vmap` under `jit` with the operator as an argument, theirs on as many threads.
The two are timed in turn in one process, each after a call that is not counted. Milliseconds are medians. The ratios
are ours over theirs, of the medians and of the fastest times, which other processes disturb less; below 1 ours is the
faster. The difference is |ours - theirs| / |theirs| on the same numbers: where both state the same map it has to be
rounding, or the tolerance of iterations, and there is no table otherwise.

The data step is argmin_x 1/2 |A x - y|^2 + rho/2 |x - v|^2 at rho = |A|^2 / 100, `prox_l2` with gamma = 1 / rho there.
Where neither side has a closed form both iterate conjugate gradients from v = 0 until the residual of the normal
equation is below 1e-4 of its right side, 50 times at most, which are deepinv's defaults.

deepinv comes with `pip install 'pgm_jax[bench]'`; without it our times stand alone.
"""

import importlib
import importlib.util
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags
from rich.console import Console
from rich.progress import track
from rich.table import Table

from pgm_jax import operators
from pgm_jax.noise import GaussianNoise, measure
from pgm_jax.operators import Solver
from pgm_jax.operators.decimation import blur_downsampling
from pgm_jax.operators.kernels import gaussian_kernel

_SIDE = flags.DEFINE_integer("side", 256, "Height and width of the images, a multiple of 4.", lower_bound=16)
_BATCH = flags.DEFINE_integer("batch", 8, "Images at once.", lower_bound=1)
_REPEATS = flags.DEFINE_integer("repeats", 30, "Times that each is timed, fewer where that takes long.", lower_bound=1)
_SECONDS = flags.DEFINE_float("seconds", 20.0, "When to stop repeating one row, in seconds.")
_ONLY = flags.DEFINE_list("only", [], "Operators to time, by the first words of their rows; all by default.")
_ALONE = flags.DEFINE_bool("alone", False, "Time ours alone, also where deepinv is installed.")
_JSON = flags.DEFINE_string("json", None, "File to write the rows to.")

THREADS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
FACTOR = 4
ANGLES = 60
COILS = 8
SOLVER = Solver(tolerance=1e-4, iterations=50)
ROUNDING = 1e-3

forward = jax.jit(jax.vmap(lambda operator, x: operator.forward(x), (None, 0)))
adjoint = jax.jit(jax.vmap(lambda operator, r: operator.adjoint(r), (None, 0)))
solve = jax.jit(
    jax.vmap(lambda operator, v, y, rho, solver: operator.solve(v, y, rho, solver), (None, 0, 0, None, None))
)


class Case(NamedTuple):
    """One operator here and there.

    name: of the row. ours: the operator. build: torch, deepinv -> theirs and its name. image, measurement: what turns
    batches of ours into theirs, in numpy. same: whether both are the same map. iterative: whether solving iterates.
    """

    name: str
    ours: operators.LinearOperator
    build: Callable[[Any, Any], tuple[Any, str]]
    image: Callable[[np.ndarray], np.ndarray]
    measurement: Callable[[np.ndarray], np.ndarray]
    same: bool = True
    iterative: bool = False


def channels_first(x: np.ndarray) -> np.ndarray:
    """(B, H, W, C) as (B, C, H, W)."""
    return np.moveaxis(x, -1, 1)


def shifted(x: np.ndarray) -> np.ndarray:
    """(B, H, W, C) as (B, C, H, W) with the origin where deepinv has the middle of a kernel of even sides."""
    return np.roll(channels_first(x), (1 - FACTOR // 2, 1 - FACTOR // 2), axis=(-2, -1))


def parts(y: np.ndarray) -> np.ndarray:
    """(B, ...) complex as (B, 2, ...), the real and the imaginary part."""
    return np.stack([np.real(y), np.imag(y)], axis=1)


def sinograms(y: np.ndarray) -> np.ndarray:
    """(B, angles, detectors, C) as (B, C, detectors, angles)."""
    return y.transpose(0, 3, 2, 1)


def coil_maps(side: int) -> jax.Array:
    """Smooth complex sensitivities of coils around the image, (COILS, side, side), sum_k |s_k|^2 = 1."""
    turn = 2 * jnp.pi * jnp.arange(COILS) / COILS
    line = jnp.linspace(-1, 1, side)
    row, col = (
        (jnp.sin(turn)[:, None, None] - line[None, :, None]),
        (jnp.cos(turn)[:, None, None] - line[None, None, :]),
    )
    maps = jnp.exp(-(row**2 + col**2) / 2 + 1j * (row + turn[:, None, None]))
    return maps / jnp.sqrt(jnp.sum(jnp.abs(maps) ** 2, axis=0, keepdims=True))


def cases(side: int) -> Iterator[Case]:
    """All rows, in the order of the table; images are (side, side, 3), or complex ones for magnetic resonance."""
    shape, complex_shape = (side, side, 3), (side, side, 2)
    size = min(61, (side - 1) // 2 * 2 + 1)
    kernels = dict(blur=gaussian_kernel(3.0, size), box=jnp.full((FACTOR,) * 2, FACTOR**-2))
    kernels["short"] = gaussian_kernel(2.0, min(size, 17))
    fourier_mask = operators.cartesian_mask(jax.random.key(1), shape)[..., 0]
    angles = jnp.linspace(0, 180, ANGLES, endpoint=False)
    maps = coil_maps(side)

    def tensor(torch: Any, a: jax.Array) -> Any:
        return torch.tensor(np.asarray(a))

    def inpainting(torch, physics):
        seen = tensor(torch, jnp.moveaxis(mask.mask, -1, 0))
        return physics.Inpainting((3, side, side), mask=seen), "Inpainting"

    def blur_fft(torch, physics):
        return physics.BlurFFT((3, side, side), tensor(torch, kernels["blur"])[None, None]), "BlurFFT"

    def blur(torch, physics):
        filter = tensor(torch, kernels["blur"])[None, None]
        return physics.Blur(filter, padding="circular", use_fft=True), "Blur(use_fft)"

    def downsampling(kernel: str) -> Callable:
        def build(torch, physics):
            filter = tensor(torch, kernels[kernel])[None, None] if kernel in kernels else kernel
            return physics.Downsampling((3, side, side), filter, FACTOR), "Downsampling"

        return build

    def single_coil(torch, physics):
        return physics.MRI(tensor(torch, fourier_mask)), "MRI"

    def multi_coil(torch, physics):
        return physics.MultiCoilMRI(tensor(torch, fourier_mask), tensor(torch, maps)), "MultiCoilMRI"

    def tomography(torch, physics):
        exact = dict(adjoint_via_backprop=True, normalize=False)
        return physics.Tomography(tensor(torch, angles), side, **exact), "Tomography(exact adjoint)"

    mask = operators.random_mask(jax.random.key(0), shape)
    circular = operators.circular_blur(shape, kernels["blur"])
    average = operators.average_downsampling(shape, FACTOR)
    bicubic = operators.bicubic_downsampling(shape, FACTOR)
    decimated = blur_downsampling(shape, kernels["short"], FACTOR)
    single = operators.complex_fourier_sampling(complex_shape, fourier_mask)
    multi = operators.complex_mri(complex_shape, fourier_mask, maps)
    radon = operators.radon(shape, angles)
    yield Case("mask", mask, inpainting, channels_first, channels_first)
    yield Case(f"blur {size} taps", circular, blur_fft, channels_first, channels_first)
    yield Case(f"blur {size} taps", circular, blur, channels_first, channels_first, iterative=True)
    yield Case("average x4", average, downsampling("box"), shifted, channels_first)
    # Ours mirrors the image at its border, theirs repeats it.
    yield Case("bicubic x4", bicubic, downsampling("bicubic"), shifted, channels_first, same=False)
    yield Case("blur and every 4th", decimated, downsampling("short"), channels_first, channels_first)
    yield Case("Fourier one coil", single, single_coil, channels_first, parts)
    yield Case(f"Fourier {COILS} coils", multi, multi_coil, channels_first, parts, iterative=True)
    # Ours walks along rays, theirs sums up a rotated image.
    yield Case(f"tomography {ANGLES} angles", radon, tomography, channels_first, sinograms, same=False, iterative=True)


def in_turn(works: list[Callable[[], Any]]) -> list[list[float]]:
    """Milliseconds of every work, timed again and again in turn, so that all see the same machine."""
    times: list[list[float]] = [[] for _ in works]
    begin = time.perf_counter()
    while len(times[0]) < _REPEATS.value:
        for work, past in zip(works, times, strict=True):
            if past and past[-1] < 100:
                work()  # Threads that still spin after the other library's work would take a core away.
            start = time.perf_counter()
            work()
            past.append(1e3 * (time.perf_counter() - start))
        if time.perf_counter() - begin > _SECONDS.value:
            break
    return times


def steps(case: Case, batch: int) -> tuple[dict[str, Callable], dict[str, np.ndarray], float]:
    """Our forward, adjoint and solve as works that end when their result is there; the numbers they take; rho."""
    *keys, noise = jax.random.split(jax.random.key(2), 3)
    x, v = (jax.random.normal(key, (batch, *case.ours.image_shape)) for key in keys)
    # Smooth, as images are: interpolation does not matter as much as for noise.
    smooth = operators.gaussian_blur(case.ours.image_shape, 1.5)
    x = forward(smooth, x)
    v = jnp.zeros_like(v) if case.iterative else v
    y = measure(noise, case.ours, x, GaussianNoise(0.05))
    rho = float(jax.jit(lambda operator: operator.norm())(case.ours)) ** 2 / 100
    works = dict(
        forward=lambda: jax.block_until_ready(forward(case.ours, x)),
        adjoint=lambda: jax.block_until_ready(adjoint(case.ours, y)),
        solve=lambda: jax.block_until_ready(solve(case.ours, v, y, rho, SOLVER)),
    )
    return works, dict(x=np.asarray(x), v=np.asarray(v), y=np.asarray(y)), rho


def their_steps(case: Case, numbers: dict[str, np.ndarray], rho: float) -> tuple[dict[str, Callable], str]:
    """The same works of deepinv on the same numbers, and the name of its operator."""
    torch = importlib.import_module("torch")
    torch.set_num_threads(THREADS)
    torch.set_grad_enabled(False)
    physics, name = case.build(torch, importlib.import_module("deepinv.physics"))
    x, v = (torch.tensor(np.ascontiguousarray(case.image(numbers[key]))) for key in ("x", "v"))
    y = torch.tensor(np.ascontiguousarray(case.measurement(numbers["y"])))
    settings = dict(solver="CG", max_iter=SOLVER.iterations, tol=SOLVER.tolerance) if case.iterative else {}
    works = dict(
        forward=lambda: physics.A(x),
        adjoint=lambda: physics.A_adjoint(y),
        solve=lambda: physics.prox_l2(v, y, gamma=1 / rho, **settings),
    )
    return works, name


def difference(case: Case, step: str, ours: jax.Array, theirs: Any) -> float:
    """|ours - theirs| / |theirs|; RuntimeError where the same map differs by more than rounding or the tolerance."""
    layout = case.measurement if step == "forward" else case.image
    expected = theirs.numpy()
    relative = float(np.linalg.norm(layout(np.asarray(ours)) - expected) / np.linalg.norm(expected))
    if case.same and not relative <= (ROUNDING if step != "solve" or not case.iterative else 10 * ROUNDING):
        raise RuntimeError(f"{case.name}: {step} differs from deepinv's by {relative:.1e}; their times do not compare")
    return relative


def rows(case: Case, batch: int, alone: bool) -> Iterator[dict[str, Any]]:
    """Times of one operator, a row a step."""
    ours, numbers, rho = steps(case, batch)
    theirs, name = ({}, "") if alone else their_steps(case, numbers, rho)
    for step, work in ours.items():
        row: dict[str, Any] = dict(operator=case.name, deepinv=name, step=step)
        works = [work, theirs[step]] if theirs else [work]
        results = [work() for work in works]  # compile
        times = in_turn(works)
        row |= dict(ours_ms=statistics.median(times[0]), ours_fastest_ms=min(times[0]))
        if theirs:
            row |= dict(deepinv_ms=statistics.median(times[1]), deepinv_fastest_ms=min(times[1]))
            row |= dict(ratio=row["ours_ms"] / row["deepinv_ms"], fastest_ratio=min(times[0]) / min(times[1]))
            row |= dict(difference=difference(case, step, *results))
        yield row


def main(argv: list[str]) -> None:
    """Time every operator and print the table."""
    del argv
    if _SIDE.value % FACTOR:
        raise app.UsageError(f"--side is a multiple of {FACTOR} and is {_SIDE.value}")
    console = Console()
    alone = _ALONE.value or not all(importlib.util.find_spec(name) for name in ("deepinv", "torch"))
    if alone and not _ALONE.value:
        console.print("deepinv is not installed: ours alone. pip install 'pgm_jax\\[bench]' gets it.")
    with jax.default_device(jax.devices("cpu")[0]):
        chosen = [c for c in cases(_SIDE.value) if not _ONLY.value or c.name.startswith(tuple(_ONLY.value))]
        if alone:
            chosen = list({case.name: case for case in reversed(chosen)}.values())[::-1]
        if not chosen:
            raise app.UsageError(f"no row begins with one of {', '.join(_ONLY.value)}: see --only")
        found = [row for case in track(chosen, "timing", console=console) for row in rows(case, _BATCH.value, alone)]
    title = f"{_BATCH.value} images of {_SIDE.value} x {_SIDE.value}, {THREADS} threads, milliseconds"
    beside = [] if alone else ["deepinv", "ratio", "of fastest", "difference", "deepinv's operator"]
    table = Table("operator", "step", "ours", *beside, title=title)
    for row in found:
        cells = [row["operator"], row["step"], f"{row['ours_ms']:.2f}"]
        if not alone:
            cells += [f"{row[key]:.2f}" for key in ("deepinv_ms", "ratio", "fastest_ratio")]
            cells += [f"{row['difference']:.0e}", row["deepinv"]]
        table.add_row(*cells)
    console.print(table)
    if _JSON.value:
        with open(_JSON.value, "w") as file:
            load = os.getloadavg()[0]
            json.dump(dict(side=_SIDE.value, batch=_BATCH.value, threads=THREADS, load=load, rows=found), file)


if __name__ == "__main__":
    app.run(main)
