"""Two mounts on one cache that is too small for what they read and write, also when one of them is killed again and again: no wrong
byte, and afterwards the accounts are exact and every file is somebody's."""
import json
import os
import random
import sqlite3
import subprocess
import threading
import time

import pytest

from support.caches import MIB
from support.work import pattern, wait_until

LIMIT = 40 * MIB
SIZES = [1, 5000, 65536, 65537, 300_000, MIB, 2 * MIB + 1, 3 * MIB, 5 * MIB + 77]
EXTENTS = 8192  # that a file system may take to remember where a file in pieces is
OBJECTS, BODIES = 60, 50  # objects from BODIES on have the bytes of others


def body_of(number):
    return pattern(SIZES[number % BODIES % len(SIZES)], number % BODIES)


class Load(threading.Thread):
    """Reads, as a whole or a piece, and stores objects; says what was wrong. What fails while its mount is being killed is nothing."""

    def __init__(self, disk, name, seed):
        super().__init__(daemon=True)
        self.disk, self.own, self.rng = disk, name, random.Random(seed)
        self.bodies = {"f%d" % i: body_of(i) for i in range(OBJECTS)}
        self.done, self.wrong, self.ends, self.paused = 0, None, threading.Event(), threading.Event()

    def run(self):
        while not self.ends.is_set() and not self.wrong:
            if self.paused.is_set():
                time.sleep(0.02)
                continue
            began = self.disk.process
            try:
                self.one()
                self.done += 1
            except OSError as problem:
                if self.disk.process is began and not self.paused.is_set():
                    self.wrong = repr(problem)
            except AssertionError as problem:
                self.wrong = str(problem)

    def one(self):
        key = self.rng.choice(sorted(self.bodies))
        if self.rng.random() < 0.15:
            key = "own-%s-%d" % (self.own, self.rng.randrange(6))
            self.bodies.pop(key, None)  # until it is stored: a killed mount may have stored it or not
            body = body_of(self.rng.randrange(OBJECTS))
            (self.disk / key).write_bytes(body)
            self.bodies[key] = body
            return
        body = self.bodies[key]
        at = self.rng.randrange(len(body)) if self.rng.random() < 0.4 else 0
        length = self.rng.randrange(1, 200_000) if at else len(body)
        with open(self.disk / key, "rb", buffering=0) as f:
            os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            f.seek(at)
            got = b""
            while len(got) < length and (piece := f.read(length - len(got))):
                got += piece
        assert got == body[at:at + length], "%s: wrong bytes from %d on" % (key, at)


def on_disk(cache):
    """Bytes that the directory takes; a file that is renamed meanwhile counts once."""
    blocks = {}
    for top, _, names in os.walk(cache):
        for name in names:
            try:
                st = os.lstat(os.path.join(top, name))
                blocks[st.st_ino] = st.st_blocks * 512
            except FileNotFoundError:
                pass
    return sum(blocks.values())


def evicted(disk):
    return disk.status()["cache"]["evicted"]


def command(disk, *words):
    result = subprocess.run([disk.binary, "cache", *words, "-o", "cache=%s,cache_size=%d" % (disk.cache, LIMIT), "--json"],
                            capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return json.loads(result.stdout)


def assert_exact(cache):
    """What the index says and what is there are the same."""
    with sqlite3.connect("file:%s/index.db?mode=ro" % cache, uri=True) as db:
        rows = {row[0]: row[1:] for row in db.execute("SELECT id, state, hash, disk FROM content")}
        (counted,), = db.execute("SELECT disk FROM space")
        (lost,), = db.execute("SELECT count(*) FROM version WHERE content NOT IN (SELECT id FROM content)")
        (nameless,), = db.execute("SELECT count(*) FROM content WHERE id NOT IN (SELECT content FROM version)")
        (epoch,), = db.execute("SELECT epoch FROM state")
    assert counted == sum(disk for _, _, disk in rows.values())
    assert lost == 0 and nameless == 0 and not any(state == 3 for state, _, _ in rows.values())
    owners = {}
    for number, (state, digest, disk) in rows.items():
        owners["%s-%d" % (epoch, number)] = disk
        if state == 2:
            owners[digest.hex()] = disk
    for file in list(cache.glob("part/*")) + list(cache.glob("content/*/*")):
        assert file.name in owners, "%s belongs to nobody" % file
        assert file.stat().st_blocks * 512 <= owners[file.name] + EXTENTS


def torture(origin, bucket, mount, rng, kills, seconds):
    witness = bucket(origin)
    for i in range(OBJECTS):
        witness.put("f%d" % i, body_of(i))
    first = mount(witness, cache_size="%d" % LIMIT, memory="32M")
    second = mount(witness, cache_size="%d" % LIMIT, memory="32M", cache=first.cache)
    loads = [Load(disk, "%d-%d" % (who, i), rng.random()) for who, disk in enumerate((first, second)) for i in range(2)]
    for load in loads:
        load.start()
    try:
        for _ in range(kills or 1):
            until = time.monotonic() + (rng.random() if kills else 1) * seconds
            while time.monotonic() < until and not any(load.wrong for load in loads):
                assert on_disk(first.cache) <= LIMIT
                time.sleep(0.1)
            if not kills:
                wait_until(lambda: evicted(first) + evicted(second) > 0, 60)
            else:
                victim = rng.choice([first, second])
                its = [load for load in loads if load.disk is victim]
                for load in its:
                    load.paused.set()
                victim.kill9()
                victim.start()
                for load in its:
                    load.paused.clear()
    finally:
        for load in loads:
            load.ends.set()
        for load in loads:
            load.join(90)
    assert [load.wrong for load in loads] == [None] * len(loads)
    assert all(load.done > 0 for load in loads)
    first.umount()
    second.umount()
    assert command(first, "verify")["bad"] == 0
    assert on_disk(first.cache) <= LIMIT
    assert_exact(first.cache)
    first.start()
    for load in loads:
        for key, body in load.bodies.items():
            assert (first / key).read_bytes() == body


def test_two_mounts_under_load_with_evictions(origin, bucket, mount, rng):
    torture(origin, bucket, mount, rng, 0, 6)


def test_two_mounts_of_which_one_is_killed_again_and_again(origin, bucket, mount, rng):
    torture(origin, bucket, mount, rng, 4, 2)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_two_mounts_of_which_one_is_killed_a_hundred_times(origin, bucket, mount, rng):
    torture(origin, bucket, mount, rng, 100, 3)
