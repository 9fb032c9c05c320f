r"""The prior of a learned proximal network on clothes: its value under noise, blur and mixing, with certificates.

python -m launch.prepare --dataset=fashion_mnist
python -m launch.train --config=configs/lpn.py --workdir=runs/lpn
python -m launch.toys --config=configs/toys/lpn_prior.py
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """The configuration: the network, the images, and what is done to them."""
    config = ml_collections.ConfigDict()
    config.experiment = "lpn_prior"
    config.prior = "runs/lpn/prior.npz"
    config.source, config.split, config.images = "fashion_mnist", "test", 100
    # Deviation of the noise in the units of the images, width of the blur in pixels, share of another image.
    config.noise = (0.0, 0.05, 0.1, 0.2, 0.4)
    config.blur = (0.0, 0.5, 1.0, 2.0)
    config.mixing = (0.0, 0.1, 0.25, 0.5)
    # Images whose values are timed.
    config.timed = 64
    return config
