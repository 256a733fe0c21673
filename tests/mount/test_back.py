"""write=back: what was written is in the local journal when close returns, and in the store soon after, whatever happens."""
import errno
import os
import signal
import subprocess
import threading
import time

import pytest

from support.mounts import program, MountFailed
from support.work import errno_of, make_tree, describe, pattern, run, shell, wait_until


@pytest.fixture
def back(mount):
    def make(witness, **options):
        return mount(witness, write="back", **options)
    return make


def unsent(disk):
    return disk.status()["write_back"]["operations"]


def flush(disk):
    run(program(), "flush", disk.path)


def changing(counts):
    return {kind: n for kind, n in counts.items() if kind not in ("ListObjectsV2", "HeadObject", "GetObject", "HeadBucket")}


def test_what_was_written_is_read_at_once_and_is_in_the_bucket_after_a_flush(server, bucket, back):
    witness = bucket(server)
    witness.put("old", b"old bytes")
    disk = back(witness)
    (disk / "small").write_bytes(b"small")
    (disk / "large").write_bytes(pattern(20 << 20))
    os.mkdir(disk / "d")
    (disk / "d" / "x").write_bytes(b"x")
    os.rename(disk / "old", disk / "d" / "renamed")
    os.symlink("small", disk / "link")
    os.chmod(disk / "small", 0o600)
    assert sorted(os.listdir(disk.path)) == ["d", "large", "link", "small"]
    assert (disk / "large").read_bytes() == pattern(20 << 20)
    assert (disk / "link").read_bytes() == b"small"
    assert (disk / "d" / "renamed").read_bytes() == b"old bytes"
    flush(disk)
    assert unsent(disk) == 0
    assert set(witness.keys()) == {"small", "large", "d/", "d/x", "d/renamed", "link"}
    assert witness.get("large") == pattern(20 << 20) and witness.get("d/renamed") == b"old bytes"
    assert os.stat(disk / "small").st_mode & 0o777 == 0o600
    disk.remount()
    assert os.stat(disk / "small").st_mode & 0o777 == 0o600
    assert (disk / "large").read_bytes() == pattern(20 << 20)


def test_200_new_files_cost_nothing_until_they_are_sent_and_are_durable(origin, bucket, back):
    disk = back(bucket(origin), ttl=60)
    os.listdir(disk.path)
    os.mkdir(disk / "d")
    flush(disk)
    origin.reset_counts()
    origin.fault("hang", kind="PutObject")
    before = disk.status()["write_back"]
    for k in range(200):
        (disk / "d" / ("f%03d" % k)).write_bytes(b"x" * 4096)
    counts = origin.requests()
    after = disk.status()["write_back"]
    assert not set(counts) - {"PutObject"}, counts  # what is begun meanwhile hangs
    assert 200 <= after["journal_records"] - before["journal_records"] <= 202
    assert 200 <= after["journal_syncs"] - before["journal_syncs"] <= 320
    assert len(os.listdir(disk / "d")) == 200
    origin.heal()
    flush(disk)
    assert len(disk.bucket.keys()) == 201


def test_200_new_files_are_200_puts(origin, bucket, back):
    disk = back(bucket(origin), ttl=60)
    os.listdir(disk.path)
    os.mkdir(disk / "d")
    flush(disk)
    origin.reset_counts()
    for k in range(200):
        (disk / "d" / ("f%03d" % k)).write_bytes(b"x" * 4096)
    flush(disk)
    assert origin.requests() == {"PutObject": 200}


def test_rm_r_of_1200_is_four_requests(origin, bucket, back):
    witness = bucket(origin)
    disk = back(witness, ttl=60)
    os.mkdir(disk / "d")
    for k in range(1200):
        (disk / "d" / ("f%04d" % k)).write_bytes(b"x")
    flush(disk)
    disk.remount()
    os.listdir(disk / "d")
    shell("ls -l d", disk.path)
    origin.reset_counts()
    shell("rm -r d", disk.path)
    flush(disk)
    counts = origin.requests()
    assert sum(counts.values()) <= 4, counts
    assert os.listdir(disk.path) == []
    assert witness.keys() == []


def test_saving_as_editors_do_is_one_put(origin, bucket, back):
    witness = bucket(origin)
    disk = back(witness, ttl=60)
    os.listdir(disk.path)
    origin.reset_counts()
    for k in range(10):
        (disk / "doc.tmp").write_bytes(b"version %d" % k)
        os.rename(disk / "doc.tmp", disk / "doc")
    flush(disk)
    counts = changing(origin.requests())
    assert set(counts) == {"PutObject"} and counts["PutObject"] <= 10, counts
    assert witness.keys() == ["doc"] and witness.get("doc") == b"version 9"


def test_an_empty_file_survives_a_kill_after_the_fsync_of_its_directory(origin, bucket, back):
    disk = back(bucket(origin))
    os.mkdir(disk / "d")
    held = os.open(disk / "d" / "held", os.O_CREAT | os.O_WRONLY)  # its RELEASE, which would put it, is still to come
    fd = os.open(disk / "d", os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)
    disk.kill9()
    errno_of(os.close, held)
    disk.start()
    assert os.listdir(disk / "d") == ["held"]
    flush(disk)
    assert disk.bucket.get("d/held") == b""


def test_a_tree_is_the_same_after_the_daemon_was_killed(server, bucket, back, rng, tmp_path):
    local = tmp_path / "local"
    local.mkdir()
    make_tree(local, rng)
    witness = bucket(server)
    disk = back(witness)
    shell("cp -a %s/. ." % local, disk.path)
    # Attributes that were changed last are journaled within a second, empty files when their RELEASE has come, or both at once by this.
    for folder, _, _ in os.walk(disk.path):
        fd = os.open(folder, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
    disk.kill9()
    disk.start()
    assert describe(disk.path) == describe(local)
    flush(disk)
    assert describe(disk.path) == describe(local)
    disk.umount()
    disk.start()
    assert describe(disk.path) == describe(local)


@pytest.mark.parametrize("write", ["back", "through"])
def test_what_was_unsent_when_the_daemon_was_killed_is_sent_by_the_next(origin, bucket, back, write):
    witness = bucket(origin)
    witness.put("gone", b"x")
    disk = back(witness)
    origin.fault({"status": 503, "code": "SlowDown"}, kind="PutObject")
    origin.fault({"status": 503, "code": "SlowDown"}, kind="DeleteObject")
    for k in range(20):
        (disk / ("f%d" % k)).write_bytes(b"text %d" % k)
    (disk / "large").write_bytes(pattern(1 << 20))
    os.unlink(disk / "gone")
    assert witness.keys() == ["gone"]
    disk.kill9()
    origin.heal()
    disk.options["write"] = write
    disk.start()
    assert sorted(os.listdir(disk.path)) == sorted(["f%d" % k for k in range(20)] + ["large"])
    assert (disk / "large").read_bytes() == pattern(1 << 20)
    disk.umount()
    assert len(witness.keys()) == 21 and witness.get("f7") == b"text 7"


def test_a_mount_that_cannot_send_what_write_back_has_left_says_what_to_do(origin, bucket, back):
    witness = bucket(origin)
    disk = back(witness, timeout=4)
    origin.fault({"status": 403, "code": "AccessDenied"}, kind="PutObject")
    (disk / "f").write_bytes(b"text")
    disk.kill9()
    disk.options["write"] = "through"
    with pytest.raises(MountFailed) as failure:
        disk.start()
    assert "mount with write=back" in str(failure.value) and "AccessDenied" in str(failure.value)
    origin.heal()
    disk.start()
    assert witness.get("f") == b"text"


def test_refusals_pause_the_sending_are_said_once_and_end_by_themselves(origin, bucket, back):
    witness = bucket(origin)
    disk = back(witness)
    origin.fault({"status": 403, "code": "AccessDenied"}, kind="PutObject")
    for k in range(50):
        (disk / ("f%d" % k)).write_bytes(b"x")
    wait_until(lambda: disk.status()["write_back"]["paused"])
    assert origin.requests()["PutObject"] < 50 + 10
    result = subprocess.run([program(), "flush", disk.path], capture_output=True, text=True, check=False)
    assert result.returncode != 0 and "AccessDenied" in result.stderr
    told = disk.status()
    assert len(told["dirty"]) == 50 and any("AccessDenied" in f["error"] for f in told["dirty"])
    assert disk.log().count("sending is paused") == 1
    origin.heal()
    flush(disk)
    assert len(witness.keys()) == 50
    assert disk.log().count("sending goes on") == 1


def test_sigterm_sends_what_is_due(server, bucket, back):
    witness = bucket(server)
    disk = back(witness)
    for k in range(100):
        (disk / ("f%d" % k)).write_bytes(b"x")
    assert disk.terminate() == 0
    assert len(witness.keys()) == 100


def test_sigterm_without_a_server_says_what_stays_in_the_journal(origin, bucket, back):
    witness = bucket(origin)
    disk = back(witness, timeout=4)
    origin.fault({"status": 503, "code": "SlowDown"}, kind="PutObject")
    (disk / "f").write_bytes(b"text")
    assert disk.terminate() != 0
    assert "stay in the journal" in disk.log()
    origin.heal()
    disk.start()
    flush(disk)
    assert witness.get("f") == b"text"


def test_after_an_unmount_a_signal_ends_the_wait_for_the_server(origin, bucket, back):
    disk = back(bucket(origin), timeout=3)
    origin.fault({"status": 503, "code": "SlowDown"}, kind="PutObject")
    (disk / "f").write_bytes(b"text")
    subprocess.run(["fusermount3", "-u", disk.path], check=True)
    time.sleep(5)
    assert disk.process.poll() is None
    disk.process.send_signal(signal.SIGTERM)
    assert disk.wait() != 0
    assert "stay in the journal" in disk.log()
    origin.heal()
    disk.start()


def conflict_copies(witness, name):
    return [key for key in witness.keys() if key.startswith(name + " (conflict ")]


def test_what_others_changed_meanwhile_stays_and_ours_is_beside_it(server, bucket, back):
    witness = bucket(server)
    witness.put("doc", b"base")
    disk = back(witness)
    fd = os.open(disk / "doc", os.O_WRONLY | os.O_APPEND)
    os.write(fd, b" mine")
    time.sleep(0.5)
    witness.put("doc", b"theirs")
    (disk / "new").touch()
    os.close(fd)
    flush(disk)
    assert witness.get("doc") == b"theirs"
    copies = conflict_copies(witness, "doc")
    assert len(copies) == 1 and witness.get(copies[0]) == b"base mine"
    assert [c["kept"] for c in disk.status()["conflicts"]] == copies
    wait_until(lambda: (disk / "doc").read_bytes() == b"theirs")


def test_a_full_rewrite_is_unconditional(server, bucket, back):
    witness = bucket(server)
    witness.put("f", b"base")
    disk = back(witness)
    fd = os.open(disk / "f", os.O_WRONLY | os.O_TRUNC)
    os.write(fd, b"mine")
    witness.put("f", b"theirs")
    os.close(fd)
    flush(disk)
    assert witness.get("f") == b"mine" and witness.keys() == ["f"]


def test_dirty_limit_makes_writers_wait_and_then_fail(origin, bucket, back):
    witness = bucket(origin)
    disk = back(witness, dirty_limit="2M", timeout=2)
    origin.fault({"status": 503, "code": "SlowDown"}, kind="PutObject")
    (disk / "a").write_bytes(b"a" * (1 << 20))
    fd = os.open(disk / "b", os.O_WRONLY | os.O_CREAT, 0o644)
    os.write(fd, b"b" * (3 << 19))
    assert errno_of(os.fsync, fd) == errno.ENOSPC
    threading.Timer(0.5, origin.heal).start()
    os.fsync(fd)
    os.close(fd)
    flush(disk)
    assert witness.get("b") == b"b" * (3 << 19)


def test_a_file_larger_than_the_limit_is_written_through(server, bucket, back):
    witness = bucket(server)
    disk = back(witness, dirty_limit="1M")
    (disk / "f").write_bytes(pattern(12 << 20))
    assert witness.get("f") == pattern(12 << 20)


def test_a_directory_is_renamed_at_once_and_arrives(server, bucket, back):
    witness = bucket(server)
    disk = back(witness)
    os.makedirs(disk / "a" / "b")
    for k in range(30):
        (disk / "a" / "b" / ("f%d" % k)).write_bytes(b"%d" % k)
    flush(disk)
    os.rename(disk / "a", disk / "z")
    (disk / "z" / "b" / "f3").write_bytes(b"changed")
    assert not os.path.exists(disk / "a") and len(os.listdir(disk / "z" / "b")) == 30
    flush(disk)
    keys = witness.keys()
    assert not [k for k in keys if k.startswith("a/")] and len([k for k in keys if k.startswith("z/b/f")]) == 30
    assert witness.get("z/b/f3") == b"changed" and witness.get("z/b/f7") == b"7"


def test_versions_of_our_own_are_not_taken_for_those_of_others(origin, bucket, back):
    """A file that is open for reading while it is sent: the kernel is told nothing and reads on."""
    disk = back(bucket(origin), ttl=0)
    (disk / "f").write_bytes(pattern(1 << 20))
    before = os.stat(disk / "f").st_ino
    with open(disk / "f", "rb", buffering=0) as f:
        assert f.read(4096) == pattern(1 << 20)[:4096]
        flush(disk)
        assert os.stat(disk / "f").st_ino == before
        f.seek(0)
        assert f.read() == pattern(1 << 20)
    with open(disk / "f", "ab") as f:
        f.write(b"more")
    flush(disk)
    assert disk.bucket.keys() == ["f"] and disk.bucket.get("f") == pattern(1 << 20) + b"more"


@pytest.mark.parametrize("killed", [False, True], ids=["goes-on", "killed"])
def test_what_is_written_on_after_an_fsync_is_not_in_what_was_synced(origin, bucket, back, killed):
    witness = bucket(origin)
    disk = back(witness)
    for kind in ("PutObject", "CreateMultipartUpload"):
        origin.fault({"status": 503, "code": "SlowDown"}, kind=kind)
    text = pattern(3 << 20)
    fd = os.open(disk / "f", os.O_RDWR | os.O_CREAT, 0o644)
    os.write(fd, text)
    os.ftruncate(fd, 5 << 20)
    os.fsync(fd)
    os.pwrite(fd, b"later", 1 << 20)
    os.truncate(disk / "f", 2 << 20)
    os.ftruncate(fd, 3 << 20)
    assert os.pread(fd, 5, 1 << 20) == b"later" and os.pread(fd, 1 << 20, 2 << 20) == bytes(1 << 20)
    if killed:
        disk.kill9()
        with pytest.raises(OSError):
            os.close(fd)
        origin.heal()
        disk.start()
        flush(disk)
        assert witness.get("f") == text + bytes(2 << 20)
        return
    os.close(fd)
    origin.heal()
    flush(disk)
    assert witness.get("f") == text[:1 << 20] + b"later" + text[(1 << 20) + 5:2 << 20] + bytes(1 << 20)
    assert (disk / "f").read_bytes() == witness.get("f")
