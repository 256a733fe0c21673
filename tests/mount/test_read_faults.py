"""Every fault that a server can show in the middle of a read, while programs read in order, here and there, and side by side:
the right bytes, or an error by the deadline that says what it was; afterwards everything is read again, and nothing is left.

The faults strike all at the same time, a file each: together they take as long as the slowest of them."""
import concurrent.futures
import errno
import os
import random
import time

import pytest

from support import families
from support.work import wait_until

KIB, MIB = 1 << 10, 1 << 20
SIZE = 5 * MIB
# From a fault that lasts to the error of the read: one time-out for what was under way and one for what is asked for then, and
# patience for a machine that is busy.
DEADLINE = 90

# Not among them: a byte that is another one on the wire (corrupt_at). A ranged reply carries no checksum; TLS guards it.
TRANSIENT = [
    "reset", "execute_then_reset", {"reset_after": 700_000}, {"cut_after": 0}, {"cut_after": 600_000}, {"lie_length": 10},
    {"lie_length": -10}, "wrong_range", {"wrong_range": "whole"}, "empty_200", "error_in_200", {"delay_ms": 300},
    {"trickle_bps": 4_000_000}, {"status": 500, "code": "InternalError"}, {"status": 503, "code": "SlowDown"},
    {"status": 429, "code": "TooManyRequests"}, {"skew_s": 3000},
]
# Those never end by themselves, or are answers: what the error is then.
LASTING = [
    ("hang", errno.EIO), ({"stall_after": 100_000}, errno.EIO), ({"lie_etag": '"0123456789abcdef0123456789abcdef"'}, errno.ESTALE),
    ({"status": 403, "code": "AccessDenied"}, errno.EACCES), ({"status": 404, "code": "NoSuchKey"}, errno.ESTALE),
    ({"status": 412, "code": "PreconditionFailed"}, errno.ESTALE),
]


def in_order(fd, seed):
    offset = 0
    while piece := os.pread(fd, 128 * KIB, offset):
        yield offset, piece
        offset += len(piece)


def here_and_there(fd, seed):
    numbers = random.Random(seed)
    for _ in range(30):
        offset, length = numbers.randrange(SIZE), numbers.choice([1, 4096, 100_000, 300_000])
        yield offset, os.pread(fd, length, offset)


def side_by_side(fd, seed):
    starts = range(0, SIZE, MIB)
    with concurrent.futures.ThreadPoolExecutor(len(starts)) as pool:
        yield from zip(starts, pool.map(lambda offset: os.pread(fd, MIB, offset), starts))


WAYS = [in_order, here_and_there, side_by_side]


def read(path, want, way, seed):
    """0 if all bytes were right, else the errno; how long that took."""
    start = time.monotonic()
    code = 0
    fd = os.open(path, os.O_RDONLY)
    try:
        for offset, piece in way(fd, seed):
            assert piece and piece == want[offset:offset + len(piece)], "wrong bytes at %d of %s" % (offset, path)
    except OSError as error:
        code = error.errno
    finally:
        os.close(fd)
    return code, time.monotonic() - start


def memory_in_use(disk):
    files = disk.status()["files"]
    return files["parked_reads"], files["memory_used"]


@pytest.fixture
def faulty(origin, bucket, mount):
    """faulty(actions, count, timeout): a mount with a file for each of them, all hit by it from the second request on."""
    def make(actions, count, timeout):
        witness = bucket(origin)
        family = families.Family("f%02d", count=len(actions), size=SIZE)
        origin.control("POST", "families", {"bucket": witness.name, **family.rule()})
        disk = mount(witness, timeout=timeout)
        keys = list(family.keys())
        assert sorted(os.listdir(disk.path)) == keys
        for key, action in zip(keys, actions):
            origin.fault(action, kind="GetObject", key="%s/%s" % (witness.name, key), count=count, skip=1)
        return disk, keys, family
    return make


def read_all(disk, keys, family, way):
    with concurrent.futures.ThreadPoolExecutor(len(keys)) as pool:
        return list(pool.map(lambda key: read(disk / key, family.contents(key), way, key), keys))


def all_is_well_again(disk, keys, family):
    for key in keys: # what is not the version's any more is asked for again, at the next look
        wait_until(lambda: read(disk / key, family.contents(key), in_order, 0)[0] == 0)
    assert wait_until(lambda: memory_in_use(disk) == (0, 0))
    assert disk.process.poll() is None


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_fault_that_passes_is_not_noticed(faulty, way):
    disk, keys, family = faulty(TRANSIENT, 2, 40)
    for action, (code, _) in zip(TRANSIENT, read_all(disk, keys, family, way)):
        assert code == 0, action
    all_is_well_again(disk, keys, family)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_a_fault_that_lasts_is_an_error_by_the_deadline_and_never_wrong_bytes(origin, faulty, way):
    actions = [action for action, _ in LASTING] + TRANSIENT
    wanted = [code for _, code in LASTING] + [errno.EACCES if "skew_s" in action else errno.EIO for action in TRANSIENT]
    disk, keys, family = faulty(actions, -1, 3)
    for action, want, (code, seconds) in zip(actions, wanted, read_all(disk, keys, family, way)):
        gets_on = any(name in action for name in ("delay_ms", "trickle_bps", "reset_after", "cut_after", "lie_length", "wrong_range"))
        assert code == want or (code == 0 and gets_on), action
        assert seconds < DEADLINE, action
    origin.clear_faults()
    origin.release()
    all_is_well_again(disk, keys, family)
