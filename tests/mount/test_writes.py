"""What a writer is promised: any write POSIX allows, in S3 when close or fsync says so."""
import fcntl
import os
import stat

import pytest

from support.mapping import Mapping
from support.work import Script, errno_of, pattern, sha512, shell, wait_until


def test_a_file_is_in_s3_when_close_returns(disk):
    for size in (1, 4095, 4096, 131072, 1048577):
        data = pattern(size)
        (disk / "f").write_bytes(data)
        assert disk.bucket.get("f") == data


def test_an_empty_file_is_in_s3_once_it_is_closed(disk):
    (disk / "empty").write_bytes(b"")
    wait_until(lambda: disk.bucket.exists("empty"), what="the empty object")
    assert disk.bucket.get("empty") == b""


def test_fsync_puts_what_is_written_while_the_file_stays_open(disk):
    with open(disk / "f", "wb", buffering=0) as f:
        f.write(b"first")
        os.fsync(f.fileno())
        assert disk.bucket.get("f") == b"first"
        f.write(b" second")
        os.fsync(f.fileno())
        assert disk.bucket.get("f") == b"first second"


def test_random_overwrites_of_a_100_mib_file_are_all_there(disk, rng):
    # moto keeps objects in memory, and each change of one takes it seconds.
    size = (20 if disk.bucket.server.name == "moto" else 100) << 20
    expected = bytearray(pattern(size))
    path = disk / "f"
    path.write_bytes(expected)
    disk.remount()
    fd = os.open(path, os.O_RDWR)
    for _ in range(200):
        length = rng.choice([1, 100, 4096, 65536, 300000])
        offset = rng.randrange(size - length)
        data = rng.randbytes(length)
        assert os.pwrite(fd, data, offset) == length
        expected[offset:offset + length] = data
        at = rng.randrange(size - 8192)
        assert os.pread(fd, 8192, at) == expected[at:at + 8192]
    os.close(fd)
    assert sha512(disk.bucket.get("f")) == sha512(bytes(expected))
    disk.remount()
    assert sha512(path.read_bytes()) == sha512(bytes(expected))


APPENDER = """
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
print("open")
sys.stdin.readline()
for i in range(200):
    os.write(fd, ("%s %d\\n" % (sys.argv[2], i)).encode())
os.close(fd)
"""


@pytest.mark.tsan
def test_two_programs_append_to_one_file_and_no_line_is_lost(disk):
    path = disk / "log"
    writers = [Script(APPENDER, path, name) for name in ("a", "b")]
    for writer in writers:
        assert writer.line() == "open"
    for writer in writers:
        writer.tell()
    for writer in writers:
        writer.finish()
    lines = path.read_text().splitlines()
    assert sorted(lines) == sorted("%s %d" % (n, i) for n in "ab" for i in range(200))
    wait_until(lambda: disk.bucket.get("log") == path.read_bytes(), what="the object to be what is read")


def test_append_to_an_object_put_by_others_keeps_its_bytes(server, bucket, mount):
    witness = bucket(server)
    witness.put("f", b"old ")
    disk = mount(witness)
    with open(disk / "f", "ab") as f:
        f.write(b"new")
    assert witness.get("f") == b"old new"


@pytest.fixture
def mapping():
    """make(fd, size): a shared mapping that is gone after the test."""
    made = []

    def make(fd, size):
        made.append(Mapping(fd, size))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.tsan
def test_a_shared_mapping_reads_and_writes_also_after_close(disk, mapping):
    path = disk / "map"
    path.write_bytes(b"a" * 10000)
    fd = os.open(path, os.O_RDWR)
    mapped = mapping(fd, 10000)
    assert mapped.read(0, 4) == b"aaaa"
    mapped.write(0, b"1234")
    mapped.sync()
    os.close(fd)
    mapped.write(9996, b"wxyz")
    mapped.sync()
    assert mapped.read(0, 4) == b"1234"
    mapped.close()
    expected = b"1234" + b"a" * 9992 + b"wxyz"
    wait_until(lambda: disk.bucket.get("map") == expected, what="the mapped bytes in S3")
    assert path.read_bytes() == expected


def test_what_a_mapping_wrote_without_msync_is_in_s3_after_umount(disk, mapping):
    path = disk / "map"
    path.write_bytes(b"a" * 200000)
    fd = os.open(path, os.O_RDWR)
    mapped = mapping(fd, 200000)
    os.close(fd)
    mapped.write(100000, b"from the mapping")
    mapped.close()
    disk.umount()
    assert disk.bucket.get("map") == b"a" * 100000 + b"from the mapping" + b"a" * (200000 - 100016)


def test_a_private_mapping_executes_a_program_from_the_mount(disk):
    path = disk / "true"
    path.write_bytes(open("/bin/true", "rb").read())
    path.chmod(0o755)
    disk.remount()
    assert os.spawnv(os.P_WAIT, path, ["true"]) == 0


def test_a_group_redirected_into_a_file_is_one_object_put_at_most_twice(origin, bucket, mount):
    disk = mount(bucket(origin))
    origin.reset_counts()
    shell("{ echo a; cat /etc/hostname; /bin/echo c; } > f", disk.path)
    wait_until(lambda: disk.bucket.exists("f"))
    expected = b"a\n" + open("/etc/hostname", "rb").read() + b"c\n"
    wait_until(lambda: disk.bucket.get("f") == expected, what="the whole output in S3")
    disk.umount()
    assert origin.requests().get("PutObject", 0) in (1, 2)
    assert disk.bucket.keys() == ["f"]
    assert disk.bucket.get("f") == expected


def test_a_shells_empty_redirection_makes_an_empty_object(disk):
    shell("> f", disk.path)
    wait_until(lambda: disk.bucket.exists("f"), what="the empty object")


def test_truncate_up_down_and_to_zero(disk):
    path = disk / "f"
    path.write_bytes(b"0123456789")
    os.truncate(path, 4)
    assert path.read_bytes() == b"0123"
    os.truncate(path, 8)
    assert path.read_bytes() == b"0123\0\0\0\0"
    wait_until(lambda: disk.bucket.get("f") == b"0123\0\0\0\0", 10, "the truncated object without any close")
    os.truncate(path, 0)
    wait_until(lambda: disk.bucket.get("f") == b"", 10, "the empty object")


def test_a_sparse_file_reads_as_zeros_between(disk):
    with open(disk / "f", "wb") as f:
        f.seek(3 << 20)
        f.write(b"end")
    assert disk.bucket.get("f") == b"\0" * (3 << 20) + b"end"
    disk.remount()
    assert (disk / "f").read_bytes() == b"\0" * (3 << 20) + b"end"


def test_lseek_finds_data_and_the_end(disk):
    (disk / "f").write_bytes(b"x" * 100)
    fd = os.open(disk / "f", os.O_RDONLY)
    assert os.lseek(fd, 0, os.SEEK_DATA) == 0
    assert os.lseek(fd, 0, os.SEEK_HOLE) == 100
    assert errno_of(os.lseek, fd, 100, os.SEEK_DATA) == 6  # ENXIO
    os.close(fd)


def test_what_is_written_is_read_at_once_through_another_handle(disk):
    with open(disk / "f", "wb", buffering=0) as writer, open(disk / "f", "rb", buffering=0) as reader:
        writer.write(b"hello")
        assert reader.read() == b"hello"
        assert os.stat(disk / "f").st_size == 5
        writer.seek(0)
        writer.write(b"J")
        reader.seek(0)
        assert reader.read() == b"Jello"


def test_a_file_unlinked_while_open_is_read_and_written_until_close_and_leaves_no_object(disk):
    path = disk / "f"
    path.write_bytes(b"before")
    fd = os.open(path, os.O_RDWR)
    os.unlink(path)
    assert not path.exists() and os.listdir(disk.path) == []
    assert os.pread(fd, 100, 0) == b"before"
    os.pwrite(fd, b"AFTER", 0)
    assert os.pread(fd, 100, 0) == b"AFTERe"
    os.close(fd)
    disk.umount()
    assert disk.bucket.keys() == []


@pytest.mark.tsan
def test_a_file_renamed_while_it_is_written_has_its_bytes_under_the_new_name(disk):
    fd = os.open(disk / "old", os.O_RDWR | os.O_CREAT, 0o644)
    os.write(fd, b"first ")
    os.rename(disk / "old", disk / "new")
    os.write(fd, b"second")
    os.close(fd)
    assert (disk / "new").read_bytes() == b"first second"
    disk.umount()
    assert disk.bucket.keys() == ["new"] and disk.bucket.get("new") == b"first second"


def test_rename_over_a_file_replaces_it_and_noreplace_refuses(disk):
    (disk / "a").write_bytes(b"a")
    (disk / "b").write_bytes(b"b")
    shell("mv -n a b; test -e a", disk.path)
    assert (disk / "b").read_bytes() == b"b"
    os.rename(disk / "a", disk / "b")
    assert (disk / "b").read_bytes() == b"a" and os.listdir(disk.path) == ["b"]
    assert disk.bucket.keys() == ["b"] and disk.bucket.get("b") == b"a"


def test_a_file_replaced_by_a_temporary_name_and_rename_keeps_open_readers_on_the_old_bytes(disk):
    (disk / "f").write_bytes(b"old" * 1000)
    fd = os.open(disk / "f", os.O_RDONLY)
    assert os.read(fd, 3) == b"old"
    (disk / ".f.tmp").write_bytes(b"new")
    os.rename(disk / ".f.tmp", disk / "f")
    assert os.pread(fd, 3, 300) == b"old"
    os.close(fd)
    assert (disk / "f").read_bytes() == b"new" and disk.bucket.get("f") == b"new"


def test_o_excl_refuses_a_name_that_is_there(server, bucket, mount):
    witness = bucket(server)
    witness.put("f", b"x")
    disk = mount(witness)
    assert errno_of(os.open, disk / "f", os.O_CREAT | os.O_EXCL | os.O_WRONLY) == 17
    assert witness.get("f") == b"x"


def test_o_trunc_replaces_the_whole_content(disk):
    (disk / "f").write_bytes(b"a long first content")
    (disk / "f").write_bytes(b"short")
    assert disk.bucket.get("f") == b"short"


def test_attributes_changed_without_a_close_reach_s3_within_seconds(disk):
    path = disk / "f"
    path.write_bytes(b"x")
    path.chmod(0o640)
    os.utime(path, ns=(1, 1_234_567_890_000_000_009))
    wait_until(lambda: disk.bucket.head("f")["Metadata"].get("mode") == str(stat.S_IFREG | 0o640), 10, "the mode")
    wait_until(lambda: disk.bucket.head("f")["Metadata"].get("mtime") == "1234567890.000000009", 10, "the mtime")


def test_attributes_changed_just_before_a_plain_umount_are_sent_before_the_daemon_ends(disk):
    path = disk / "f"
    path.write_bytes(b"x")
    path.chmod(0o604)
    disk.umount()
    assert disk.bucket.head("f")["Metadata"]["mode"] == str(stat.S_IFREG | 0o604)


def test_a_killed_writer_leaves_what_it_wrote(disk):
    writer = Script("f = open(sys.argv[1], 'wb', buffering=0); f.write(b'kept'); print('written'); sys.stdin.readline()", disk / "f")
    assert writer.line() == "written"
    writer.kill()
    writer.close()
    wait_until(lambda: disk.bucket.exists("f") and disk.bucket.get("f") == b"kept", what="what the killed writer wrote")


def test_close_in_a_child_puts_nothing_while_the_opener_still_writes(origin, bucket, mount):
    disk = mount(bucket(origin))
    fd = os.open(disk / "f", os.O_WRONLY | os.O_CREAT, 0o644)
    os.write(fd, b"one ")
    origin.reset_counts()
    child = os.fork()
    if child == 0:
        os.close(fd)
        os._exit(0)
    os.waitpid(child, 0)
    assert "PutObject" not in origin.requests()
    os.write(fd, b"two")
    os.close(fd)
    assert disk.bucket.get("f") == b"one two"


def test_both_kinds_of_file_locks_exclude_other_processes(disk):
    path = disk / "f"
    path.write_bytes(b"x")
    with open(path, "r+b") as f:
        for lock in (fcntl.flock, fcntl.lockf):
            lock(f, fcntl.LOCK_EX)
            other = Script("import fcntl\nf = open(sys.argv[1], 'r+b')\ntry:\n fcntl.%s(f, fcntl.LOCK_EX | fcntl.LOCK_NB)\n"
                           " print('got it')\nexcept OSError as e:\n print(e.errno)" % lock.__name__, path)
            assert other.finish().strip() == "11"
            lock(f, fcntl.LOCK_UN)


def test_a_read_only_mount_refuses_every_change(server, bucket, mount):
    witness = bucket(server)
    witness.put("f", b"x")
    disk = mount(witness, ro=True)
    assert (disk / "f").read_bytes() == b"x"
    for change in (lambda: (disk / "g").write_bytes(b""), (disk / "f").unlink, (disk / "d").mkdir, lambda: os.truncate(disk / "f", 0)):
        assert errno_of(change) == 30
    assert witness.keys() == ["f"] and witness.get("f") == b"x"


def test_symlinks_are_kept_and_read_back(disk):
    os.symlink("some/target with space", disk / "link")
    assert os.readlink(disk / "link") == "some/target with space"
    disk.remount()
    assert os.readlink(disk / "link") == "some/target with space"


def test_hard_links_and_devices_are_refused_plainly(disk):
    (disk / "f").write_bytes(b"x")
    assert errno_of(os.link, disk / "f", disk / "g") in (1, 31, 38, 95)  # EPERM, EMLINK, ENOSYS, EOPNOTSUPP


@pytest.mark.tsan
@pytest.mark.parametrize("size", [6 << 20, 9 << 20, 40 << 20])
def test_a_file_of_several_parts_is_one_object_and_no_upload_is_left(disk, size):
    data = pattern(size)
    (disk / "f").write_bytes(data)
    assert disk.bucket.get("f") == data
    assert disk.bucket.uploads() == []
