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
# # The Moreau score and the Stein score
#
# Blur a density with noise of variance $\lambda$, $u = x_0 + \sqrt\lambda\,\varepsilon$. Two vector fields lead back:
#
# * the **Stein score** $(\mathbb E[x_0 \mid u] - u)/\lambda$, towards the *mean* of what u may have been;
# * the **Moreau score** $(\mathrm{Prox}_U^\lambda(u) - u)/\lambda$, towards its *mode*.
#
# They are the same for a Gaussian, and in general for nothing else. This notebook shows where they part, what a sampler
# makes of the difference, and how correctors take it away. Everything is exact: the posterior has a closed form.

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
from pgm_jax.metrics import bootstrap_bands, interval_coverage, wasserstein_1d
from pgm_jax.posteriors import LaplacePosterior
from pgm_jax.potentials import Gaussian, Laplace
from pgm_jax.proximal import data_first, moreau_score
from pgm_jax.schedules import geometric_levels

BLUE, RED, GREEN, GREY = "#1f5fa8", "#c4501b", "#3a8a4d", "#c9ced6"

# %% [markdown]
# ## One posterior, two scores
#
# A Laplace prior $g(x) = |x|$ and a measurement $y = x + 0.5\,\xi$ with $y = 0.8$. The posterior is made of two halves
# of two Gaussians, with a kink at 0.

# %%
posterior = LaplacePosterior(scale=1.0, y=0.8, sigma=0.5)
u = jnp.linspace(-2.5, 2.5, 401)
figure, axes = plt.subplots(1, 3, figsize=(11, 3.2), sharey=True, constrained_layout=True)
for axis, lam in zip(axes, (0.02, 0.2, 1.0), strict=True):
    # One formula for both: the denoiser, a mean, stands where the prox, a mode, does.
    stein, moreau = (moreau_score(towards, u, lam) for towards in (posterior.denoise, posterior.prox))
    bound = jnp.sqrt(2 / lam)
    axis.fill_between(u, stein - bound, stein + bound, color=GREY, alpha=0.4, label="bound")
    axis.plot(u, stein, color=BLUE, label="Stein")
    axis.plot(u, moreau, color=RED, label="Moreau")
    axis.set(title=f"λ = {lam}", xlabel="u", ylim=(-12, 12))
axes[0].legend(frameon=False)
plt.show()

# %% [markdown]
# The grey band is the bound $|\text{Moreau} - \text{Stein}| \le \sqrt{2d/\lambda}$ of convex potentials, here with
# $d = 1$. The two stay well inside it. Where the prox sits on the kink, the Moreau score is a straight line of slope
# $-1/\lambda$.
#
# ## What a sampler makes of it
#
# The reverse process that follows the Stein score ends on the posterior as its steps shrink. The one that follows the
# Moreau score does not: it ends on a distribution of its own, and finer steps do not help. Langevin steps of the Moreau
# score at every level (*correctors*) do.

# %%
COUNT, CORRECTORS = (500, 4) if TOY else (20_000, 99)


def integrator(steps):
    return samplers.bridge(geometric_levels(100.0, 1e-4, steps))


corrected = samplers.corrected_rows(levels=12, correctors=CORRECTORS, lam_max=4.0, lam_min=1e-4)
split = data_first(Laplace(1.0), Gaussian(0.8, 0.5))
runs = {
    "Stein score, 200 steps": (samplers.diffusion(posterior.denoise), integrator(200)),
    "Moreau score, 200 steps": (samplers.pgm(posterior.prox), integrator(200)),
    f"Moreau score, corrected, {len(corrected.lam)} steps": (samplers.pgm(split), corrected),
}
start = jnp.zeros(())
sets = {name: pgm.sample(jax.random.key(0), sampler, start, rows, COUNT) for name, (sampler, rows) in runs.items()}
exact, other = (posterior.sample(key, COUNT) for key in jax.random.split(jax.random.key(1)))
for name, samples in {"two exact sets": other, **sets}.items():
    print(f"{name:40s} W1 = {wasserstein_1d(samples, exact):.4f}")

# %%
x = jnp.linspace(-1.2, 2.2, 401)
density = jnp.exp(posterior.log_density(x))
figure, axes = plt.subplots(1, 3, figsize=(11, 2.8), sharey=True, constrained_layout=True)
for axis, (name, samples) in zip(axes, sets.items(), strict=True):
    axis.hist(samples, bins=80, range=(-1.2, 2.2), density=True, color=GREY)
    axis.plot(x, density, color=BLUE)
    axis.set(title=name, ylim=(0, 1.25 * density.max()))
plt.show()

# %% [markdown]
# The corrected run needs no formula of the posterior: its prox is split into that of the prior and that of the data.
#
# ## Is the uncertainty honest?
#
# Draw a truth from the prior and a measurement of it, and sample the posterior. How often does the truth lie in the
# central 50 %, 80 %, 90 % interval of the samples? An honest sampler is on the diagonal, within the band that a finite
# number of repetitions leaves.

# %%
REPEATS, CHAINS = (20, 20) if TOY else (500, 100)
truths = jax.random.laplace(jax.random.key(2), (REPEATS,))
ys = truths + 0.5 * jax.random.normal(jax.random.key(3), (REPEATS,))
keys = jax.random.split(jax.random.key(4), REPEATS)


def posterior_samples(rows):
    def of_one(key, y):
        return pgm.sample(key, samplers.pgm(data_first(Laplace(1.0), Gaussian(y, 0.5))), start, rows, CHAINS)

    return jax.vmap(of_one)(keys, ys)


figure, axis = plt.subplots(figsize=(4.2, 4.2), constrained_layout=True)
axis.plot([0, 1], [0, 1], color="black", linewidth=0.8)
for name, rows, color in (("integrator alone", integrator(50), RED), ("corrected", corrected, GREEN)):
    coverage = interval_coverage(posterior_samples(rows), truths, jnp.linspace(0.05, 0.95, 19))
    band = bootstrap_bands(jax.random.key(5), coverage).simultaneous
    axis.plot(coverage.nominal, coverage.empirical, color=color, label=name)
    axis.fill_between(coverage.nominal, band.low, band.high, color=color, alpha=0.2)
axis.set(xlabel="credible level", ylabel="truths inside")
axis.legend(frameon=False)
plt.show()

# %% [markdown]
# The corrected sampler is on the diagonal, the integrator alone is not. `python -m launch.toys` runs the same on
# Gaussians, constraints and mixtures, with every sampler of the library beside it.
