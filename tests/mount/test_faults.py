"""A program that works while the server fails: what it was told and what the bucket has agree on every file."""
import errno
import os
import random
import re

import pytest

from support.work import errno_of, wait_until

KINDS = ["PutObject", "CopyObject", "DeleteObject", "UploadPart", "CompleteMultipartUpload", "CreateMultipartUpload", "HeadObject"]
FAULTS = [({"status": 503, "code": "SlowDown"}, 0.10), ("reset", 0.03), ("execute_then_reset", 0.03)]


def spoil(origin, witness, names, rng):
    """Of each kind of request, 10 % of the names get a 503, 3 % a reset, 3 % no answer to what was done."""
    for name in names:
        for kind in KINDS:
            draw = rng.random()
            for action, share in FAULTS:
                if draw < share:
                    origin.fault(action, kind=kind, key=witness.name + "/" + name, count=1)
                    break
                draw -= share


def work_on(disk, names, rng):
    """{name: its bytes} as the program was told."""
    expected = {}
    for name in names:
        path, data = disk / name, rng.randbytes(rng.choice([0, 10, 4096, 70_000]))
        path.write_bytes(data)
        expected[name] = data
        what = rng.choice(["", "", "append", "rewrite", "replace", "rename", "remove", "chmod", "large"])
        if what == "append":
            with open(path, "ab") as f:
                f.write(b"more")
            expected[name] += b"more"
        elif what == "rewrite":
            path.write_bytes(b"again")
            expected[name] = b"again"
        elif what == "replace":
            (disk / (name + ".tmp")).write_bytes(b"replaced")
            os.rename(disk / (name + ".tmp"), path)
            expected[name] = b"replaced"
        elif what == "rename":
            os.rename(path, disk / (name + ".moved"))
            expected[name + ".moved"] = expected.pop(name)
        elif what == "remove":
            path.unlink()
            del expected[name]
        elif what == "chmod":
            path.chmod(0o600)
        elif what == "large" and rng.random() < 0.2:
            data = rng.randbytes(1 << 20) * 9
            path.write_bytes(data)
            expected[name] = data
    return expected


def agree(disk, expected):
    disk.umount()
    assert disk.bucket.keys() == sorted(expected)
    for name, data in expected.items():
        assert disk.bucket.get(name) == data, name
    assert disk.bucket.uploads() == []
    assert "conflict" not in disk.log() and "changed by others" not in disk.log()


@pytest.mark.parametrize("files", [60, pytest.param(500, marks=pytest.mark.long)])
@pytest.mark.parametrize("write", ["through", "back"])
@pytest.mark.timeout(900)
def test_bucket_and_program_agree_on_every_file_whatever_fails(origin, bucket, mount, rng, files, write):
    witness = bucket(origin)
    disk = mount(witness, timeout=60, write=write)
    names = ["f%03d" % k for k in range(files)]
    names += ["f%03d.tmp" % k for k in range(files)] + ["f%03d.moved" % k for k in range(files)]
    spoil(origin, witness, names, rng)
    expected = work_on(disk, names[:files], random.Random(rng.random()))
    origin.clear_faults()
    # What a removal left unanswered may put off shows in the directory, not in a file.
    agree(disk, expected)


# ---- What ends for good


def test_the_right_to_write_that_is_lost_during_an_upload_is_eacces_and_the_bytes_stay(origin, bucket, mount):
    witness = bucket(origin)
    disk = mount(witness)
    data = b"x" * (30 << 20)
    fd = os.open(disk / "f", os.O_RDWR | os.O_CREAT, 0o644)
    os.write(fd, data)
    origin.fault({"status": 403, "code": "AccessDenied"}, kind="UploadPart", skip=2)
    assert errno_of(os.fsync, fd) == errno.EACCES
    (disk / "other").write_bytes(b"other")
    assert witness.get("other") == b"other"
    assert os.pread(fd, 10, 20 << 20) == b"x" * 10 and not witness.exists("f")
    origin.clear_faults()
    os.fsync(fd)
    os.close(fd)
    assert witness.get("f") == data and witness.uploads() == []


def test_a_bucket_that_is_deleted_is_an_error_and_no_absence(origin, bucket, mount):
    witness = bucket(origin)
    disk = mount(witness, timeout=5)
    fd = os.open(disk / "f", os.O_RDWR | os.O_CREAT, 0o644)
    os.write(fd, b"precious")
    witness.s3.delete_bucket(Bucket=witness.name)
    assert errno_of(os.fsync, fd) in (errno.EIO, errno.EACCES)
    assert errno_of(os.close, fd) in (errno.EIO, errno.EACCES)
    wait_until(lambda: any(p.read_bytes() == b"precious" for p in disk.state_files() if p.name.startswith("stage-")))
    assert "f" in disk.log()


def test_an_object_that_is_deleted_under_a_writer_is_a_conflict_and_the_bytes_stay(origin, bucket, mount):
    witness = bucket(origin)
    witness.put("f", b"base")
    disk = mount(witness, ttl=60)
    fd = os.open(disk / "f", os.O_WRONLY | os.O_APPEND)
    os.write(fd, b" mine")
    wait_until(lambda: origin.requests().get("GetObject", 0) >= 1, what="the rest of a small object to be fetched")
    witness.delete("f")
    assert errno_of(os.close, fd) == errno.ESTALE
    kept = witness.keys()
    assert len(kept) == 1 and "conflict" in kept[0] and witness.get(kept[0]) == b"base mine"


def test_a_file_over_5_tib_and_a_key_too_long_are_refused_at_once(origin, bucket, mount):
    disk = mount(bucket(origin))
    fd = os.open(disk / "f", os.O_RDWR | os.O_CREAT, 0o644)
    os.write(fd, b"x")
    assert errno_of(os.pwrite, fd, b"x", 5 << 40) == errno.EFBIG
    assert errno_of(os.ftruncate, fd, (5 << 40) + 1) == errno.EFBIG
    os.close(fd)
    deep = disk.path
    for _ in range(5):
        deep = deep / ("d" * 200)
        if errno_of(os.mkdir, deep):
            break
    assert errno_of(os.open, deep / ("f" * 100), os.O_CREAT | os.O_WRONLY) in (errno.ENAMETOOLONG, errno.ENOENT)
    assert disk.bucket.get("f") == b"x"


# ---- What status tells


def test_status_lists_what_is_not_in_s3_with_age_attempts_and_error(origin, bucket, mount):
    disk = mount(bucket(origin), timeout=3)
    fd = os.open(disk / "f", os.O_RDWR | os.O_CREAT, 0o644)
    os.write(fd, b"bytes")
    told = wait_until(lambda: [f for f in disk.status()["dirty"] if f.get("age_ms")])
    assert [(f["path"], f["bytes"], f["attempts"], f["error"]) for f in told] == [("/f", 5, 0, "")]
    origin.fault({"status": 403, "code": "AccessDenied"}, kind="PutObject")
    assert errno_of(os.fsync, fd) == errno.EACCES and errno_of(os.fsync, fd) == errno.EACCES
    told = disk.status()["failed"]
    assert [(f["path"], f["attempts"]) for f in told] == [("/f", 2)] and "AccessDenied" in told[0]["error"]
    origin.clear_faults()
    os.fsync(fd)
    os.close(fd)
    assert disk.status()["failed"] == [] and disk.status()["dirty"] == []


def test_status_lists_conflicts_and_where_the_bytes_are(origin, bucket, mount):
    witness = bucket(origin)
    disk = mount(witness)
    fd = os.open(disk / "f", os.O_WRONLY | os.O_CREAT, 0o644)
    os.write(fd, b"mine")
    witness.put("f", b"theirs")
    assert errno_of(os.close, fd) == errno.ESTALE
    told = disk.status()["conflicts"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", told[0]["time"])
    assert [c["path"] for c in told] == ["/f"] and witness.get(told[0]["kept"]) == b"mine"
