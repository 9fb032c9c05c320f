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
# # A learned proximal network
#
# A map is a prox exactly where it is the gradient of a convex function. A *learned proximal network* is such a gradient
# by construction, $f = \nabla\psi$ with ψ an input-convex network. It is the prox of a prior R that one can compute:
#
# $$R(x) = \langle x, y\rangle - \tfrac12 |x|^2 - \psi(y), \qquad f(y) = x.$$
#
# This notebook learns the prox of a Laplace distribution, reads its prior, and uses it as a potential like any other.

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

from pgm_jax.metrics import proxness
from pgm_jax.networks import ICNN, ConvexNetwork
from pgm_jax.potentials import Gaussian
from pgm_jax.samplers import admm, plug_and_play_rows, run
from pgm_jax.schedules import VE
from pgm_jax.training import fit
from pgm_jax.training.convexity import keep_nonnegative
from pgm_jax.training.losses import l1, matching_objective

BLUE, RED, GREY = "#1f5fa8", "#c4501b", "#8a8a8a"

# %% [markdown]
# ## Learn
#
# Samples $x \sim e^{-|x|}$ are seen through noise of deviation 1. The exact prox is soft thresholding by 1. The inner
# weights of the network must not be negative: `keep_nonnegative` projects them after every step.

# %%
STEPS = 20 if TOY else 4000
SHAPE = (1, 1, 1)
examples = jax.random.laplace(jax.random.key(0), (200_000, *SHAPE))
network = ConvexNetwork(ICNN(widths=(8, 8) if TOY else (64, 64)), SHAPE, sigma=1.0)
prior, history = fit(
    jax.random.key(1),
    network,
    optax.chain(optax.adam(optax.schedules.exponential_decay(5e-3, STEPS, 0.02)), keep_nonnegative()),
    VE(1.0, 1.0),  # one level, that of sigma
    matching_objective(l1, STEPS // 4, STEPS, 0.5, 0.2, stages=3),
    examples,
    steps=STEPS,
    batch_size=1000,
)

# %% [markdown]
# ## Prox and prior
#
# `denoise` is f; `value` inverts f by a convex problem, and `invert` says how well that went.

# %%
y, x = jnp.linspace(-4, 4, 161), jnp.linspace(-2.5, 2.5, 41 if TOY else 101)
f = jax.jit(jax.vmap(prior.denoise))(y.reshape(-1, *SHAPE)).ravel()
r = jax.jit(jax.vmap(prior.value))(x.reshape(-1, *SHAPE))
figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), constrained_layout=True)
axes[0].plot(y, jnp.sign(y) * jnp.maximum(jnp.abs(y) - 1, 0), color=GREY, linewidth=3, label="soft thresholding")
axes[0].plot(y, f, color=RED, label="learned")
axes[0].set(title="f(y)", xlabel="y")
axes[1].plot(x, jnp.abs(x), color=GREY, linewidth=3, label="|x|")
axes[1].plot(x, r - jnp.min(r), color=RED, label="learned")
axes[1].set(title="R(x) - min R", xlabel="x")
for axis in axes:
    axis.legend(frameon=False)
plt.show()

# %% [markdown]
# ## Is it a prox?
#
# Of this one it is certain; the same diagnostics run on any prior, such as a U-Net, of which it is not.

# %%
noisy = jax.random.normal(jax.random.key(2), (16, *SHAPE)) * 2
for name, value in proxness(jax.random.key(3), prior.prox, noisy, 1.0)._asdict().items():
    print(f"{name:20s} {float(value):.4f}")

# %% [markdown]
# ## A potential like any other
#
# It has a value, a gradient and a prox for every λ up to σ², so that ADMM finds the mode of its posterior. The rows say
# where ρ = 1/λ meets the bound under which this is known to converge.

# %%


class Measurement(Gaussian):
    """A measurement of x itself."""

    @property
    def step_limit(self):
        return self.std**2


likelihood = Measurement(jnp.full(SHAPE, 2.0), 1.0)
rows = plug_and_play_rows(prior, likelihood, 0.5, 40)
state, move = run(jax.random.key(0), admm(prior, likelihood), jnp.zeros(SHAPE), rows, lambda _, info: info.move)
figure, axis = plt.subplots(figsize=(4.5, 3), constrained_layout=True)
axis.plot(move, color=BLUE)
axis.set(title="fixed-point residual of ADMM", xlabel="row", yscale="log")
plt.show()
print(f"the mode given y = 2: {float(state.x.ravel()[0]):.3f}; of the exact prior it is 1")

# %% [markdown]
# `python -m launch.toys --config=configs/toys/lpn_laplace.py` has the numbers, for three losses.
