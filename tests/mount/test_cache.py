"""The disk cache: what is downloaded once is not downloaded again, whatever becomes of the mount, and never served wrong."""
import os
import pathlib
import sqlite3
import subprocess

import pytest

from support import servers
from support.buckets import Parameters
from support.caches import FILES, MIB, assert_holds, gets, idle, read
from support.mounts import program
from support.work import pattern, wait_until

@pytest.mark.parametrize("how", ["umount", "kill"])
def test_after_a_remount_nothing_is_downloaded_again(origin, cached, how):
    disk = cached()
    if how == "kill":
        disk.kill9()
        disk.start()
    else:
        disk.remount()
    assert_holds(disk)
    assert gets(origin) == 0
    assert disk.status()["cache"]["bad"] == 0


def test_a_mount_that_ends_at_once_first_writes_what_was_fetched(origin, bucket, mount):
    witness = bucket(origin)
    witness.put("f", FILES["large"])
    disk = mount(witness)
    assert (disk / "f").read_bytes() == FILES["large"]
    disk.remount()
    origin.reset_counts()
    assert read(disk / "f") == FILES["large"]
    assert gets(origin) == 0


def test_a_prefix_of_the_bucket_finds_what_the_whole_bucket_cached(origin, bucket, mount):
    witness = bucket(origin)
    witness.put("dir/f", FILES["large"])
    disk = mount(witness)
    assert (disk / "dir" / "f").read_bytes() == FILES["large"]
    disk.umount()
    origin.reset_counts()
    disk.source += "/dir"
    disk.start()
    assert (disk / "f").read_bytes() == FILES["large"]
    assert gets(origin) == 0


def test_the_same_bytes_under_another_key_or_put_again_cost_no_download(origin, cached):
    disk = cached(ttl="0")
    for key, body in FILES.items():
        disk.bucket.put("copy-" + key, body)
        disk.bucket.put(key, body)
    origin.reset_counts()
    assert_holds(disk)
    assert_holds(disk, {"copy-" + key: body for key, body in FILES.items()})
    assert gets(origin) == 0


def test_another_version_is_fetched_and_no_byte_of_the_old_one_shows(origin, cached):
    disk = cached(ttl="0")
    other = {key: bytes(255 - b for b in body) for key, body in FILES.items()}
    for key, body in other.items():
        disk.bucket.put(key, body)
    assert_holds(disk, other)
    idle(disk)
    disk.remount()
    origin.reset_counts()
    assert_holds(disk, other)
    assert gets(origin) == 0


def test_what_was_written_here_is_in_the_cache(origin, bucket, mount):
    disk = mount(bucket(origin))
    for key, body in FILES.items():
        (disk / key).write_bytes(body)
    wait_until(lambda: disk.status()["cache"]["bytes_filled"] == sum(map(len, FILES.values())))
    disk.remount()
    assert_holds(disk)
    assert gets(origin) == 0


def test_many_small_files_written_back_are_in_the_cache_when_the_mount_ends_at_once(origin, bucket, mount):
    disk = mount(bucket(origin), write="back")
    files = {"f%d" % i: b"%d " % i * (1 + i % 700) for i in range(600)}
    for key, body in files.items():
        (disk / key).write_bytes(body)
    disk.remount()
    origin.reset_counts()
    assert_holds(disk, files)
    assert gets(origin) == 0
    assert disk.status()["cache"]["bytes_dropped"] == 0


def test_uploads_do_not_wait_for_a_cache_whose_index_somebody_holds(origin, bucket, mount):
    """More of them than there are threads: if each waited for the lock, the rest could not be sent while it is held."""
    disk = mount(bucket(origin))
    index = sqlite3.connect(disk.cache / "index.db", isolation_level=None)
    index.execute("BEGIN IMMEDIATE")
    for i in range(150):
        (disk / ("f%d" % i)).write_bytes(pattern(300_000, i))
    assert {"f%d" % i for i in range(150)} <= set(disk.bucket.keys())
    index.execute("ROLLBACK")
    index.close()
    now = idle(disk)
    assert now["bytes_filled"] + now["bytes_dropped"] >= 150 * 300_000


def test_a_large_file_sent_while_it_was_written_is_in_the_cache(origin, bucket, mount):
    disk = mount(bucket(origin))
    body = pattern(70 * MIB + 5, 4)
    with open(disk / "f", "wb") as f:
        for start in range(0, len(body), MIB):
            f.write(body[start:start + MIB])
    assert origin.requests()["CreateMultipartUpload"] > 0
    disk.remount()
    assert read(disk / "f") == body
    assert gets(origin) == 0


def test_a_rename_takes_the_cached_bytes_along(origin, cached):
    disk = cached()
    for key in FILES:
        os.rename(disk / key, disk / ("new-" + key))
    assert_holds(disk, {"new-" + key: body for key, body in FILES.items()})
    idle(disk)
    disk.remount()
    assert_holds(disk, {"new-" + key: body for key, body in FILES.items()})
    assert gets(origin) == 0


def cache_files(disk):
    return sorted(p for name in ("content", "part") for p in (disk.cache / name).rglob("*") if p.is_file())


def test_a_flipped_bit_never_reaches_a_reader_and_costs_one_block(origin, cached):
    disk = cached({"large": FILES["large"]})
    disk.umount()
    (file,) = cache_files(disk)
    with open(file, "r+b") as f:
        f.seek(2 * MIB + 5)
        byte = f.read(1)
        f.seek(2 * MIB + 5)
        f.write(bytes([byte[0] ^ 4]))
    disk.start()
    assert read(disk / "large") == FILES["large"]
    assert gets(origin) == 1
    assert disk.status()["cache"]["bad"] >= 1
    idle(disk)
    disk.remount()
    origin.reset_counts()
    assert read(disk / "large") == FILES["large"]
    assert gets(origin) == 0


@pytest.mark.parametrize("what", ["truncated", "deleted", "zeros", "database"])
def test_whatever_becomes_of_the_files_the_bytes_are_right(cached, what):
    disk = cached()
    disk.umount()
    if what == "database":
        (disk.cache / "index.db").write_bytes(b"garbage" * 1000)
    for file in cache_files(disk) if what != "database" else ():
        if what == "deleted":
            file.unlink()
        else:
            os.truncate(file, 1000 if what == "truncated" else 0)
            os.truncate(file, 1000 if what == "truncated" else 5 * MIB + 77)
    disk.start()
    assert_holds(disk)
    idle(disk)
    assert_holds(disk)
    assert what != "database" or "moved to index.db.bad" in disk.log()


def test_the_cache_can_be_lost_under_a_running_mount(cached):
    disk = cached()
    for file in cache_files(disk):
        file.unlink()
    for name in ("index.db", "index.db-wal", "index.db-shm"):
        (disk.cache / name).unlink(missing_ok=True)
    assert_holds(disk)
    disk.remount()
    assert_holds(disk)


def niceness(pid):
    """Of each thread, by its name (proc(5): the 17th number behind the name), of the first by "main": its name is that of whatever
    program was begun, which is the loader's where that was told to run it."""
    found = {}
    for task in pathlib.Path("/proc/%d/task" % pid).iterdir():
        line = (task / "stat").read_text()
        name = "main" if task.name == str(pid) else line[line.index("(") + 1:line.rindex(")")]
        found[name] = int(line[line.rindex(")") + 2:].split()[16])
    return found


def test_what_fills_and_checks_the_cache_has_a_lower_priority_than_readers(cached):
    disk = cached({"one": b"x"})
    threads = niceness(disk.pid)
    own = threads["main"]

    def lowered(by):
        return min(own + by, 19)

    assert threads["cache-idler"] == lowered(15)
    assert threads["cache-writer"] == threads["cache-adopter"] == threads["cache-refill"] == lowered(10)
    assert threads["awsfs-http"] == own


def test_cache_none_keeps_nothing(origin, bucket, mount):
    witness = bucket(origin)
    witness.put("f", FILES["medium"])
    disk = mount(witness, cache="none")
    assert (disk / "f").read_bytes() == FILES["medium"]
    assert "cache" not in disk.status()
    disk.remount()
    origin.reset_counts()
    assert (disk / "f").read_bytes() == FILES["medium"]
    assert gets(origin) == 1


def test_the_limit_holds(bucket, origin, mount):
    witness = bucket(origin)
    files = {"f%d" % i: pattern(4 * MIB, i) for i in range(15)}
    for key, body in files.items():
        witness.put(key, body)
    disk = mount(witness, cache_size="32M")
    for key, body in files.items():
        assert (disk / key).read_bytes() == body
        used = sum(p.stat().st_blocks * 512 for p in disk.cache.rglob("*") if p.is_file())
        assert used <= 32 * MIB
    assert idle(disk)["used"] <= 32 * MIB


def test_the_directory_is_private_and_a_link_is_refused(bucket, origin, mount, tmp_path):
    witness = bucket(origin)
    disk = mount(witness, cache=tmp_path / "new" / "cache")
    assert (tmp_path / "new" / "cache").stat().st_mode & 0o777 == 0o700
    disk.umount()
    (tmp_path / "link").symlink_to(tmp_path / "new" / "cache")
    disk.options["cache"] = tmp_path / "link"
    with pytest.raises(Exception, match="option cache: .*symbolic links are not followed"):
        disk.start()


def test_parameters_never_reach_the_cache(moto, mount):
    tree = Parameters(moto)
    tree.put("secret", "a value that must not be on a disk", kind="SecureString")
    disk = mount(tree)
    assert "must not be" in (disk / "secret").read_text()
    disk.umount()
    assert not list(disk.cache.rglob("*"))


@pytest.mark.parametrize("option", ["cache", "state"])
def test_a_directory_of_something_else_is_left_as_it_is(origin, bucket, tmp_path, option):
    place, mnt = tmp_path / "like-etc", tmp_path / "mnt"
    mnt.mkdir()
    place.mkdir(mode=0o755)
    (place / "passwd").write_text("root")
    env = {**os.environ, "AWS_ACCESS_KEY_ID": servers.ACCESS, "AWS_SECRET_ACCESS_KEY": servers.SECRET, "AWS_REGION": "us-east-1"}
    commands = [[bucket(origin).source, mnt, "-o", "endpoint=" + origin.endpoint]]
    commands += [["cache", word, "-o", "ro"] for word in ("show", "verify", "clear") if option == "cache"]
    for command in commands:
        result = subprocess.run([program(), *command[:-1], "%s,%s=%s" % (command[-1], option, place)], env=env,
                                capture_output=True, text=True, check=False)
        assert result.returncode == 1 and str(place) in result.stderr
    assert place.stat().st_mode & 0o777 == 0o755 and [p.name for p in place.iterdir()] == ["passwd"]


def test_two_mounts_share_one_cache(origin, cached, mount):
    disk = cached()
    other = mount(disk.bucket, cache=disk.cache)
    assert_holds(other)
    assert gets(origin) == 0
