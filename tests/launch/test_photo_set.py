"""Photographs out of packages: every container is read back, and a damaged or hostile one is told and ends nothing."""

import hashlib
import io
import json
import lzma
import os
import re
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib

import numpy as np
import pytest
from PIL import Image

from launch import photo_set
from launch.photo_packages import UnreadablePackage, read_entry, read_members
from launch.photo_set import Photo, prepare_photos, read_manifest

LICENCES = """
public-domain CC0-1.0 CC-BY-2.0 CC-BY-3.0 CC-BY-4.0 CC-BY-SA-3.0 CC-BY-SA-4.0 BSD-2-Clause BSD-3-Clause MIT
GPL-2.0-or-later LGPL-3.0-only
""".split()
PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)


def png(pixels=PIXELS, **settings):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", **settings)
    return file.getvalue()


def tar(files, mode, **settings):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=f"w:{mode}", **settings) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


def ar(**parts):
    """An `ar` archive, which a .deb is."""
    data = b"!<arch>\n"
    for name, part in {"debian_binary": b"2.0\n", **parts}.items():
        data += f"{name.replace('_', '.'):16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(part):<10}`\n".encode()
        data += part + b"\n" * (len(part) % 2)
    return data


def rcc(name, data, packed=False, folders=("photos",)):
    """A resource file of Qt with one file in folders."""
    names, places = b"", []
    for part in (*folders, name):
        places.append(len(names))
        names += struct.pack(">HI", len(part), 0) + part.encode("utf-16-be")
    stored = struct.pack(">I", len(data)) + zlib.compress(data) if packed else data
    contents = struct.pack(">I", len(stored)) + stored
    nodes = [struct.pack(">IHIIQ", 0, 2, 1, 1, 0)]
    nodes += [struct.pack(">IHIIQ", place, 2, 1, i + 2, 0) for i, place in enumerate(places[:-1])]
    nodes += [struct.pack(">IHIIQ", places[-1], int(packed), 0, 0, 0)]
    tree = 24 + len(contents)
    begins = struct.pack(">4I", 3, tree, 24, tree + 22 * len(nodes))
    return b"qres" + begins + bytes(4) + contents + b"".join(nodes) + names


def edj(name, data, flags=0):
    """An Eet file of Enlightenment with one entry."""
    head = b"\x1e\xe7\x0f\x42" + struct.pack(">2I", 1, 0)
    entry = struct.pack(">6I", 36 + len(name) + 1, len(data), len(data), 36, len(name) + 1, flags)
    return head + entry + name.encode() + b"\0" + data


def entry(name, file, data, package="sky-data", source="debian", size=(8, 6), to=(4, 3)):
    version, digest = "1:2.0-1" if source == "debian" else "2.0", hashlib.sha256(data).hexdigest()
    photo = Photo(name, source, package, version, file, digest, "Ada Löwe", "CC0-1.0", list(size), list(to))
    return photo._asdict()


@pytest.fixture
def packages(tmp_path):
    """A folder with a .deb of three pictures, a wheel and a sdist of one each; and the manifest of them."""
    picture, other = png(), png(255 - PIXELS)
    files = {
        "./usr/share/sky.png": picture,
        "./usr/share/sky.rcc": rcc("sky.png", other),
        "./usr/share/sky.edj": edj("edje/images/0", picture),
    }
    folder = tmp_path / "packages"
    folder.mkdir()
    (folder / "sky-data_1%3a2.0-1_all.deb").write_bytes(ar(control_tar_xz=b"odd", data_tar_xz=tar(files, "xz")))
    with zipfile.ZipFile(folder / "sky_pie-2.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr("sky/pie.png", other)
    (folder / "sky.cake-2.0.tar.gz").write_bytes(tar({"sky.cake-2/sky/cake.png": other}, "gz"))
    (tmp_path / "manifest.json").write_text(
        json.dumps(
            [
                entry("sky-data__plain", "usr/share/sky.png", picture),
                entry("sky-data__qt", "usr/share/sky.rcc!photos/sky.png", other, to=(8, 6)),
                entry("sky-data__eet", "usr/share/sky.edj!edje/images/0", picture, to=(8, 6)),
                entry("sky-pie__pie", "sky/pie.png", other, "sky-pie", "pypi", to=(8, 6)),
                entry("sky-cake__cake", "sky/cake.png", other, "sky-cake", "pypi", to=(8, 6)),
            ]
        )
    )
    return folder


@pytest.fixture
def call(tmp_path, packages):
    return lambda source=packages: prepare_photos(tmp_path / "out", source, tmp_path / "manifest.json")


def test_the_photographs_are_those_of_the_packages(call, tmp_path, capsys):
    result = call()
    assert len(result.written) == 5 and not result.there and not result.missing
    out = tmp_path / "out"
    reduced = Image.fromarray(PIXELS).resize((4, 3), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(Image.open(out / "sky-data__plain.png"), reduced)
    np.testing.assert_array_equal(Image.open(out / "sky-data__eet.png"), PIXELS)
    for name in ("sky-data__qt", "sky-pie__pie", "sky-cake__cake"):
        np.testing.assert_array_equal(Image.open(out / f"{name}.png"), 255 - PIXELS)
    said, credited = capsys.readouterr().out, (out / "CREDITS.txt").read_text(encoding="utf-8")
    assert "Wrote 5 photographs" in said
    assert "sky-data__qt.png: Ada Löwe; CC0-1.0; sky-data 1:2.0-1, usr/share/sky.rcc!photos/sky.png\n" in credited
    assert len(list(out.iterdir())) == 6 and credited.count(".png: ") == 5


def test_what_is_there_and_whole_stays(call, tmp_path, packages):
    call()
    out = tmp_path / "out"
    (out / "sky-data__qt.png").write_bytes((out / "sky-data__qt.png").read_bytes()[:-20])
    damaged = bytearray((out / "sky-data__eet.png").read_bytes())
    damaged[60] ^= 1
    (out / "sky-data__eet.png").write_bytes(damaged)
    (out / "sky-pie__pie.png").unlink()
    Image.new("RGB", (5, 5)).save(out / "sky-cake__cake.png")
    before = (out / "sky-data__plain.png").stat().st_mtime_ns
    result = call()
    assert sorted(result.written) == ["sky-cake__cake", "sky-data__eet", "sky-data__qt", "sky-pie__pie"]
    assert result.there == ["sky-data__plain"] and (out / "sky-data__plain.png").stat().st_mtime_ns == before
    for package in packages.iterdir():
        package.unlink()
    assert len(call().there) == 5


def test_a_package_that_is_gone_ends_nothing(call, packages, tmp_path, capsys):
    for package in packages.glob("sky-data*"):
        package.unlink()
    with pytest.raises(ValueError, match=r"Only 2 of 5 .* --source=FOLDER .* sky-data 1:2.0-1\."):
        call()
    assert "sky-data 1:2.0-1: no such package in the folder: sky-data__plain, " in capsys.readouterr().out
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {"CREDITS.txt", "sky-cake__cake.png", "sky-pie__pie.png"}


def test_few_that_are_missing_are_told(call, packages, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(photo_set, "ENOUGH", 0.8)
    listed = json.loads((tmp_path / "manifest.json").read_text())
    listed[1]["sha256"] = listed[0]["sha256"]
    (tmp_path / "manifest.json").write_text(json.dumps(listed))
    result = call()
    assert "SHA-256 differs" in result.missing["sky-data__qt"] and len(result.written) == 4
    assert "sky-data__qt" in capsys.readouterr().out
    assert "sky-data__qt" not in (tmp_path / "out" / "CREDITS.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("version", ["1%3a3.0-1", "2.0-2"])
def test_another_version_serves_where_its_pictures_are_the_same(call, packages, capsys, version):
    (packages / "sky-data_1%3a2.0-1_all.deb").rename(packages / f"sky-data_{version}_all.deb")
    assert len(call().written) == 5
    assert "is taken for sky-data 1:2.0-1" in capsys.readouterr().out


def test_turned_pictures_are_written_upright(call, packages, tmp_path):
    exif = Image.Exif()
    exif[274] = 6  # a quarter turn clockwise
    data = png(exif=exif)
    (packages / "sky-data_2.0-1_all.deb").write_bytes(ar(data_tar_gz=tar({"usr/a.png": data}, "gz")))
    listed = [entry("a", "usr/a.png", data, to=(6, 8))]
    (tmp_path / "manifest.json").write_text(json.dumps(listed))
    (packages / "sky-data_1%3a2.0-1_all.deb").unlink()
    call()
    with Image.open(tmp_path / "out" / "a.png") as image:
        np.testing.assert_array_equal(image, np.rot90(PIXELS, -1))
        assert not image.getexif()


def test_packages_are_downloaded_by_the_clients(call, packages, tmp_path, monkeypatch):
    commands = []

    def run(command, cwd, **_):
        commands.append(" ".join(command[command.index("download") :]))
        if "=" in command[-1] and "apt-get" in command:  # this version is offered no more
            return subprocess.CompletedProcess(command, 100, "", "W: old\nE: Version not found")
        (name,) = (path.name for path in packages.iterdir() if path.name.startswith(re.split("[=-]", command[-1])[0]))
        (cwd / name).write_bytes((packages / name).read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    for path in packages.glob("sky.cake*"):
        path.unlink()
    for path in packages.glob("sky_pie*"):
        path.rename(packages / "pie-2.0-py3-none-any.whl")
    listed = json.loads((tmp_path / "manifest.json").read_text())[:4]
    listed[3]["package"] = "pie"
    (tmp_path / "manifest.json").write_text(json.dumps(listed))
    monkeypatch.setattr(photo_set, "WHEELS", dict(pie="3.8"))
    monkeypatch.setattr(photo_set.subprocess, "run", run)
    monkeypatch.setattr(photo_set.shutil, "which", str)
    assert len(call(None).written) == 4
    assert commands[:2] == ["download sky-data=1:2.0-1", "download sky-data"]
    assert commands[2].startswith("download --no-deps --only-binary=:all:") and commands[2].endswith("pie==2.0")


def test_without_apt_the_packages_are_named(call, tmp_path, monkeypatch):
    monkeypatch.setattr(photo_set.shutil, "which", lambda _: None)
    with pytest.raises(FileNotFoundError, match=r"no apt-get .* --source=FOLDER: sky-cake 2.0, sky-data .*, sky-p"):
        call(None)
    assert not (tmp_path / "out").exists()


def patched(data, place, *numbers):
    """The same bytes with other numbers of four bytes each."""
    return data[:place] + struct.pack(f">{len(numbers)}I", *numbers) + data[place + 4 * len(numbers) :]


QT, EET = rcc("a.png", b"picture", folders=()), edj("a.png", b"picture")
TREE = struct.unpack_from(">I", QT, 8)[0]
HUGE = 2**32 - 1


@pytest.mark.parametrize("data", [QT, EET, rcc("a.png", b"picture", packed=True, folders=())])
def test_entries_are_read_back(data):
    assert read_entry(data, "a.png") == b"picture"
    for name in ("b.png", "a.png/b", ""):
        with pytest.raises(ValueError, match="container|folder"):
            read_entry(data, name)


@pytest.mark.parametrize("data", [QT, EET], ids=["qt", "eet"])
def test_cut_containers_are_told(data):
    for length in range(len(data)):
        with pytest.raises(ValueError, match="container|neither"):
            read_entry(data[:length], "a.png")


@pytest.mark.parametrize(
    "data",
    [
        patched(QT, 8, HUGE),  # the tree is elsewhere
        patched(QT, 24, HUGE),  # the file is longer
        patched(QT, TREE + 6, HUGE, HUGE),  # the folder has more children
        patched(QT, TREE + 22, HUGE),  # the name is elsewhere
        patched(EET, 12, HUGE),  # the entry is elsewhere
        patched(EET, 16, HUGE),  # it is longer
        patched(EET, 24, HUGE, HUGE),  # its name is
        patched(patched(EET, 4, HUGE), 24, 36, 2),  # there are more entries
    ],
)
def test_hostile_lengths_in_containers_are_refused(data):
    with pytest.raises(ValueError, match="the container has .* bytes and says"):
        read_entry(data, "a.png")


def test_what_is_packed_in_another_way_is_told():
    with pytest.raises(ValueError, match="packed"):
        read_entry(edj("a.png", b"picture", flags=1), "a.png")
    with pytest.raises(ValueError, match="packed"):
        read_entry(QT[: TREE + 26] + struct.pack(">H", 4) + QT[TREE + 28 :], "a.png")
    damaged = bytearray(rcc("a.png", b"picture", packed=True, folders=()))
    damaged[34] ^= 255
    with pytest.raises(ValueError, match="damaged"):
        read_entry(bytes(damaged), "a.png")


TAR = tar({"a": b"x" * 700, "b": b"y"}, "")


def with_size(digits):
    """A tar archive whose first file takes another size."""
    head = bytearray(TAR[:512])
    head[124:136] = digits
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head) + TAR[512:]


def as_xz(data):
    return ar(data_tar_xz=lzma.compress(data))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "begins like no .deb"),
        (b"PK" * 50, "begins like no .deb"),
        (ar(), "no data.tar"),
        (ar(data_tar_xz=tar({"a": b"z"}, "xz"))[:-30], "bytes, and"),
        (ar(data_tar_xz=b"x")[:100], "header"),
        (ar(data_tar_xz=b"x").replace(b"1         `", b"-1        `"), "header"),
        (ar(data_tar_xz=b"x").replace(b"1         `", b"9999999999`"), "9999999999"),
        (ar(data_tar_xz=b"no xz at all"), "format"),
        (ar(data_tar_xz=tar({"a": png()}, "xz")[:-100]), "ended before"),
        (ar(data_tar_gz=tar({"a": png()}, "gz")[:-100]), "ended before"),
        (ar(data_tar_zst=b"x"), "data.tar.zst, for which dpkg-deb is needed"),
        (as_xz(with_size(b"77777777777\0")), "takes|leads"),
        (as_xz(with_size(b"\x80" + b"\0" * 3 + b"\x7f" * 8)), "takes|leads"),
        (as_xz(with_size(b"\xff" * 10 + b"\xf0\0")), "takes|leads"),
        (as_xz(with_size(b"%011o\0" % 2**20)), "ends within a|unexpected end"),
    ],
)
def test_damaged_and_hostile_packages_are_told(tmp_path, monkeypatch, data, words):
    monkeypatch.setattr("shutil.which", lambda _: None)
    path = tmp_path / "x.deb"
    path.write_bytes(data)
    with pytest.raises(UnreadablePackage, match=f"x.deb cannot be read .*({words})"):
        list(read_members(path, {"a", "b", "none"}))


def test_cut_wheels_and_bombs_are_told(tmp_path, packages, monkeypatch):
    (wheel,) = packages.glob("*.whl")
    data = wheel.read_bytes()
    wheel.write_bytes(data[: len(data) // 2])
    with pytest.raises(UnreadablePackage, match=wheel.name):
        list(read_members(wheel, {"sky/pie.png"}))
    wheel.write_bytes(data)
    monkeypatch.setattr("launch.photo_packages._LARGEST", 100)
    for path in packages.iterdir():
        with pytest.raises(UnreadablePackage, match="takes"):
            list(read_members(path, {"sky/pie.png", "sky/cake.png", "usr/share/sky.png"}))


def test_links_are_not_followed(tmp_path):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:xz") as archive:
        link = tarfile.TarInfo("./a")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    (tmp_path / "x.deb").write_bytes(ar(data_tar_xz=file.getvalue()))
    assert list(read_members(tmp_path / "x.deb", {"a"})) == []


# In a process of its own, as the flags of commands have the same names; one for all rows, since a start takes a second.
ROWS = """
--dataset=photos | --output=FOLDER
--dataset=photos --output= | --output=FOLDER
--dataset=fashion_mnist --output=photos | --output=photos is for --dataset=photos
--dataset=photos --output=out --source=nowhere | no folder nowhere
--dataset=photos --output=gs://bucket/photos --source=. | gs://bucket
--dataset=photos --output=out --source=. | Only 0 of 259
"""
PROGRAM = """
import sys
from absl import flags
from absl.testing import flagsaver
from launch import prepare
for arguments in sys.argv[1:]:
    try:
        with flagsaver.flagsaver():
            flags.FLAGS(["launch", *arguments.split()])
            prepare.main(["launch"])
    except SystemExit as error:
        print("ANSWER", error.code)
"""


def test_the_command_says_what_is_wrong(tmp_path):
    rows = [line.split(" | ") for line in ROWS.strip().splitlines()]
    command = [sys.executable, "-c", PROGRAM, *(arguments for arguments, _ in rows)]
    environment = dict(os.environ, PYTHONPATH=str(photo_set.MANIFEST.parents[1]))
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    answers = [line for line in done.stdout.splitlines() if line.startswith("ANSWER")]
    assert len(answers) == len(rows), done.stdout + done.stderr
    for answer, (_, words) in zip(answers, rows, strict=True):
        assert words in answer
    assert not list(tmp_path.iterdir())


def test_the_manifest_is_well_formed():
    photos = read_manifest()
    assert len(photos) == 259
    assert [photo.name for photo in photos] == sorted(photo.name for photo in photos)
    assert len({photo.name.lower() for photo in photos}) == len({photo.sha256 for photo in photos}) == len(photos)
    for photo in photos:
        assert all(photo) and photo.licence in LICENCES and "NC" not in photo.licence and "ND" not in photo.licence
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._+-]*", photo.name) and re.fullmatch("[0-9a-f]{64}", photo.sha256)
        assert photo.source in ("debian", "pypi") and (photo.source == "debian" or photo.package in photo_set.WHEELS)
        assert not photo.file.startswith("/") and ".." not in photo.file.split("/")
        assert 96 <= min(photo.reduced_to) <= max(photo.reduced_to) <= photo_set.LONGER
        assert max(photo.reduced_to) <= max(photo.size)
