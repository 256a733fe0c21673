"""No lost update: who writes over what others changed gets ESTALE, and both contents stay."""
import ctypes
import errno
import os
import re
import time

import pytest

from support.work import errno_of, pattern, wait_until

CONFLICT = re.compile(r"^(.*) \(conflict .+ .+\)(.*)$")


def conflict_copies(witness, name):
    return [key for key in witness.keys() if key != name and CONFLICT.match(key) and key.startswith(name.split(".")[0])]


def write_with_base(fd, data, offset=None):
    """Writes, and gives the mount the moment it needs to fetch the rest of a small object meanwhile."""
    os.write(fd, data) if offset is None else os.pwrite(fd, data, offset)
    time.sleep(0.5)


def close_errno(fd):
    return errno_of(os.close, fd)


def test_a_changed_file_is_not_put_over_what_another_tool_put_meanwhile(server, bucket, mount):
    witness = bucket(server)
    witness.put("f", b"base")
    disk = mount(witness)
    fd = os.open(disk / "f", os.O_WRONLY | os.O_APPEND)
    write_with_base(fd, b" mine")
    witness.put("f", b"theirs")
    assert close_errno(fd) == errno.ESTALE
    assert witness.get("f") == b"theirs"
    copies = conflict_copies(witness, "f")
    assert len(copies) == 1 and witness.get(copies[0]) == b"base mine"


def test_a_new_file_is_not_put_over_one_that_another_tool_made_meanwhile(server, bucket, mount):
    witness = bucket(server)
    disk = mount(witness)
    fd = os.open(disk / "f", os.O_WRONLY | os.O_CREAT, 0o644)
    os.write(fd, b"mine")
    witness.put("f", b"theirs")
    assert close_errno(fd) == errno.ESTALE
    assert witness.get("f") == b"theirs"
    assert [witness.get(c) for c in conflict_copies(witness, "f")] == [b"mine"]


def test_fsync_tells_of_a_conflict_too(server, bucket, mount):
    witness = bucket(server)
    witness.put("f", b"base")
    disk = mount(witness)
    fd = os.open(disk / "f", os.O_WRONLY | os.O_APPEND)
    write_with_base(fd, b" mine")
    witness.put("f", b"theirs")
    assert errno_of(os.fsync, fd) == errno.ESTALE
    close_errno(fd)
    assert witness.get("f") == b"theirs" and len(conflict_copies(witness, "f")) == 1


def test_a_full_rewrite_is_unconditional(server, bucket, mount):
    witness = bucket(server)
    witness.put("f", b"base")
    disk = mount(witness)
    fd = os.open(disk / "f", os.O_WRONLY | os.O_TRUNC)
    os.write(fd, b"mine")
    witness.put("f", b"theirs")
    assert close_errno(fd) == 0
    assert witness.get("f") == b"mine" and witness.keys() == ["f"]


@pytest.mark.parametrize("server", ["versitygw", "origin"], indirect=True)
def test_a_conflict_of_a_large_file_is_found_when_its_upload_completes(server, bucket, mount):
    witness = bucket(server)
    witness.put("f", pattern(20 << 20))
    disk = mount(witness)
    fd = os.open(disk / "f", os.O_WRONLY)
    mine = pattern(20 << 20, 7)
    os.write(fd, mine)
    witness.put("f", b"theirs")
    assert close_errno(fd) == errno.ESTALE
    assert witness.get("f") == b"theirs"
    assert [witness.get(c) for c in conflict_copies(witness, "f")] == [mine]
    assert witness.uploads() == []


@pytest.mark.parametrize("server", ["versitygw", "origin"], indirect=True)
def test_a_new_large_file_does_not_replace_one_that_appeared_meanwhile(server, bucket, mount):
    witness = bucket(server)
    disk = mount(witness)
    data = pattern(20 << 20)
    fd = os.open(disk / "f", os.O_WRONLY | os.O_CREAT, 0o644)
    os.write(fd, data)
    witness.put("f", b"theirs")
    assert close_errno(fd) == errno.ESTALE
    assert witness.get("f") == b"theirs"
    assert [witness.get(c) for c in conflict_copies(witness, "f")] == [data]


def test_rename_over_a_name_that_others_changed_since_is_estale_and_loses_nothing(origin, bucket, mount):
    witness = bucket(origin)
    witness.put("target", b"known")
    disk = mount(witness, ttl=60)
    (disk / "source").write_bytes(b"mine")
    assert (disk / "target").read_bytes() == b"known"
    witness.put("target", b"theirs")
    assert errno_of(os.rename, disk / "source", disk / "target") == errno.ESTALE
    assert witness.get("target") == b"theirs" and witness.get("source") == b"mine"


def test_a_rename_does_not_delete_a_source_that_others_replaced_meanwhile(origin, bucket, mount):
    witness = bucket(origin)
    witness.put("source", b"known")
    disk = mount(witness, ttl=60)
    assert (disk / "source").read_bytes() == b"known"
    witness.put("source", b"theirs")
    assert errno_of(os.rename, disk / "source", disk / "target") in (errno.ESTALE, 0)
    assert b"theirs" in [witness.get(key) for key in witness.keys()]


def test_a_412_after_our_own_unanswered_attempt_is_no_conflict(origin, bucket, mount):
    witness = bucket(origin)
    disk = mount(witness)
    origin.fault("execute_then_reset", kind="PutObject", key=witness.name + "/f", count=1)
    (disk / "f").write_bytes(b"once")
    assert witness.get("f") == b"once" and witness.keys() == ["f"]
    origin.fault("execute_then_reset", kind="PutObject", key=witness.name + "/f", count=1)
    with open(disk / "f", "ab") as f:
        f.write(b" more")
    assert witness.get("f") == b"once more" and witness.keys() == ["f"]


@pytest.mark.parametrize("size, kind", [(1000, "PutObject"), (20 << 20, "CompleteMultipartUpload")])
def test_an_fsync_after_one_that_was_done_and_never_answered_is_no_conflict(origin, bucket, mount, size, kind):
    witness = bucket(origin)
    disk = mount(witness, timeout=5)
    data = pattern(size)
    fd = os.open(disk / "f", os.O_RDWR | os.O_CREAT, 0o640)
    try:
        os.write(fd, data)
        origin.fault("execute_then_reset", kind=kind, key=witness.name + "/f")
        assert errno_of(os.fsync, fd) == errno.EIO
        assert witness.get("f") == data
        origin.clear_faults()
        assert errno_of(os.fsync, fd) == 0
        origin.fault("execute_then_reset", kind=kind, key=witness.name + "/f")
        os.pwrite(fd, b"1", 0)
        os.fchmod(fd, 0o600)
        assert errno_of(os.fsync, fd) == errno.EIO
        origin.clear_faults()
        os.pwrite(fd, b"2", 1)
    finally:
        assert close_errno(fd) == 0
    assert witness.get("f") == b"12" + data[2:] and witness.keys() == ["f"] and witness.uploads() == []
    assert witness.head("f")["Metadata"]["mode"] == str(0o100600)


def test_an_answer_that_was_lost_does_not_hide_what_others_put_since(origin, bucket, mount):
    witness = bucket(origin)
    disk = mount(witness, timeout=5)
    fd = os.open(disk / "f", os.O_RDWR | os.O_CREAT, 0o640)
    os.write(fd, b"mine")
    origin.fault("execute_then_reset", kind="PutObject", key=witness.name + "/f")
    assert errno_of(os.fsync, fd) == errno.EIO
    origin.clear_faults()
    witness.put("f", b"theirs")
    assert errno_of(os.fsync, fd) == errno.ESTALE
    close_errno(fd)
    assert witness.get("f") == b"theirs"
    assert [witness.get(c) for c in conflict_copies(witness, "f")] == [b"mine"]


def test_a_completed_upload_whose_answer_was_lost_is_no_conflict(origin, bucket, mount):
    witness = bucket(origin)
    disk = mount(witness)
    data = pattern(20 << 20)
    origin.fault("execute_then_reset", kind="CompleteMultipartUpload", key=witness.name + "/f", count=1)
    (disk / "f").write_bytes(data)
    assert witness.get("f") == data and witness.keys() == ["f"]


def test_the_loser_of_a_conflict_reads_the_newer_content_afterwards(server, bucket, mount):
    witness = bucket(server)
    witness.put("f", b"base")
    disk = mount(witness, ttl=1)
    fd = os.open(disk / "f", os.O_WRONLY | os.O_APPEND)
    write_with_base(fd, b" mine")
    witness.put("f", b"theirs")
    assert close_errno(fd) == errno.ESTALE
    wait_until(lambda: (disk / "f").read_bytes() == b"theirs")
    assert any(CONFLICT.match(name) for name in os.listdir(disk.path))


def test_two_mounts_that_append_lose_nothing(origin, bucket, mount):
    witness = bucket(origin)
    witness.put("f", b"")
    a, b = mount(witness, ttl=0), mount(witness, ttl=0)
    acknowledged = []
    for i in range(10):
        for name, disk in (("a", a), ("b", b)):
            fd = os.open(disk / "f", os.O_WRONLY | os.O_APPEND)
            os.write(fd, b"%s%d\n" % (name.encode(), i))
            if close_errno(fd) == 0:
                acknowledged.append(b"%s%d" % (name.encode(), i))
    assert sorted(witness.get("f").split()) == sorted(acknowledged)
    assert len(acknowledged) == 20


def test_a_new_name_that_others_took_meanwhile_is_eexist_for_who_wanted_it_alone(server, bucket, mount):
    witness = bucket(server)
    disk = mount(witness, ttl=60)
    os.listdir(disk.path)
    fd = os.open(disk / "f", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    os.write(fd, b"mine")
    witness.put("f", b"theirs")
    witness.put("d/", b"")
    witness.put("l", b"theirs")
    assert close_errno(fd) == errno.EEXIST
    assert errno_of(os.mkdir, disk / "d") == errno.EEXIST
    assert errno_of(os.symlink, "target", disk / "l") == errno.EEXIST
    assert witness.get("f") == b"theirs" and witness.get("l") == b"theirs"
    assert [witness.get(c) for c in conflict_copies(witness, "f")] == [b"mine"]


def test_mv_n_that_loses_at_the_store_is_eexist(origin, bucket, mount):
    witness = bucket(origin)
    disk = mount(witness, ttl=60)
    (disk / "a").write_bytes(b"mine")
    os.listdir(disk.path)
    witness.put("b", b"theirs")
    libc = ctypes.CDLL(None, use_errno=True)
    failed = libc.renameat2(-100, os.fsencode(disk / "a"), -100, os.fsencode(disk / "b"), 1)
    assert failed and ctypes.get_errno() == errno.EEXIST
    assert witness.get("a") == b"mine" and witness.get("b") == b"theirs"


def test_excl_open_decides_at_once_whether_the_name_is_free(origin, bucket, mount):
    witness = bucket(origin)
    disk = mount(witness, excl="open", ttl=60)
    os.listdir(disk.path)
    witness.put("f", b"theirs")
    assert errno_of(os.open, disk / "f", os.O_CREAT | os.O_EXCL | os.O_WRONLY) == errno.EEXIST
    fd = os.open(disk / "g", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    assert witness.exists("g")
    os.close(fd)
