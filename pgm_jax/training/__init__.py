"""Training: the only home of optax, orbax, grain and tensorflow_datasets."""
