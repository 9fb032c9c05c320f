"""Files of PyTorch are read as data: tensors of any layout and type, and nothing that they name is run."""

import collections
import os
import pickle
import sys
import types
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest

from pgm_jax.networks.torch_weights import read_state_dict


class Storage:
    """What a file refers to as ("storage", type, key, place, count)."""

    def __init__(self, kind, key, numbers):
        self.kind, self.key, self.numbers = kind, key, numbers


class Tensor:
    """A view of a storage; pickled, it is a call of torch's own function."""

    def __init__(self, storage, offset, size, stride):
        self.arguments = storage, offset, size, stride, False, collections.OrderedDict()

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.arguments


class Parameter:
    def __init__(self, data):
        self.arguments = data, True, collections.OrderedDict()

    def __reduce__(self):
        return sys.modules["torch._utils"]._rebuild_parameter, self.arguments


class Call:
    """Pickled, a call of any function."""

    def __init__(self, function, *arguments):
        self.called = function, arguments

    def __reduce__(self):
        return self.called


@pytest.fixture
def torch(monkeypatch):
    """Modules with torch's names, so that pickle writes those names."""
    package, inner = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in ("_rebuild_tensor_v2", "_rebuild_parameter", "_rebuild_sparse_tensor"):
        function = types.FunctionType((lambda *_: None).__code__, {}, name)
        function.__module__, function.__qualname__ = "torch._utils", name
        setattr(inner, name, function)
    for name in ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool", "ComplexFloat"):
        setattr(package, f"{name}Storage", type(f"{name}Storage", (), {"__module__": "torch"}))
    monkeypatch.setitem(sys.modules, "torch", package)
    monkeypatch.setitem(sys.modules, "torch._utils", inner)
    return package


def save(path, tree, order=b"little", folder="archive", without=()):
    """Write a file of the format."""
    storages = {}

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            if not isinstance(value, Storage):
                return None
            storages[value.key] = value.numbers
            return "storage", getattr(sys.modules["torch"], value.kind), value.key, "cuda:0", len(value.numbers)

    with zipfile.ZipFile(path, "w") as archive:
        with archive.open(f"{folder}/data.pkl", "w") as file:
            Pickler(file, protocol=2).dump(tree)
        archive.writestr(f"{folder}/byteorder", order)
        for key, numbers in storages.items():
            if key not in without:
                archive.writestr(f"{folder}/data/{key}", np.asarray(numbers).tobytes())
    return path


NUMBERS = np.arange(24, dtype=np.float32)


def tensor(storage=None, offset=0, size=(2, 3, 4), stride=(12, 4, 1)):
    return Tensor(storage or Storage("FloatStorage", "0", NUMBERS), offset, size, stride)


def test_views_of_one_storage(torch, tmp_path):
    storage = Storage("FloatStorage", "0", NUMBERS)
    tree = collections.OrderedDict(
        plain=tensor(storage),
        transposed=tensor(storage, 0, (4, 3, 2), (1, 4, 12)),
        part=tensor(storage, 4, (2, 2, 2), (12, 4, 2)),
        number=tensor(storage, 5, (), ()),
        spread=tensor(storage, 1, (3, 2), (1, 0)),
        empty=tensor(storage, 24, (0, 3), (3, 1)),
        parameter=Parameter(tensor(storage, 2, (2,), (1,))),
    )
    cube = NUMBERS.reshape(2, 3, 4)
    expected = {
        "plain": cube,
        "transposed": cube.transpose(2, 1, 0),
        "part": cube[:, 1:, ::2],
        "number": np.float32(5),
        "spread": np.array([[1, 1], [2, 2], [3, 3]], np.float32),
        "empty": np.zeros((0, 3), np.float32),
        "parameter": NUMBERS[2:4],
    }
    found = read_state_dict(save(tmp_path / "w.pth", tree))
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert isinstance(found[name], np.ndarray) and found[name].flags.c_contiguous and found[name].flags.owndata
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], array, strict=True)


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        ("FloatStorage", "<f4"),
        ("DoubleStorage", "<f8"),
        ("HalfStorage", "<f2"),
        ("BFloat16Storage", jnp.bfloat16),
        ("LongStorage", "<i8"),
        ("IntStorage", "<i4"),
        ("ShortStorage", "<i2"),
        ("CharStorage", "i1"),
        ("ByteStorage", "u1"),
        ("BoolStorage", "?"),
    ],
)
def test_types(torch, tmp_path, kind, dtype):
    numbers = np.array([1, 0, 3, 100]).astype(dtype)
    path = save(tmp_path / "w.pth", {"a": tensor(Storage(kind, "7", numbers), 1, (3,), (1,))}, folder="any name")
    found = read_state_dict(str(path))["a"]
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(found, numbers[1:])


def test_dicts_within_dicts_are_joined_and_the_rest_is_skipped(torch, tmp_path):
    inner = collections.OrderedDict({"conv.weight": tensor()})
    inner._metadata = collections.OrderedDict({"": {"version": 1}})
    path = save(tmp_path / "w.pth", {"state_dict": inner, "epoch": 3, "names": ["a", None, 0.5]})
    assert list(read_state_dict(path)) == ["state_dict.conv.weight"]


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (os.system, "system"),
        (eval, "eval"),
        (getattr, "getattr"),
        (os.path.exists, "exists"),
        (np.fromfile, "fromfile"),
    ],
)
def test_a_program_in_the_file_is_refused_and_not_run(torch, tmp_path, monkeypatch, function, name):
    witness = tmp_path / "it ran"
    program = {"system": f"touch '{witness}'", "eval": f"open({str(witness)!r}, 'w')"}.get(name, str(witness))
    path = save(tmp_path / "w.pth", {"a": tensor(), "b": Call(function, program)})
    with pytest.raises(ValueError, match=rf"names \w+\.{name}, which .* not run"):
        read_state_dict(path)
    assert not witness.exists()
    # The file does what it is accused of: elsewhere it runs.
    if name in ("system", "eval"):
        pickle.loads(pickle.dumps(Call(function, program)))
        assert witness.exists()


def test_a_file_cannot_change_what_the_reader_knows(torch, tmp_path):
    """A pickle may set attributes of what it has found: here of a type of storage."""

    program = b"\x80\x02ctorch\nFloatStorage\n}X\x05\x00\x00\x00dtypeK\x01sb."
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("archive/data.pkl", program)
    with pytest.raises(ValueError, match="cannot be read"):
        read_state_dict(tmp_path / "w.pth")
    np.testing.assert_array_equal(
        read_state_dict(save(tmp_path / "v.pth", {"a": tensor()}))["a"], NUMBERS.reshape(2, 3, 4)
    )


def test_files_that_cannot_be_read(torch, tmp_path):
    sparse = sys.modules["torch._utils"]._rebuild_sparse_tensor
    short = Storage("FloatStorage", "0", NUMBERS[:5])
    alien = Storage("ComplexFloatStorage", "0", NUMBERS)
    cases = {
        "no tensors": (lambda path: save(path, {"epoch": 3}), "holds no tensors"),
        "an unknown kind of tensor": (
            lambda path: save(path, {"a": Call(sparse, 1)}),
            r"torch\._utils\._rebuild_sparse_tensor",
        ),
        "an unknown type": (lambda path: save(path, {"a": tensor(alien)}), r"torch\.ComplexFloatStorage"),
        "a view beyond its storage": (
            lambda path: save(path, {"a": tensor(short)}),
            "w.pth cannot be read.*number 23 of a storage of 5",
        ),
        "a view before its storage": (
            lambda path: save(path, {"a": tensor(None, -2, (2,), (1,))}),
            "w.pth cannot be read",
        ),
        "a storage that is not there": (
            lambda path: save(path, {"a": tensor()}, without="0"),
            "cannot be read.*data/0",
        ),
        "the other byte order": (lambda path: save(path, {"a": tensor()}, order=b"big"), "big-endian"),
        "the old format": (lambda path: path.write_bytes(pickle.dumps(0x1950A86A20F9469CFC6C)), "convert.*torch.save"),
        "another archive": (lambda path: zipfile.ZipFile(path, "w").writestr("a.txt", "a"), "0 records data.pkl"),
    }
    for name, (write, words) in cases.items():
        path = tmp_path / name / "w.pth"
        path.parent.mkdir()
        write(path)
        with pytest.raises(ValueError, match=words):
            read_state_dict(path)
    with pytest.raises(FileNotFoundError):
        read_state_dict(tmp_path / "none.pth")


def test_a_damaged_file(torch, tmp_path):
    path = save(tmp_path / "w.pth", {"a": tensor()})
    with zipfile.ZipFile(path) as archive:
        program = archive.read("archive/data.pkl")
    for length in range(0, len(program), 9):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", program[:length])
        with pytest.raises(ValueError, match="cannot be read|not a zip"):
            read_state_dict(path)
