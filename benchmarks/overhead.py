"""What sampling costs beyond the network: seconds of a restoration over seconds of its network calls.

    python -m benchmarks.overhead
    python -m benchmarks.overhead --calls=100 --measurements=1,8,64 --repeats=5

For each number of measurements, `restore` (one sample each) and `calls` times one jitted forward pass of the network at
the same batch are timed in turn, several times over, in one process. The ratio is that of the two fastest times.
"""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
from absl import app, flags
from rich.console import Console
from rich.progress import track
from rich.table import Table

from pgm_jax.noise import GaussianNoise, measure
from pgm_jax.operators import gaussian_blur, random_mask
from pgm_jax.pretrained import example_images, load_prior
from pgm_jax.restoration import restore

_CALLS = flags.DEFINE_integer("calls", 100, "Network calls of a restoration.", lower_bound=1)
_MEASUREMENTS = flags.DEFINE_list("measurements", ["1", "8", "64"], "How many measurements at once.")
_REPEATS = flags.DEFINE_integer("repeats", 5, "How often each of the two is timed.", lower_bound=1)
_PRIOR = flags.DEFINE_string("prior", None, "Prior file; the one that comes with the library by default.")


def seconds(work: Callable[[], jax.Array]) -> float:
    """Wall-clock seconds of `work`, waiting for its result."""
    start = time.perf_counter()
    jax.block_until_ready(work())
    return time.perf_counter() - start


def compare(first: Callable, second: Callable, repeats: int) -> tuple[float, float]:
    """The fastest times of two pieces of work, timed in turn so that both see the same machine."""
    jax.block_until_ready((first(), second()))  # compile
    times = [(seconds(first), seconds(second)) for _ in range(repeats)]
    return min(t for t, _ in times), min(t for _, t in times)


def main(argv: list[str]) -> None:
    """Time restorations against their network calls and print the table."""
    del argv
    prior, noise = load_prior(_PRIOR.value or "fashion_mnist"), GaussianNoise(0.05)
    forward = jax.jit(prior.network.apply)
    device = jax.devices()[0]
    table = Table("task", "measurements", "restore (s)", f"{_CALLS.value} x network (s)", "ratio", title=str(device))
    shape = prior.network.image_shape
    tasks = dict(inpainting=random_mask(jax.random.key(0), shape, 0.7), blur=gaussian_blur(shape, 1.2, "reflect"))
    for count in track([int(number) for number in _MEASUREMENTS.value], description="timing"):
        images = jnp.tile(example_images(), (-(-count // 64), 1, 1, 1))[:count]
        levels = jnp.ones((count,))
        for name, operator in tasks.items():
            y = measure(jax.random.key(1), operator, images, noise)

            def sample(operator=operator, y=y) -> jax.Array:
                return restore(jax.random.key(2), prior, operator, y, noise, samples=1, calls=_CALLS.value).samples

            def network(images=images, levels=levels) -> jax.Array:
                # One after the other, as sampling must: each call waits for the one before.
                x = images
                for _ in range(_CALLS.value):
                    x = forward(prior.params, x, levels)
                return x

            ours, theirs = compare(sample, network, _REPEATS.value)
            table.add_row(name, str(count), f"{ours:.3f}", f"{theirs:.3f}", f"{ours / theirs:.3f}")
    Console().print(table)


if __name__ == "__main__":
    app.run(main)
