"""Large files: what of them is sent, when, and how often. Counted."""
import json
import os
import subprocess
import time

import pytest

from support.fsx import KEEP_SIZE, PUNCH_HOLE, fallocate
from support.journal import Journal
from support.mounts import environment, program
from support.work import errno_of, pattern, sha512, wait_until

MIB = 1 << 20
PART = 8 * MIB


def sent(origin):
    return origin.counts()["bytes_in"]


def fetched(origin):
    return origin.counts()["bytes_out_by_kind"].get("GetObject", 0)


@pytest.fixture
def large(origin, bucket, mount):
    """large(size): a mount, and the bytes of an object "f" in it that others put."""
    def make(size, **options):
        witness = bucket(origin)
        data = pattern(size)
        witness.put("f", data)
        disk = mount(witness, **options)
        os.stat(disk / "f")
        origin.reset_counts()
        return disk, bytearray(data)
    return make


def test_a_byte_appended_to_a_large_object_is_all_that_is_sent(origin, large):
    disk, data = large(100 * MIB + 12345)
    with open(disk / "f", "ab") as f:
        f.write(b"!")
    assert sent(origin) <= 4096 and fetched(origin) == 0
    assert origin.counts()["by_kind"]["UploadPartCopy"] == 1
    assert disk.bucket.get("f") == data + b"!"
    assert disk.bucket.uploads() == []


def test_of_a_large_object_only_the_parts_that_were_changed_are_sent(origin, large, rng):
    disk, data = large(100 * MIB)
    fd = os.open(disk / "f", os.O_RDWR)
    for _ in range(3):
        at, piece = rng.randrange(len(data) - 100), rng.randbytes(100)
        os.pwrite(fd, piece, at)
        data[at:at + 100] = piece
    os.close(fd)
    assert sent(origin) <= 3 * PART + 10_000 and fetched(origin) <= 3 * PART
    assert disk.bucket.get("f") == data
    disk.remount()
    assert (disk / "f").read_bytes() == data


def test_a_large_object_is_read_and_changed_again_after_an_fsync(large):
    disk, data = large(40 * MIB)
    fd = os.open(disk / "f", os.O_RDWR)
    for k in range(4):
        at = k * 11 * MIB + 1234
        os.pwrite(fd, b"abc", at)
        data[at:at + 3] = b"abc"
        os.fsync(fd)
        assert os.pread(fd, 100, at - 50) == data[at - 50:at + 50]
        os.ftruncate(fd, len(data) - 5 * k)
        del data[len(data) - 5 * k:]
    os.close(fd)
    assert disk.bucket.get("f") == data
    assert (disk / "f").read_bytes() == data


def test_holes_in_a_large_object_are_zeros_in_the_store(large):
    disk, data = large(60 * MIB)
    fd = os.open(disk / "f", os.O_RDWR)
    fallocate(fd, PUNCH_HOLE | KEEP_SIZE, 20 * MIB, 15 * MIB)
    os.ftruncate(fd, 70 * MIB)
    os.close(fd)
    data[20 * MIB:35 * MIB] = bytes(15 * MIB)
    assert disk.bucket.get("f") == data + bytes(10 * MIB)


def test_a_server_without_part_copies_gets_all_bytes(origin, large):
    origin.settings(refuse=["part-copy"])
    try:
        disk, data = large(30 * MIB, )
        with open(disk / "f", "ab") as f:
            f.write(b"!")
        assert disk.bucket.get("f") == data + b"!" and disk.bucket.uploads() == []
    finally:
        origin.settings(refuse=[])


def test_a_large_object_that_others_replaced_is_not_overwritten(large):
    disk, _ = large(30 * MIB)
    fd = os.open(disk / "f", os.O_WRONLY)
    os.pwrite(fd, b"mine", 5)
    disk.bucket.put("f", b"theirs")
    assert errno_of(os.close, fd) == 116  # ESTALE
    assert disk.bucket.get("f") == b"theirs" and disk.bucket.uploads() == []


# ---- While it is written


@pytest.fixture
def disk(origin, bucket, mount):
    return mount(bucket(origin))


def parts_sent(origin):
    return origin.counts()["by_kind"].get("UploadPart", 0)


def write_in_order(fd, data, block=MIB):
    for at in range(0, len(data), block):
        os.write(fd, data[at:at + block])


def test_parts_of_a_large_file_are_sent_while_it_is_written_and_once(origin, disk):
    data = pattern(120 * MIB)
    origin.reset_counts()
    fd = os.open(disk / "f", os.O_WRONLY | os.O_CREAT, 0o644)
    write_in_order(fd, data[:100 * MIB])
    wait_until(lambda: parts_sent(origin) == 12, what="the twelve parts that are complete")
    assert disk.bucket.uploads() != [] and not disk.bucket.exists("f")
    assert any("uploads" in p.parts for p in disk.state_files())
    write_in_order(fd, data[100 * MIB:])
    os.close(fd)
    assert parts_sent(origin) == 15 and sent(origin) < 121 * MIB
    assert disk.bucket.uploads() == [] and disk.bucket.get("f") == data
    assert not any("uploads" in p.parts for p in disk.state_files())
    assert (disk / "f").read_bytes() == data
    info = os.stat(disk / "f")
    disk.remount()
    again = os.stat(disk / "f")
    assert (again.st_mtime_ns, again.st_mode, again.st_size) == (info.st_mtime_ns, info.st_mode, 120 * MIB)


def test_a_part_that_was_sent_and_is_changed_is_sent_again(origin, disk):
    data = bytearray(pattern(100 * MIB))
    fd = os.open(disk / "f", os.O_RDWR | os.O_CREAT, 0o644)
    write_in_order(fd, data)
    wait_until(lambda: parts_sent(origin) == 12)
    os.pwrite(fd, b"header", 0)
    data[:6] = b"header"
    os.pwrite(fd, b"x", 17 * MIB)
    data[17 * MIB] = ord("x")
    assert os.pread(fd, 8, 0) == data[:8]
    os.close(fd)
    assert parts_sent(origin) == 12 + 2 + 1
    assert disk.bucket.get("f") == data and disk.bucket.uploads() == []


def test_a_large_file_cut_after_its_parts_were_sent_is_what_is_left(origin, disk):
    for left in (0, 1, 5 * MIB, 30 * MIB + 7, 64 * MIB):
        data = pattern(80 * MIB)
        fd = os.open(disk / "f", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        write_in_order(fd, data)
        os.ftruncate(fd, left)
        os.write(fd, b"")
        os.close(fd)
        assert disk.bucket.get("f") == data[:left]
        wait_until(lambda: disk.bucket.uploads() == [], what="no upload to be left")


def test_a_large_file_that_is_removed_or_moved_while_it_is_written(disk):
    data = pattern(80 * MIB)
    fd = os.open(disk / "gone", os.O_WRONLY | os.O_CREAT, 0o644)
    write_in_order(fd, data)
    os.unlink(disk / "gone")
    os.close(fd)
    fd = os.open(disk / "old", os.O_WRONLY | os.O_CREAT, 0o644)
    write_in_order(fd, data[:70 * MIB])
    os.rename(disk / "old", disk / "new")
    write_in_order(fd, data[70 * MIB:])
    os.close(fd)
    os.mkdir(disk / "d")
    fd = os.open(disk / "d" / "f", os.O_WRONLY | os.O_CREAT, 0o644)
    write_in_order(fd, data[:70 * MIB])
    os.rename(disk / "d", disk / "e")
    write_in_order(fd, data[70 * MIB:])
    os.close(fd)
    disk.umount()
    assert disk.bucket.keys() == ["e/", "e/f", "new"]
    assert disk.bucket.get("new") == data and disk.bucket.get("e/f") == data
    assert disk.bucket.uploads() == []


def test_attributes_set_while_a_large_file_is_written_are_kept(disk):
    data = pattern(80 * MIB)
    fd = os.open(disk / "f", os.O_WRONLY | os.O_CREAT, 0o644)
    write_in_order(fd, data)
    os.fchmod(fd, 0o600)
    os.utime(fd, ns=(1, 1_234_567_890_000_000_009))
    os.close(fd)
    disk.remount()
    info = os.stat(disk / "f")
    assert (info.st_mode & 0o777, info.st_mtime_ns) == (0o600, 1_234_567_890_000_000_009)
    assert disk.bucket.get("f") == data


def test_an_upload_that_fails_while_the_file_is_written_fails_nothing_if_it_works_at_the_close(origin, disk):
    data = pattern(100 * MIB)
    origin.reset_counts()
    origin.fault({"status": 403, "code": "AccessDenied"}, kind="UploadPart", count=1)
    fd = os.open(disk / "f", os.O_WRONLY | os.O_CREAT, 0o644)
    write_in_order(fd, data)
    wait_until(lambda: parts_sent(origin) > 0, what="the part that is refused")
    os.close(fd)
    assert disk.bucket.get("f") == data
    wait_until(lambda: disk.bucket.uploads() == [], what="no upload to be left")


def test_a_daemon_killed_while_a_large_file_is_written_leaves_no_upload_after_the_next_mount(origin, disk):
    origin.reset_counts()
    fd = os.open(disk / "f", os.O_WRONLY | os.O_CREAT, 0o644)
    write_in_order(fd, pattern(80 * MIB))
    wait_until(lambda: parts_sent(origin) > 0, what="a part")  # so the upload's id was received and recorded
    disk.kill9()
    errno_of(os.close, fd)
    disk.start()
    wait_until(lambda: disk.bucket.uploads() == [], what="the upload to be aborted")
    assert not disk.bucket.exists("f")


# ---- With little room


@pytest.fixture
def tiny(tmp_path):
    """A file system of 40 MiB for the state directory."""
    path = tmp_path / "tiny"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", path], check=True)
    yield path
    subprocess.run(["umount", "-l", path], check=True)


def test_a_new_file_larger_than_the_disk_is_sent_in_parts_that_give_their_room_back(origin, bucket, mount, tiny):
    disk = mount(bucket(origin), state=tiny)
    data = pattern(150 * MIB)
    fd = os.open(disk / "f", os.O_RDWR | os.O_CREAT, 0o644)
    write_in_order(fd, data)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)  # the kernel's own pages
    assert errno_of(os.pread, fd, 100, 0) == 16  # EBUSY: only in the upload
    assert errno_of(os.pwrite, fd, b"x", 0) == 16
    assert os.pread(fd, 100, 150 * MIB - 100) == data[-100:]
    os.fsync(fd)
    assert os.pread(fd, 100, 0) == data[:100]
    os.close(fd)
    assert disk.bucket.get("f") == data and disk.bucket.uploads() == []
    assert sha512((disk / "f").read_bytes()) == sha512(data)


def write_what_stays_in_its_upload(origin, disk, data):
    """A file of which more than the local disk holds has been sent, whose upload the service then does not complete."""
    fd = os.open(disk / "f", os.O_RDWR | os.O_CREAT, 0o640)
    write_in_order(fd, data)
    origin.fault({"status": 403, "code": "AccessDenied"}, kind="CompleteMultipartUpload")
    assert errno_of(os.close, fd) == 13
    wait_until(lambda: "which stays" in disk.log())


def test_bytes_that_are_only_in_an_upload_are_not_aborted_when_the_file_cannot_be_put(origin, bucket, mount, tiny):
    witness = bucket(origin)
    disk = mount(witness, state=tiny, timeout=3)
    write_what_stays_in_its_upload(origin, disk, pattern(100 * MIB))
    disk.remount()
    listed = subprocess.run([program(), "journal", "list", "--json", "-o", "state=%s" % tiny], capture_output=True, text=True,
                            env=environment("journal"), check=True)
    kept, = (entry for entry in json.loads(listed.stdout) if entry["kind"] == "upload")
    assert kept["key"] == "f" and "nowhere else" in kept["reason"]
    assert len(witness.uploads()) == 1


def test_bytes_that_are_only_in_an_upload_become_the_object_by_retry(origin, bucket, mount, tiny):
    witness = bucket(origin)
    disk = mount(witness, state=tiny, timeout=3)
    data = pattern(150 * MIB + 12345)
    write_what_stays_in_its_upload(origin, disk, data)
    disk.umount()
    record, = tiny.rglob("*.kept")
    described, = tiny.rglob("*.info")
    assert record.stat().st_ctime_ns <= described.stat().st_ctime_ns  # kept before it is said that it is needed
    assert "aborts upload" not in disk.log()
    disk.state = tiny
    journal = Journal(disk)
    failed = journal.one("failed")
    assert failed["key"] == "f" and failed["missing"] > 0
    assert "AccessDenied" in journal("retry", failed["name"], status=1)
    assert len(journal.entries()) == 2 and not witness.exists("f")
    origin.clear_faults()
    assert "is in the store" in journal("retry", failed["name"])
    assert sha512(witness.get("f")) == sha512(data)
    assert journal.entries() == [] and witness.uploads() == []


def test_an_upload_whose_name_others_have_is_not_completed_by_retry(origin, bucket, mount, tiny):
    witness = bucket(origin)
    disk = mount(witness, state=tiny, timeout=3)
    write_what_stays_in_its_upload(origin, disk, pattern(100 * MIB))
    disk.umount()
    origin.clear_faults()
    witness.put("f", b"theirs")
    disk.state = tiny
    journal = Journal(disk)
    assert "others have put that object" in journal("retry", journal.one("failed")["name"], status=1)
    assert witness.get("f") == b"theirs" and len(journal.entries()) == 2 and len(witness.uploads()) == 1


@pytest.mark.parametrize("write", ["through", "back"])
def test_cp_of_a_sparse_file_needs_room_for_its_data_only(origin, bucket, mount, tiny, tmp_path, write):
    disk = mount(bucket(origin), state=tiny, write=write)
    source = tmp_path / "sparse"
    with open(source, "wb") as f:
        for k in range(4):
            f.seek(k * 14 * MIB + 12345)
            f.write(pattern(MIB, k))
        f.truncate(60 * MIB)
    subprocess.run(["cp", source, disk / "f"], check=True)
    assert os.path.getsize(disk / "f") == 60 * MIB
    assert sha512((disk / "f").read_bytes()) == sha512(source.read_bytes())
    subprocess.run([program(), "flush", disk.path], check=True, capture_output=True)
    assert sha512(disk.bucket.get("f")) == sha512(source.read_bytes())


def test_a_full_disk_is_enospc_and_what_was_there_stays(origin, bucket, mount, tiny):
    disk = mount(bucket(origin), state=tiny)
    data = pattern(60 * MIB)
    (disk / "other").write_bytes(b"other")
    fd = os.open(disk / "f", os.O_RDWR | os.O_CREAT, 0o644)
    at = 60 * MIB  # from the end to the beginning: nothing of it can be sent before it is complete
    with pytest.raises(OSError, match="No space"):
        while at > 0:
            at -= MIB
            os.pwrite(fd, data[at:at + MIB], at)
    written = at + MIB
    assert os.pread(fd, 1000, written) == data[written:written + 1000]
    (disk / "other").unlink()
    os.close(fd)
    assert disk.bucket.get("f") == bytes(written) + data[written:]


def test_a_server_that_is_gone_is_enospc_for_who_writes_more_than_fits(origin, bucket, mount, tiny):
    disk = mount(bucket(origin), state=tiny, timeout=3)
    origin.fault({"status": 403, "code": "AccessDenied"}, kind="CreateMultipartUpload")
    fd = os.open(disk / "f", os.O_RDWR | os.O_CREAT, 0o644)
    start = time.monotonic()
    with pytest.raises(OSError, match="No space"):
        write_in_order(fd, pattern(60 * MIB))
    assert time.monotonic() - start < 60
    origin.clear_faults()
    size = os.fstat(fd).st_size
    os.close(fd)
    assert disk.bucket.head("f")["ContentLength"] == size
