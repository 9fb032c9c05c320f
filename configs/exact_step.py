r"""Fashion-MNIST for the exact step: the posterior mean under the noise that any measurement leaves.

python -m launch.prepare --dataset=fashion_mnist
python -m launch.train --config=configs/exact_step.py --workdir=runs/exact_step

Cost: 7,000 steps of 64 images; 130 images/s on two CPU cores, 57 minutes.
Expected: `mse` 0.185 at the end. `load_prior("fashion_mnist_exact")` comes from such a run that was stopped and resumed
at step 1,650, when its number of steps was settled; `docs/exact_step_training.jsonl` is its log.

It starts from the weights of the bundled prior, and equals it, before training, where nothing was measured.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """The configuration: data, network and training."""
    config = ml_collections.ConfigDict()
    config.data = ml_collections.ConfigDict(
        dict(source="fashion_mnist", split="train", image_shape=(32, 32, 1), flip=False)
    )
    config.network = ml_collections.ConfigDict(
        dict(
            unet=dict(
                channels=(64, 128),
                blocks=(1, 2),
                attention=(False, True),
                patch=2,
                head_channels=64,
                embedding=128,
                dtype="float32",
            ),
            # Of the padded training images.
            mean=-0.56,
            std=0.66,
            metric=dict(period=7),  # of the comb that probes an operator
        )
    )
    config.train = ml_collections.ConfigDict(
        dict(
            seed=0,
            steps=20_000,
            batch_size=64,
            start="fashion_mnist_exact",  # a prior whose weights it starts from, or ""
            # log lam is uniform between the squares of the first two, and the log of the noise of the measurements
            # between the other two, all in the units of the images.
            sigma_min=0.02,
            sigma_max=5.0,
            noise_min=0.02,
            noise_max=0.3,
            # Share of every batch that one of `count` such operators measures; nothing measures the rest.
            families=dict(
                masks=dict(operator="random_mask", count=400, share=0.3, between=dict(hidden=(0.1, 0.95))),
                boxes=dict(operator="random_box_mask", count=200, share=0.04, size=(16, 16)),
                reflecting_blurs=dict(
                    operator="gaussian_blur", count=200, share=0.12, boundary="reflect", between=dict(width=(0.4, 2.5))
                ),
                circular_blurs=dict(
                    operator="gaussian_blur", count=200, share=0.06, radius=10, between=dict(width=(0.4, 2.5))
                ),
                averages_of_four=dict(operator="average_downsampling", count=1, share=0.12, factor=4),
                averages_of_two=dict(operator="average_downsampling", count=1, share=0.06, factor=2),
                bicubic=dict(operator="bicubic_downsampling", count=1, share=0.06, factor=4),
                frequencies=dict(
                    operator="cartesian_sampling", count=200, share=0.1, between=dict(acceleration=(1.5, 6.0))
                ),
            ),
            warm_up="l2",
            warm_share=1.0,
            zeta_start=2.0,
            zeta_end=1.0,
            stages=0,
            learning_rate=1e-3,
            warmup_steps=300,
            decay_share=0.5,
            adam_b2=0.99,
            weight_decay=1e-4,
            clip_norm=1.0,
            ema_decay=0.999,
            sharding="replicated",
            log_every=50,
            save_every=500,
            sheet_every=2000,
        )
    )
    return config
