# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Your own operator
#
# You have a measurement $y = A(x) + \text{noise}$ that is in no library. Write $A$ as a function of one image, in jax.
# That is all: its adjoint or its derivative, its data step and its restoration follow. It may be linear or not, and
# composed of others. The noise may be one that you know, one that you do not know, or one of counts.

# %%
# In Colab: install the library. Elsewhere it is there already.
import importlib.util
import os
import subprocess
import sys

if importlib.util.find_spec("pgm_jax") is None:
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "pgm_jax[plots]"], check=True)
TOY = bool(os.environ.get("PGM_TOY"))  # a smaller run, for tests

# %%
import dataclasses

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
from jax.tree_util import Partial

import pgm_jax as pgm
from pgm_jax import operators

SHAPE = (32, 32, 1)
prior = pgm.load_prior("fashion_mnist")
truth = pgm.example_images()[jnp.array([0, 1] if TOY else [0, 1, 23])]
key_measure, key_restore = jax.random.split(jax.random.key(0))


def restore(operator, y, noise):
    return pgm.restore(key_restore, prior, operator, y, noise, samples=2 if TOY else 8, calls=4 if TOY else 100)


def show(name, result, limits=(-1.0, 1.0), **measurements):
    """A row for each image, one bar for all standard deviations; `limits`: black and white of the measurements."""
    one, mean = (pgm.metrics.psnr(images, truth).mean() for images in (result.samples[:, 0], result.mean))
    print(f"{name}: PSNR of one sample {one:.1f} dB, of the mean {mean:.1f} dB")

    columns = {"truth": truth, **measurements, "sample": result.samples[:, 0], "mean": result.mean, "std": result.std}
    size = (1.5 * len(columns) + 0.7, 1.5 * len(truth) + 0.3)
    figure, axes = plt.subplots(len(truth), len(columns), figsize=size, layout="constrained")
    for column, (title, images) in enumerate(columns.items()):
        low, high = limits if title in measurements else (-1.0, 1.0)
        look = dict(cmap="gray", vmin=low, vmax=high)
        if title == "std":
            look = dict(cmap="magma", vmin=0.0, vmax=float(jnp.quantile(result.std, 0.995)))
        for axis, image in zip(axes[:, column], images, strict=True):
            picture = axis.imshow(image[..., 0], **look)
            axis.set_axis_off()
        axes[0, column].set_title(title.replace("_", " "))
    figure.colorbar(picture, ax=axes, shrink=0.9, extend="max", label="std of images in [-1, 1]")
    plt.show()


# %% [markdown]
# ## A linear measurement
#
# A sensor that is read out row by row: every pixel leaks into those to its right, and contrast fades towards one side.
# The numbers, here the gains of the pixels and the taps of the leak, go in by `jax.tree_util.Partial`. Then they are
# arguments of the compiled program: other numbers do not trigger recompilation, and `vmap` runs over a stack of them.


# %%
def leaking_sensor(gain, taps, x):
    return gain * sum(tap * jnp.roll(x, k, axis=1) for k, tap in enumerate(taps))


gain = jnp.broadcast_to(jnp.linspace(1.0, 0.2, 32)[None, :, None], SHAPE)
taps = 0.8 ** jnp.arange(8.0)
sensor = operators.from_function(Partial(leaking_sensor, gain, taps / taps.sum()), SHAPE)
print(type(sensor).__name__)

# %% [markdown]
# That it is linear was found out by trying. `sensor(x)` measures an image or a batch. `sensor.T` is the adjoint, the
# transposed program, so $\langle Ax, r \rangle = \langle x, A^\top r \rangle$ holds to rounding:

# %%
x, r = (jax.random.normal(jax.random.key(i), SHAPE) for i in range(2))
print(f"<Ax, r> = {jnp.vdot(sensor(x), r):.5f}, <x, A^T r> = {jnp.vdot(x, sensor.T(r)):.5f}")

# %% [markdown]
# The data step $\arg\min_x \tfrac12 \|Ax - y\|^2 + \tfrac\rho2 \|x - v\|^2$ is solved by conjugate gradients. What is
# left to do is to measure and to restore:

# %%
noise = pgm.GaussianNoise(0.05)
y = pgm.measure(key_measure, sensor, truth, noise)
show("leaking sensor", restore(sensor, y, noise), measurement=y)

# %% [markdown]
# Contrast fades to the right and the noise does not: there it is the prior that says what a sample shows.
#
# ## A nonlinear one
#
# Film answers to light along a curve that is flat at both ends. Before the film stands a lens, which the library has as
# a blur. `film @ lens` is the lens first and then the film.


# %%
def curve(contrast, x):
    return jnp.tanh(contrast * x)


film = operators.from_function(Partial(curve, 2.5), SHAPE)
lens = operators.gaussian_blur(SHAPE, 1.2)
camera = film @ lens
print(type(camera).__name__)

# %% [markdown]
# The data step linearises it again and again (Levenberg and Marquardt), and says what is left of the slope that it
# started with. `ACCURATE` is the default of a data step; a restoration asks for `QUICK` ones:

# %%
y = pgm.measure(key_measure, camera, truth, noise)
for name, solver in {"quick": operators.QUICK, "accurate": operators.ACCURATE}.items():
    step, info = camera.solve_with_info(jnp.zeros(SHAPE), y[0], rho=0.05, solver=solver)
    print(f"{name}: {info.iterations} iterations, {float(info.residual):.1e} of the slope is left")

# %%
show("camera", restore(camera, y, noise), measurement=y)

# %% [markdown]
# The curve makes tones nearly equal, the brightest and the darkest ones. It is the prior that tells them apart.
#
# ## Several in one
#
# `stack(A, B)` measures the same image twice. Take a clean picture that is small, blurred and then reduced to a quarter
# of each side, and a sharp one that is very noisy. The noise of a measurement may be a map, with a $\sigma$ for every
# entry.

# %%
small = operators.average_downsampling(SHAPE, 4) @ lens
sharp = operators.mask(SHAPE, jnp.ones(SHAPE))  # which sees every pixel
both = operators.stack(small, sharp)
noise_small = pgm.GaussianNoise(0.02)
noise_both = pgm.GaussianNoise(jnp.concatenate([jnp.full(8 * 8, 0.02), jnp.full(32 * 32, 0.5)]))

y = pgm.measure(key_measure, both, truth, noise_both)
y_small, y_sharp = jax.vmap(both.split)(y)  # a stack measures one vector

alone = restore(small, y_small, noise_small)
show("the small picture alone", alone, measurement=y_small)
show("both", restore(both, y, noise_both), small=y_small, noisy=y_sharp, small_alone=alone.mean)

# %% [markdown]
# ## Noise that you do not know
#
# Where the measurement is an image, its finest details tell the noise, by their median absolute deviation. Texture
# counts as noise, so the estimate is rather too high.

# %%
y = pgm.measure(key_measure, sensor, truth, pgm.GaussianNoise(0.1))
noise = pgm.GaussianNoise.estimate(y)
print(f"sigma is 0.1, and was estimated as {noise.sigma:.3f}")
show("leaking sensor, unknown noise", restore(sensor, y, noise), measurement=y)

# %% [markdown]
# ## Counts
#
# Counts of photons are Poisson: on average 30 where the light is full, above a dark count of 1. The operator sees light
# in [0, 1], the image mapped from [-1, 1].

# %%
photons = pgm.PoissonNoise(30.0, 1.0)
counts = pgm.measure(key_measure, lens, truth, photons)
show("counts", restore(lens, counts, photons), limits=(0.0, float(counts.max())), counts=counts)

# %% [markdown]
# ## When to write a class
#
# A data step by conjugate gradients applies $A$ and $A^\top$ several times, and a sample takes a hundred data steps.
# That is little beside the network, unless $A$ is slow or ill conditioned. If you have a formula for
# $(A^\top A + \rho)^{-1}(A^\top y + \rho v)$, derive from `ClosedForm` and define `solve`. Shading is the simplest
# example. `solver` and `start` are for iterations, and a formula ignores them.


# %%
@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Shading(operators.ClosedForm):
    gain: jax.Array
    image_shape: tuple[int, ...] = dataclasses.field(metadata=dict(static=True))

    def forward(self, x):
        return self.gain * x

    def solve(self, v, y, rho, solver=operators.ACCURATE, start=None):
        return v + self.gain * (y - self.gain * v) / (self.gain**2 + rho)


# %% [markdown]
# The same as a plain function is the check: conjugate gradients have to arrive where the formula is.

# %%
closed, plain = Shading(gain, SHAPE), operators.from_function(Partial(jnp.multiply, gain), SHAPE)
y = pgm.measure(key_measure, closed, truth[0], pgm.GaussianNoise(0.05))
for rho in (1.0, 1e-2, 1e-4):
    iterated, info = plain.solve_with_info(jnp.zeros(SHAPE), y, rho)
    apart = jnp.max(jnp.abs(iterated - closed.solve(jnp.zeros(SHAPE), y, rho)))
    print(f"rho {rho:g}: {info.iterations} iterations, largest difference {apart:.1e}")

# %% [markdown]
# (Shading itself needs no class: it is `gain * sharp`, weights times an operator.) For a nonlinear operator derive from
# `NonlinearOperator` and define `forward`.
#
# ## From the command line
#
# Put this into a file `my_module.py` in the folder where you call the commands, that of the repository:
#
# ```python
# import jax.numpy as jnp
# from jax.tree_util import Partial
# from pgm_jax.operators import from_function
#
# def make_operator(image_shape, fade=0.2):
#     gain = jnp.broadcast_to(jnp.linspace(1.0, fade, image_shape[1])[None, :, None], image_shape)
#     return from_function(Partial(jnp.multiply, gain), image_shape)
# ```
#
# Every command of the library takes it like one of its own. Arguments beyond the shape are settings. A first argument
# `key` makes it random, from the seed of the run.
#
# ```
# python -m launch.restore --operator=my_module:make_operator --sigma=0.05 --setting=fade=0.1
# python -m launch.restore --operator=my_module:make_operator --sigma=0.05 --measurement=y.npy --output=out/mine
# ```
