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
# A density that ends at a wall has no score there: at $t \to 0$ the Stein score blows up, and the usual remedies are to
# stop early or to project. A proximal map knows the wall: it is the projection. Here we sample a Gaussian restricted to
# a disc, with the exact prox, with what people do instead, and with a prox that is *learned* from samples of the disc.

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

from pgm_jax.metrics import sliced_wasserstein
from pgm_jax.posteriors import BallQuadratic
from pgm_jax.potentials import Ball, quadratic
from pgm_jax.samplers import apportion, bridge, diffusion, pgm, project_each, project_last, run, with_corrector
from pgm_jax.schedules import geometric_levels, ve

COUNT = 500 if TOY else 10_000
BLUE, RED, GREY = "#1f5fa8", "#c4501b", "#8a93a3"

# %% [markdown]
# ## The problem
#
# $f(x) = \tfrac12 x^\top A x + b^\top x$ with its minimum outside the unit disc. Exact samples come by rejection.

# %%
A, b = jnp.array([[4.0, 1.0], [1.0, 2.0]]), jnp.array([-4.5, 1.0])
target = BallQuadratic(A, b, beta=1.0, radius=1.0)
disc, likelihood = Ball(1.0), quadratic(A, b)
exact, other = (target.sample(key, COUNT) for key in jax.random.split(jax.random.key(0)))
CALLS = 100 if TOY else 1500
grid = geometric_levels(ve(0.003, 3.0), 12, 1.0, 5e-5)
corrected = with_corrector(bridge(grid), apportion(CALLS, grid.lam[:-1] ** -0.5), rate=1.0)
plain = bridge(geometric_levels(ve(0.003, 3.0), 100, 4.0, 1e-4))


def draw(sampler, rows):
    chains = jax.vmap(lambda key: run(sampler, key, jnp.zeros(2), rows)[0].x)
    return jax.jit(chains)(jax.random.split(jax.random.key(1), COUNT))


free = diffusion(likelihood.prox)  # knows the Gaussian alone: its posterior mean is its prox
project = lambda x: disc.prox(x, 1.0)  # noqa: E731
sets = {
    "exact": exact,
    "diffusion, no constraint": draw(free, plain),
    "projected at each step": draw(project_each(free, project), plain),
    "projected at the end": draw(project_last(free, project), plain),
    "PGM, integrator": draw(pgm(disc, likelihood), plain),
    "PGM, corrected": draw(pgm(disc, likelihood), corrected),
}

# %%
key = jax.random.key(2)
floor = sliced_wasserstein(key, exact, other, 200)
figure, axes = plt.subplots(2, 3, figsize=(9, 6.4), sharex=True, sharey=True, constrained_layout=True)
angle = jnp.linspace(0, 2 * jnp.pi, 200)
for axis, (name, samples) in zip(axes.flat, sets.items(), strict=True):
    inside = jnp.mean(jnp.linalg.norm(samples, axis=1) <= 1 + 1e-6)
    ratio = sliced_wasserstein(key, samples, exact if name != "exact" else other, 200) / floor
    axis.scatter(*samples[:4000].T, s=2, alpha=0.25, color=BLUE if name == "exact" else RED, linewidths=0)
    axis.plot(jnp.cos(angle), jnp.sin(angle), color="black", linewidth=0.8)
    axis.set(
        title=f"{name}\n{100 * inside:.1f} % inside, {ratio:.1f} floors",
        aspect="equal",
        xlim=(-1.3, 2.2),
        ylim=(-1.8, 1.3),
    )
plt.show()

# %% [markdown]
# Every sample of PGM is inside, since its last step is the projection itself. But the integrator alone piles up on the
# circle; with correctors the law is right, to within a few times what two exact sets differ by. Projection from outside
# keeps the samples in and gets the law wrong.
#
# ## A prox that is learned
#
# Now forget the formula of the disc. All that is there are samples of the *prior*, uniform on the disc; the likelihood
# is not shown. Proximal matching learns the prox from them, at all levels at once.

# %%
import optax

from pgm_jax.networks import MLP, Flattened, Preconditioned
from pgm_jax.training.fit import fit
from pgm_jax.training.losses import l2, matching_objective

key_angle, key_radius, key_fit = jax.random.split(jax.random.key(3), 3)
turn = 2 * jnp.pi * jax.random.uniform(key_angle, (20_000,))
radius = jnp.sqrt(jax.random.uniform(key_radius, (20_000,)))
examples = jnp.stack([radius * jnp.cos(turn), radius * jnp.sin(turn)], axis=1).reshape(-1, 1, 1, 2)

steps = 50 if TOY else 3000
network = Preconditioned(MLP(), (1, 1, 2), mean=0.0, std=0.5)
objective = matching_objective(l2, steps // 2, steps, zeta_start=2.0, zeta_end=0.3)
optimizer = optax.adam(optax.cosine_decay_schedule(3e-3, steps))
net, history = fit(key_fit, network, examples, ve(0.02, 2.0), objective, optimizer, steps, batch_size=256)
learned = Flattened(net)

# %% [markdown]
# How close to the projection is it? At small levels the prox of a set does not depend on $\lambda$.

# %%
v = jnp.stack([jnp.linspace(0, 2.5, 200), jnp.zeros(200)], axis=1)
plt.figure(figsize=(4.5, 3), constrained_layout=True)
plt.plot(v[:, 0], jax.vmap(disc.prox, (0, None))(v, 1.0)[:, 0], color="black", label="projection")
for lam, color in zip((0.01, 0.1, 1.0), (BLUE, RED, GREY), strict=True):
    plt.plot(v[:, 0], jax.vmap(learned.prox, (0, None))(v, lam)[:, 0], color=color, label=f"learned, λ = {lam}")
plt.xlabel("distance from the centre")
plt.legend(frameon=False)
plt.show()

# %%
grid = geometric_levels(ve(0.02, 2.0), 10, 1.0, 1e-3)
rows = with_corrector(bridge(grid), apportion(CALLS // 4, grid.lam[:-1] ** -0.5), rate=1.0)
samples = draw(pgm(learned, likelihood), rows)
inside = jnp.mean(jnp.linalg.norm(samples, axis=1) <= 1)
ratio = sliced_wasserstein(key, samples, exact, 200) / floor
plt.figure(figsize=(4.2, 4.4), constrained_layout=True)
plt.scatter(*samples[:4000].T, s=2, alpha=0.25, color=RED, linewidths=0)
plt.plot(jnp.cos(angle), jnp.sin(angle), color="black", linewidth=0.8)
plt.gca().set(title=f"learned prox: {100 * inside:.1f} % inside, {ratio:.1f} floors", aspect="equal")
plt.show()
