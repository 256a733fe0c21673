"""write=back where the disk of the journal is small, or full: ENOSPC, nothing that was synced is lost, and it goes on once there is room."""
import errno
import os
import subprocess

import pytest

from support.mounts import program
from support.work import errno_of, pattern, run, wait_until


@pytest.fixture
def back(mount):
    def make(witness, **options):
        return mount(witness, write="back", **options)
    return make


def flush(disk):
    run(program(), "flush", disk.path)


@pytest.fixture
def full_disk(tmp_path, origin):
    """A directory on a disk of 24 MiB: room for one segment of the journal and a little more."""
    disk = tmp_path / "small"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", disk], capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def is_synced(fd):
    try:
        os.fsync(fd)
    except OSError:
        return False
    return True


def test_a_closed_file_takes_the_local_disk_once_and_its_holes_nothing(origin, bucket, back, full_disk):
    witness = bucket(origin)
    disk = back(witness, state=full_disk)
    for kind in ("PutObject", "CreateMultipartUpload"):
        origin.fault({"status": 503, "code": "SlowDown"}, kind=kind)
    room = os.statvfs(full_disk)
    text = pattern(room.f_bavail * room.f_frsize * 6 // 10)
    (disk / "most").write_bytes(text)
    with open(disk / "sparse", "wb") as f:
        f.seek(64 << 20)
        f.write(b"the end")
    disk.kill9()
    origin.heal()
    disk.start()
    assert (disk / "most").read_bytes() == text
    flush(disk)
    assert witness.get("most") == text
    assert witness.get("sparse") == bytes(64 << 20) + b"the end"


def fill_with_files(disk, size):
    """Files with an fsync each until one fails; the ones that did not, and the last one's name, what it has, and its descriptor."""
    done = {}
    for k in range(200_000_000 // size):
        name, text = "f%d" % k, pattern(size, k)
        fd = os.open(disk / name, os.O_WRONLY | os.O_CREAT, 0o644)
        written = b""
        try:
            assert os.write(fd, text) == size
            written = text
            os.fsync(fd)
        except OSError as full:
            assert full.errno == errno.ENOSPC
            return done, name, written, fd
        os.close(fd)
        done[name] = text
    raise AssertionError("the disk is not full")


def has_room(path, data):
    """What was sent leaves the disk a moment later."""
    try:
        path.write_bytes(data)
    except OSError as error:
        assert error.errno == errno.ENOSPC
        return False
    return True


@pytest.mark.parametrize("killed", [False, True], ids=["goes-on", "killed"])
def test_a_full_disk_under_the_journal_is_enospc_and_loses_nothing_that_was_synced(origin, bucket, back, full_disk, killed):
    witness = bucket(origin)
    disk = back(witness, state=full_disk)
    origin.fault({"status": 503, "code": "SlowDown"}, kind="PutObject")
    done, name, text, fd = fill_with_files(disk, 300_000)
    assert len(done) >= 8
    assert any(str(full_disk) in line and "No space left" in line for line in disk.log().splitlines()), disk.log()
    for known, content in done.items():
        assert (disk / known).read_bytes() == content
    if killed:
        disk.kill9()
        try:
            os.close(fd)
        except OSError:
            pass
        disk.start()
        assert {k: (disk / k).read_bytes() for k in done} == done
    origin.heal()
    if not killed:
        wait_until(lambda: is_synced(fd))  # the journal gives room back a moment after all of it was sent
        os.close(fd)
    flush(disk)
    assert killed or witness.get(name) == text
    wait_until(lambda: has_room(disk / "more", pattern(1 << 20, 5)))
    flush(disk)
    assert witness.get("more") == pattern(1 << 20, 5)
    assert {k: witness.get(k) for k in done} == done
    assert not [k for k in witness.keys() if "conflict" in k]


def fill(folder):
    """Leaves no page free."""
    with pytest.raises(OSError) as full, open(folder / "filler", "wb", buffering=0) as f:
        while True:
            f.write(bytes(4096))
    assert full.value.errno == errno.ENOSPC


def test_what_fills_the_disk_is_sent_also_by_parts(origin, bucket, back, full_disk):
    """Their upload has to be recorded first, and nothing else makes room."""
    subprocess.run(["mount", "-o", "remount,size=48m", full_disk], check=True)
    witness = bucket(origin)
    disk = back(witness, state=full_disk)
    origin.fault({"status": 503, "code": "SlowDown"}, kind="CreateMultipartUpload")
    (disk / "large").write_bytes(pattern(12 << 20))
    fill(full_disk)
    origin.heal()
    flush(disk)
    assert witness.get("large") == pattern(12 << 20)


def test_a_close_on_a_full_disk_is_enospc_and_the_next_one_works_once_there_is_room(origin, bucket, back, full_disk):
    witness = bucket(origin)
    disk = back(witness, state=full_disk)
    origin.fault({"status": 503, "code": "SlowDown"}, kind="PutObject")
    fd = os.open(disk / "f", os.O_WRONLY | os.O_CREAT, 0o644)
    text = pattern(400_000)
    os.write(fd, text[:200_000])
    os.fsync(fd)
    os.write(fd, text[200_000:])  # what was synced is not sent yet: this needs a copy of it, or a file of its own
    fill(full_disk)
    for call in (os.fsync, lambda fd: os.close(os.dup(fd))):
        done = errno_of(call, fd)
        assert done in (0, errno.ENOSPC)
    os.unlink(full_disk / "filler")
    os.close(os.dup(fd))
    os.close(fd)
    origin.heal()
    flush(disk)
    assert witness.get("f") == text
