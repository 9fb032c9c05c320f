"""The integrators of the exact step beside each other, by the bundled network, on images that no other table reports.

python -m launch.prepare --dataset=fashion_mnist
python -m launch.toys --config=configs/toys/exact_solvers.py

Cost: 4 minutes of two cores that do other work as well.
Expected: at 5 to 20 calls only the integrator with the variance and DPM-Solver++ are calibrated for inpainting, error
over deviation 1.05 to 1.18; the mean of the latter is 0.5 to 1 dB worse.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """The configuration: the network, the images, the tasks, and the numbers of calls."""
    config = ml_collections.ConfigDict()
    config.experiment = "exact_solvers"
    config.prior, config.source = "fashion_mnist_exact", "fashion_mnist"
    config.tasks = ("inpainting", "deblurring")
    # Test images from the first one on; noise of the measurements for images in [-1, 1].
    config.first, config.images, config.samples, config.sigma = 1_000, 16, 4, 0.05
    config.calls = (1, 5, 10, 20, 50)
    # Highest and lowest level, variances in the squared units of the images; correctors have levels of their own.
    config.lam_max, config.lam_min = 25.0, 1e-3
    return config
