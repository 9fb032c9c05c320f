"""A short form of `make soak`: what it tries many times, and on disks that only root may mount, tried a few times."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))

import soak


def test_kills(tmp_path):
    found = soak.kills(tmp_path, 2)
    assert found == {"killed": 2, "resumed to the same bits and log": 2}


def test_damages(tmp_path):
    found = soak.damages(tmp_path, 7)
    assert found == {"clear refusals where all were damaged": 2, "the same bits and log": 5}
