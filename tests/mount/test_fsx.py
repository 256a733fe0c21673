"""One file under random reads, writes, mappings, truncations, holes and copies keeps the bytes that it should have."""
import os
import random

import pytest

from support import fsx
from support.work import errno_of


@pytest.fixture
def exerciser(origin, bucket, mount, rng):
    """exerciser(**of_fsx): one file on a mount of its own."""
    def make(write="through", **options):
        return fsx.Fsx(mount(bucket(origin), write=write), random.Random(rng.random()), **options)
    return make


def test_a_sample_of_operations_on_one_file(exerciser):
    exerciser().run(3_000, remounts=3)


def test_a_sample_of_operations_on_a_file_of_several_parts(exerciser):
    exerciser(largest=40 << 20, piece=3 << 20).run(250, remounts=2)


def test_a_sample_of_operations_on_one_file_with_write_back(exerciser):
    exerciser(write="back").run(1_500, remounts=3)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("write", ["through", "back"])
def test_500_000_operations_on_one_file(exerciser, write):
    exerciser(write=write).run(500_000, remounts=100)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_20_000_operations_on_a_file_of_several_parts(exerciser):
    exerciser(largest=40 << 20, piece=3 << 20).run(20_000, remounts=40)


def test_fallocate_grows_a_file_by_zeros_and_keeps_its_size_where_asked_to(disk):
    path = disk / "f"
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    os.write(fd, b"begin")
    fsx.fallocate(fd, fsx.KEEP_SIZE, 0, 100_000)
    assert os.fstat(fd).st_size == 5
    fsx.fallocate(fd, 0, 10, 90)
    assert os.fstat(fd).st_size == 100
    assert errno_of(fsx.fallocate, fd, 8 | 1, 0, 10) == 95  # collapse range: EOPNOTSUPP
    os.close(fd)
    assert disk.bucket.get("f") == b"begin" + bytes(95)


def test_a_hole_that_is_punched_is_found_by_seek_and_is_zeros_for_others(disk):
    path = disk / "f"
    path.write_bytes(b"x" * 300_000)
    fd = os.open(path, os.O_RDWR)
    fsx.fallocate(fd, fsx.PUNCH_HOLE | fsx.KEEP_SIZE, 100_000, 50_000)
    assert os.lseek(fd, 0, os.SEEK_HOLE) == 100_000
    assert os.lseek(fd, 100_000, os.SEEK_DATA) == 150_000
    os.close(fd)
    assert disk.bucket.get("f") == b"x" * 100_000 + bytes(50_000) + b"x" * 150_000


def test_fallocate_that_changes_nothing_sends_nothing(origin, bucket, mount):
    witness = bucket(origin)
    witness.put("f", b"x" * 1000)
    disk = mount(witness)
    fd = os.open(disk / "f", os.O_RDWR)
    origin.reset_counts()
    fsx.fallocate(fd, 0, 0, 1000)
    fsx.fallocate(fd, fsx.KEEP_SIZE, 500, 5000)
    os.close(fd)
    assert origin.requests() == {}
