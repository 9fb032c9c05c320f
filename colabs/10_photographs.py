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
# # A photograph of your own
#
# Take a photograph that is noisy, scratched or small, and draw from the pictures that explain it. Where they agree, the
# measurement and the prior settle what is there; where they differ, they do not, and the standard deviation says how
# far. In Colab choose a GPU (*Runtime, Change runtime type*).

# %%
# In Colab: install the library. Elsewhere it is there already.
import importlib.util
import os
import subprocess
import sys

if importlib.util.find_spec("pgm_jax") is None:
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "pgm_jax[plots]"], check=True)
TOY = bool(os.environ.get("PGM_TOY"))  # a smaller run, for tests
PATH, UPLOAD = "", False  # a photograph of your own, or True in Colab, to choose one there

# %%
import dataclasses

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image, ImageOps

import pgm_jax as pgm

prior = pgm.load_prior("photos")
key_noise, key_mask, key_chains = jax.random.split(jax.random.key(0), 3)
LONGEST = 1024  # side of a photograph in pixels; on a CPU take less

# %% [markdown]
# ## The photograph
#
# An image is an array `[H, W, 3]` in $[-1, 1]$, of any height and width. This one is an example with added noise of
# standard deviation 0.2, 25 of 255. Give the `PATH` of a file of your own above, or in Colab set `UPLOAD = True`. A
# photograph that your camera or scanner made noisy needs nothing else.


# %%
def example():
    clean = pgm.example_images("photos")[2]
    clean = clean[64:96, 64:96] if TOY else clean
    return clean + 0.2 * jax.random.normal(key_noise, clean.shape)


def own(path):
    image = ImageOps.exif_transpose(Image.open(path)).convert("RGB")  # upright
    image.thumbnail((LONGEST, LONGEST))
    return jnp.asarray(np.asarray(image), jnp.float32) / 127.5 - 1.0


if UPLOAD:
    from google.colab import files

    (PATH,) = files.upload()
picture = own(PATH) if PATH else example()
print(picture.shape)

# %% [markdown]
# ## Noise
#
# The operator of a noisy photograph sees every pixel. The finest details tell how strong the noise is; texture counts
# as noise, so the estimate is somewhat too high.


# %%
def restore(operator, y, noise):
    return pgm.restore(key_chains, prior, operator, y, noise, samples=2 if TOY else 4, calls=2 if TOY else 20)


def show(given, result):
    """The photograph, the mean of the samples, one of them, and their standard deviation."""
    std = jnp.sqrt(jnp.mean(result.std**2, axis=-1))
    pictures = {"given": given, "mean": result.mean, "one sample": result.samples[0], "standard deviation": std}
    figure, axes = plt.subplots(1, 4, figsize=(16, 4.4 * given.shape[0] / given.shape[1]), layout="constrained")
    for axis, (title, values) in zip(axes, pictures.items(), strict=True):
        look = axis.imshow(values if values.ndim == 2 else jnp.clip((values + 1) / 2, 0, 1), cmap="magma", vmin=0)
        axis.set_title(title)
        axis.set_axis_off()
    figure.colorbar(look, ax=axes, shrink=0.8)
    plt.show()


noise = pgm.GaussianNoise.estimate(picture)
print(f"noise: {noise.sigma:.3f} of [-1, 1], {noise.sigma * 127.5:.0f} of 255")
everything = pgm.operators.mask(picture.shape, jnp.ones(picture.shape))
denoised = restore(everything, picture, noise)
show(picture, denoised)

# %% [markdown]
# The standard deviation is a statement about each pixel. It is largest at edges and in texture, where noise hides most.
#
# ## Missing parts
#
# Scratches, stamps, dead pixels: the operator is a mask, 1 where the photograph is to be trusted. Draw one in any
# program, or make one. Here are ten scratches; the noise is as before.


# %%
def scratches(height, width):
    rng, mask = np.random.default_rng(0), np.ones((height, width))
    for _ in range(10):
        column = rng.uniform(0, width) + rng.uniform(-0.4, 0.4) * np.arange(height)
        mask[np.arange(height), np.clip(column, 0, width - 2).astype(int)] = 0
        mask[np.arange(height), np.clip(column, 0, width - 2).astype(int) + 1] = 0
    return jnp.asarray(mask)[..., None]


mask = scratches(*picture.shape[:2])
scratched = pgm.operators.mask(picture.shape, jnp.broadcast_to(mask, picture.shape))
show(picture * mask + (1 - mask), restore(scratched, picture * mask, noise))

# %% [markdown]
# ## More pixels
#
# A small photograph is a large one, reduced. The operator reduces, and the samples have the large size: here twice that
# of a part of the photograph that the first step has cleaned.

# %%
side = 16 if TOY else 96
small = denoised.mean[:side, :side]
reduction = pgm.operators.bicubic_downsampling((2 * side, 2 * side, 3), 2)
show(small, restore(reduction, small, pgm.GaussianNoise(0.03)))

# %% [markdown]
# ## Large photographs
#
# Samples of a large photograph fill the memory. `keep="summary"` keeps their mean and deviation alone, and `at_once=1`
# runs one chain after the other. A network with `tile` looks at one tile after the other, to the same result.

# %%
tiled = pgm.networks.MetricProxNet(prior.params, dataclasses.replace(prior.network, tile=1024))
summary = pgm.restore(
    key_chains, tiled, everything, picture, noise, samples=2, calls=2 if TOY else 20, keep="summary", at_once=1
)
print(summary.samples.shape, summary.mean.shape, f"mean deviation {summary.std.mean():.3f}")

# %% [markdown]
# Files of 16 bits, transparency, colour profiles, blur of the lens, lost colours and compression are the work of the
# command, `python -m launch.restore --input=photo.jpg --task=denoise`, which comes with the repository.
