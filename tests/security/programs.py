"""Pickles of protocol 2 written step by step, as torch writes those of its files and as an attacker would."""

import struct

CALL, ITEM, ITEMS, TUPLE, PERSISTENT, BUILD, STOP = b"R", b"s", b"u", b"t", b"Q", b"b", b"."
NONE, FALSE, MARK, DICT, LIST, EMPTY = b"N", b"\x89", b"(", b"}", b"]", b")"


def program(*steps):
    return b"\x80\x02" + b"".join(steps) + STOP


def word(text):
    data = text.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value):
    if isinstance(value, bytes):
        return value
    if -(2**31) <= value < 2**31:
        return b"J" + struct.pack("<i", value)
    data = value.to_bytes((value.bit_length() + 8) // 8, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def named(module, name):
    return f"c{module}\n{name}\n".encode()


def several(*parts):
    return MARK + b"".join(parts) + TUPLE


def numbers(values):
    return values if isinstance(values, bytes) else several(*map(number, values))


def put(index):
    return b"r" + struct.pack("<I", index)


def get(index):
    return b"j" + struct.pack("<I", index)


def storage(count, key="0", kind="FloatStorage"):
    return several(word("storage"), named("torch", kind), word(key), word("cpu"), number(count)) + PERSISTENT


def tensor(held, size, stride, offset=0):
    rest = FALSE + named("collections", "OrderedDict") + EMPTY + CALL
    arguments = several(held, number(offset), numbers(size), numbers(stride), rest)
    return named("torch._utils", "_rebuild_tensor_v2") + arguments + CALL


def table(**entries):
    """A dict of words to what the steps make."""
    return DICT + MARK + b"".join(word(key) + value for key, value in entries.items()) + ITEMS


def entry(key, value):
    """A dict of one entry, whose key is made by steps."""
    return DICT + key + value + ITEM


def ordered(state=b"", entries=b""):
    return named("collections", "OrderedDict") + EMPTY + CALL + entries + (state + BUILD if state else b"")


def doubled(first, join, times):
    """`first`, then `join` of it with itself, and so on: as many steps as `times`, and 2^times leaves."""
    steps = first + put(0)
    for index in range(times):
        steps += join(get(index)) + put(index + 1)
    return steps
