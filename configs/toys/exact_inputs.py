"""What the network of the exact step has to be told: small networks with one of their inputs silenced.

python -m launch.prepare --dataset=fashion_mnist
python -m launch.toys --config=configs/toys/exact_inputs.py

Cost: 18 minutes of one core.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """The configuration: the data, the small network, its training, and the levels of the answers."""
    config = ml_collections.ConfigDict()
    config.experiment = "exact_inputs"
    config.source = "fashion_mnist"
    config.told = ("all", "without w / s", "without variances", "without comb", "none")
    config.unet = dict(
        channels=(48, 96),
        blocks=(1, 1),
        attention=(False, True),
        patch=2,
        head_channels=48,
        embedding=64,
        dtype="bfloat16",
    )
    config.period = 7
    config.steps, config.batch_size, config.learning_rate, config.ema_decay = 1_500, 64, 2e-3, 0.99
    config.sigma_min, config.sigma_max, config.noise_min, config.noise_max = 0.02, 5.0, 0.02, 0.3
    config.families = dict(
        masks=dict(operator="random_mask", count=200, share=0.25, between=dict(hidden=(0.1, 0.95))),
        averages=dict(operator="average_downsampling", count=1, share=0.2, factor=2),
        blurs=dict(operator="gaussian_blur", count=100, share=0.25, radius=5, between=dict(width=(0.4, 2.0))),
        frequencies=dict(operator="cartesian_sampling", count=100, share=0.2, between=dict(acceleration=(1.5, 6.0))),
    )
    # One call at each level, for so many held-out images; noise of the measurements in the units of images in [-1, 1].
    config.images, config.sigma, config.levels = 256, 0.05, (0.01, 0.1, 1.0, 10.0)
    return config
