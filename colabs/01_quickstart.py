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
# # Quickstart: the Moreau score, and images restored with it
#
# A diffusion model follows the score of the noisy density. Proximal-based generative modelling follows the
# **Moreau score** $(\mathrm{Prox}_U^\lambda(x) - x)/\lambda$ instead: it needs a proximal operator, not a gradient, so
# it is defined where densities have kinks and walls, and it splits into a data step and a prior step.
#
# First in one dimension, where everything can be drawn; then on images.

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
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt

from pgm_jax.metrics import psnr
from pgm_jax.operators import measure, random_mask
from pgm_jax.potentials import Box, Gaussian, Laplace
from pgm_jax.pretrained import fashion_mnist_images, fashion_mnist_prior
from pgm_jax.proximal import data_first, moreau_envelope, moreau_score
from pgm_jax.restore import default_rows, restore
from pgm_jax.samplers import bridge, pgm, run, with_corrector
from pgm_jax.schedules import geometric_levels, ve

# %% [markdown]
# ## The Moreau score in one dimension
#
# The Laplace potential $|x|$ has a kink, the box $[-1, 1]$ has walls. Their Moreau envelopes are smooth, with
# $\nabla M^\lambda = (x - \mathrm{Prox}^\lambda(x))/\lambda$: the Moreau score is minus that.

# %%
x = jnp.linspace(-3.0, 3.0, 601)
levels = (0.05, 0.3, 1.0)
figure, axes = plt.subplots(2, 2, figsize=(9, 5.5), sharex=True, constrained_layout=True)
for column, (name, potential) in enumerate({"|x|": Laplace(1.0), "box [-1, 1]": Box(-1.0, 1.0)}.items()):
    for lam, color in zip(levels, ("#1b4965", "#5fa8d3", "#f28482"), strict=True):
        # A potential is a pytree, so it is an argument like any other; both proxes here act on each entry alone.
        envelope = jax.vmap(moreau_envelope, (None, 0, None))(potential, x, lam)
        score = moreau_score(potential.prox, x, lam)
        axes[0, column].plot(x, envelope, color=color, label=f"λ = {lam}")
        axes[1, column].plot(x, score, color=color)
    axes[0, column].set(title=f"Moreau envelope of {name}", ylim=(0, 3))
    axes[1, column].set(title="Moreau score", xlabel="x", ylim=(-3, 3))
axes[0, 0].legend(frameon=False)
plt.show()

# %% [markdown]
# ## Sampling a density with walls
#
# The standard normal restricted to $[-1, 1]$: likelihood $f = x^2/2$, prior $g$ = the indicator of the box. A sampler
# is a pair of pure functions that one `lax.scan` runs over a grid of levels; chains come from `vmap`. Every sample
# lies inside, since the last step is the prox itself.

# %%
rows = with_corrector(bridge(geometric_levels(ve(), 30, lam_max=4.0, lam_min=1e-3)), steps=9)


def chain(key):
    sampler = pgm(Box(-1.0, 1.0), Gaussian(0.0, 1.0), split=data_first)
    state, _ = run(sampler, key, jnp.zeros(()), rows)
    return state.x


samples = jax.jit(jax.vmap(chain))(jax.random.split(jax.random.key(0), 500 if TOY else 20_000))
print(f"inside [-1, 1]: {100 * jnp.mean(jnp.abs(samples) <= 1):.2f} %")

# %%
density = jnp.exp(-(x**2) / 2) * (jnp.abs(x) <= 1)
plt.figure(figsize=(6, 3), constrained_layout=True)
plt.hist(samples, bins=60, density=True, color="#bee9e8", label="samples")
plt.plot(x, density / jnp.trapezoid(density, x), color="#1b4965", label="density")
plt.legend(frameon=False)
plt.show()

# %% [markdown]
# ## Restoring images
#
# The library comes with a prior that was learned on Fashion-MNIST. Hide 70 % of the pixels, add noise, and draw
# samples of the posterior: one call, compiled once per shape.

# %%
prior = fashion_mnist_prior()
truth = fashion_mnist_images()[: 2 if TOY else 6]
keys = jax.random.split(jax.random.key(1), len(truth))
masks = jax.vmap(lambda key: random_mask(key, (32, 32, 1), hidden=0.7))(keys)
y = jax.vmap(measure, (0, 0, 0, None))(keys, masks, truth, 0.05)

result = restore(
    prior,
    masks,
    y,
    jax.random.key(2),
    sigma=0.05,
    samples=2 if TOY else 8,
    rows=default_rows(4 if TOY else 100),
    operator_axis=0,
)
one, mean = psnr(result.samples[:, 0], truth).mean(), psnr(result.mean, truth).mean()
print(f"PSNR of one sample {one:.1f} dB, of the mean {mean:.1f} dB")

# %%
columns = {"truth": truth, "measurement": y, "sample": result.samples[:, 0], "mean": result.mean, "std": result.std}
figure, axes = plt.subplots(len(truth), len(columns), figsize=(7, 1.4 * len(truth)), constrained_layout=True)
for row in range(len(truth)):
    for column, (name, images) in enumerate(columns.items()):
        axis = axes[row, column]
        if name == "std":
            axis.imshow(images[row, ..., 0], cmap="magma", vmin=0.0)
        else:
            axis.imshow(images[row, ..., 0], cmap="gray", vmin=-1.0, vmax=1.0)
        axis.set_axis_off()
        if row == 0:
            axis.set_title(name)
plt.show()

# %% [markdown]
# The last column is what a restoration alone does not tell: where the posterior is sure and where it guesses.
#
# Next: bring your own operator. Anything with `forward`, an `image_shape` and the base class
# `pgm_jax.operators.LinearOperator` has an exact adjoint and a `solve` by conjugate gradients.
