"""Readers of downloaded files in a process of their own, which tells what came of each file, and its time and memory.

    python tests/security/measured.py READER FOLDER

The memory of a file is the peak of the resident set while it is read, above what was there before. Linux resets that
peak on request; elsewhere it is not measured. A reader that grows without bound meets the limit of the process.
"""

import json
import pathlib
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
SECONDS = 5.0  # of the processor, which do not depend on what else it does; a reader that waits meets the time limit
SPARE = 300e6  # bytes, beside three times what a file holds
LIMIT = 4 * 2**30
RESET, STATUS = pathlib.Path("/proc/self/clear_refs"), pathlib.Path("/proc/self/status")


def resident(field):
    """Bytes that the process has (VmRSS), or had at most (VmHWM)."""
    lines = STATUS.read_text().splitlines() if STATUS.is_file() else []
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(field)), 0)


def told(read, path):
    """What a reader makes of a file, in words, with seconds and bytes."""
    if RESET.exists():
        RESET.write_text("5")
    before, begin = resident("VmRSS"), time.process_time()
    try:
        found = read(path)
        words = f"read {len(found)}" if isinstance(found, dict) else "read"
        del found
    except BaseException as error:
        words = f"{type(error).__name__}: {error}"
    return words, time.process_time() - begin, resident("VmHWM") - before


def measure(reader, folder):
    """(words, seconds, bytes) by the name of each file in a folder."""
    command = [sys.executable, __file__, reader, str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.rpartition("TOLD ")[2])


def check(told, path, content, words):
    """A file is refused in few words that name it, or read where `words` is None; fast, and in little memory."""
    said, seconds, memory = told
    assert seconds < SECONDS and memory <= 3 * content + SPARE, (said, seconds, memory)
    if words is None:
        assert said.startswith("read"), said
    else:
        assert said.startswith("ValueError: ") and str(path) in said and words in said, said
        assert len(said.splitlines()) <= 4 and len(said) < 1000, said


def main(reader, folder):
    """Read all files of a folder and print what came of them."""
    sys.path.insert(0, str(ROOT))
    if reader == "torch":
        from pgm_jax.networks.torch_weights import read_state_dict as read
    else:
        from pgm_jax.files import read_arrays
        from pgm_jax.pretrained import load_prior

        load_prior("fashion_mnist")

        def read(path):
            return load_prior(path) if path.name.startswith("prior") else read_arrays(path, "arrays")

    if now := resident("VmSize"):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (now + LIMIT, resource.RLIM_INFINITY))
    print("TOLD", json.dumps({path.name: told(read, path) for path in sorted(pathlib.Path(folder).iterdir())}))


if __name__ == "__main__":
    main(*sys.argv[1:])
