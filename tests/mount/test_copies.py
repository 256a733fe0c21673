"""Files copied by the store itself: cp of coreutils 9 uses copy_file_range."""
import os

import pytest

from support.work import pattern, shell


@pytest.fixture
def disk(origin, bucket, mount):
    return mount(bucket(origin))


@pytest.mark.parametrize("size", [1, 100_000, 30 << 20])
def test_cp_moves_no_byte_through_here(origin, disk, size):
    data = pattern(size)
    disk.bucket.put("a", data)
    os.stat(disk / "a")
    origin.reset_counts()
    shell("cp a b", disk.path)
    counts = origin.counts()["by_kind"]
    assert counts.pop("CopyObject") == 1
    assert set(counts) <= {"HeadObject", "ListObjectsV2", "GetBucketOwnershipControls"}
    assert disk.bucket.get("b") == data and (disk / "b").read_bytes() == data


def test_a_copy_is_a_file_like_any_other_while_it_is_open(disk):
    (disk / "a").write_bytes(b"a" * 200_000)
    (disk / "b").write_bytes(b"old")
    source, target = os.open(disk / "a", os.O_RDONLY), os.open(disk / "b", os.O_RDWR | os.O_TRUNC, 0o644)
    assert os.copy_file_range(source, target, 1 << 20, 0, 0) == 200_000
    (disk / "a").write_bytes(b"changed afterwards")
    assert os.fstat(target).st_size == 200_000
    assert os.pread(target, 10, 199_995) == b"aaaaa"
    os.pwrite(target, b"b", 100_000)
    os.ftruncate(target, 150_000)
    assert os.pread(target, 3, 99_999) == b"aba"
    os.close(source)
    os.close(target)
    expected = b"a" * 100_000 + b"b" + b"a" * 49_999
    assert disk.bucket.get("b") == expected and (disk / "b").read_bytes() == expected


def test_a_part_of_a_file_is_copied_too(disk):
    (disk / "a").write_bytes(bytes(range(256)) * 1000)
    source, target = os.open(disk / "a", os.O_RDONLY), os.open(disk / "b", os.O_RDWR | os.O_CREAT, 0o644)
    os.pwrite(target, b"x" * 50, 0)
    assert os.copy_file_range(source, target, 1000, 256, 20) == 1000
    os.close(source)
    os.close(target)
    assert disk.bucket.get("b") == b"x" * 20 + (bytes(range(256)) * 4)[:1000]


def test_a_copy_of_what_others_replaced_is_what_is_there_now(origin, bucket, mount):
    witness = bucket(origin)
    witness.put("a", b"a" * 1000)
    disk = mount(witness, ttl=60)
    os.stat(disk / "a")
    witness.put("a", b"b" * 1000)
    shell("cp a b || cp a b", disk.path)
    assert witness.get("b") == b"b" * 1000


def test_a_copy_does_not_replace_what_others_put_meanwhile(origin, bucket, mount):
    witness = bucket(origin)
    witness.put("a", b"a" * 1000)
    disk = mount(witness)
    source, target = os.open(disk / "a", os.O_RDONLY), os.open(disk / "b", os.O_WRONLY | os.O_CREAT, 0o644)
    witness.put("b", b"theirs")
    assert os.copy_file_range(source, target, 1000, 0, 0) == 1000
    os.close(source)
    with pytest.raises(OSError, match="Stale"):
        os.close(target)
    assert witness.get("b") == b"theirs"


def test_a_copy_keeps_its_own_mode_and_cp_p_that_of_the_source(disk):
    (disk / "a").write_bytes(b"a" * 1000)
    (disk / "a").chmod(0o640)
    os.utime(disk / "a", ns=(1, 1_234_567_890_000_000_009))
    shell("cp a plain; cp -p a preserved", disk.path)
    disk.remount()
    assert os.stat(disk / "plain").st_mode & 0o777 == 0o640 & ~0o022
    assert os.stat(disk / "plain").st_mtime_ns != 1_234_567_890_000_000_009
    kept = os.stat(disk / "preserved")
    assert (kept.st_mode & 0o777, kept.st_mtime_ns) == (0o640, 1_234_567_890_000_000_009)
