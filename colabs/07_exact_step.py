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
# # The exact step
#
# A sampler of a posterior needs the mean of $x_0$ given a noisy $u = x_0 + \sqrt\lambda\,\varepsilon$ *and* the
# measurement $y$. The usual step, `data_first`, moves $u$ to the data and then asks the prior, as if the noise were
# still λ everywhere. It is not: what was measured is known better. With
#
# $$\Sigma = \left(\frac{A^\top A}{\sigma^2} + \frac{I}{\lambda}\right)^{-1}, \qquad
# \mu = \mathrm{Prox}_f^\lambda(u), \qquad E[x_0 \mid u, y] = E[x_0 \mid x_0 + N(0, \Sigma) = \mu]$$
#
# one data step and one call of a prior that is told Σ are exact. This notebook shows what that changes where everything
# is known: a mixture of Gaussians in the plane, of which one direction is measured.

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
from pgm_jax.metrics import sliced_wasserstein
from pgm_jax.posteriors import mixture_posterior
from pgm_jax.potentials import Denoiser, Mixture, dense_gaussian_likelihood
from pgm_jax.proximal import data_first, exact
from pgm_jax.samplers import exact_rows

BLUE, RED, GREY = "#1f5fa8", "#c4501b", "#8a8a8a"
COUNT = 200 if TOY else 2000

# %% [markdown]
# ## A prior, a measurement, and the posterior
#
# Nine clusters on a grid; the sum $x_1 + 2 x_2$ is measured with noise of deviation 0.5. Few clusters agree with it.

# %%
grid = jnp.array([(float(i), float(j)) for i in (-4, 0, 4) for j in (-4, 0, 4)])
weights, std, sigma = jnp.full(9, 1 / 9), 0.5, 0.5
matrix, y = jnp.array([[1.0, 2.0]]), jnp.array([4.0])

prior = Mixture(weights, grid, std)
likelihood = dense_gaussian_likelihood(matrix, y, sigma)
posterior = mixture_posterior(weights, grid, std, matrix, y, sigma)
truth = posterior.sample(jax.random.key(0), COUNT)

# %% [markdown]
# ## One step
#
# Where do the two steps go from the same noisy points? `Denoiser` answers with means, as a network that was trained by
# squares does. The arrows of the exact step end among the clusters that the measurement allows.

# %%
lam = 16.0
points = jnp.array([(x, z) for x in jnp.linspace(-6, 6, 9) for z in jnp.linspace(-6, 6, 9)])
figure, axes = plt.subplots(1, 2, figsize=(9, 4.4), sharex=True, sharey=True)
for axis, (name, split) in zip(axes, {"data first": data_first, "exact": exact}.items(), strict=True):
    ends = jax.vmap(lambda v, split=split: split(Denoiser(prior), likelihood)(v, lam))(points)
    means = jax.vmap(lambda v: posterior.denoise(v, lam))(points)
    axis.plot(*grid.T, "o", color=GREY, ms=14, alpha=0.4)
    axis.plot(*truth[:300].T, ".", color="#bbbbbb", ms=3)
    axis.quiver(*points.T, *(ends - points).T, color=BLUE, angles="xy", scale_units="xy", scale=1, width=0.003)
    off = float(jnp.sqrt(jnp.mean(jnp.sum((ends - means) ** 2, axis=1))))
    axis.set(title=f"{name}, off by {off:.2g}", aspect="equal", xlim=(-7, 7), ylim=(-7, 7))
plt.show()

# %% [markdown]
# ## Samples
#
# The integrator alone, without correctors, from the highest level to the lowest. With the exact step it is the reverse
# diffusion of the posterior and converges to it as the steps shrink; with `data_first` it converges to another
# distribution. The rows add the variance that a mean leaves open, here all of that of a cluster.

# %%
KEY = jax.random.key(1)


def drawn(split, calls):
    sampler = pgm.samplers.pgm(split(Denoiser(prior), likelihood))
    return pgm.sample(KEY, sampler, jnp.zeros(2), exact_rows(calls, lam_max=400.0, share=1.0, std=std), COUNT)


def distance(samples):
    return float(sliced_wasserstein(jax.random.key(2), samples, truth, 200))


calls = (5, 20) if TOY else (5, 10, 20, 50, 100)
sets = {name: [drawn(split, n) for n in calls] for name, split in {"data first": data_first, "exact": exact}.items()}
floor = distance(posterior.sample(jax.random.key(3), COUNT))

figure, axes = plt.subplots(1, 3, figsize=(13, 4.2))
for axis, (name, each) in zip(axes[:2], sets.items(), strict=True):
    axis.plot(*truth.T, ".", color="#cccccc", ms=2)
    axis.plot(*each[-1].T, ".", color=BLUE, ms=2)
    axis.set(title=f"{name}, {calls[-1]} calls", aspect="equal", xlim=(-7, 7), ylim=(-7, 7))
for (name, each), colour in zip(sets.items(), (RED, BLUE), strict=True):
    axes[2].loglog(calls, [distance(x) for x in each], "o-", color=colour, label=name)
axes[2].axhline(floor, color=GREY, ls="--", label="two exact sets")
axes[2].set(title="sliced W1 to exact samples", xlabel="calls")
axes[2].legend(frameon=False)
plt.show()

# %% [markdown]
# ## With images
#
# A network can be told Σ as well. One comes with the library, and `restore` takes the exact step with it: ten calls.
# `python -m launch.train --config=configs/exact_step.py` trains one on your own images.

# %%
clothes = pgm.example_images()[:4]
seen = pgm.operators.random_mask(jax.random.key(4), clothes.shape[1:], hidden=0.7)
noise = pgm.GaussianNoise(0.05)
measured = pgm.measure(jax.random.key(5), seen, clothes, noise)
known = pgm.load_prior("fashion_mnist_exact")
restored = pgm.restore(KEY, known, seen, measured, noise, samples=2 if TOY else 8, calls=2 if TOY else 10)

figure, axes = plt.subplots(3, 4, figsize=(7, 5.4))
for row, images in zip(axes, (clothes, measured, restored.mean), strict=True):
    for axis, image in zip(row, images, strict=True):
        axis.imshow(image[..., 0], cmap="gray", vmin=-1, vmax=1)
        axis.set(xticks=[], yticks=[])
for axis, name in zip(axes[:, 0], ("truth", "measured", "mean of samples"), strict=True):
    axis.set_ylabel(name)
plt.show()
