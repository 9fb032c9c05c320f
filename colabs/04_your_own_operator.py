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
# You have a measurement $y = A(x) + \text{noise}$ that is in no library. Write $A$ as a function of one image, in jax,
# and that is all: its adjoint or its derivative, its data step and its restoration follow. Linear or not, composed of
# others, with noise that you know, do not know, or that is no Gaussian.

# %%
# In Colab: install the library. Elsewhere it is there already.
import importlib.util
import os
import subprocess
import sys

if importlib.util.find_spec("pgm_jax") is None:
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "pgm_jax"], check=True)
TOY = bool(os.environ.get("PGM_TOY"))  # a smaller run, for tests

# %%
import dataclasses
import warnings

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
from jax.tree_util import Partial

from pgm_jax import operators
from pgm_jax.metrics import psnr
from pgm_jax.potentials import PoissonLikelihood
from pgm_jax.pretrained import fashion_mnist_images, fashion_mnist_prior
from pgm_jax.restore import default_rows, restore

SHAPE = (32, 32, 1)
prior = fashion_mnist_prior()
truth = fashion_mnist_images()[jnp.array([0, 1] if TOY else [0, 1, 23])]
settings = dict(samples=2 if TOY else 8, rows=default_rows(4 if TOY else 100))


def measure(operator, sigma, seed=0):
    keys = jax.random.split(jax.random.key(seed), len(truth))
    return jax.vmap(operators.measure, (0, None, 0, None))(keys, operator, truth, sigma)


def show(result, limits=(-1.0, 1.0), **measurements):
    """A row for each image, one bar for all standard deviations; `limits`: black and white of the measurements."""
    columns = {"truth": truth, **measurements, "sample": result.samples[:, 0], "mean": result.mean, "std": result.std}
    size = (1.5 * len(columns) + 0.7, 1.5 * len(truth) + 0.3)
    figure, axes = plt.subplots(len(truth), len(columns), figsize=size, layout="constrained")
    for row in range(len(truth)):
        for axis, (name, images) in zip(axes[row], columns.items(), strict=True):
            low, high = limits if name in measurements else (-1.0, 1.0)
            scale = dict(cmap="gray", vmin=low, vmax=high)
            if name == "std":
                scale = dict(cmap="magma", vmin=0.0, vmax=float(jnp.quantile(result.std, 0.995)))
            picture = axis.imshow(images[row, ..., 0], **scale)
            axis.set_axis_off()
            if row == 0:
                axis.set_title(name)
    figure.colorbar(picture, ax=axes, shrink=0.9, extend="max", label="std of images in [-1, 1]")
    plt.show()


def scores(name, result):
    one, mean = psnr(result.samples[:, 0], truth).mean(), psnr(result.mean, truth).mean()
    print(f"{name}: PSNR of one sample {one:.1f} dB, of the mean {mean:.1f} dB")


# %% [markdown]
# ## A linear measurement
#
# A sensor that is read out row by row: every pixel leaks into those to its right, and contrast fades towards one side.
# The numbers, here the gains of the pixels and the taps of the leak, go in by `jax.tree_util.Partial`. Then they are
# arguments of the compiled program: other numbers do not compile it again, and `vmap` runs over a stack of them.


# %%
def leaking_sensor(gain, taps, x):
    return gain * sum(tap * jnp.roll(x, k, axis=1) for k, tap in enumerate(taps))


gain = jnp.broadcast_to(jnp.linspace(1.0, 0.2, 32)[None, :, None], SHAPE)
taps = 0.8 ** jnp.arange(8.0)
sensor = operators.from_function(Partial(leaking_sensor, gain, taps / taps.sum()), SHAPE)
print(type(sensor).__name__)

# %% [markdown]
# That it is linear was found out by trying. The adjoint is the transposed program, so $\langle Ax, r \rangle =
# \langle x, A^\top r \rangle$ holds to rounding:

# %%
x, r = (jax.random.normal(jax.random.key(i), SHAPE) for i in range(2))
print(f"<Ax, r> = {jnp.vdot(sensor.forward(x), r):.5f}, <x, A^T r> = {jnp.vdot(x, sensor.adjoint(r)):.5f}")

# %% [markdown]
# The data step $\arg\min_x \tfrac12 \|Ax - y\|^2 + \tfrac\rho2 \|x - v\|^2$ is solved by conjugate gradients. What is
# left to do is to restore:

# %%
y = measure(sensor, 0.05)
result = restore(prior, sensor, y, jax.random.key(1), sigma=0.05, **settings)
scores("leaking sensor", result)
show(result, measurement=y)

# %% [markdown]
# Contrast fades to the right and the noise does not: there it is the prior that says what a sample shows.
#
# ## A nonlinear one
#
# Film answers to light along a curve that is flat at both ends. An operator of the library is a pytree like any array,
# and may be one of the numbers of your function: here a blur, before the curve.


# %%
def film(blur, contrast, x):
    return jnp.tanh(contrast * blur.forward(x))


lens = operators.gaussian_blur(SHAPE, 1.2)
camera = operators.from_function(Partial(film, lens, jnp.asarray(2.5)), SHAPE)
print(type(camera).__name__)

# %% [markdown]
# The data step linearises it again and again (Levenberg and Marquardt), and says what is left of the slope that it
# started with. A restoration asks for `QUICK` ones, `ACCURATE` is the default:

# %%
y = measure(camera, 0.05)
step, info = camera.solve_with_info(jnp.zeros(SHAPE), y[0], rho=0.05, stop=operators.QUICK)
print(f"{info.iterations} iterations, {float(info.residual):.1e} of the slope is left")

# %%
result = restore(prior, camera, y, jax.random.key(1), sigma=0.05, **settings)
scores("film", result)
show(result, measurement=y)

# %% [markdown]
# Tones that the curve makes nearly equal, the brightest and the darkest, are told apart by the prior.
#
# ## Several in one
#
# `compose(B, A)` is $B(A(x))$, `stack(A, B)` measures the same image twice. Take a clean picture that is small, blurred
# and then reduced to a quarter of each side, and a sharp one that is very noisy. A stack has one $\sigma$, so the
# noisy picture and its operator are scaled until their noise is that of the clean one.

# %%
small = operators.compose(operators.average_downsampling(SHAPE, 4), lens)
sharp = operators.circular_blur(SHAPE, jnp.ones((1, 1)))
sigma_small, sigma_sharp = 0.02, 0.5
factor = sigma_small / sigma_sharp
both = operators.stack(small, operators.scale(factor, sharp))

y_small, y_sharp = measure(small, sigma_small), measure(sharp, sigma_sharp, seed=1)
y_both = jnp.concatenate([y.reshape(len(truth), -1) for y in (y_small, factor * y_sharp)], axis=1)

alone = restore(prior, small, y_small, jax.random.key(1), sigma=sigma_small, **settings)
result = restore(prior, both, y_both, jax.random.key(1), sigma=sigma_small, **settings)
scores("the small picture alone", alone)
scores("with the noisy one", result)
show(result, small=y_small, noisy=y_sharp, **{"small alone": alone.mean})

# %% [markdown]
# ## Noise
#
# What if you do not know $\sigma$? Leave it out, and it is estimated from the finest details of the measurement: by
# their median absolute deviation, where they are images. What was found is announced, since texture counts as noise.

# %%
y = measure(sensor, 0.1)
with warnings.catch_warnings(record=True) as announced:
    warnings.simplefilter("always")
    result = restore(prior, sensor, y, jax.random.key(1), **settings)
print(announced[0].message)
scores("leaking sensor, unknown noise", result)

# %% [markdown]
# Counts are Poisson. Say what likelihood the operator is under: a count of `gain` where the light is full, above a dark
# count of `background`. The operator sees light in [0, 1], the image mapped from [-1, 1].

# %%
light = jax.vmap(lens.forward)((truth + 1) / 2)
counts = jax.random.poisson(jax.random.key(2), 30.0 * jnp.maximum(light, 0.0) + 1.0).astype(float)
photons = Partial(PoissonLikelihood, gain=30.0, background=1.0, stop=operators.QUICK)
result = restore(prior, lens, counts, jax.random.key(1), likelihood=photons, **settings)
scores("counts", result)
show(result, limits=(0.0, float(counts.max())), counts=counts)

# %% [markdown]
# ## When to write a class
#
# A data step by conjugate gradients costs some applications of $A$ and $A^\top$, and a sample takes a hundred data
# steps. That is little beside the network, unless $A$ is dear or ill conditioned. Where you know
# $(A^\top A + \rho)^{-1}(A^\top y + \rho v)$, say so: derive from `ClosedForm` and define `invert`.


# %%
@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Shading(operators.ClosedForm):
    gain: jax.Array
    image_shape: tuple[int, ...] = dataclasses.field(metadata=dict(static=True))

    def forward(self, x):
        return self.gain * x

    def invert(self, v, y, rho):
        return v + self.gain * (y - self.gain * v) / (self.gain**2 + rho)


# %% [markdown]
# The same as a plain function is the check: conjugate gradients have to arrive where the formula is.

# %%
closed, plain = Shading(gain, SHAPE), operators.from_function(Partial(jnp.multiply, gain), SHAPE)
y = measure(closed, 0.05)[0]
for rho in (1.0, 1e-2, 1e-4):
    iterated, info = plain.solve_with_info(jnp.zeros(SHAPE), y, rho)
    apart = jnp.max(jnp.abs(iterated - closed.solve(jnp.zeros(SHAPE), y, rho)))
    print(f"rho {rho:g}: {info.iterations} iterations, largest difference {apart:.1e}")

# %% [markdown]
# For a nonlinear one derive from `NonlinearOperator` and define `forward`.
#
# ## From the command line
#
# With a file `my_module.py` in the folder where you call it, the one of the repository,
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
# every command of the library takes it like one of its own. Arguments beyond the shape are settings; a first argument
# `key` makes it random, from the seed of the run.
#
# ```
# python -m launch.restore --operator=my_module:make_operator --sigma=0.05 --setting=fade=0.1
# python -m launch.restore --operator=my_module:make_operator --sigma=0.05 --measurement=y.npy --output=out/mine
# ```
