r"""A learned proximal network of Fashion-MNIST: the gradient of a convex network, a prox whose prior has a value.

python -m launch.prepare --dataset=fashion_mnist
python -m launch.train --config=configs/lpn.py --workdir=runs/lpn

Cost: 5,000 steps of 64 images; 240 to 440 images/s on two CPU cores.
Expected: `mse` 0.0070 at the end, of noise of variance 0.04.
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
            conv_icnn=dict(channels=32, strides=(1, 2, 1, 2), size=3, beta=20.0, alpha=0.02, way="projection"),
            # Noise of the training, in the units of the images, which lie in [-1, 1].
            sigma=0.2,
        )
    )
    config.train = ml_collections.ConfigDict(
        dict(
            seed=0,
            steps=5_000,
            batch_size=64,
            # zeta in the units of the images, since the network corrects any part of them.
            warm_up="l1",
            warm_share=0.5,
            zeta_start=0.2,
            zeta_end=0.1,
            stages=2,
            learning_rate=2e-3,
            warmup_steps=500,
            decay_share=0.4,
            adam_b2=0.99,
            weight_decay=0.0,
            clip_norm=1.0,
            ema_decay=0.999,
            sharding="replicated",
            log_every=50,
            save_every=500,
            sheet_every=2000,
        )
    )
    return config
