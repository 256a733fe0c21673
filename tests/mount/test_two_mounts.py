"""Two mounts, or a mount and boto3, change one name: while a request of the first is held, each in turn, the second does all of its
work. No update that was told to be done disappears: it is in the object, in a conflict copy, or what came after it knew it and
replaced it."""
import os
import subprocess
import threading

import pytest

from support.mounts import environment, program
from support.work import wait_until

REQUESTS_MAX = 12


def append(disk, name, tag):
    fd = os.open(disk / name, os.O_WRONLY | os.O_APPEND)
    os.write(fd, tag)
    os.close(fd)


def create(disk, name, tag):
    fd = os.open(disk / name, os.O_WRONLY | os.O_CREAT, 0o644)
    os.write(fd, tag)
    os.close(fd)


def modify(disk, name, tag):
    fd = os.open(disk / name, os.O_RDWR)
    os.pwrite(fd, tag, 3)
    os.close(fd)


def replace(disk, name, tag):
    temporary = "%s.%s" % (name, tag.decode())
    (disk / temporary).write_bytes(tag)
    os.rename(disk / temporary, disk / name)


def delete(disk, name, tag):
    os.unlink(disk / name)


def put(disk, name, tag):
    """boto3, which knows nothing of conditions."""
    disk.witness.put(name, tag)


class Change(threading.Thread):
    def __init__(self, what, disk, name, tag):
        super().__init__(daemon=True)
        self.what, self.disk, self.name_, self.tag, self.failure = what, disk, name, tag, None
        self.start()

    def run(self):
        try:
            self.what(self.disk, self.name_, self.tag)
        except OSError as failure:
            self.failure = failure


def flush(disk):
    subprocess.run([program(), "flush", disk.path], env=environment("flush"), check=False, timeout=60)


def held(origin):
    return sum(rule["hits"] for rule in origin.control("GET", "faults"))


def contents(witness):
    return {key: witness.get(key) for key in witness.keys()}


PAIRS = [(append, append), (append, replace), (replace, append), (replace, replace), (create, create), (modify, delete),
         (delete, modify), (append, delete), (append, put), (modify, put), (replace, put), (delete, put), (create, put)]


@pytest.mark.parametrize("first, second", PAIRS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("mode", ["through", "back"])
def test_no_update_disappears_whatever_is_interleaved(origin, bucket, mount, mode, first, second):
    witness = bucket(origin)
    names = ["f%02d" % number for number in range(REQUESTS_MAX)]
    if first is not create:
        for name in names:
            witness.put(name, b"base" * 3)
    # The first knows the names as they are before the second begins: what it then replaces or removes is that, or nothing.
    a, b = (mount(witness, write=mode, ttl=ttl, timeout=20) for ttl in (600, 0))
    assert len(os.listdir(a.path)) == (0 if first is create else REQUESTS_MAX)
    for number, name in enumerate(names):
        mine, theirs = b"<mine%d>" % number, b"<theirs%d>" % number
        origin.fault("hang", key="%s/%s*" % (witness.name, name), skip=number, count=1)  # not what is read ahead of others
        change = Change(first, a, name, mine)
        wait_until(lambda: held(origin) or not change.is_alive())
        if mode == "back" and not held(origin):
            flush_it = threading.Thread(target=flush, args=(a,), daemon=True)
            flush_it.start()
            wait_until(lambda: held(origin) or not flush_it.is_alive())
        if not held(origin):
            origin.clear_faults()
            break
        before = b"".join(contents(witness).values())
        other = Change(second, b, name, theirs)
        other.join(2)
        origin.release()
        origin.clear_faults()
        change.join(90)
        other.join(90)
        assert not change.is_alive() and not other.is_alive()
        flush(a)
        flush(b)
        now = contents(witness)
        everything = b"".join(now.values())
        if not other.failure and second is not delete:
            # Unlinking means whatever is there by then: with write=back only what was there when it was asked for.
            unlinked = first is delete and mode == "through" and not change.failure
            assert theirs in everything or unlinked, (number, now, change.failure)
        if not change.failure and first is not delete and mine not in before:
            assert mine in everything, (number, now, other.failure)
    else:
        pytest.fail("more than %d requests" % REQUESTS_MAX)
    assert number >= 1
