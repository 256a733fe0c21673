"""When the server fails: an error is never an absence, nothing hangs for ever, and what is known stays available."""
import errno
import os
import signal
import threading
import time

import pytest

from support.work import Script, errno_of, pattern, stuck_in_kernel, wait_until

# Short deadlines for everything that must fail.
QUICK = {"timeout": 4}


@pytest.fixture
def scripts():
    """script(code, argument...): processes that are gone after the test."""
    made = []

    def make(code, *arguments):
        made.append(Script(code, *arguments))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def stoppable(request, work, bucket):
    """A versitygw of its own that a test may stop and start again; its objects stay."""
    from support import servers
    server = servers.Versitygw(work / ("own-" + request.node.name[:60])).start()
    yield server
    server.stop()


def test_the_server_stopped_during_a_read_gives_eio_and_reads_go_on_when_it_is_back(stoppable, bucket, mount):
    data = pattern(64 << 20)
    witness = bucket(stoppable)
    witness.put("f", data)
    disk = mount(witness, **QUICK)
    fd = os.open(disk / "f", os.O_RDONLY)
    assert os.pread(fd, 4096, 0) == data[:4096]
    stoppable.stop()
    start = time.monotonic()
    assert errno_of(os.pread, fd, 4096, 60 << 20) == errno.EIO
    assert time.monotonic() - start < 45
    stoppable.start(stoppable.port)
    assert wait_until(lambda: os.pread(fd, 4096, 50 << 20)) == data[50 << 20:(50 << 20) + 4096]
    os.close(fd)


def test_the_server_stopped_during_a_write_fails_the_close_and_keeps_the_bytes(stoppable, bucket, mount):
    witness = bucket(stoppable)
    disk = mount(witness, **QUICK)
    fd = os.open(disk / "f", os.O_WRONLY | os.O_CREAT, 0o644)
    os.write(fd, b"precious bytes")
    stoppable.stop()
    assert errno_of(os.close, fd) == errno.EIO
    assert any(b"precious bytes" in p.read_bytes() for p in disk.state_files())
    assert "f" in disk.log()
    stoppable.start(stoppable.port)
    disk.process.terminate()


def test_the_server_stopped_during_readdir_is_eio_and_never_an_empty_directory(stoppable, bucket, mount):
    witness = bucket(stoppable)
    for i in range(20):
        witness.put("d/%d" % i, b"x")
    disk = mount(witness, ttl=0, **QUICK)
    assert len(os.listdir(disk / "d")) == 20
    stoppable.stop()
    assert errno_of(os.listdir, disk / "d") == errno.EIO
    stoppable.start(stoppable.port)
    wait_until(lambda: errno_of(os.listdir, disk / "d") == 0)
    assert len(os.listdir(disk / "d")) == 20


def test_403_on_one_key_is_eacces_and_never_enoent(origin, bucket, mount):
    witness = bucket(origin)
    witness.put("open", b"x")
    witness.put("secret", b"x")
    disk = mount(witness, ttl=0)
    origin.fault({"status": 403, "code": "AccessDenied"}, key=witness.name + "/secret")
    assert errno_of((disk / "secret").read_bytes) == errno.EACCES
    assert (disk / "open").read_bytes() == b"x"
    assert "secret" in os.listdir(disk.path)


def test_403_on_a_listing_is_eacces_and_known_names_stay_readable(origin, bucket, mount):
    witness = bucket(origin)
    witness.put("d/f", b"x")
    witness.put("f", b"y")
    asks, knows = mount(witness, ttl=0), mount(witness, ttl=600)
    assert os.listdir(knows / "d") == ["f"]
    origin.fault({"status": 403, "code": "AccessDenied"}, kind="ListObjectsV2")
    assert errno_of(os.listdir, asks / "d") == errno.EACCES
    assert errno_of(os.stat, asks / "none") == errno.EACCES
    assert (asks / "f").read_bytes() == b"y"
    assert (knows / "d" / "f").read_bytes() == b"x"


@pytest.mark.parametrize("status, code", [(503, "SlowDown"), (500, "InternalError"), (429, "TooManyRequests")])
def test_an_error_on_a_list_is_retried_and_then_eio_never_an_empty_directory(origin, bucket, mount, status, code):
    witness = bucket(origin)
    witness.put("d/f", b"x")
    disk = mount(witness, ttl=0, **QUICK)
    origin.fault({"status": status, "code": code}, kind="ListObjectsV2")
    assert errno_of(os.listdir, disk / "d") == errno.EIO
    assert errno_of(os.stat, disk / "d" / "f") == errno.EIO
    assert errno_of(os.stat, disk / "d" / "none") in (errno.EIO, errno.ENOENT)
    origin.clear_faults()
    assert wait_until(lambda: errno_of(os.listdir, disk / "d") == 0 and os.listdir(disk / "d")) == ["f"] # one from before is shared


@pytest.mark.tsan
@pytest.mark.parametrize("kind", ["ListObjectsV2", "HeadObject", "GetObject", "PutObject", "CopyObject", "DeleteObject"])
def test_a_few_503_are_retried_and_nobody_notices(origin, bucket, mount, kind):
    witness = bucket(origin)
    witness.put("f", b"x")
    disk = mount(witness, ttl=0)
    origin.fault({"status": 503, "code": "SlowDown"}, kind=kind, count=2)
    assert os.listdir(disk.path) == ["f"]
    assert (disk / "f").read_bytes() == b"x"
    (disk / "g").write_bytes(b"y")
    os.rename(disk / "g", disk / "h")
    (disk / "f").unlink()
    assert witness.keys() == ["h"] and witness.get("h") == b"y"


READ_FAULTS = [
    {"reset_after": 100_000}, {"cut_after": 100_000}, "reset", {"stall_after": 100_000}, {"status": 500, "code": "InternalError"},
    {"delay_ms": 500}, {"trickle_bps": 2_000_000},
]


@pytest.mark.parametrize("action", READ_FAULTS, ids=str)
def test_a_read_that_fails_once_is_retried_and_gives_the_right_bytes(origin, bucket, mount, action):
    data = pattern(1 << 20)
    witness = bucket(origin)
    witness.put("f", data)
    disk = mount(witness, timeout=40)
    origin.fault(action, kind="GetObject", count=1)
    assert (disk / "f").read_bytes() == data


WRONG = ["wrong_range", {"lie_length": 10}, {"lie_etag": "0123456789abcdef0123456789abcdef"}, "empty_200", "reset", {"cut_after": 10}]


@pytest.mark.parametrize("action", WRONG, ids=str)
def test_a_server_that_always_answers_wrongly_gives_an_error_or_the_right_bytes(origin, bucket, mount, action):
    data = pattern(1 << 20)
    witness = bucket(origin)
    witness.put("f", data)
    disk = mount(witness, **QUICK)
    os.listdir(disk.path)
    origin.fault(action, kind="GetObject")
    try:
        assert (disk / "f").read_bytes() == data
    except OSError as error:
        assert error.errno in (errno.EIO, errno.ESTALE)
    origin.clear_faults()
    assert wait_until(lambda: errno_of((disk / "f").read_bytes) == 0)
    assert (disk / "f").read_bytes() == data
    assert disk.process.poll() is None


LISTING_LIES = ["loop_listing", "malformed_xml", {"huge_xml": 200 << 20}, "entity_xml", "error_in_200", "empty_200", {"cut_after": 50}]


@pytest.mark.parametrize("action", LISTING_LIES, ids=str)
def test_a_listing_that_is_no_listing_is_eio_with_one_log_line_and_no_crash(origin, bucket, mount, action):
    witness = bucket(origin)
    for i in range(5):
        witness.put("d/%d" % i, b"x")
    disk = mount(witness, ttl=0, **QUICK)
    origin.fault(action, kind="ListObjectsV2")
    start = time.monotonic()
    assert errno_of(os.listdir, disk / "d") == errno.EIO
    assert time.monotonic() - start < 60
    assert disk.process.poll() is None and disk.log().strip()
    origin.clear_faults()
    assert len(os.listdir(disk / "d")) == 5


@pytest.mark.parametrize("kind, step", [("PutObject", 100), ("CompleteMultipartUpload", 20 << 20), ("UploadPart", 20 << 20),
                                        ("CreateMultipartUpload", 20 << 20)])
def test_an_error_inside_a_200_or_a_403_of_an_upload_is_the_error_of_close(origin, bucket, mount, kind, step):
    witness = bucket(origin)
    disk = mount(witness, **QUICK)
    origin.fault({"status": 403, "code": "AccessDenied"}, kind=kind)
    fd = os.open(disk / "f", os.O_WRONLY | os.O_CREAT, 0o644)
    os.write(fd, pattern(step))
    assert errno_of(os.close, fd) == errno.EACCES
    assert witness.keys() == []


def test_a_200_with_an_error_body_of_a_completed_upload_is_retried(origin, bucket, mount):
    witness = bucket(origin)
    disk = mount(witness)
    origin.fault("error_in_200", kind="CompleteMultipartUpload", count=1)
    data = pattern(20 << 20)
    (disk / "f").write_bytes(data)
    assert witness.get("f") == data


def test_a_copy_that_fails_in_a_200_leaves_the_source(origin, bucket, mount):
    witness = bucket(origin)
    witness.put("a", b"x")
    disk = mount(witness, **QUICK)
    origin.fault("error_in_200", kind="CopyObject")
    assert errno_of(os.rename, disk / "a", disk / "b") == errno.EIO
    assert witness.keys() == ["a"]


def test_an_uncached_read_fails_at_timeout(origin, bucket, mount):
    witness = bucket(origin)
    witness.put("f", b"x" * 100_000)
    disk = mount(witness, timeout=3)
    os.listdir(disk.path)
    origin.fault("hang", kind="GetObject")
    start = time.monotonic()
    assert errno_of((disk / "f").read_bytes) == errno.EIO
    assert 2 <= time.monotonic() - start < 30


READER = "f = open(sys.argv[1], 'rb', buffering=0); print('reading'); print(len(f.read(65536)))"


@pytest.mark.quiet
def test_200_stalled_readers_delay_no_stat_of_a_known_file_and_no_read_of_a_held_block(origin, bucket, mount, scripts):
    witness = bucket(origin)
    witness.put_many({"s%d" % i: b"x" * 200_000 for i in range(200)})
    witness.put("held", b"h" * 300_000)
    disk = mount(witness, ttl=600, timeout=60)
    os.listdir(disk.path)
    held = os.open(disk / "held", os.O_RDONLY)
    assert os.pread(held, 300_000, 0) == b"h" * 300_000
    origin.fault("hang", kind="GetObject", key=witness.name + "/s*")
    readers = [scripts(READER, disk / ("s%d" % i)) for i in range(200)]
    for reader in readers:
        assert reader.line() == "reading"
    time.sleep(1)
    # Past the page cache, so that the daemon answers.
    os.posix_fadvise(held, 0, 0, os.POSIX_FADV_DONTNEED)
    start = time.monotonic()
    assert os.pread(held, 4096, 100_000) == b"h" * 4096
    os.stat(disk / "held")
    for i in range(200):
        os.stat(disk / ("s%d" % i))
    assert time.monotonic() - start < 20
    assert not (disk / "not there").exists()
    assert time.monotonic() - start < 20
    # Requests of their own find a place beside the stalled ones.
    start = time.monotonic()
    (disk / "new").write_bytes(b"n")
    assert witness.get("new") == b"n"
    os.rename(disk / "new", disk / "renamed")
    (disk / "renamed").unlink()
    (disk / "folder").mkdir()
    assert os.listdir(disk / "folder") == []
    assert time.monotonic() - start < 20
    origin.heal()
    for reader in readers:
        assert reader.finish().strip() == "65536"
    os.close(held)


# What a process waits in -> the request that hangs, and the code that gets there after printing a line.
WAITS = {
    "read": ("GetObject", "f = open(sys.argv[1] + '/f', 'rb', buffering=0); print('go'); f.read(1000)"),
    "open": ("*", "print('go'); open(sys.argv[1] + '/d/unknown')"),
    "close": ("PutObject", "f = open(sys.argv[1] + '/new', 'wb', buffering=0); f.write(b'x'); print('go'); f.close()"),
    "unlink": ("DeleteObject", "print('go'); os.unlink(sys.argv[1] + '/f')"),
    "rename": ("CopyObject", "print('go'); os.rename(sys.argv[1] + '/f', sys.argv[1] + '/g')"),
    "readdir": ("ListObjectsV2", "print('go'); os.listdir(sys.argv[1] + '/d')"),
    "fsync": ("PutObject", "f = open(sys.argv[1] + '/new', 'wb', buffering=0); f.write(b'x'); print('go'); os.fsync(f.fileno())"),
}


@pytest.mark.tsan
@pytest.mark.parametrize("wait", list(WAITS))
def test_sigkill_frees_a_process_within_a_second(origin, bucket, mount, scripts, wait):
    kind, code = WAITS[wait]
    witness = bucket(origin)
    witness.put("f", b"x" * 100_000)
    witness.put("d/known", b"x")
    disk = mount(witness, timeout=60)
    os.listdir(disk.path)
    origin.fault("hang", kind=kind, key=witness.name + "/*")
    script = scripts(code, disk.path)
    assert script.line() == "go"
    time.sleep(0.7)
    assert stuck_in_kernel(script.process.pid)
    script.kill(signal.SIGKILL, 1.0)
    origin.heal()
    assert os.stat(disk.path)


@pytest.mark.tsan
@pytest.mark.parametrize("wait", ["read", "open", "close", "unlink"])
def test_ctrl_c_frees_a_process_that_lets_it(origin, bucket, mount, scripts, wait):
    kind, code = WAITS[wait]
    witness = bucket(origin)
    witness.put("f", b"x" * 100_000)
    witness.put("d/known", b"x")
    disk = mount(witness, timeout=60)
    os.listdir(disk.path)
    origin.fault("hang", kind=kind, key=witness.name + "/*")
    script = scripts("import signal\nsignal.signal(signal.SIGINT, signal.SIG_DFL)\n" + code, disk.path)
    assert script.line() == "go"
    time.sleep(0.7)
    script.kill(signal.SIGINT, 2.0)
    origin.heal()


def test_a_failed_upload_keeps_its_staged_file_logs_its_path_and_is_not_replayed(origin, bucket, mount):
    witness = bucket(origin)
    disk = mount(witness, **QUICK)
    origin.fault({"status": 500, "code": "InternalError"}, kind="PutObject")
    fd = os.open(disk / "f", os.O_WRONLY | os.O_CREAT, 0o644)
    os.write(fd, b"precious bytes")
    assert errno_of(os.close, fd) == errno.EIO
    wait_until(lambda: "its bytes are in" in disk.log(), what="the path in the log")
    staged = [p for p in disk.state_files() if p.read_bytes() == b"precious bytes"]
    assert staged and staged[0].name in disk.log()
    status = disk.status()
    assert [(f["path"], f["file"], f["bytes"]) for f in status["failed"]] == [("/f", str(staged[0]), 14)]
    assert status["failed"][0]["error"]
    origin.clear_faults()
    disk.umount()
    assert witness.keys() == []
    assert staged[0].read_bytes() == b"precious bytes"


def test_an_upload_cut_off_by_kill_9_is_aborted_at_the_next_mount_and_others_are_left(origin, bucket, mount, scripts):
    witness = bucket(origin)
    foreign = witness.s3.create_multipart_upload(Bucket=witness.name, Key="foreign")["UploadId"]
    disk = mount(witness, timeout=60)
    origin.reset_counts()  # of the mount that found out what the server can do
    origin.fault("hang", kind="CompleteMultipartUpload")
    writer = scripts("f = open(sys.argv[1], 'wb', buffering=0); f.write(b'x' * (20 << 20)); print('closing'); f.close()", disk / "f")
    assert writer.line() == "closing"
    wait_until(lambda: "CompleteMultipartUpload" in origin.requests(), what="the completion")
    disk.kill9()
    origin.heal()
    disk.start()
    wait_until(lambda: [u["UploadId"] for u in witness.uploads()] == [foreign], what="our upload to be aborted")
    assert witness.keys() == []


CHANGES = {"rename": lambda directory: os.rename(directory + "/old", directory + "/new"),
           "setxattr": lambda directory: os.setxattr(directory + "/old", "user.mark", b"x")}


@pytest.mark.parametrize("change", CHANGES)
def test_a_hundred_copies_that_hang_delay_no_look_at_another_file(origin, bucket, mount, change):
    witness = bucket(origin)
    for i in range(100):
        witness.put("d%d/old" % i, b"x")
    witness.put("other/known", b"x")
    disk = mount(witness, timeout=60, ttl=0)
    origin.fault("hang", kind="CopyObject")
    changes = [threading.Thread(target=CHANGES[change], args=(str(disk / ("d%d" % i)),)) for i in range(100)]
    for one in changes:
        one.start()
    try:
        wait_until(lambda: origin.requests().get("CopyObject", 0) >= 32, what="the copies")
        time.sleep(0.5)
        assert os.stat(disk / "other/known").st_size == 1
        assert (disk / "other/known").read_bytes() == b"x"
        assert all(one.is_alive() for one in changes)
    finally:
        origin.heal()
        for one in changes:
            one.join()
    assert os.listdir(disk / "d7") == ["new" if change == "rename" else "old"]


def start_large_rename(origin, bucket, mount, scripts, **faults):
    """A rename of an object of more than 5 GiB that hangs in its first parts: witness, mount, the process that waits."""
    witness = bucket(origin)
    origin.synthetic(bucket=witness.name, key="large", size=6 << 30, seed=1)
    disk = mount(witness, timeout=60)
    assert os.stat(disk / "large").st_size == 6 << 30
    origin.reset_counts() # the first mount of all has asked what the server can do
    origin.fault("hang", kind="UploadPartCopy")
    for kind, action in faults.items():
        origin.fault(action, kind=kind)
    script = scripts("print('go'); os.rename(sys.argv[1] + '/large', sys.argv[1] + '/moved')", disk.path)
    assert script.line() == "go"
    wait_until(lambda: origin.requests().get("UploadPartCopy"), what="the first part")
    return witness, disk, script


def records(disk):
    return [p for p in disk.state_files() if p.suffix == ".upload"]


def test_a_large_copy_cut_off_by_kill_9_is_aborted_and_made_anew_at_the_next_mount(origin, bucket, mount, scripts):
    witness, disk, _ = start_large_rename(origin, bucket, mount, scripts)
    assert len(records(disk)) == 1 and len(witness.uploads()) == 1
    disk.kill9()
    origin.heal()
    disk.start()
    wait_until(lambda: not witness.uploads() and not records(disk), what="the first upload, and its record, to go")
    assert witness.keys() == ["moved"]


def test_who_is_killed_in_a_large_copy_does_not_wait_for_its_abort(origin, bucket, mount, scripts):
    witness, disk, script = start_large_rename(origin, bucket, mount, scripts, AbortMultipartUpload="hang")
    script.kill(signal.SIGKILL, 1.0)
    wait_until(lambda: origin.requests().get("AbortMultipartUpload"), what="the abort")
    assert len(records(disk)) == 1
    origin.heal()
    wait_until(lambda: not witness.uploads(), what="the upload to be aborted")
    wait_until(lambda: not records(disk), what="its record to go")
    assert witness.keys() == ["large"]


@pytest.mark.parametrize("moment", ["CopyObject", "DeleteObject"])
def test_after_a_crash_in_a_rename_at_least_one_name_exists(origin, bucket, mount, scripts, moment):
    witness = bucket(origin)
    witness.put("old", b"content")
    disk = mount(witness, timeout=60)
    os.listdir(disk.path)
    origin.fault("hang", kind=moment)
    script = scripts("print('go'); os.rename(sys.argv[1] + '/old', sys.argv[1] + '/new')", disk.path)
    assert script.line() == "go"
    time.sleep(1)
    disk.kill9()
    origin.heal()
    assert b"content" in [witness.get(k) for k in witness.keys()]
    disk.start()
    assert set(os.listdir(disk.path)) <= {"old", "new"} and os.listdir(disk.path)


def test_a_crash_while_writing_leaves_the_old_content(server, bucket, mount):
    witness = bucket(server)
    witness.put("f", b"old")
    disk = mount(witness)
    fd = os.open(disk / "f", os.O_WRONLY)
    os.write(fd, b"NEW")
    disk.kill9()
    errno_of(os.close, fd)
    assert witness.get("f") == b"old"
    disk.start()
    assert (disk / "f").read_bytes() == b"old"


def test_a_redirect_to_the_buckets_region_is_followed_and_remembered(origin, bucket, mount):
    witness = bucket(origin)
    witness.put("f", b"x")
    disk = mount(witness, ttl=0)
    origin.fault({"redirect": "eu-west-1"}, count=1)
    assert (disk / "f").read_bytes() == b"x"


def test_a_clock_that_is_wrong_by_an_hour_is_corrected(origin, bucket, mount):
    witness = bucket(origin)
    witness.put("f", b"x")
    origin.fault({"skew_s": 3600}, count=1)
    disk = mount(witness)
    assert (disk / "f").read_bytes() == b"x"


def test_a_hung_server_leaves_a_mount_that_can_be_unmounted(origin, bucket, mount):
    witness = bucket(origin)
    witness.put("f", b"x")
    disk = mount(witness, timeout=5)
    origin.fault("hang")
    start = time.monotonic()
    disk.umount()
    assert time.monotonic() - start < 60


def test_a_slow_server_does_not_fail_a_read_that_moves(origin, bucket, mount):
    witness = bucket(origin)
    data = pattern(300_000)
    witness.put("f", data)
    disk = mount(witness, timeout=3)
    os.listdir(disk.path)
    origin.fault({"trickle_bps": 50_000}, kind="GetObject")
    assert (disk / "f").read_bytes() == data


def test_what_is_older_than_ttl_is_eio_without_the_server(origin, bucket, mount):
    witness = bucket(origin)
    witness.put("f", b"held")
    disk = mount(witness, ttl=1, offline="fail", timeout=4)
    assert (disk / "f").read_bytes() == b"held"
    time.sleep(1.2)
    origin.fault("hang")
    start = time.monotonic()
    assert errno_of(os.stat, disk / "f") == errno.EIO
    assert 2 <= time.monotonic() - start < 30
