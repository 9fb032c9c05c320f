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
# A diffusion model follows the score of a noisy density. Proximal-based generative modelling (PGM) follows the
# **Moreau score** $(\mathrm{Prox}_U^\lambda(x) - x)/\lambda$ instead. It needs a proximal operator, not a gradient. So
# it is defined where a density has kinks and walls, and it splits into a step on the data and a step on the prior.
#
# First in one dimension, where everything can be drawn; then on images.

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
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt

import pgm_jax as pgm
from pgm_jax import samplers
from pgm_jax.potentials import Box, Gaussian, Laplace
from pgm_jax.proximal import data_first, moreau_envelope, moreau_score

# %% [markdown]
# ## The Moreau score in one dimension
#
# The Laplace potential $|x|$ has a kink, the box $[-1, 1]$ has walls. Their Moreau envelopes $M^\lambda$ are smooth,
# and $\nabla M^\lambda = (x - \mathrm{Prox}^\lambda(x))/\lambda$: the Moreau score is minus that.

# %%
x = jnp.linspace(-3.0, 3.0, 601)
figure, axes = plt.subplots(2, 2, figsize=(9, 5.5), sharex=True, constrained_layout=True)
for column, (name, potential) in enumerate({"|x|": Laplace(1.0), "the box [-1, 1]": Box(-1.0, 1.0)}.items()):
    for lam, color in {0.05: "#1b4965", 0.3: "#5fa8d3", 1.0: "#f28482"}.items():
        # A potential is a pytree, so it is an argument like any other; both proxes here act on each entry alone.
        envelope = jax.vmap(moreau_envelope, (None, 0, None))(potential, x, lam)
        axes[0, column].plot(x, envelope, color=color, label=f"λ = {lam}")
        axes[1, column].plot(x, moreau_score(potential.prox, x, lam), color=color)
    axes[0, column].set(title=f"Moreau envelope of {name}", ylim=(0, 3))
    axes[1, column].set(title="Moreau score", xlabel="x", ylim=(-3, 3))
axes[0, 0].legend(frameon=False)
plt.show()

# %% [markdown]
# ## Sampling a density with walls
#
# Take the standard normal distribution on $[-1, 1]$ alone: the likelihood is $f = x^2/2$, the prior $g$ is the box.
# `data_first` makes one prox of the two, the data first and then the prior. The sampler follows it down a grid of
# levels $\lambda$. Every sample lies inside, since the last step is the prox of the box itself.

# %%
sampler = samplers.pgm(data_first(Box(-1.0, 1.0), Gaussian(0.0, 1.0)))
rows = samplers.corrected_rows(levels=20, correctors=99, lam_max=4.0, lam_min=1e-5)
samples = pgm.sample(jax.random.key(0), sampler, jnp.zeros(()), rows, 500 if TOY else 20_000)
print(f"inside [-1, 1]: {100 * jnp.mean(jnp.abs(samples) <= 1):.2f} %")

# %%
density = jnp.exp(-(x**2) / 2) * (jnp.abs(x) <= 1)
plt.figure(figsize=(6, 3), constrained_layout=True)
plt.hist(samples, bins=60, density=True, color="#bee9e8", label="samples")
plt.plot(x, density / jnp.trapezoid(density, x), color="#1b4965", label="density")
plt.legend(frameon=False, loc="upper right")
plt.show()

# %% [markdown]
# ## Restoring images
#
# The library comes with a prior that was learned on Fashion-MNIST. Hide 70 % of the pixels, add noise, and draw samples
# of the posterior. An operator, a noise, a measurement, a restoration: one line each.

# %%
key_mask, key_noise, key_samples = jax.random.split(jax.random.key(1), 3)
prior = pgm.load_prior("fashion_mnist")
truth = pgm.example_images()[: 2 if TOY else 6]

A = pgm.operators.random_mask(key_mask, truth.shape[1:], hidden=0.7)
noise = pgm.GaussianNoise(0.05)
y = pgm.measure(key_noise, A, truth, noise)
result = pgm.restore(key_samples, prior, A, y, noise, samples=2 if TOY else 8, calls=4 if TOY else 100)

one, mean = (pgm.metrics.psnr(images, truth).mean() for images in (result.samples[:, 0], result.mean))
print(f"PSNR of one sample {one:.1f} dB, of the mean {mean:.1f} dB")

# %%
columns = {"truth": truth, "measurement": y, "sample": result.samples[:, 0], "mean": result.mean, "std": result.std}
figure, axes = plt.subplots(len(truth), len(columns), figsize=(7, 1.4 * len(truth)), constrained_layout=True)
for column, (name, images) in enumerate(columns.items()):
    gray, heat = dict(cmap="gray", vmin=-1.0, vmax=1.0), dict(cmap="magma", vmin=0.0, vmax=float(result.std.max()))
    for axis, image in zip(axes[:, column], images, strict=True):
        axis.imshow(image[..., 0], **(heat if name == "std" else gray))
        axis.set_axis_off()
    axes[0, column].set_title(name)
plt.show()

# %% [markdown]
# The last column is what a single restoration does not tell: where the posterior is sure, and where it guesses.
#
# The samples are calibrated: they spread about as much as they err. `setting="sharp"` gives samples of a higher PSNR
# that are overconfident.
#
# Next: `04_your_own_operator.ipynb`. A function of one image is all that your own measurement needs.
