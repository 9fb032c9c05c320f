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
# # Proximal diffusion
#
# A reverse diffusion takes its score at the *old* end of every step. ProxDM takes it at the *new* end, which makes the
# step a prox of the noisy density:
#
# $$y = (1 + \gamma/2)\, x + \sqrt{\gamma}\,\xi, \qquad x \leftarrow \mathrm{prox}_{-\gamma \ln p_t}(y).$$
#
# No step is too long for it, and the last one ends on the data themselves. This notebook samples a drawing of points
# with exact scores and proxes, in ten calls, and then learns a prox from samples.

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
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import optax

import pgm_jax as pgm
from pgm_jax import samplers
from pgm_jax.networks import MLP, DenoiserForm, TimedNetwork
from pgm_jax.potentials import Mixture, marginals
from pgm_jax.schedules import LinearVP, geometric_levels
from pgm_jax.training import fit
from pgm_jax.training.draws import step_draws
from pgm_jax.training.losses import l1, matching_objective

BLUE, RED, GREY = "#1f5fa8", "#c4501b", "#8a8a8a"
COUNT = 40 if TOY else 500

# %% [markdown]
# ## Exact steps
#
# The data are points on a spiral. Under the noise of time t they are a mixture of Gaussians, whose score and whose prox
# are known: `marginals(prior, schedule)` has both at every t.

# %%
turn = jnp.linspace(1.0, 4 * jnp.pi, 20 if TOY else 80)
points = (turn / 14)[:, None] * jnp.stack([jnp.cos(turn), jnp.sin(turn)], axis=1)
schedule = LinearVP()
family = marginals(Mixture(jnp.full(len(points), 1 / len(points)), points, 0.0), schedule)
CALLS = 10
times = samplers.ended_times(CALLS)
levels = geometric_levels(schedule.lam(1.0), schedule.lam(1e-3), CALLS)
runs = {
    "Euler-Maruyama": (samplers.diffusion(family.denoise), samplers.vp_euler(schedule, times)),
    "DPM-Solver++(2M)": (samplers.multistep(family.denoise), samplers.dpm_solver_rows(levels)),
    "ProxDM hybrid": (samplers.proxdm(family), samplers.hybrid_rows(schedule, CALLS)),
    "ProxDM backward": (samplers.proxdm(family), samplers.backward_rows(schedule, CALLS)),
}
figure, axes = plt.subplots(1, 4, figsize=(12, 3.2), constrained_layout=True)
for axis, (name, (sampler, rows)) in zip(axes, runs.items(), strict=True):
    x = pgm.sample(jax.random.key(0), sampler, jnp.zeros(2), rows, COUNT)
    axis.plot(*points.T, ".", color=GREY, markersize=6)
    axis.plot(*x.T, ".", color=RED if name.startswith("ProxDM") else BLUE, markersize=2)
    axis.set(title=f"{name}, {CALLS} calls", xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), aspect="equal", xticks=[], yticks=[])
plt.show()

# %% [markdown]
# A backward step of fewer than ten calls is refused: its $\gamma$ would reach 2.

# %%
try:
    samplers.backward_rows(schedule, 8)
except ValueError as error:
    print(error)

# %% [markdown]
# ## Learned steps
#
# A network that is told t and λ learns the prox of every $p_t$ from samples. It sees the pairs (t, λ) that its sampler
# will visit: `step_draws` for steps of 5 and of 10 calls. The loss is the absolute error first, then proximal matching,
# whose width ζ falls.

# %%
STEPS = 20 if TOY else 3000
angle = 2 * jnp.pi * jax.random.uniform(jax.random.key(1), (20_000,))
ring = jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=1)
ring = (ring + 0.02 * jax.random.normal(jax.random.key(2), ring.shape)).reshape(-1, 1, 1, 2)
network = TimedNetwork(MLP(64, 3, 32), (1, 1, 2), schedule, DenoiserForm(0.0, float(ring.std())))
prior, history = fit(
    jax.random.key(3),
    network,
    optax.adam(optax.schedules.cosine_decay_schedule(3e-3, STEPS)),
    step_draws(schedule, (5, 10)),
    matching_objective(l1, STEPS // 2, STEPS, 2.0, 1.0, stages=2),
    ring,
    steps=STEPS,
    batch_size=256,
)
figure, axes = plt.subplots(1, 3, figsize=(9.5, 3.2), constrained_layout=True)
axes[0].plot(history["mse"], color=BLUE, linewidth=0.8)
axes[0].set(title="mean square of the residual", xlabel="step", yscale="log")
for axis, calls in zip(axes[1:], (5, 10), strict=True):
    rows = samplers.hybrid_rows(schedule, calls)
    x = pgm.sample(jax.random.key(4), samplers.proxdm(prior), jnp.zeros((1, 1, 2)), rows, COUNT).reshape(-1, 2)
    axis.plot(*ring[:500].reshape(-1, 2).T, ".", color=GREY, markersize=3)
    axis.plot(*x.T, ".", color=RED, markersize=2)
    axis.set(title=f"learned, {calls} calls", xlim=(-1.5, 1.5), ylim=(-1.5, 1.5), aspect="equal", xticks=[], yticks=[])
plt.show()

# %% [markdown]
# How the samplers compare in numbers, and where the strong score solvers stand: `python -m launch.toys
# --config=configs/toys/dino.py`, and the page *Proximal diffusion* of the documentation.
