"""When this machine runs out of something: the program that writes is told, the log says of what, and nothing is lost."""
import errno
import os
import subprocess

import pytest

from support.work import errno_of, pattern, wait_until


@pytest.fixture
def small_disk(tmp_path):
    """A directory on a disk of 4 MiB."""
    disk = tmp_path / "small"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("only root can mount a small disk")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def test_a_full_state_directory_is_enospc_named_in_the_log_and_over_when_there_is_room(server, bucket, mount, small_disk):
    witness = bucket(server)
    disk = mount(witness, state=small_disk)
    data = pattern(6 << 20)
    fd = os.open(disk / "big", os.O_WRONLY | os.O_CREAT, 0o644)
    done = 0
    with pytest.raises(OSError) as full:
        while done < len(data):
            done += os.write(fd, data[done:done + (1 << 20)])
    assert full.value.errno == errno.ENOSPC and done > 0
    os.close(fd)
    assert witness.get("big") == data[:done]
    lines = [line for line in disk.log().splitlines() if str(small_disk) in line and "No space left" in line]
    assert len(lines) == 1, disk.log()

    (disk / "after").write_bytes(data[:1 << 20])
    assert witness.get("after") == data[:1 << 20]

    # The cache copies what was stored from here out of its staging file, which takes room until then.
    wait_until(lambda: os.statvfs(small_disk).f_bfree >= 0.9 * os.statvfs(small_disk).f_blocks)
    filler = small_disk / "filler"
    with pytest.raises(OSError), open(filler, "wb", buffering=0) as f:
        while True:
            f.write(b"x" * 4096)
    fd = os.open(disk / "after", os.O_WRONLY)
    assert errno_of(os.pwrite, fd, b"changed", 0) == errno.ENOSPC
    os.close(fd)
    assert witness.get("after") == data[:1 << 20]
    assert (disk / "after").read_bytes() == data[:1 << 20]
    os.mkdir(disk / "d")
    os.unlink(disk / "big")
    filler.unlink()
    (disk / "d" / "f").write_text("room again")
    assert witness.get("d/f") == b"room again"
