"""Files of PyTorch that run, grow or hang a reader that trusts them are refused or read, fast and in little memory."""

import pathlib

import numpy as np
import pytest
from security import measured
from security.archives import BZIP2, DEFLATED, LZMA, archive, bomb, long_list, member, wide_end
from security.programs import (
    BUILD,
    CALL,
    DICT,
    EMPTY,
    FALSE,
    ITEM,
    ITEMS,
    LIST,
    MARK,
    NONE,
    PERSISTENT,
    STOP,
    TUPLE,
    doubled,
    entry,
    get,
    named,
    number,
    ordered,
    program,
    put,
    several,
    storage,
    table,
    tensor,
    word,
)

from pgm_jax.networks.torch_weights import read_state_dict

MARKER = pathlib.Path("it_ran")
ONES = np.ones(4, np.float32).tobytes()
LARGE = bytes(2**20)
FOUR = tensor(storage(4), (2, 2), (2, 1))


def list_of(reference):
    return LIST + MARK + reference + reference + b"e"


def pair_of(reference):
    return reference + reference + b"\x86"


def dict_of(reference):
    return DICT + MARK + word("a") + reference + word("b") + reference + ITEMS


def called(module, name, argument="touch it_ran"):
    """A call among the tensors, which would leave the marker behind."""
    return program(table(a=FOUR, b=named(module, name) + word(argument) + b"\x85" + CALL))


def view(size, stride, offset=0, count=4):
    return program(table(a=tensor(storage(count), size, stride, offset)))


def reference(*parts):
    return program(table(a=tensor(several(*parts) + PERSISTENT, (4,), (1,))))


def many(value, count):
    """A dict with one value under many names."""
    return DICT + MARK + b"".join(word(str(index)) + value for index in range(count)) + ITEMS


# What is refused: a pickle beside a record "0" of four float32, and words of the error.
PICKLES = {
    "os.system": (called("os", "system"), "names os.system, which"),
    "posix.system": (called("posix", "system"), "names posix.system, which"),
    "subprocess": (called("subprocess", "call"), "names subprocess.call, which"),
    "eval": (called("builtins", "eval", "open('it_ran', 'w')"), "names builtins.eval, which"),
    "exec": (called("builtins", "exec", "open('it_ran', 'w')"), "names builtins.exec, which"),
    "eval of old": (called("__builtin__", "eval", "open('it_ran', 'w')"), "names __builtin__.eval, which"),
    "getattr": (called("builtins", "getattr"), "not run"),
    "a file": (called("pathlib", "Path.touch", "it_ran"), "names pathlib.Path.touch, which"),
    "numpy's rebuild": (called("numpy.core.multiarray", "_reconstruct"), "numpy.core.multiarray._reconstruct"),
    "torch.load": (called("torch", "load"), "names torch.load, which"),
    "a sparse tensor": (called("torch._utils", "_rebuild_sparse_tensor"), "_rebuild_sparse_tensor"),
    "an attribute of a known name": (called("torch", "FloatStorage.__init__"), "names torch.FloatStorage.__init__"),
    "a name of 100 kB": (called("a" * 100_000, "b"), "names aaaa"),
    "a name without a module": (called("", "system"), "names .system"),
    "a class by INST": (program(MARK + word("touch it_ran") + b"ios\nsystem\n"), "the step INST"),
    "a class by OBJ": (program(MARK + named("collections", "OrderedDict") + b"o"), "the step OBJ"),
    "a class by NEWOBJ": (program(named("collections", "OrderedDict") + EMPTY + b"\x81"), "the step NEWOBJ"),
    "a class by NEWOBJ_EX": (program(named("collections", "OrderedDict") + EMPTY + DICT + b"\x92"), "NEWOBJ_EX"),
    "a class by its number": (program(b"\x82\x01"), "the step EXT1"),
    "a name from the stack": (program(b"\x8c\x02os\x8c\x06system\x93"), "the step SHORT_BINUNICODE"),
    "a reference of text": (program(b"Pstorage\n"), "the step PERSID"),
    "attributes of a function": (
        program(named("torch._utils", "_rebuild_tensor_v2") + DICT + BUILD),
        "changes a Named",
    ),
    "attributes of a storage": (
        program(named("torch", "FloatStorage") + table(dtype=word("O")) + BUILD + STOP),
        "changes a Named",
    ),
    "attributes of a tensor": (program(FOUR + table(shape=EMPTY) + BUILD), "changes a ndarray"),
    "items of a function": (program(named("torch", "FloatStorage") + word("a") + NONE + ITEM), "changes a Named"),
    "items of a list": (program(LIST + number(0) + NONE + ITEM), "changes a list as if it were a dict"),
    "a list that is a dict": (program(DICT + NONE + b"a"), "changes a dict as if it were a list"),
    "a dict from pairs": (program(named("collections", "OrderedDict") + EMPTY + b"\x85" + CALL), "other arguments"),
    "a call of a word": (program(word("torch.FloatStorage") + EMPTY + CALL), "calls what is no function"),
    "a call with a list": (program(named("collections", "OrderedDict") + LIST + CALL), "calls what is no function"),
    "a call of a storage": (program(named("torch", "FloatStorage") + EMPTY + CALL), "other arguments"),
    "a parameter of a word": (
        program(named("torch._utils", "_rebuild_parameter") + word("a") + b"\x85" + CALL),
        "other arguments",
    ),
    "a tensor of a word": (
        program(named("torch._utils", "_rebuild_tensor_v2") + several(word("a"), number(0), EMPTY, EMPTY) + CALL),
        "other arguments",
    ),
    "one number, 4 GB": (view((10**9,), (0,)), "more than 2 times the bytes of its storages"),
    "one number, 2^62 times": (view((2**31, 2**31), (0, 0)), "more than 2 times the bytes"),
    "a size of 600 digits": (view((2**2000,), (0,)), "no number from 0 to"),
    "a stride whose bytes overflow": (view((9,), (2**61,)), "reaches to number"),
    "strides whose sum overflows": (view((2**31, 2**31), (2**62, 2**62)), "reaches to number"),
    "an offset that overflows": (view((2,), (1,), 2**63 - 1), "reaches to number"),
    "before the storage": (view((2,), (1,), -1), "no number from 0 to"),
    "backwards": (view((2,), (-1,), 3), "no number from 0 to"),
    "beyond the storage": (view((5,), (1,)), "reaches to number 4 of a storage of 4"),
    "of more strides than sizes": (view((2,), (1, 1)), "not of one length"),
    "of 40 axes": (view((1,) * 40, (1,) * 40), "not of one length, at most 32"),
    "of a size that is a word": (view(word("ab"), (1, 1)), "not of one length"),
    "of a size with a word": (view(several(word("a")), (1,)), "no number from 0 to"),
    "of a size that is true": (view(several(b"\x88"), (1,)), "no number from 0 to"),
    "none of 2^62": (view((0, 2**62, 2**62), (1, 1, 1)), "cannot be read"),
    "a size shared 40 times": (
        program(doubled(number(1), pair_of, 40), table(a=tensor(storage(4), get(40), (1, 1)))),
        "no number from 0 to",
    ),
    "a storage of 2^62": (view((1,), (1,), count=2**62), "takes 16 bytes, and not"),
    "a storage of too many": (view((1,), (1,), count=5), "takes 16 bytes, and not 20"),
    "a storage of too few": (view((1,), (1,), count=3), "takes 16 bytes, and 12 were expected"),
    "a storage of -1": (view((1,), (1,), count=-1), "no number from 0 to"),
    "a storage outside": (program(table(a=tensor(storage(4, "../../etc"), (4,), (1,)))), "has no record 'data/.."),
    "a storage of another kind": (program(storage(2, kind="ComplexFloatStorage")), "names torch.ComplexFloatStorage"),
    "a reference of one word": (program(table(a=word("storage") + PERSISTENT)), "something else than a storage"),
    "a reference of four": (reference(word("storage"), word("a"), word("0"), word("cpu")), "something else"),
    "a reference whose kind is a word": (
        reference(word("storage"), word("torch.FloatStorage"), word("0"), word("cpu"), number(4)),
        "something else than a storage of numbers",
    ),
    "a reference shared 40 times": (program(doubled(EMPTY, pair_of, 40), get(40), PERSISTENT), "something else"),
    "a key shared 40 times": (program(doubled(EMPTY, pair_of, 40), entry(get(40), FOUR)), "a key of a dict is a tuple"),
    "a key that is a dict": (program(entry(DICT, FOUR)), "a key of a dict is a dict"),
    "a key that is a tensor": (program(entry(FOUR, FOUR)), "a key of a dict is a ndarray"),
    "a key that is none": (program(entry(NONE, FOUR)), "a key of a dict is a NoneType"),
    "a dict that shares itself 40 times": (program(doubled(DICT, dict_of, 40), get(40)), "too many names"),
    "tensors of one name to 2^40": (program(doubled(FOUR, dict_of, 40), get(40)), "too many names"),
    "a dict within itself": (program(DICT + put(0) + word("a") + get(0) + ITEM), "more than 50 levels"),
    "dicts, 100,000 deep": (program((DICT + word("a")) * 100_000 + DICT + ITEM * 100_000), "more than 50 levels"),
    "a name of 10 MB before 10,000 others": (
        program(entry(word("n" * 10**7), many(DICT, 10_000))),
        "too many names",
    ),
    "300,000 numbers at 9,000 places": (program(many(NONE, 300_000), put(0), many(get(0), 9_000)), "too many names"),
    "100,000 tensors at 9,000 places": (
        program(FOUR, put(1), many(get(1), 100_000), put(0), many(get(0), 9_000)),
        "too many names",
    ),
    "a million empty lists and one": (program(LIST * 1_000_001), "more than 1000000 steps"),
    "a pickle of 17 MB": (program(word("a" * 17 * 2**20)), "takes 17825800 bytes"),
    "a number of 1 MB": (program(b"\x8b" + (2**20).to_bytes(4, "little") + b"\x7f" * 2**20), "the step LONG4"),
    "a number of 100,000 digits": (program(b"L" + b"9" * 100_000 + b"L\n"), "cannot be read"),
    "a word longer than the file": (program(b"X\xff\xff\xff\x7fa"), "cannot be read"),
    "a word of 2^60": (program(b"\x8d" + (2**60).to_bytes(8, "little") + b"a"), "cannot be read"),
    "bytes of 2^60": (program(b"\x96" + (2**60).to_bytes(8, "little") + b"a"), "cannot be read"),
    "a frame of 2^60": (program(b"\x95" + (2**60).to_bytes(8, "little")), "the step FRAME"),
    "a set": (program(b"\x8f"), "the step EMPTY_SET"),
    "a copy of the last": (program(DICT + b"2"), "the step DUP"),
    "no end": (b"\x80\x02}", "cannot be read"),
    "an end at once": (program(), "asks for what it has not made"),
    "what was never put": (program(get(7)), "asks for what it has not made"),
    "a tuple without a mark": (program(TUPLE), "asks for what it has not made"),
    "more than the stack has": (program(EMPTY + b"\x87"), "asks for what it has not made"),
    "a key without its value": (program(DICT + MARK + word("a") + ITEMS), "asks for what it has not made"),
    "a mark above the stack": (program(DICT + MARK + MARK + MARK + TUPLE + b"\x85" + ITEMS), "cannot be read"),
    "an unknown step": (program(b"\xff"), "cannot be read"),
    "no tensors": (program(table(epoch=number(3))), "holds no tensors"),
}  # fmt: skip


def saved(path, pickle, *records, method=0, folder="archive/", **lies):
    """Write an archive as torch does; the record "0" holds four ones unless others are given."""
    records = records or (member(f"{folder}data/0", ONES),)
    archive(path, member(f"{folder}data.pkl", pickle, method), *records, **lies)


FINE = program(table(a=FOUR))
LONG = view((2**48,), (1,), 0, 2**48)
ARCHIVES = {
    "a packed pickle": (lambda path: saved(path, FINE, method=DEFLATED), "is packed"),
    "a pickle packed 1000 to 1": (lambda path: archive(path, bomb("a/data.pkl", FINE[:-1], b"]")), "is packed"),
    "a packed storage": (
        lambda path: saved(path, view((2**18,), (1,), 0, 2**18), member("archive/data/0", LARGE, DEFLATED)),
        "is packed",
    ),
    "a storage by bzip2": (lambda path: saved(path, FINE, member("archive/data/0", ONES, method=BZIP2)), "cannot be"),
    "a storage by lzma": (lambda path: saved(path, FINE, member("archive/data/0", ONES, LZMA)), "is packed"),
    "a method without a name": (lambda path: saved(path, FINE, member("archive/data/0", ONES, 77)), "is packed"),
    "an encrypted storage": (lambda path: saved(path, FINE, member("archive/data/0", ONES, flags=1)), "encrypted"),
    "a storage of 2^50 as it says": (
        lambda path: saved(path, LONG, member("archive/data/0", ONES, size=2**50, packed=2**50)),
        "more bytes than the file",
    ),
    "a storage that unpacks to 2^50 as it says": (
        lambda path: saved(path, LONG, member("archive/data/0", ONES, size=2**50)),
        "is packed",
    ),
    "another checksum": (lambda path: saved(path, FINE, member("archive/data/0", ONES, checksum=7)), "Bad CRC-32"),
    "a record cut off": (lambda path: saved(path, FINE, member("archive/data/0", ONES, offset=10**6)), "cannot be"),
    "100 records in one place": (lambda path: saved(path, *shared_records(100)), "so they share some"),
    "two records of one name": (
        lambda path: saved(path, FINE, *[member("archive/data/0", ONES)] * 2),
        "the same name",
    ),
    "two pickles": (lambda path: saved(path, FINE, member("b/data.pkl", FINE)), "2 records data.pkl"),
    "no pickle": (lambda path: archive(path, member("archive/data/0", ONES)), "0 records data.pkl"),
    "a name that leads out": (lambda path: saved(path, FINE, folder="../"), "leads out of the archive"),
    "a name of the root": (lambda path: saved(path, FINE, folder="/"), "leads out of the archive"),
    "the other order": (lambda path: ordered_bytes(path, b"big"), "big-endian"),
    "a byte order of 1 MB": (lambda path: ordered_bytes(path, LARGE), "16 were expected"),
    "a list of 300,000 members": (lambda path: long_list(path, 300_000), "list of members takes"),
    "100,000 members in one place": (lambda path: long_list(path, 100_000), "cannot be read"),
    "fewer members than it says": (lambda path: saved(path, FINE, count=9), "has 2 and says 9"),
    "a list of 4 GB as it says": (lambda path: saved(path, FINE, length=2**32 - 2), "list of members takes"),
    "a list before the file": (lambda path: saved(path, FINE, length=60, begin=2**31), "cannot be"),
    "an end record elsewhere": (lambda path: saved(path, FINE, end=wide_end(2, 200, 0, 2**60)), "members is damaged"),
    "a wide end of 2^60": (lambda path: wide(path, 2**60), "list of members takes"),
    "a comment like an end": (lambda path: saved(path, FINE, comment=b"PK\5\6" + bytes(9)), "is not a zip archive"),
    "nothing": (lambda path: path.write_bytes(b""), "is not a zip archive"),
    "a pickle alone": (lambda path: path.write_bytes(called("os", "system")), "is not a zip archive"),
    "the end alone": (lambda path: path.write_bytes(b"PK\5\6" + bytes(18)), "0 records data.pkl"),
}  # fmt: skip


def shared_records(count):
    """A pickle of `count` storages, whose records are one megabyte in one place."""
    entries = {f"t{i}": tensor(storage(2**18, str(i)), (2**18,), (1,)) for i in range(count)}
    pickle = program(table(**entries))
    begin = 30 + len("archive/data.pkl") + len(pickle)
    first = member("archive/data/0", LARGE)
    return pickle, first, *(member(f"archive/data/{i}", LARGE, offset=begin) for i in range(1, count))


def ordered_bytes(path, order):
    saved(path, FINE, member("archive/data/0", ONES), member("archive/byteorder", order))


def wide(path, length):
    saved(path, FINE)
    place = path.stat().st_size - 22
    saved(path, FINE, end=wide_end(2, length, 0, place))


SHARED = {"a": tensor(storage(2**18), (2**18,), (1,)), "b": tensor(storage(2**18), (512, 512), (512, 1))}
WIDE = 2**24
PRIME = 2**61 - 1
# What is read: a pickle, its record "0", and shapes of the tensors by name.
HONEST = {
    "a memo of 2^26": (program(table(a=FOUR + put(2**26), b=get(2**26))), ONES, dict(a=(2, 2), b=(2, 2))),
    "a memo of 2^32 - 1": (program(table(a=FOUR + put(2**32 - 1))), ONES, dict(a=(2, 2))),
    "lists shared 40 times": (program(doubled(LIST, list_of, 40), table(a=FOUR, b=get(40))), ONES, dict(a=(2, 2))),
    "tuples shared 40 times": (program(doubled(EMPTY, pair_of, 40), table(a=FOUR, b=get(40))), ONES, dict(a=(2, 2))),
    "lists, 100,000 deep": (program(table(a=FOUR, b=LIST * 100_000 + b"a" * 99_999)), ONES, dict(a=(2, 2))),
    "numbers as names whose hashes agree": (
        program(DICT + MARK + b"".join(number(i * PRIME) + NONE for i in range(2, 100_000)) + word("a") + FOUR + ITEMS),
        ONES,
        dict(a=(2, 2)),
    ),
    "weights shared by two layers": (program(table(**SHARED)), LARGE, dict(a=(2**18,), b=(512, 512))),
    "one number as a mask": (view((1024, 1024), (0, 0)), ONES, dict(a=(1024, 1024))),
    "a checkpoint": (
        program(table(
            state_dict=ordered(table(_metadata=ordered()), word("conv.weight") + FOUR + ITEM),
            epoch=number(3),
            optimizer=table(state=entry(number(0), table(step=number(2**70), average=FOUR)), groups=LIST + DICT + b"a"),
            loss=b"G?\xf0\0\0\0\0\0\0",
        )),
        ONES,
        {"state_dict.conv.weight": (2, 2), "optimizer.state.0.average": (2, 2)},
    ),
    "attributes that are ignored": (
        program(table(a=ordered(NONE + table(__class__=word("b")) + b"\x86", word("b") + FOUR + ITEM))),
        ONES,
        {"a.b": (2, 2)},
    ),
    "a parameter": (
        program(table(a=named("torch._utils", "_rebuild_parameter") + several(FOUR, FALSE, ordered()) + CALL)),
        ONES,
        dict(a=(2, 2)),
    ),
    "9,000 tensors": (program(many(FOUR, 9_000)), ONES, {str(index): (2, 2) for index in range(9_000)}),
    "64 MB": (view((WIDE,), (1,), 0, WIDE), bytes(4 * WIDE), dict(a=(WIDE,))),
    "no numbers": (view((0, 3), (3, 1), 0, 0), b"", dict(a=(0, 3))),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("torch")
    for name, (pickle, _) in PICKLES.items():
        saved(folder / f"{name}.pth", pickle)
    for name, (write, _) in ARCHIVES.items():
        write(folder / f"{name}.pth")
    for name, (pickle, record, _) in HONEST.items():
        saved(folder / f"{name}.pth", pickle, member("archive/data/0", record))
    return folder


@pytest.fixture(scope="module")
def told(folder):
    return measured.measure("torch", folder)


@pytest.mark.parametrize("name", [*PICKLES, *ARCHIVES, *HONEST])
def test_a_file_is_refused_or_read_fast_and_in_little_memory(name, folder, told):
    path = folder / f"{name}.pth"
    words = PICKLES[name][1] if name in PICKLES else ARCHIVES[name][1] if name in ARCHIVES else None
    measured.check(told[path.name], path, path.stat().st_size, words)


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_file_is_read_as_it_is(name, folder):
    _, record, shapes = HONEST[name]
    found = read_state_dict(folder / f"{name}.pth")
    assert {key: array.shape for key, array in found.items()} == shapes
    for array in list(found.values())[:9]:
        assert array.dtype == np.float32 and array.flags.owndata and array.flags.writeable
        assert (array == np.frombuffer(record[:4] or b"\0\0\0\0", np.float32)).all()


def test_nothing_was_run(told):
    assert told and not (measured.ROOT / MARKER).exists()
