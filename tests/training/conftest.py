"""Small sets of images: random ones in the shape of Fashion-MNIST, and a folder of a few files; and quick keys."""

import jax
import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def quick_keys():
    """Keys, here and in processes, whose generator compiles in a quarter of the time; draws depend on the sharding."""
    with pytest.MonkeyPatch.context() as patch, jax.default_prng_impl("unsafe_rbg"):
        patch.setenv("JAX_DEFAULT_PRNG_IMPL", "unsafe_rbg")
        yield


@pytest.fixture(scope="session")
def fashion():
    random = np.random.default_rng(0)
    return dict(
        train=random.integers(0, 256, (11, 28, 28), np.uint8),
        train_label=np.arange(11, dtype=np.uint8) % 10,
        test=random.integers(0, 256, (3, 28, 28), np.uint8),
        test_label=np.arange(3, dtype=np.uint8),
    )


@pytest.fixture(scope="session")
def npz(tmp_path_factory, fashion):
    path = tmp_path_factory.mktemp("npz") / "fashion.npz"
    np.savez(path, **fashion)
    return path


@pytest.fixture(scope="session")
def sets(tmp_path_factory, npz):
    from pgm_jax.training.image_sets import prepare_set

    data_dir = tmp_path_factory.mktemp("sets")
    prepared = prepare_set("fashion_mnist", data_dir, npz)
    assert prepared.written and prepared.sizes == {"train": 11, "test": 3}
    return data_dir


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    (folder / "more").mkdir()
    Image.new("RGB", (12, 8), (255, 0, 0)).save(folder / "wide.png")
    Image.new("L", (8, 16), 100).save(folder / "more" / "tall.PNG")
    Image.new("RGB", (4, 4), (0, 0, 255)).save(folder / "small.png")
    (folder / "broken.jpg").write_bytes(b"no image")
    (folder / "notes.txt").write_text("not looked at")
    return folder
