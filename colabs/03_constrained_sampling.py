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
# # Sampling under a constraint
#
# A density that ends at a wall has no score there. At $t \to 0$ the Stein score blows up, and the usual remedies are to
# stop early or to project. A proximal map knows the wall: it is the projection. Here we sample a Gaussian restricted to
# a disc: with the exact prox, with what people do instead, and with a prox that is *learned* from samples of the disc.

# %%
# In Colab: install the library. Elsewhere it is there already.
import importlib.util
import os
import subprocess
import sys

if importlib.util.find_spec("pgm_jax") is None:
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "pgm_jax[train,plots]"], check=True)
TOY = bool(os.environ.get("PGM_TOY"))  # a smaller run, for tests

# %%
import functools

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import optax

import pgm_jax as pgm
from pgm_jax import samplers
from pgm_jax.metrics import sliced_wasserstein
from pgm_jax.networks import MLP, Flattened, Preconditioned
from pgm_jax.posteriors import BallQuadratic
from pgm_jax.potentials import Ball, quadratic
from pgm_jax.proximal import data_first
from pgm_jax.schedules import VE, geometric_levels
from pgm_jax.training import fit
from pgm_jax.training.losses import l2, matching_objective

COUNT = 500 if TOY else 10_000
BLUE, RED, GREY = "#1f5fa8", "#c4501b", "#8a93a3"

# %% [markdown]
# ## The problem
#
# $f(x) = \tfrac12 x^\top A x + b^\top x$ has its minimum outside the unit disc. Exact samples come by rejection.

# %%
A, b = jnp.array([[4.0, 1.0], [1.0, 2.0]]), jnp.array([-4.5, 1.0])
disc, likelihood = Ball(1.0), quadratic(A, b)
target = BallQuadratic(A, b, beta=1.0, radius=1.0)
exact, other = (target.sample(key, COUNT) for key in jax.random.split(jax.random.key(0)))

# %% [markdown]
# Six sets of samples. The diffusion knows the Gaussian alone, and its posterior mean is the prox of the Gaussian. PGM
# takes the prox of the Gaussian and then that of the disc.


# %%
def draw(sampler, rows):
    return pgm.sample(jax.random.key(1), sampler, jnp.zeros(2), rows, COUNT)


def project(x):
    return disc.prox(x, 1.0)


plain = samplers.bridge(geometric_levels(4.0, 1e-4, 100))
corrected = samplers.corrected_rows(levels=12, correctors=8 if TOY else 124, lam_max=1.0, lam_min=5e-5)
free = samplers.diffusion(likelihood.prox)
proximal = samplers.pgm(data_first(disc, likelihood))
sets = {
    "exact": other,
    "diffusion, no constraint": draw(free, plain),
    "projected at each step": draw(samplers.project_each(free, project), plain),
    "projected at the end": draw(samplers.project_last(free, project), plain),
    "PGM, integrator": draw(proximal, plain),
    "PGM, corrected": draw(proximal, corrected),
}

# %% [markdown]
# Distances are sliced Wasserstein ones to exact samples, in *floors*: one floor is what two exact sets differ by.

# %%
distance = functools.partial(sliced_wasserstein, jax.random.key(2), directions=200)
floor = distance(other, exact)
angle = jnp.linspace(0, 2 * jnp.pi, 200)


def scatter(axis, name, samples):
    inside = jnp.mean(jnp.linalg.norm(samples, axis=1) <= 1 + 1e-6)
    floors = distance(samples, exact) / floor
    axis.scatter(*samples[:4000].T, s=2, alpha=0.25, color=BLUE if name == "exact" else RED, linewidths=0)
    axis.plot(jnp.cos(angle), jnp.sin(angle), color="black", linewidth=0.8)
    axis.set(title=f"{name}\n{100 * inside:.1f} % inside, {floors:.1f} floors", aspect="equal")


figure, axes = plt.subplots(2, 3, figsize=(9, 6.4), sharex=True, sharey=True, constrained_layout=True)
for axis, (name, samples) in zip(axes.flat, sets.items(), strict=True):
    scatter(axis, name, samples)
axes[0, 0].set(xlim=(-1.3, 2.2), ylim=(-1.8, 1.3))
plt.show()

# %% [markdown]
# Every sample of PGM is inside, since its last step is the projection itself. But the integrator alone piles up on the
# circle. With correctors the distribution is right, to within a few floors. Projection from outside keeps the samples
# in and gets the distribution wrong.
#
# ## A prox that is learned
#
# Now forget the formula of the disc. All that is there are samples of the *prior*, uniform on the disc; the likelihood
# is not shown. Proximal matching learns the prox from them, at all levels at once. A point of the plane goes into the
# network as an image of one pixel and two channels.

# %%
key_angle, key_radius, key_fit = jax.random.split(jax.random.key(3), 3)
turn = 2 * jnp.pi * jax.random.uniform(key_angle, (20_000,))
radius = jnp.sqrt(jax.random.uniform(key_radius, (20_000,)))
examples = jnp.stack([radius * jnp.cos(turn), radius * jnp.sin(turn)], axis=1).reshape(-1, 1, 1, 2)

steps = 50 if TOY else 3000
network = Preconditioned(MLP(), image_shape=(1, 1, 2), mean=0.0, std=0.5)
optimizer = optax.adam(optax.cosine_decay_schedule(3e-3, steps))
objective = matching_objective(l2, steps // 2, steps, zeta_start=2.0, zeta_end=0.3)
net, history = fit(key_fit, network, optimizer, VE(0.02, 2.0), objective, examples, steps=steps, batch_size=256)
learned = Flattened(net)

# %% [markdown]
# How close to the projection is it? The prox of a set does not depend on $\lambda$. The learned one comes near to it
# where $\lambda$ is small, but not far from the disc: no example with so little noise was ever there.

# %%
v = jnp.stack([jnp.linspace(0, 2.5, 200), jnp.zeros(200)], axis=1)
plt.figure(figsize=(4.5, 3), constrained_layout=True)
plt.plot(v[:, 0], jax.vmap(project)(v)[:, 0], color="black", label="projection")
for lam, color in {0.01: BLUE, 0.1: RED, 1.0: GREY}.items():
    plt.plot(v[:, 0], jax.vmap(learned.prox, (0, None))(v, lam)[:, 0], color=color, label=f"learned, λ = {lam}")
plt.xlabel("distance from the centre")
plt.legend(frameon=False)
plt.show()

# %% [markdown]
# It takes the place of the disc in the sampler, and nothing else changes.

# %%
rows = samplers.corrected_rows(levels=10, correctors=4 if TOY else 36, lam_max=1.0, lam_min=1e-3)
figure, axis = plt.subplots(figsize=(4.2, 4.4), constrained_layout=True)
scatter(axis, "PGM, learned prox", draw(samplers.pgm(data_first(learned, likelihood)), rows))
plt.show()
