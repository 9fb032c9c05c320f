r"""Fashion-MNIST for the exact step: the posterior mean under the noise that any measurement leaves.

python -m launch.prepare --dataset=fashion_mnist
python -m launch.train --config=configs/exact_step.py --workdir=runs/exact_step

Cost: 26,800 steps of 64 images; on two CPU cores with AMX 160 images/s with dtype="bfloat16", 3 hours, and 110 images/s
in float32.
Expected: `mse` 0.151 at the end.

It starts from the weights of the bundled prior, and equals it, before training, where nothing was measured.

`load_prior("fashion_mnist_exact")` comes from three runs in a row; `docs/exact_step_training.jsonl` is the log of all.
The first had 7,000 steps in float32 at a learning rate of 5e-4, noise up to 0.5, levels of measured images down to
sigma_min, and shares of 0.2 for masks, 0.06 for boxes and 0.08 for circular blurs. The second started from its weights
and had 10,300 steps of these settings, in bfloat16 from step 137 on. It was stopped and resumed three times; its number
of steps, and with it the learning rate, was 20,000 at first, then 11,500, and 10,300 from step 6,592 on. The third
started from the weights of the second and had 9,500 steps of these settings, in bfloat16. It was stopped and resumed
twice; its number of steps was 8,000 between steps 2,695 and 3,351.
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
                dtype="float32",  # or "bfloat16", faster on a GPU, a TPU and a CPU with AMX
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
            steps=26_800,
            batch_size=64,
            start="fashion_mnist",  # a prior whose weights it starts from, or ""
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
