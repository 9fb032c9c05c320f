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
# They are the same for a Gaussian, and for nothing else in general. This notebook shows where they part, what a sampler
# makes of the difference, and how correctors take it away. All is exact: the posterior has a closed form.

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

from pgm_jax.metrics import bootstrap_bands, interval_coverage, wasserstein_1d
from pgm_jax.posteriors import LaplacePosterior
from pgm_jax.potentials import Gaussian, Laplace
from pgm_jax.samplers import apportion, bridge, diffusion, pgm, run, with_corrector
from pgm_jax.schedules import geometric_levels, ve

BLUE, RED, GREEN, GREY = "#1f5fa8", "#c4501b", "#3a8a4d", "#c9ced6"

# %% [markdown]
# ## One posterior, two scores
#
# A Laplace prior $g(x) = |x|$ and a measurement $y = x + 0.5\,\xi$ with $y = 0.8$: two halves of two Gaussians, with a
# kink at 0 where the prior is most certain.

# %%
posterior = LaplacePosterior(scale=1.0, y=0.8, sigma=0.5)
u = jnp.linspace(-2.5, 2.5, 401)
levels = (0.02, 0.2, 1.0)
figure, axes = plt.subplots(1, 3, figsize=(11, 3.2), sharey=True, constrained_layout=True)
for axis, lam in zip(axes, levels, strict=True):
    stein = (jax.vmap(posterior.denoise, (0, None))(u, lam) - u) / lam
    moreau = (jax.vmap(posterior.prox, (0, None))(u, lam) - u) / lam
    axis.plot(u, stein, color=BLUE, label="Stein")
    axis.plot(u, moreau, color=RED, label="Moreau")
    axis.fill_between(u, stein - jnp.sqrt(2 / lam), stein + jnp.sqrt(2 / lam), color=GREY, alpha=0.4, label="bound")
    axis.set(title=f"λ = {lam}", xlabel="u", ylim=(-12, 12))
axes[0].legend(frameon=False)
plt.show()

# %% [markdown]
# The grey band is the bound $|\text{Moreau} - \text{Stein}| \le \sqrt{2d/\lambda}$ of convex potentials: the two stay
# well inside it. Where the prox sits on the kink, the Moreau score is a straight line of slope $-1/\lambda$.
#
# ## What a sampler makes of it
#
# The reverse process that follows the Stein score ends on the posterior as its steps shrink. The one that follows the
# Moreau score does not: it ends on a law of its own, and finer steps do not help. Langevin steps of the Moreau score at
# every level (*correctors*) do.

# %%
COUNT = 500 if TOY else 20_000
LONG = 60 if TOY else 1200
prior, likelihood = Laplace(1.0), Gaussian(0.8, 0.5)


def rows_of(levels, calls):
    grid = geometric_levels(ve(0.005, 4.0), levels, 4.0, 1e-4)
    steps = apportion(calls - levels, grid.lam[:-1] ** -0.5) if calls > levels else 0
    return with_corrector(bridge(grid), steps, rate=1.0)


def draw(sampler, rows):
    chains = jax.vmap(lambda key: run(sampler, key, jnp.zeros(()), rows)[0].x)
    return jax.jit(chains)(jax.random.split(jax.random.key(0), COUNT))


exact_prox = lambda prior, likelihood, beta: posterior.prox  # noqa: E731  (of U itself, in place of a splitting)
sets = {
    "Stein score, 200 steps": draw(diffusion(posterior.denoise), rows_of(200, 200)),
    "Moreau score, 200 steps": draw(pgm(prior, likelihood, exact_prox), rows_of(200, 200)),
    f"Moreau score, corrected, {LONG} steps": draw(pgm(prior, likelihood), rows_of(12, LONG)),
}
exact, other = (posterior.sample(key, COUNT) for key in jax.random.split(jax.random.key(1)))
print(f"{'two exact sets':40s} W1 = {wasserstein_1d(exact, other):.4f}")
for name, samples in sets.items():
    print(f"{name:40s} W1 = {wasserstein_1d(samples, exact):.4f}")

# %%
x = jnp.linspace(-1.2, 2.2, 401)
density = jnp.exp(posterior.log_density(x))
figure, axes = plt.subplots(1, 3, figsize=(11, 2.8), sharey=True, constrained_layout=True)
for axis, (name, samples) in zip(axes, sets.items(), strict=True):
    axis.hist(samples, bins=80, range=(-1.2, 2.2), density=True, color=GREY)
    axis.plot(x, density, color=BLUE)
    axis.set(title=name, ylim=(0, 2 * density.max()))
plt.show()

# %% [markdown]
# ## Is the uncertainty honest?
#
# Draw a truth from the prior and a measurement of it, sample the posterior, and ask how often the truth lies in the
# central 50 %, 80 %, 90 % interval of the samples. An honest sampler is on the diagonal, within the band that a finite
# number of repetitions leaves.

# %%
REPEATS, CHAINS = (20, 20) if TOY else (500, 100)
truths = jax.random.laplace(jax.random.key(2), (REPEATS,))
ys = truths + 0.5 * jax.random.normal(jax.random.key(3), (REPEATS,))


def posterior_samples(rows):
    def chains(y, key):
        sampler = pgm(Laplace(1.0), Gaussian(y, 0.5))
        return jax.vmap(lambda k: run(sampler, k, jnp.zeros(()), rows)[0].x)(jax.random.split(key, CHAINS))

    return jax.jit(jax.vmap(chains))(ys, jax.random.split(jax.random.key(4), REPEATS))


asked = jnp.linspace(0.05, 0.95, 19)
figure, axis = plt.subplots(figsize=(4.2, 4.2), constrained_layout=True)
axis.plot([0, 1], [0, 1], color="black", linewidth=0.8)
cases = {
    "integrator alone": (rows_of(50, 50), RED),
    "corrected": (rows_of(12, LONG), GREEN),
}
for name, (rows, color) in cases.items():
    coverage = interval_coverage(posterior_samples(rows), truths, asked)
    bands = bootstrap_bands(jax.random.key(5), coverage)
    axis.plot(coverage.nominal, coverage.empirical, color=color, label=name)
    axis.fill_between(coverage.nominal, bands.simultaneous.low, bands.simultaneous.high, color=color, alpha=0.2)
axis.set(xlabel="credible level", ylabel="truths inside")
axis.legend(frameon=False)
plt.show()

# %% [markdown]
# The corrected sampler is on the diagonal, the integrator alone is not. `python -m launch.toys` runs the same on
# Gaussians, constraints and mixtures, with every sampler of the library beside it.
