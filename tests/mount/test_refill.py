"""What a fast read leaves in the kernel's page cache comes from there to the disk cache: fetched once, whatever ends the mount."""
import contextlib
import hashlib
import os
import threading

import pytest

from support.caches import MIB, drop_pages, gets, idle
from support.work import run

SIZE = 96 * MIB + 12345
MEMORY = "16M"  # of which 2 may wait for the cache


def digest_of(path):
    """The SHA-512 of all bytes. Not from pages that an earlier read left."""
    digest = hashlib.sha512()
    with open(path, "rb", buffering=0) as f:
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while piece := f.read(MIB):
            digest.update(piece)
    return digest.hexdigest()


KEYS = ["big%d" % i for i in range(6)]


def undisturbed(check):
    """Anything else on the machine may make the kernel drop pages meanwhile, but not each time."""
    for attempt in range(len(KEYS)):
        try:
            return check("big%d" % attempt)
        except AssertionError as error:
            print("attempt %d: %s" % (attempt, error))
            if attempt == len(KEYS) - 1:
                raise


def read_once_then_again(origin, disk, read, how):
    """read(key) with nothing known, and on the next mount. What is fetched then is what the kernel dropped of its pages before the cache
    had them, to the byte; and of one of the files it dropped nothing, so nothing is fetched."""
    for key in KEYS:
        before = disk.status()["cache"]
        read(key)
        cache = idle(disk)
        dropped = cache["bytes_dropped"] - before["bytes_dropped"]
        if how == "kill":
            disk.kill9()
            disk.start()
        else:
            disk.remount()
        origin.reset_counts()
        read(key)
        assert origin.counts()["bytes_out_by_kind"].get("GetObject", 0) == dropped
        assert disk.status()["cache"]["bad"] == 0
        if dropped == 0:
            return
    pytest.fail("of each of %d files that were just read something was dropped before the cache had it" % len(KEYS))


@pytest.fixture
def big(origin, bucket, mount):
    """A mount with equal large files, and what their bytes are."""
    def make(size=SIZE, **options):
        witness = bucket(origin)
        for key in KEYS:
            origin.synthetic(bucket=witness.name, key=key, size=size, seed=11)
        disk = mount(witness, memory=MEMORY, **options)
        digest = hashlib.sha512()
        for piece in witness.s3.get_object(Bucket=witness.name, Key="big0")["Body"].iter_chunks(MIB):
            digest.update(piece)
        return disk, digest.hexdigest()
    return make


@pytest.mark.parametrize("how", ["umount", "kill"])
def test_a_file_larger_than_memory_is_fetched_once(origin, big, how):
    disk, expected = big()

    def read(key):
        assert digest_of(disk / key) == expected

    read_once_then_again(origin, disk, read, how)


@pytest.mark.parametrize("how", ["SIGTERM", "awsfs umount"])
def test_a_mount_that_is_told_to_end_takes_the_kernels_pages_along(origin, big, how):
    disk, expected = big(size=40 * MIB)

    def check(key):
        assert digest_of(disk / key) == expected
        if how == "SIGTERM":
            assert disk.terminate() == 0
        else:
            run(disk.binary, "umount", disk.path)
            assert disk.wait() == 0
        disk.start()
        origin.reset_counts()
        assert digest_of(disk / key) == expected
        assert gets(origin) == 0

    undisturbed(check)


def test_a_file_that_is_renamed_before_its_pages_were_taken_is_held_under_its_new_name(origin, big):
    disk, expected = big(size=40 * MIB)

    def check(key):
        before = disk.status()["cache"]
        assert digest_of(disk / key) == expected
        os.rename(disk / key, disk / ("new-" + key))
        cache = idle(disk)
        assert cache["bytes_dropped"] == before["bytes_dropped"]
        disk.remount()
        origin.reset_counts()
        assert digest_of(disk / ("new-" + key)) == expected
        assert gets(origin) == 0

    undisturbed(check)


def test_pages_that_the_kernel_has_dropped_are_fetched_again_when_they_are_read(origin, big):
    disk, expected = big()
    assert digest_of(disk / "big0") == expected
    drop_pages(disk / "big0")
    cache = idle(disk)
    lost = cache["bytes_dropped"]
    assert cache["bytes_filled"] + lost == SIZE
    disk.remount()
    assert digest_of(disk / "big0") == expected
    assert disk.status()["files"]["bytes_fetched"] == lost
    cache = idle(disk)
    assert cache["bytes_filled"] + cache["bytes_dropped"] == lost


@contextlib.contextmanager
def dropping_pages(path, rng):
    """The kernel does so, here and there, until the end of the block."""
    over = threading.Event()

    def drop():
        with open(path, "rb") as f:
            while not over.wait(0.001):
                os.posix_fadvise(f.fileno(), rng.randrange(SIZE), rng.randrange(4 * MIB), os.POSIX_FADV_DONTNEED)

    thread = threading.Thread(target=drop)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("key", KEYS[:3])
def test_what_the_kernel_drops_at_any_time_is_fetched_again_and_nothing_else(origin, big, rng, key):
    disk, expected = big()
    before = disk.status()["cache"]
    with dropping_pages(disk / key, rng):
        assert digest_of(disk / key) == expected
        cache = idle(disk)
    dropped = cache["bytes_dropped"] - before["bytes_dropped"]
    assert cache["bytes_filled"] + dropped == SIZE
    disk.remount()
    origin.reset_counts()
    assert digest_of(disk / key) == expected
    assert origin.counts()["bytes_out_by_kind"].get("GetObject", 0) == dropped


def test_what_is_written_over_the_pages_is_never_taken_for_the_old_version(origin, big):
    disk, expected = big(size=40 * MIB)
    old = digest_of(disk / "big0")
    assert old == expected
    with open(disk / "big0", "r+b") as f:
        for at in range(0, 40 * MIB, 128 * 1024):
            f.seek(at + 1000)
            f.write(b"another byte or two")
        f.flush()
        new = digest_of(disk / "big0")
        assert new != old
    idle(disk)
    assert digest_of(disk / "big0") == new
    disk.remount()
    assert digest_of(disk / "big0") == new
    assert disk.status()["cache"]["bad"] == 0


def test_a_file_that_others_replace_meanwhile_is_not_mixed(origin, big):
    disk, expected = big(ttl="0")
    assert digest_of(disk / "big0") == expected
    origin.synthetic(bucket=disk.bucket.name, key="big0", size=SIZE, seed=12)
    other = digest_of(disk / "big0")
    assert other != expected
    idle(disk)
    disk.remount()
    assert digest_of(disk / "big0") == other
    assert disk.status()["cache"]["bad"] == 0


@pytest.mark.quiet
@pytest.mark.parametrize("how", ["umount", "kill"])
def test_1_gib_as_fast_as_it_comes_is_fetched_once(origin_released, bucket, mount, released, how):
    witness = bucket(origin_released)
    for seed, key in enumerate(KEYS): # before the mount, which would not know them for a ttl
        origin_released.synthetic(bucket=witness.name, key=key, size=1 << 30, seed=seed)
    disk = mount(witness, binary=released)

    def read(key):
        run("dd", "if=%s" % (disk / key), "of=/dev/null", "bs=1M", timeout=60)

    read_once_then_again(origin_released, disk, read, how)
