"""The same random operations on a mount and on a local directory: every result, and everything that can be seen, is the same."""
import collections
import hashlib
import os
import stat

from . import fsx
from .mapping import Mapping

HANDLES = 6
TRACE = 80
# Later times are taken from a clock.
COMPARED_TIME = 1_000_000_000 * 10**9


class Difference(AssertionError):
    pass


class Pair:
    """One open file: a descriptor in either tree, and a mapping of it."""

    def __init__(self, fds, flags, name):
        self.fds, self.flags, self.name = fds, flags, name

    def close(self):
        return [outcome(os.close, fd) for fd in self.fds]


def outcome(call, *arguments):
    try:
        return call(*arguments)
    except OSError as error:
        return "E" + os.strerror(error.errno)


def difference(mine, theirs):
    if not isinstance(mine, bytes) or not isinstance(theirs, bytes):
        return "the mount gives %.300r, a disk %.300r" % (mine, theirs)
    first = next((k for k, (a, b) in enumerate(zip(mine, theirs)) if a != b), min(len(mine), len(theirs)))
    last = next((k for k, (a, b) in enumerate(zip(mine[::-1], theirs[::-1])) if a != b), 0)
    return "the mount gives %d bytes, a disk %d: they differ from %d (%r, %r) to %d before the end" % (
        len(mine), len(theirs), first, mine[first:first + 8], theirs[first:first + 8], last)


def mapped(fd, offset, data, sync):
    size = os.fstat(fd).st_size
    if offset + len(data) > size:
        return "outside"
    view = Mapping(fd, size)
    try:
        before = view.read(offset, len(data))
        view.write(offset, data)
        if sync:
            view.sync()
    finally:
        view.close()
    return before


def times_of(info):
    """Size, and the time of the last change where it was set, not taken from a clock."""
    return info.st_size, info.st_mtime_ns if info.st_mtime_ns < COMPARED_TIME else 0


def seen(top):
    """{relative path: what is the same in both trees}"""
    out = {}
    for folder, folders, files in os.walk(top):
        for name in folders + files:
            path = os.path.join(folder, name)
            info = os.lstat(path)
            entry = [oct(info.st_mode)]
            if stat.S_ISLNK(info.st_mode):
                entry = ["link", os.readlink(path)]
            elif stat.S_ISREG(info.st_mode):
                with open(path, "rb") as f:
                    data = f.read()
                entry += [len(data), hashlib.md5(data).hexdigest(), times_of(info)]
            out[os.path.relpath(path, top)] = entry
    return out


class Model:
    """`disk` is a mount, `local` an empty directory, `rng` decides everything."""

    def __init__(self, disk, local, rng, largest=300_000):
        self.disk, self.rng, self.largest = disk, rng, largest
        self.tops = (str(disk.path), str(local))
        self.handles = []
        self.trace = collections.deque(maxlen=TRACE)
        self.number = 0
        self.counts = collections.Counter()
        self.weights = {
            "open": 14, "close": 10, "write": 20, "read": 12, "append": 4, "truncate": 4, "ftruncate": 5, "fsync": 3, "stat": 8, "fstat": 4,
            "whole": 10, "unlink": 5, "rename": 6, "mkdir": 3, "rmdir": 2, "symlink": 2, "readlink": 2, "listdir": 4, "chmod": 3,
            "utime": 3, "mapwrite": 4, "write_file": 6, "temporary_then_rename": 3, "fallocate": 3, "copy_range": 3, "copy_file": 4}

    # ---- Choices

    def name(self):
        depth = self.rng.choices([0, 1, 2], [5, 4, 1])[0]
        parts = ["d%d" % self.rng.randrange(3) for _ in range(depth)]
        return "/".join(parts + [self.rng.choice(["f0", "f1", "f2", "f3", "f4", "f5", "d0", "d1", "l0", "l1", "a b+c%"])])

    def offset(self):
        return self.rng.choice([0, 0, 1, 4095, 4096, 131071, 131072, self.rng.randrange(self.largest)])

    def length(self):
        return self.rng.choice([0, 1, 10, 4096, 5000, 65536, 131072, self.rng.randrange(1, self.largest // 2)])

    def bytes(self, length):
        return self.rng.randbytes(min(length, 64)) * (length // 64 + 1) if length > 64 else self.rng.randbytes(length)

    # ---- Comparing

    def fail(self, what):
        lines = ["%d: %s" % entry for entry in self.trace]
        raise Difference("%s\nafter\n%s\nthe log of the mount ends with\n%s" % (what, "\n".join(lines), self.disk.log()[-3000:]))

    def same(self, results, what):
        if results[0] != results[1]:
            self.fail("%s: %s" % (what, difference(*results)))
        return results[1]

    def both(self, what, call, *names):
        """The call on the names in both trees."""
        self.say(what)
        return self.same([outcome(call, *[os.path.join(top, name) for name in names]) for top in self.tops], what)

    def on_handle(self, what, handle, call):
        self.say("%s of %s" % (what, handle.name))
        return self.same([outcome(call, fd) for fd in handle.fds], what + " of an open " + handle.name)

    def say(self, what):
        self.trace.append((self.number, what))

    def compare_trees(self):
        self.say("compare")
        mine, theirs = [seen(top) for top in self.tops]
        for path in sorted(set(mine) | set(theirs)):
            if mine.get(path) != theirs.get(path):
                self.fail("%s: the mount has %r, a disk %r" % (path, mine.get(path), theirs.get(path)))

    def compare_bucket(self):
        """After an unmount: what others see."""
        expected = {path: entry for path, entry in seen(self.tops[1]).items() if entry[0].startswith("0o10")}
        for path, entry in expected.items():
            if hashlib.md5(self.disk.bucket.get(path)).hexdigest() != entry[2]:
                self.fail("the object %s is not what was written" % path)
        files = set(expected) | {path for path, entry in seen(self.tops[1]).items() if entry[0] == "link"}
        extra = [key for key in self.disk.bucket.keys() if not key.endswith("/") and key not in files]
        if extra:
            self.fail("objects that no file is: %s" % extra)

    # ---- Operations

    def step(self):
        self.number += 1
        kind = self.rng.choices(list(self.weights), self.weights.values())[0]
        self.counts[kind] += 1
        getattr(self, "do_" + kind)()

    def any_handle(self, mode=None):
        fitting = [h for h in self.handles if mode is None or (h.flags & os.O_ACCMODE) in (mode, os.O_RDWR)]
        return self.rng.choice(fitting) if fitting else None

    def do_open(self):
        if len(self.handles) >= HANDLES:
            self.do_close()
        flags = self.rng.choice([os.O_RDONLY, os.O_WRONLY, os.O_RDWR, os.O_RDWR])
        if flags != os.O_RDONLY:
            flags |= self.rng.choice([0, os.O_CREAT, os.O_CREAT, os.O_CREAT | os.O_TRUNC, os.O_APPEND | os.O_CREAT, os.O_TRUNC,
                                      os.O_CREAT | os.O_EXCL])
        name = self.name()
        what = "open %s %s" % (name, oct(flags))
        self.say(what)
        fds = [outcome(os.open, os.path.join(top, name), flags, 0o644) for top in self.tops]
        self.same([fd if isinstance(fd, str) else "open" for fd in fds], what)
        if not isinstance(fds[0], str):
            self.handles.append(Pair(fds, flags, name))

    def do_close(self):
        handle = self.any_handle()
        if handle:
            self.say("close " + handle.name)
            self.handles.remove(handle)
            self.same(handle.close(), "close " + handle.name)

    def do_write(self):
        handle = self.any_handle(os.O_WRONLY)
        if handle:
            offset, data = self.offset(), self.bytes(self.length())
            self.on_handle("pwrite of %d at %d" % (len(data), offset), handle, lambda fd: os.pwrite(fd, data, offset))

    def do_append(self):
        handle = self.any_handle(os.O_WRONLY)
        if handle:
            data = self.bytes(self.length())

            def append(fd):
                if os.fstat(fd).st_size > 2 * self.largest:
                    return "enough"
                os.lseek(fd, 0, os.SEEK_END)
                return os.write(fd, data)
            self.on_handle("append of %d" % len(data), handle, append)

    def do_read(self):
        handle = self.any_handle(os.O_RDONLY)
        if handle:
            offset, length = self.offset(), self.length()
            self.on_handle("pread of %d at %d" % (length, offset), handle, lambda fd: os.pread(fd, length, offset))

    def do_whole(self):
        def read(path):
            with open(path, "rb") as f:
                return f.read()
        name = self.name()
        self.both("read all of " + name, read, name)

    def do_truncate(self):
        name, size = self.name(), self.rng.choice([0, 1, 4096, self.rng.randrange(self.largest)])
        self.both("truncate %s to %d" % (name, size), lambda path: os.truncate(path, size), name)

    def do_ftruncate(self):
        handle = self.any_handle(os.O_WRONLY)
        if handle:
            size = self.rng.choice([0, 1, 4096, self.rng.randrange(self.largest)])
            self.on_handle("ftruncate to %d" % size, handle, lambda fd: os.ftruncate(fd, size))

    def do_fsync(self):
        handle = self.any_handle()
        if handle:
            self.on_handle("fsync", handle, os.fsync)

    def do_stat(self):
        def look(path):
            info = os.lstat(path)
            # A directory's time of the last change in it is not kept.
            return (oct(info.st_mode), times_of(info)) if stat.S_ISREG(info.st_mode) else oct(info.st_mode)
        name = self.name()
        self.both("stat " + name, look, name)

    def do_fstat(self):
        handle = self.any_handle()
        if handle:
            def size(fd):
                info = os.fstat(fd)
                return info.st_size if stat.S_ISREG(info.st_mode) else "no file"
            self.on_handle("fstat", handle, size)

    def do_unlink(self):
        name = self.name()
        self.both("unlink " + name, os.unlink, name)

    def do_rename(self):
        old, new = self.name(), self.name()
        self.both("rename %s to %s" % (old, new), os.rename, old, new)

    def do_temporary_then_rename(self):
        """As editors and rsync do it."""
        name, data = self.name(), self.bytes(self.length())

        def save(path):
            with open(path + ".tmp", "wb") as f:
                f.write(data)
                f.flush()
                os.fsync(f.fileno())
            try:
                os.rename(path + ".tmp", path)
            except OSError:
                os.unlink(path + ".tmp")
                raise
        self.both("replace " + name, save, name)

    def do_write_file(self):
        name, data = self.name(), self.bytes(self.length())

        def write(path):
            with open(path, "wb") as f:
                f.write(data)
        self.both("write %d to %s" % (len(data), name), write, name)

    def do_mkdir(self):
        name = self.name()
        self.both("mkdir " + name, os.mkdir, name)

    def do_rmdir(self):
        name = self.name()
        self.both("rmdir " + name, os.rmdir, name)

    def do_symlink(self):
        name, target = self.name(), self.name()
        self.both("symlink %s to %s" % (name, target), lambda path: os.symlink(target, path), name)

    def do_readlink(self):
        name = self.name()
        self.both("readlink " + name, os.readlink, name)

    def do_listdir(self):
        name = os.path.dirname(self.name())
        self.both("list " + name, lambda path: sorted(os.listdir(path)), name)

    def do_chmod(self):
        name, mode = self.name(), self.rng.choice([0o644, 0o600, 0o755, 0o444, 0o700])
        self.both("chmod %s %o" % (name, mode), lambda path: os.chmod(path, mode), name)

    def do_utime(self):
        name, when = self.name(), self.rng.randrange(COMPARED_TIME // 2, COMPARED_TIME)
        self.both("utime %s %d" % (name, when), lambda path: os.utime(path, ns=(when, when), follow_symlinks=False), name)

    def do_mapwrite(self):
        handle = self.any_handle(os.O_RDWR)
        if handle and (handle.flags & os.O_ACCMODE) == os.O_RDWR:
            offset, data, sync = self.offset(), self.bytes(self.length() + 1), self.rng.random() < 0.5
            self.on_handle("mapped write of %d at %d" % (len(data), offset), handle, lambda fd: mapped(fd, offset, data, sync))

    def do_fallocate(self):
        handle = self.any_handle(os.O_WRONLY)
        if handle:
            mode = self.rng.choice([0, fsx.KEEP_SIZE, fsx.PUNCH_HOLE | fsx.KEEP_SIZE, fsx.ZERO_RANGE, fsx.ZERO_RANGE | fsx.KEEP_SIZE])
            offset, length, when = self.offset(), self.length() + 1, self.rng.randrange(COMPARED_TIME // 2, COMPARED_TIME)

            def allocate(fd):
                fsx.fallocate(fd, mode, offset, length)
                os.utime(fd, ns=(when, when))  # whether it is a change where it changes no byte, disks do not agree
            self.on_handle("fallocate %d of %d at %d" % (mode, length, offset), handle, allocate)

    def do_copy_file(self):
        """As cp does it."""
        old, new = self.name(), self.name()

        def copy(old, new):
            source = os.open(old, os.O_RDONLY)
            try:
                target = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
                try:
                    return os.copy_file_range(source, target, 1 << 30)
                finally:
                    os.close(target)
            finally:
                os.close(source)
        self.both("copy %s to %s" % (old, new), copy, old, new)

    def do_copy_range(self):
        source, target = self.any_handle(os.O_RDONLY), self.any_handle(os.O_WRONLY)
        if not source or not target:
            return
        from_at, to_at, length = self.offset(), self.offset(), self.length()
        self.say("copy %d from %d of %s to %d of %s" % (length, from_at, source.name, to_at, target.name))

        def copy(k):
            return os.copy_file_range(source.fds[k], target.fds[k], length, from_at, to_at)
        self.same([outcome(copy, 0), outcome(copy, 1)], "copy_file_range")

    # ---- Runs

    def close_all(self):
        while self.handles:
            handle = self.handles.pop()
            self.say("close " + handle.name)
            self.same(handle.close(), "close " + handle.name)

    def remount(self):
        self.say("remount")
        self.close_all()
        self.disk.umount()
        self.compare_bucket()
        self.disk.start()
        self.compare_trees()

    def run(self, operations, remounts):
        every = operations // (remounts + 1)
        for k in range(operations):
            self.step()
            if k % 500 == 499:
                self.compare_trees()
            if every and k % every == every - 1:
                self.remount()
        self.close_all()
        self.compare_trees()
