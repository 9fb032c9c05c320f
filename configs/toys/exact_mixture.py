"""The exact step on the mixture of 25 Gaussians: the mean in closed form, and learned in 8 dimensions.

python -m launch.toys --config=configs/toys/exact_mixture.py

Cost: 6 minutes of two cores that do other work as well.
Expected: both claims hold, 1.3 floors in closed form and 1.2 learned at 50 calls.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """The configuration: the columns of the tables, the calls, and how the mean is learned."""
    config = ml_collections.ConfigDict()
    config.experiment = "exact_mixture"
    # Problems of each column, by dimension.
    config.dimensions, config.problems = (8, 80), (8, 4)
    # Noise in the units of y, numbers of measurements.
    config.sigmas, config.measurements = (1.0, 0.1), (1, 2, 4)
    config.calls, config.judged = (10, 20, 50, 100), 50
    # Samples of a set, directions of the sliced W1.
    config.samples, config.directions = 1000, 2000
    config.learned_in = 8
    config.learn = ml_collections.ConfigDict(
        dict(
            examples=200_000,  # samples of the prior
            units=100,
            # Measurements of up to so many numbers, the log of whose noise is uniform between two.
            most=4,
            noise=(0.05, 2.0),
            lam_min=0.1,
            steps=3_000,
            batch_size=512,
            learning_rate=5e-3,
            ema_decay=0.998,
        )
    )
    return config
