"""Priors and arrays that make a reader hang, grow or fail late are refused or read, fast and in little memory."""

import json
import struct
import zipfile

import jax
import numpy as np
import pytest
from security import measured
from security.archives import BZIP2, DEFLATED, LZMA, STORED, archive, bomb, long_list, member

from pgm_jax.files import read_arrays
from pgm_jax.networks import Preconditioned, ProxNet, UNet
from pgm_jax.pretrained import load_prior, save_prior

SETTINGS = dict(channels=(8, 8), blocks=(1, 1), attention=(False, True), patch=2, head_channels=4, embedding=8)
NETWORK = Preconditioned(UNet(**SETTINGS), (8, 8, 1))
MEBIBYTE = 2**20


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A small prior, its file, and the arrays of that."""
    shapes = jax.eval_shape(NETWORK.init, jax.random.key(0))
    prior = ProxNet(jax.tree.map(lambda like: np.full(like.shape, 0.5, np.float32), shapes), NETWORK)
    path = tmp_path_factory.mktemp("saved") / "prior.npz"
    save_prior(path, prior)
    with np.load(path) as arrays:
        return prior, path, dict(arrays)


def unet(**settings):
    """Change settings of the U-Net of a description."""
    return lambda told: told["unet"].update(settings)


def said(**entries):
    """Change entries of a description beside the U-Net."""
    return lambda told: told.update(entries)


DEEP = (1,) * 3_000
# What is wrong in a description, and words of the error.
DESCRIPTIONS = {
    "3,000 blocks": (unet(blocks=[1, 3_000]), "unet.blocks is [1, 3000]; give whole numbers from 0 to 32"),
    "33 blocks": (unet(blocks=[1, 32]), "unet.blocks is [1, 32]; give at most 32 in all"),
    "32 blocks of few arrays": (unet(blocks=[16, 16]), "unet.blocks is [16, 16], and the file has"),
    "3,000 levels": (unet(channels=DEEP, blocks=DEEP, attention=[False] * 3_000), "1 to 10 levels"),
    "blocks below 0": (unet(blocks=[1, -1]), "unet.blocks is [1, -1]"),
    "blocks of one level": (unet(blocks=[1]), "have 2, 1 and 2 entries"),
    "attention of one level": (unet(attention=[True]), "have 2, 2 and 1 entries"),
    "attention in numbers": (unet(attention=[0, 1]), "unet.attention is [0, 1]; give true or false"),
    "no channels": (unet(channels=[], blocks=[], attention=[]), "have 0, 0 and 0 entries"),
    "channels of 0": (unet(channels=[0, 8]), "unet.channels is [0, 8]"),
    "channels of 10^12": (unet(channels=[8, 10**12]), "unet.channels is [8, 1000000000000]"),
    "channels of one number": (unet(channels=8), "unet.channels is 8; give whole numbers"),
    "channels in words": (unet(channels=["8", "8"]), "unet.channels is ['8', '8']"),
    "channels of 8.5": (unet(channels=[8.5, 8]), "unet.channels is [8.5, 8]"),
    "no patch": (unet(patch=0), "unet.patch is 0; give a whole number from 1"),
    "a patch of -2": (unet(patch=-2), "unet.patch is -2"),
    "a patch that is true": (unet(patch=True), "unet.patch is True"),
    "a patch of null": (unet(patch=None), "unet.patch is None"),
    "a patch of lists": (unet(patch=[[[]]]), "unet.patch is [[[]]]"),
    "an embedding of 10^12": (unet(embedding=10**12), "unet.embedding is 1000000000000"),
    "an embedding of 1": (unet(embedding=1), "unet.embedding is 1; give a whole number from 2"),
    "heads of 0": (unet(head_channels=0), "unet.head_channels is 0"),
    "heads of 3": (unet(head_channels=3), "unet.head_channels is 3; it must divide 8, unet.channels"),
    "whole numbers": (unet(dtype="int32"), "unet.dtype is 'int32'; give one of float16"),
    "objects": (unet(dtype="object"), "unet.dtype is 'object'"),
    "a dtype of lists": (unet(dtype=[["f4"]]), "unet.dtype is"),
    "another setting": (unet(parent=None), "unet.parent is no setting of it; it has attention"),
    "images of two axes": (said(image_shape=[8, 8]), "image_shape is [8, 8]; give (height, width, channels)"),
    "images of 6 pixels": (said(image_shape=[8, 6, 1]), "both sides multiples of patch * 2^(levels - 1) = 4"),
    "images of no pixels": (said(image_shape=[0, 8, 1]), "image_shape is [0, 8, 1]"),
    "images of 10^12": (said(image_shape=[10**12, 8, 1]), "image_shape is [1000000000000, 8, 1]"),
    "images of 2^42": (said(image_shape=[2**14] * 3), "at most 268435456 numbers"),
    "an infinite mean": (said(mean=float("inf")), "mean is inf; give a number from -1e+18 to 1e+18"),
    "a mean that is none": (said(mean=float("nan")), "mean is nan"),
    "a mean in words": (said(mean="0"), "mean is '0'"),
    "a mean of 400 digits": (said(mean=10**400), "mean is 1000"),
    "no deviation": (said(std=0), "std is 0; give a number from 1e-18"),
    "a deviation of -1": (said(std=-1.0), "std is -1.0"),
    "a deviation whose square is 0": (said(std=1e-30), "std is 1e-30"),
    "another digest": (said(sha256="0" * 64), "their SHA-256 differs; copy it anew"),
    "a digest of numbers": (said(sha256=[1]), "their SHA-256 differs"),
    "without a mean": (lambda told: told.pop("mean"), "KeyError: 'mean'"),
    "without a network": (lambda told: told.pop("unet"), "it has no unet"),
}
TEXTS = {
    "a list 30,000 deep": ("[" * 30_000, "describes no network (RecursionError"),
    "a number of 5,000 digits": ('{"unet": {}, "mean": ' + "9" * 5_000 + "}", "describes no network"),
    "a description of 1 MB": ('{"unet": "' + "a" * 10**6 + '"}', "a text was expected"),
    "a list": ("[]", "it has no unet"),
    "words": ("a network", "describes no network"),
    "a number": (np.ones(3), "its network is float64 [3], and a text was expected"),
}


def deepened(arrays):
    """As many blocks as are allowed, and arrays as many as theirs."""
    told = json.loads(str(arrays["network"]))
    told["unet"].update(blocks=[16, 16])
    arrays.update({f"w{index}": np.ones(1) for index in range(700)}, network=np.asarray(json.dumps(told)))


def first(change):
    """Change the first parameter of a prior."""

    def changed(arrays):
        name = sorted(arrays.keys() - {"network"})[0]
        arrays[name] = change(arrays[name])

    return changed


WEIGHTS = {
    "NaN": (first(lambda a: a * np.nan), "are NaN or infinite"),
    "infinite": (first(lambda a: a + np.inf), "are NaN or infinite"),
    "too large for single precision": (first(lambda a: a.astype(float) + 1e300), "are NaN or infinite"),
    "complex": (first(lambda a: a.astype(complex)), "do not fit"),
    "text": (first(lambda a: a.astype(str)), "do not fit"),
    "whole numbers as weights": (first(lambda a: a.astype(int)), "do not fit"),
    "of one number more": (first(lambda a: np.append(a, a[0])), "do not fit"),
    "of another number": (first(lambda a: a + np.float16(1)), "their SHA-256 differs"),
    "1,000 arrays more": (lambda a: a.update({f"w{i}": np.ones(1) for i in range(1_000)}), "of 1000 do not fit"),
    "32 blocks of other arrays": (deepened, "do not fit"),
    "a name of 60 kB": (lambda a: a.update({"w" * 60_000: np.ones(1)}), "of 1 do not fit"),
}


def headed(shape="(4,)", descr="'<f4'", order="False", data=b"\0" * 16, version=1, length=None):
    """An `.npy` whose header says what it likes."""
    text = f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}".encode() + b"\n"
    size = struct.pack("<H" if version == 1 else "<I", len(text) if length is None else length)
    return b"\x93NUMPY" + bytes([version, 0]) + size + text + data


EMPTY = headed(f"({2**29},)", "'|u1'", data=b"")
FINE, LARGE = headed(), headed(f"({MEBIBYTE},)", "'|u1'", data=bytes(MEBIBYTE))


def one(data, method=STORED, name="a.npy", **lies):
    return lambda path: archive(path, member(name, data, method, **lies))


LIES = dict(size=len(FINE), packed=len(FINE), checksum=0, flags=0, method=DEFLATED, offset=None)


def two(*names):
    return lambda path: archive(path, *[member(name, FINE) for name in names])


def appended(path, data):
    archive(path, member("a.npy", FINE))
    path.write_bytes(path.read_bytes() + data)


# What is refused: how to write it, and words of the error.
ARRAYS = {
    "931 TiB": (one(headed(f"({2**50},)", "'|u1'"), DEFLATED), "and 16 bytes follow"),
    "931 TiB, plain": (lambda path: path.write_bytes(headed(f"({2**48},)")), "and 16 bytes follow"),
    "2^63 times 2^63": (one(headed(f"({2**63}, {2**63})")), "and 16 bytes follow"),
    "fewer than there are": (one(headed("(3,)")), "and 16 bytes follow"),
    "below 0": (one(headed("(-2, -2)")), "and 16 bytes follow"),
    "2^60 of no bytes": (one(headed(f"({2**60},)", "'<U0'", data=b"")), "and 0 bytes follow"),
    "a word of 2^31": (one(headed("()", "'<U500000000'")), "and 16 bytes follow"),
    "objects": (one(headed("(2,)", "'|O'")), "holds Python objects"),
    "objects within records": (one(headed("(1,)", "[('a', '<f8'), ('b', '|O')]")), "holds Python objects"),
    "a header of 4 GB as it says": (one(headed(version=2, length=2**32 - 1)), "takes 4294967295 bytes"),
    "a header of 512 MB": (
        lambda path: archive(path, bomb("a.npy", headed(version=2, length=2**29), b" ")),
        "the header of an array takes",
    ),
    "a header of brackets": (one(headed("(" * 9_000)), "cannot be read"),
    "a header of signs": (one(headed("-" * 9_000 + "1")), "cannot be read"),
    "a header of a call": (one(headed("__import__('os').system('touch it_ran')")), "cannot be read"),
    "another version": (one(headed(version=3)), "begins like no array"),
    "no array": (one(b"words"), "begins like no array"),
    "a pickle": (one(b"cos\nsystem\n(S'touch it_ran'\ntR."), "begins like no array"),
    "an archive": (one(b"PK\5\6" + bytes(18)), "begins like no array"),
    "2 GB as it says": (one(headed(f"({2**31},)", "'|u1'"), DEFLATED, size=2**31 + 80), "unpacked, and for a file of"),
    "2 GB stored as it says": (one(headed(f"({2**31},)", "'|u1'"), size=2**31, packed=2**31), "so they share some"),
    "512 MB as it says": (
        one(EMPTY, DEFLATED, size=2**29 + len(EMPTY)),
        "cannot be read",
    ),
    "512 MB where it says 16": (
        lambda path: archive(path, bomb("a.npy", FINE, b"a", size=len(FINE))),
        "there is more in it",
    ),
    "one byte more than it says": (one(FINE + b"a", DEFLATED, size=len(FINE)), "there is more in it"),
    "another checksum": (one(FINE, checksum=7), "checksum of 'a.npy' differs"),
    "a deflate that is none": (lambda path: archive(path, (b"a.npy", FINE, LIES)), "cannot be read"),
    "by bzip2": (one(FINE, BZIP2), "another method than numpy's"),
    "by lzma": (one(FINE, LZMA), "another method than numpy's"),
    "encrypted": (one(FINE, flags=1), "encrypted"),
    "a name twice": (two("a.npy", "a.npy"), "have the same name"),
    "a name with its suffix and without": (two("a.npy", "a"), "have the same name"),
    "a name that leads out": (two("b.npy", "../a.npy"), "leads out of the archive"),
    "a name that leads out of Windows": (two("b.npy", "..\\a.npy"), "leads out of the archive"),
    "a name of the root": (two("/etc/a.npy"), "leads out of the archive"),
    "1,000 arrays in one place": (
        lambda path: archive(path, *[member(f"{i}.npy", LARGE, offset=0 if i else None) for i in range(1_000)]),
        "so they share some",
    ),
    "20,000 arrays": (lambda path: archive(path, *[member(f"{i}.npy", FINE) for i in range(20_000)]), "at most 10000"),
    "a list of 300,000 arrays": (lambda path: long_list(path, 300_000), "list of members takes"),
    "another count": (lambda path: archive(path, member("a.npy", FINE), count=3), "it has 1 and says 3"),
    "nothing": (lambda path: path.write_bytes(b""), "not a zip file"),
    "cut off": (lambda path: appended(path, b"") or path.write_bytes(path.read_bytes()[:-30]), "not a zip file"),
    "more behind a plain array": (lambda path: path.write_bytes(FINE + b"a"), "and 17 bytes follow"),
    "the magic alone": (lambda path: path.write_bytes(b"\x93NUMPY"), "begins like no array"),
}  # fmt: skip

# What is read: arrays as numpy writes them.
HONEST = {
    "zeros": dict(a=np.zeros((64, MEBIBYTE), np.uint8)),
    "by columns": dict(a=np.arange(6.0).reshape(2, 3).T, b=np.asfortranarray(np.arange(24).reshape(2, 3, 4))),
    "one number, one word, none": dict(
        a=np.float32(3), b=np.asarray("words"), c=np.zeros((0, 3)), d=np.ones((2, 0, 2))
    ),
    "records": dict(a=np.array([(1, 2.5)], [("i", "i4"), ("f", "f8")])),
    "bytes of the other order": dict(a=np.arange(5, dtype=">i4"), b=np.array([True, False]), c=np.ones(2, complex)),
}


def rewritten(path, arrays, change):
    arrays = dict(arrays)
    change(arrays)
    np.savez(path, **arrays)


def described(path, arrays, change):
    told = json.loads(str(arrays["network"]))
    change(told)
    rewritten(path, arrays, lambda a: a.update(network=np.asarray(json.dumps(told))))


@pytest.fixture(scope="module")
def folder(saved, tmp_path_factory):
    arrays, folder = saved[2], tmp_path_factory.mktemp("arrays")
    for name, (change, _) in DESCRIPTIONS.items():
        described(folder / f"prior, {name}.npz", arrays, change)
    for name, (text, _) in TEXTS.items():
        rewritten(folder / f"prior, {name}.npz", arrays, lambda a, text=text: a.update(network=np.asarray(text)))
    for name, (change, _) in WEIGHTS.items():
        rewritten(folder / f"prior, {name}.npz", arrays, change)
    for name, (write, _) in ARRAYS.items():
        write(folder / f"{name}.npz")
    for name, contents in HONEST.items():
        np.savez_compressed(folder / f"{name}.npz", **contents)
    return folder


@pytest.fixture(scope="module")
def told(folder):
    return measured.measure("arrays", folder)


@pytest.mark.parametrize("name", [*DESCRIPTIONS, *TEXTS, *WEIGHTS])
def test_a_prior_is_refused_fast_and_in_little_memory(name, folder, told):
    path = folder / f"prior, {name}.npz"
    measured.check(told[path.name], path, path.stat().st_size, (DESCRIPTIONS | TEXTS | WEIGHTS)[name][1])


@pytest.mark.parametrize("name", [*ARRAYS, *HONEST])
def test_arrays_are_refused_or_read_fast_and_in_little_memory(name, folder, told):
    path = folder / f"{name}.npz"
    content = sum(np.asarray(array).nbytes for array in HONEST.get(name, {}).values())
    measured.check(told[path.name], path, content + path.stat().st_size, ARRAYS.get(name, (None, None))[1])


@pytest.mark.parametrize("name", HONEST)
def test_honest_arrays_are_read_as_they_are(name, folder):
    found = read_arrays(folder / f"{name}.npz", "arrays")
    assert found.keys() == HONEST[name].keys()
    for key, array in HONEST[name].items():
        assert found[key].dtype == array.dtype and found[key].shape == array.shape
        assert np.array_equal(found[key], array)


def test_nothing_was_run(told):
    assert told and not (measured.ROOT / "it_ran").exists()


def test_a_prior_is_saved_to_the_same_bytes_with_its_digest(saved, tmp_path):
    prior, path, arrays = saved
    save_prior(tmp_path / "again.npz", prior)
    assert (tmp_path / "again.npz").read_bytes() == path.read_bytes()
    with zipfile.ZipFile(path) as file:
        assert {member.date_time for member in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert len(json.loads(str(arrays["network"]))["sha256"]) == 64
    found = load_prior(path)
    assert found.network == prior.network
    assert jax.tree.all(jax.tree.map(np.array_equal, found.params, prior.params))


def test_a_prior_of_before_has_no_digest_and_is_read(saved, tmp_path):
    described(tmp_path / "before.npz", saved[2], lambda told: told.pop("sha256"))
    assert load_prior(tmp_path / "before.npz").network == NETWORK


def test_a_network_that_could_not_be_read_is_not_saved(tmp_path):
    deep = Preconditioned(UNet(channels=(8,), blocks=(65,), attention=(False,)), (8, 8, 1))
    with pytest.raises(ValueError, match=r"unet.blocks is \(65,\)"):
        save_prior(tmp_path / "deep.npz", ProxNet({}, deep))
    assert not list(tmp_path.iterdir())
