"""What the network of the exact step is told, at toy size."""

import jax
import numpy as np
import pytest
from toy_settings import toy_settings

from launch.experiments import exact_inputs
from launch.experiments.exact_inputs import Silenced
from pgm_jax.networks import UNet

TINY = dict(channels=(8,), blocks=(1,), attention=(False,), patch=4, embedding=4)


def test_it_runs_at_toy_size(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (12, 28, 28), dtype=np.uint8)
    labels = np.zeros(12, int)
    np.savez(tmp_path / "set.npz", train=images, test=images, train_label=labels, test_label=labels)
    masks = dict(masks=dict(operator="random_mask", count=2, share=0.5, between=dict(hidden=(0.1, 0.9))))
    sizes = dict(unet=TINY, steps=2, batch_size=4, images=3, levels=(0.1, 1.0), told=("all", "none"))
    config = toy_settings("exact_inputs", source=str(tmp_path / "set.npz"), **sizes)
    config.families = masks
    found = exact_inputs.run(config, jax.random.key(0))
    assert len(found.tables) == 4 and all(len(table.rows) == 2 and len(table.rows[0]) == 3 for table in found.tables)
    assert set(found.figures) == {"exact_inputs"}


def test_a_silenced_input_is_not_heard():
    x, c, maps = (
        jax.random.normal(jax.random.key(i), (1, *shape)) for i, shape in enumerate([(4, 4, 1), (), (4, 4, 3)])
    )
    params = Silenced(UNet(**TINY), ()).init(jax.random.key(3), x, c, maps)
    params = jax.tree.map(lambda a: a + 0.1 * jax.random.normal(jax.random.key(a.size), a.shape), params)
    for silent in range(3):
        network = Silenced(UNet(**TINY), (silent,))
        heard = [
            np.any(network.apply(params, x, c, maps.at[..., i].multiply(3.0)) != network.apply(params, x, c, maps))
            for i in range(3)
        ]
        assert heard == [i != silent for i in range(3)]


def test_a_name_that_there_is_not_is_refused():
    with pytest.raises(ValueError, match="Unknown setting of config.told 'without comp'; did you mean 'without comb'"):
        exact_inputs.run(toy_settings("exact_inputs", told=("without comp",)), jax.random.key(0))
