"""The claims of the theory of PGM, tested where the truth is known: scores, learning a prox, the error of sampling.

    python -m launch.toys --config=configs/toys/theory.py

Cost: about two minutes on two CPU cores.
Expected: 20 claims hold. The difference of the scores is at most 0.5642 of its bounds. W1 falls with the step where the
score is exact; where it is not, the integrator alone stays at 0.11 to 0.31, at least 11 times exact samples.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """The configuration: sizes of the sweeps."""
    config = ml_collections.ConfigDict()
    config.experiment = "theory"
    # Lemma 1: dimension of the quadratics, points at which their scores are compared.
    config.dims, config.points = 6, 50
    # Proposition 2: weights of the strongly convex f. Levels of lam, of Theorem 5 too, and its number of weights.
    config.betas, config.levels, config.constants = (0.1, 1.0, 10.0, 100.0), 41, 25
    # Proposition 3: falling widths of the matching, and the training of a network for each.
    config.widths = (0.5, 0.3, 0.1)
    config.learning = ml_collections.ConfigDict(
        dict(steps=4_000, warm_share=0.4, zeta_start=2.0, sigma_min=0.9, sigma_max=1.1)
    )
    # Theorem 6: samples, numbers of levels, correctors at each.
    config.samples, config.counts, config.correctors = 10_000, (10, 20, 40, 80, 160), 10
    return config
