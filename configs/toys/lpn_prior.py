r"""The prior of a learned proximal network on clothes: its value under noise, blur and mixing, with certificates.

python -m launch.prepare --dataset=fashion_mnist
python -m launch.train --config=configs/lpn.py --workdir=runs/lpn
python -m launch.train --workdir=runs/denoiser --config.network.unet.patch=4 --config.train.steps=6000 \
    --config.train.warm_share=1. --config.train.sigma_min=0.01 --config.train.sigma_max=152.
python -m launch.toys --config=configs/toys/lpn_prior.py

Cost: 4 minutes of two cores, after the trainings.
Expected: 4 claims of 6 hold. The value rises with noise for all images, and falls with blur for most; the gap is below
1e-6 of a nat. A training step takes 4.5 times as long as f, where at most 4 are claimed.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """The configuration: the network, the images, and what is done to them."""
    config = ml_collections.ConfigDict()
    config.experiment = "lpn_prior"
    # The network, and a U-Net trained by squares, that of generate.py, whose proxness stands beside its own.
    config.prior, config.denoiser = "runs/lpn/prior.npz", "runs/denoiser/prior.npz"
    # Newton steps of an inversion, and conjugate gradient steps of each.
    config.steps, config.inner = 24, 120
    config.source, config.split, config.images = "fashion_mnist", "test", 100
    # Deviation of the noise in the units of the images, width of the blur in pixels, share of another image.
    config.noise = (0.0, 0.05, 0.1, 0.2, 0.4)
    config.blur = (0.0, 0.5, 1.0, 2.0)
    config.mixing = (0.0, 0.1, 0.25, 0.5)
    # Images that are timed, and points at which it is measured whether a network is a prox.
    config.timed, config.points = 64, 16
    return config
