r"""Proximal diffusion on Fashion-MNIST: the prox of the noisy density at every time, for pictures out of noise.

python -m launch.prepare --dataset=fashion_mnist
python -m launch.train --config=configs/proxdm.py --workdir=runs/proxdm

Cost: 6,000 steps of 64 images; 340 to 550 images/s on two CPU cores.
Expected: `loss` 0.31 at the end.
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
                patch=4,
                head_channels=64,
                embedding=128,
                dtype="float32",
            ),
            # The linear schedule; what the module predicts ("denoiser", "eps" or "prox"); what the loss is on.
            timed=dict(beta_min=0.1, beta_max=20.0, form="denoiser", loss="own"),
            # Of the padded training images, for the "denoiser" form.
            mean=-0.56,
            std=0.66,
        )
    )
    config.train = ml_collections.ConfigDict(
        dict(
            seed=0,
            steps=6_000,
            batch_size=64,
            # Numbers of steps of the samplers, and how often each is drawn: "log", "uniform" or a weight for each.
            counts=(5, 10, 20, 50),
            weights="log",
            backward=False,  # True for backward steps; hybrid ones otherwise
            warm_up="l1",
            warm_share=0.5,
            zeta_start=2.0,
            zeta_end=1.0,
            stages=2,
            learning_rate=1e-3,
            warmup_steps=500,
            decay_share=0.4,
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
