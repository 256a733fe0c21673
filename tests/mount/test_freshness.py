"""What a reader is promised: one version from open to close, nothing older than ttl, and what is known is kept."""
import errno
import mmap
import os
import time

import pytest

from support.work import errno_of, pattern, wait_until


def test_boto3_sees_the_same_bytes_and_length(disk):
    data = pattern(300_001)
    (disk / "f").write_bytes(data)
    assert disk.bucket.get("f") == data and disk.bucket.head("f")["ContentLength"] == 300_001


def test_what_boto3_changes_is_seen_within_ttl(server, bucket, mount):
    witness = bucket(server)
    witness.put("f", b"first")
    witness.put("gone", b"x")
    disk = mount(witness, ttl=2)
    assert (disk / "f").read_bytes() == b"first" and (disk / "gone").exists() and not (disk / "new").exists()
    witness.put("f", b"the second")
    witness.put("new", b"n")
    witness.delete("gone")
    time.sleep(2.2)
    assert (disk / "f").read_bytes() == b"the second"
    assert (disk / "new").read_bytes() == b"n"
    assert not (disk / "gone").exists()
    assert sorted(os.listdir(disk.path)) == ["f", "new"]


def test_with_ttl_0_every_open_sees_what_boto3_just_put(server, bucket, mount):
    witness = bucket(server)
    disk = mount(witness, ttl=0)
    for i in range(5):
        witness.put("f", b"version %d" % i * (i + 1))
        assert (disk / "f").read_bytes() == b"version %d" % i * (i + 1)
        assert os.stat(disk / "f").st_size == 9 * (i + 1)
    witness.delete("f")
    assert not (disk / "f").exists()


def test_with_ttl_inf_what_is_known_is_never_asked_again(origin, bucket, mount):
    witness = bucket(origin)
    witness.put("d/f", b"x")
    disk = mount(witness, ttl="inf")
    os.listdir(disk / "d")
    os.stat(disk / "d" / "f")
    origin.reset_counts()
    time.sleep(1)
    os.listdir(disk / "d")
    os.stat(disk / "d" / "f")
    assert not (disk / "d" / "none").exists()
    assert origin.requests() == {}


def test_an_object_replaced_under_an_open_handle_is_estale_or_the_old_bytes_never_a_mixture(server, bucket, mount):
    witness = bucket(server)
    old, new = b"o" * (24 << 20), b"N" * (24 << 20)
    witness.put("f", old)
    disk = mount(witness, ttl=0)
    fd = os.open(disk / "f", os.O_RDONLY)
    assert os.pread(fd, 4096, 0) == b"o" * 4096
    witness.put("f", new)
    seen = set()
    for offset in range(0, len(old), 1 << 20):
        try:
            seen |= set(os.pread(fd, 65536, offset))
        except OSError as error:
            assert error.errno == errno.ESTALE
    assert seen <= {ord("o")}
    os.close(fd)
    assert (disk / "f").read_bytes() == new


def test_the_page_cache_never_mixes_two_versions_of_different_size(server, bucket, mount):
    witness = bucket(server)
    witness.put("f", b"o" * (8 << 20))
    disk = mount(witness, ttl=0)
    fd = os.open(disk / "f", os.O_RDONLY)
    mapping = mmap.mmap(fd, 8 << 20, prot=mmap.PROT_READ)
    assert mapping[0] == ord("o")
    witness.put("f", b"N" * (4 << 20))
    assert os.stat(disk / "f").st_size == 4 << 20
    assert (disk / "f").read_bytes() == b"N" * (4 << 20)
    # The old handle: the old size, and old bytes or ESTALE, also where the new version has an end.
    assert os.fstat(fd).st_size == 8 << 20
    for offset in (0, 1 << 20, 5 << 20, (8 << 20) - 10):
        try:
            assert os.pread(fd, 10, offset) == b"o" * 10
        except OSError as error:
            assert error.errno == errno.ESTALE
    assert mapping[0] == ord("o")
    mapping.close()
    os.close(fd)


def test_an_inode_number_is_a_function_of_the_name(server, bucket, mount):
    witness = bucket(server)
    witness.put("d/f", b"1")
    disk = mount(witness, ttl=0)
    number = os.stat(disk / "d" / "f").st_ino
    witness.put("d/f", b"another version")
    assert os.stat(disk / "d" / "f").st_ino == number
    disk.remount()
    assert os.stat(disk / "d" / "f").st_ino == number
    assert os.stat(disk / "d").st_ino != number


def test_a_handle_follows_its_file_through_this_mounts_rename_chmod_and_upload(disk):
    data = pattern(2 << 20)
    (disk / "f").write_bytes(data)
    disk.remount(ttl=0)
    fd = os.open(disk / "f", os.O_RDONLY)
    assert os.pread(fd, 10, 0) == data[:10]
    os.rename(disk / "f", disk / "g")
    (disk / "g").chmod(0o600)
    os.utime(disk / "g", (1, 1))
    time.sleep(1.5)
    assert os.stat(disk / "g").st_size == len(data)
    assert os.pread(fd, len(data), 0) == data
    os.close(fd)


def test_reading_past_the_end_and_seeking_behave_as_on_a_disk(server, bucket, mount):
    witness = bucket(server)
    data = pattern(1_000_003)
    witness.put("f", data)
    disk = mount(witness)
    fd = os.open(disk / "f", os.O_RDONLY)
    for offset, size in ((0, 1), (999_999, 100), (1_000_003, 10), (2_000_000, 10), (123_456, 400_000)):
        assert os.pread(fd, size, offset) == data[offset:offset + size]
    os.close(fd)


@pytest.mark.tsan
def test_random_reads_of_a_large_file_give_its_bytes(server, bucket, mount, rng):
    witness = bucket(server)
    data = pattern(48 << 20)
    witness.put("f", data)
    disk = mount(witness)
    with open(disk / "f", "rb", buffering=0) as f:
        for _ in range(60):
            offset = rng.randrange(len(data))
            size = rng.choice([1, 512, 4096, 131072, 1 << 20])
            assert os.pread(f.fileno(), size, offset) == data[offset:offset + size]


def test_a_file_of_another_tool_that_becomes_a_directory_is_seen_as_one(server, bucket, mount):
    witness = bucket(server)
    witness.put("x", b"file")
    disk = mount(witness, ttl=0)
    assert (disk / "x").is_file()
    witness.delete("x")
    witness.put("x/in", b"1")
    assert (disk / "x").is_dir() and os.listdir(disk / "x") == ["in"]


def bytes_of(path):
    """What is read; None where the version that is known within ttl is gone, which a reader of it is told by ESTALE."""
    try:
        return path.read_bytes()
    except OSError as error:
        assert error.errno == errno.ESTALE
        return None


@pytest.mark.tsan
def test_two_mounts_of_one_bucket_see_each_others_writes(server, bucket, mount):
    witness = bucket(server)
    a, b = mount(witness, ttl=1), mount(witness, ttl=1)
    (a / "f").write_bytes(b"from a")
    assert wait_until(lambda: (b / "f").exists() and (b / "f").read_bytes()) == b"from a"
    (b / "f").write_bytes(b"from b, longer")
    wait_until(lambda: bytes_of(a / "f") == b"from b, longer")
    (b / "f").unlink()
    wait_until(lambda: not (a / "f").exists())


@pytest.mark.parametrize("size", [10, 3 << 20])
def test_a_listing_that_finds_nothing_changed_keeps_the_page_cache(origin, bucket, mount, size):
    witness = bucket(origin)
    witness.put("f", b"x" * size)
    disk = mount(witness, ttl=0)
    assert len((disk / "f").read_bytes()) == size
    origin.reset_counts()
    os.listdir(disk.path)
    assert len((disk / "f").read_bytes()) == size
    assert "GetObject" not in origin.requests()


def test_errno_of_a_missing_file_is_enoent(disk):
    assert errno_of(os.stat, disk / "none") == errno.ENOENT
    assert errno_of(os.open, disk / "none" / "below", os.O_RDONLY) == errno.ENOENT
