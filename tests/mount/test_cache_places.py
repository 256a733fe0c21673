"""Where a cache lies and what becomes of that place: small and full disks, read-only ones, copies, layers, and who else is there."""
import os
import subprocess
import threading

import pytest

from support.caches import FILES, MIB, assert_holds, gets, idle, read
from support.work import pattern, run, wait_until

LARGE = pattern(60 * MIB + 7, 9)


def mounted_at(path, *words):
    path.mkdir(exist_ok=True)
    if subprocess.run(["mount", *words, path], capture_output=True, check=False).returncode:
        pytest.skip("not possible here: mount %s" % " ".join(map(str, words)))
    return path


@pytest.fixture
def place(tmp_path):
    """Mounts file systems for a cache, and takes them away when the mounts of the test are gone."""
    made = []

    def make(name, *words):
        made.append(mounted_at(tmp_path / name, *words))
        return made[-1]

    yield make
    for path in reversed(made):
        subprocess.run(["umount", "-l", path], check=True)


def test_on_a_disk_smaller_than_the_file_and_than_cache_size_bytes_are_right(place, origin, bucket, mount):
    small = place("small", "-t", "tmpfs", "-o", "size=40m", "tmpfs")
    witness = bucket(origin)
    witness.put("large", LARGE)
    witness.put("f", FILES["large"])
    disk = mount(witness, cache=small / "cache", cache_free="0")
    for _ in range(2):
        assert read(disk / "large") == LARGE
        assert read(disk / "f") == FILES["large"]
    disk.remount()
    assert read(disk / "large") == LARGE


def test_a_disk_that_others_fill_and_empty_again_is_used_again(place, origin, bucket, mount):
    small = place("small", "-t", "tmpfs", "-o", "size=100m", "tmpfs")
    witness = bucket(origin)
    witness.put("one", FILES["large"])
    witness.put("two", FILES["large"][::-1])
    disk = mount(witness, cache=small / "cache", cache_free="0")
    assert read(disk / "one") == FILES["large"]
    idle(disk)
    with open(small / "ballast", "wb") as ballast:
        try:
            while True:
                ballast.write(bytes(MIB))
                ballast.flush()
        except OSError:
            pass
    assert read(disk / "two") == FILES["large"][::-1]
    assert read(disk / "one") == FILES["large"]
    (small / "ballast").unlink()

    def held():
        assert read(disk / "two") == FILES["large"][::-1]
        idle(disk)
        origin.reset_counts()
        assert read(disk / "two") == FILES["large"][::-1]
        return gets(origin) == 0
    wait_until(held, 120)
    assert "nothing is stored in" in disk.log()
    wait_until(lambda: "cache_trouble" not in disk.status(), 120) # what had been queued before was stored while it lasted


def test_a_copy_of_a_cache_is_as_good(cached, mount, tmp_path, origin):
    disk = cached()
    disk.umount()
    subprocess.run(["cp", "-a", disk.cache, tmp_path / "copy"], check=True)
    other = mount(disk.bucket, cache=tmp_path / "copy")
    origin.reset_counts()
    assert_holds(other)
    assert gets(origin) == 0
    assert other.status()["cache"]["bad"] == 0
    disk.start()
    assert_holds(disk)
    assert gets(origin) == 0


def test_a_copy_of_a_cache_in_use_gives_right_bytes(cached, mount, tmp_path, origin):
    disk = cached(ttl="0")
    disk.bucket.put("large2", LARGE)
    with open(disk / "large2", "rb") as f:
        f.read(10 * MIB)
        subprocess.run(["cp", "-a", disk.cache, tmp_path / "copy"], check=True)
    other = mount(disk.bucket, cache=tmp_path / "copy")
    assert_holds(other)
    assert read(other / "large2") == LARGE


def test_a_cache_under_another_layer_is_used_and_kept(cached, place, mount, tmp_path, origin):
    disk = cached()
    disk.umount()
    for name in ("upper", "work"):
        (tmp_path / name).mkdir()
    options = "lowerdir=%s,upperdir=%s,workdir=%s" % (disk.cache, tmp_path / "upper", tmp_path / "work")
    top = place("top", "-t", "overlay", "overlay", "-o", options)
    other = mount(disk.bucket, cache=top, ttl="0")
    origin.reset_counts()
    assert_holds(other)
    assert gets(origin) == 0
    disk.bucket.put("new", FILES["large"][::-1])
    assert read(other / "new") == FILES["large"][::-1]
    idle(other)
    origin.reset_counts()
    other.remount()
    assert read(other / "new") == FILES["large"][::-1]
    assert gets(origin) == 0


def test_a_read_only_cache_is_told(cached, place, mount, origin):
    disk = cached()
    disk.umount()
    top = place("ro", "--bind", disk.cache)
    subprocess.run(["mount", "-o", "remount,bind,ro", top], check=True)
    other = mount(disk.bucket, cache=top)
    assert_holds(other)
    assert "nothing is stored in" in other.log() and "Read-only file system" in other.log()
    assert "Read-only file system" in other.status()["cache_trouble"]


def test_two_buckets_with_the_same_keys_share_a_cache(origin, bucket, mount):
    one, two = bucket(origin), bucket(origin)
    for i, b in enumerate((one, two)):
        b.put("f", pattern(5 * MIB, i))
        b.put("same", FILES["large"])
    a = mount(one)
    c = mount(two, cache=a.cache)
    for _ in range(2):
        assert read(a / "f") == pattern(5 * MIB, 0)
        assert read(c / "f") == pattern(5 * MIB, 1)
        assert read(a / "same") == FILES["large"]
        idle(a)
        idle(c)
        origin.reset_counts()
        assert read(c / "same") == FILES["large"]
        assert gets(origin) == 0


def test_commands_during_use_take_nothing_for_damaged(cached):
    disk = cached()
    stop, wrong = threading.Event(), []

    def reader():
        while not stop.is_set() and not wrong:
            wrong.extend(key for key, body in FILES.items() if read(disk / key) != body)

    threads = [threading.Thread(target=reader) for _ in range(3)]
    for thread in threads:
        thread.start()

    def command(*words):
        return subprocess.run([disk.binary, "cache", *words, "-o", "cache=%s" % disk.cache], capture_output=True, check=False).returncode == 0

    try:
        for words in (["clear"], ["verify"], ["evict", disk.source], ["pin", disk.source], ["show"], ["clear"], ["unpin", disk.source],
                      ["clear"], ["verify"]) * 2:
            if len(words) > 1: # what is read while the processors are busy comes later: until then there is nothing of it
                wait_until(lambda words=words: command(*words))
            else:
                assert command(*words), words
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not wrong
    assert disk.status()["cache"]["bad"] == 0
    assert "not what was stored" not in disk.log()


@pytest.mark.parametrize("how", ["deleted", "garbage"])
def test_an_index_lost_in_use_is_made_anew_and_used_again(cached, origin, how):
    disk = cached(ttl="0")
    file = disk.cache / "index.db"
    if how == "deleted":
        for path in disk.cache.glob("index.db*"):
            path.unlink()
    else:
        with open(file, "r+b") as f:
            f.write(os.urandom(file.stat().st_size))
    disk.bucket.put("new", FILES["large"][::-1])
    assert read(disk / "new") == FILES["large"][::-1]
    assert_holds(disk)
    idle(disk)
    if how == "deleted":
        assert "index.db was removed" in disk.log()

    def held():
        assert_holds(disk)
        idle(disk)
        disk.remount()
        origin.reset_counts()
        assert_holds(disk)
        return gets(origin) == 0
    wait_until(held, 120)
