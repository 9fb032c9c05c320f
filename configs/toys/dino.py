"""A drawing of 142 points and exact oracles: W1 and W2 of proximal and score samplers against the number of calls.

python -m launch.toys --config=configs/toys/dino.py

Cost: 6 minutes of two cores, most of it in the exact prox of 142 points.
Expected: 4 claims hold. With 10 calls the hybrid steps have half the W2 of the best Euler-Maruyama variant, 0.075
against 0.155, as much as DPM-Solver++(2M), 0.077; Heun's method on EDM's grid needs 30 calls to be as near.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """The configuration: the grids, and how much is drawn."""
    config = ml_collections.ConfigDict()
    config.experiment = "dino"
    # Numbers of calls; those at which the claims are made; the one whose samples are drawn.
    config.calls, config.judged, config.shown = (5, 7, 10, 20, 30, 40), (10, 20), 10
    # The least number of calls for backward steps.
    config.backward_from = 10
    # Last times of the score, for the variants of Euler-Maruyama; that of the flow and of DPM-Solver++.
    config.ends, config.end = (1e-3, 1e-5), 1e-3
    # Highest and lowest level of EDM's grid.
    config.edm = (80.0**2, 0.002**2)
    # Sets of samples; samples of a set for each of the 142 points.
    config.repeats, config.copies = 3, 7
    return config
