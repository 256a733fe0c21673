"""The disk cache as tests see it: what the mount tells of it, when it has nothing left to do, what had to be fetched after all."""
import os

from .work import pattern, wait_until

MIB = 1024 * 1024
# One of each way of being held: files of their own, of many chunks and of few, and two in the database.
FILES = {"large": pattern(5 * MIB + 77, 1), "medium": pattern(300_000, 2), "small": pattern(4096, 3), "one": b"x"}


def idle(disk, seconds=90):
    """Waits until the cache has taken what the kernel's pages have for it, and written, hashed and recorded what it was given; its
    counters."""
    return wait_until(lambda: (now := disk.status()["cache"])["pending"] == 0 and now, seconds, "that the cache has nothing to do")


def drop_pages(path):
    with open(path, "rb") as f:
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read(path):
    """All bytes, past the kernel's pages."""
    with open(path, "rb") as f:
        os.posix_fadvise(f.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return f.read()


def assert_holds(disk, files=None):
    """Each of the files has its bytes, whatever the kernel's pages have."""
    for key, body in (FILES if files is None else files).items():
        assert read(disk / key) == body, key


def gets(origin):
    """How often bytes were asked for since the server's counts were at zero."""
    return origin.requests().get("GetObject", 0)


def fetched_keys(origin):
    """Of which objects, as BUCKET/KEY."""
    return {entry["key"] for entry in origin.log() if entry["kind"] == "GetObject"}
