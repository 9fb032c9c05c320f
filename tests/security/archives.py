"""Zip archives written by hand, so that any field of them can lie."""

import struct
import zlib

STORED, DEFLATED, BZIP2, LZMA = 0, 8, 12, 14


def member(name, data, method=STORED, **lies):
    """A member: its name and packed bytes, with fields that lie: size, packed, checksum, flags, offset, method."""
    packed = data
    if method == DEFLATED:
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        packed = packer.compress(data) + packer.flush()
    fields = dict(size=len(data), packed=len(packed), checksum=zlib.crc32(data), flags=0, method=method, offset=None)
    return name.encode(), packed, fields | lies


def bomb(name, head, byte, **lies):
    """A member that unpacks to `head` and 512 MiB of one byte."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    begin = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    mebibyte = packer.compress(byte * 2**20) + packer.flush(zlib.Z_FULL_FLUSH)  # knows nothing of what was before
    packed = begin + 512 * mebibyte + packer.flush()
    fields = dict(size=len(head) + 2**29, packed=len(packed), checksum=0, flags=0, method=DEFLATED, offset=None)
    return name.encode(), packed, fields | lies


def archive(path, *members, count=None, length=None, begin=None, end=b"", comment=b""):
    """Write an archive; `count`, `length` and `begin` of the list of members lie, `end` comes before its end record."""
    body, listing = bytearray(), []
    for name, packed, f in members:
        offset = len(body) if f["offset"] is None else f["offset"]
        wide = f["size"] >= 2**32 or f["packed"] >= 2**32
        extra = struct.pack("<HHQQ", 1, 16, f["size"], f["packed"]) if wide else b""
        sizes = (2**32 - 1,) * 2 if wide else (f["packed"], f["size"])
        common = struct.pack("<HHHHHIII", 45, f["flags"], f["method"], 0, 33, f["checksum"], *sizes)
        place = struct.pack("<HHHHHII", len(name), len(extra), 0, 0, 0, 0, offset)
        listing.append(b"PK\1\2" + struct.pack("<H", 45) + common + place + name + extra)
        if f["offset"] is None:
            body += b"PK\3\4" + common + struct.pack("<HH", len(name), len(extra)) + name + extra + packed
    listed = b"".join(listing)
    shown = min(len(members), 2**16 - 1) if count is None else count
    record = struct.pack(
        "<HHHHIIH",
        0,
        0,
        shown,
        shown,
        len(listed) if length is None else length,
        len(body) if begin is None else begin,
        len(comment),
    )
    path.write_bytes(bytes(body) + listed + end + b"PK\5\6" + record + comment)


def wide_end(count, length, begin, place):
    """The longer end record of an archive and its locator, which says that the record is at `place`."""
    record = b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, count, count, length, begin)
    return record + b"PK\6\7" + struct.pack("<IQI", 0, place, 1)


def long_list(path, count):
    """Write an archive of which `count` members are one and the same, whose list is long."""
    head = struct.pack("<HHHHHIIIHH", 45, 0, 0, 0, 33, 0, 0, 0, 8, 0)
    body = b"PK\3\4" + head + b"00000000"
    common = b"PK\1\2" + struct.pack("<H", 45) + head[:24] + struct.pack("<HHHHHII", 8, 0, 0, 0, 0, 0, 0)
    listed = b"".join(common + b"%08d" % index for index in range(count))
    end = wide_end(count, len(listed), len(body), len(body) + len(listed))
    shown = min(count, 2**16 - 1)
    record = struct.pack("<HHHHIIH", 0, 0, shown, shown, len(listed), len(body), 0)
    path.write_bytes(body + listed + end + b"PK\5\6" + record)
