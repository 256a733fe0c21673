"""One file under random operations of every kind, beside its bytes in memory."""
import collections
import ctypes
import errno
import os

from .mapping import Mapping

KEEP_SIZE, PUNCH_HOLE, ZERO_RANGE = 1, 2, 16

_libc = ctypes.CDLL(None, use_errno=True)
_libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_long, ctypes.c_long]


def fallocate(fd, mode, offset, length):
    if _libc.fallocate(fd, mode, offset, length):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


class Fsx:
    """`disk` is a mount, `rng` decides everything; the file has at most `largest` bytes, one operation changes at most `piece`."""

    def __init__(self, disk, rng, largest=400_000, piece=130_000, name="fsx"):
        self.disk, self.rng, self.largest, self.piece, self.name = disk, rng, largest, piece, name
        self.expected = bytearray()
        self.fd = os.open(disk / name, os.O_RDWR | os.O_CREAT, 0o644)
        self.trace = collections.deque(maxlen=80)
        self.number = 0
        self.weights = {
            "write": 20, "read": 20, "mapread": 8, "mapwrite": 12, "truncate": 8, "append": 5, "fallocate": 4, "keep_size": 2,
            "punch": 6, "zero": 5, "zero_keep_size": 2, "copy": 6, "seek": 4, "reopen": 3, "reopen_empty": 1, "fsync": 3, "stat": 5,
            "other_handle": 4}

    # ---- Choices: page and block boundaries are where things go wrong.

    def offset(self, limit):
        if limit <= 0:
            return 0
        at = self.rng.randrange(limit)
        return self.rng.choice([at, at, at & ~4095, at & ~131071, max(0, (at & ~4095) - 1)])

    def length(self, most):
        return self.rng.choice([1, 7, 4096, self.rng.randrange(1, self.piece)]) if most > 1 else 1

    def place(self, limit):
        at = self.offset(limit)
        return at, max(1, min(self.length(limit), limit - at))

    def data(self, length):
        seed = self.rng.randbytes(61)
        return (seed * (length // 61 + 1))[:length]

    # ---- Comparing

    def check(self, right, what, *values):
        if not right:
            raise AssertionError("operation %d, %s %s\nafter\n%s\n%s" % (
                self.number, what, values, "\n".join(self.trace), self.disk.log()[-2000:]))

    def same(self, got, offset, length, what):
        expected = bytes(self.expected[offset:offset + length])
        if got != expected:
            first = next((k for k, (a, b) in enumerate(zip(got, expected)) if a != b), min(len(got), len(expected)))
            wrong = sum(a != b for a, b in zip(got, expected))
            self.check(False, what, "%d bytes at %d: %d came, the first of %d wrong ones is at %d: %r instead of %r" % (
                len(expected), offset, len(got), wrong, offset + first, got[first:first + 8], expected[first:first + 8]))

    def say(self, *words):
        self.trace.append("%d: %s" % (self.number, " ".join(str(word) for word in words)))

    def put(self, offset, data):
        if offset > len(self.expected):
            self.expected.extend(bytes(offset - len(self.expected)))
        self.expected[offset:offset + len(data)] = data

    # ---- Operations

    def do_write(self):
        at, length = self.place(self.largest)
        data = self.data(length)
        self.say("write", at, length)
        self.check(os.pwrite(self.fd, data, at) == length, "a short write")
        self.put(at, data)

    def do_append(self):
        length = min(self.length(self.piece), self.largest - len(self.expected))
        if length > 0:
            data = self.data(length)
            self.say("append", length)
            with open(self.disk / self.name, "ab", buffering=0) as f:
                f.write(data)
            self.put(len(self.expected), data)

    def do_read(self):
        at, length = self.place(self.largest)
        self.say("read", at, length)
        self.same(os.pread(self.fd, length, at), at, length, "read")

    def do_other_handle(self):
        at, length = self.place(self.largest)
        self.say("read through another handle", at, length)
        with open(self.disk / self.name, "rb", buffering=0) as f:
            self.same(os.pread(f.fileno(), length, at), at, length, "read through another handle")

    def mapped(self, use):
        view = Mapping(self.fd, len(self.expected))
        try:
            use(view)
        finally:
            view.close()

    def do_mapread(self):
        if self.expected:
            at, length = self.place(len(self.expected))
            self.say("mapread", at, length)
            self.mapped(lambda view: self.same(view.read(at, length), at, length, "mapread"))

    def do_mapwrite(self):
        if self.expected:
            at, length = self.place(len(self.expected))
            data, sync = self.data(length), self.rng.random() < 0.4
            self.say("mapwrite", at, length, "msync" if sync else "")

            def use(view):
                view.write(at, data)
                if sync:
                    view.sync()
            self.mapped(use)
            self.put(at, data)

    def do_truncate(self):
        size = self.offset(self.largest)
        self.say("truncate", len(self.expected), "to", size)
        os.ftruncate(self.fd, size)
        self.expected = self.expected[:size] + bytes(max(0, size - len(self.expected)))

    def allocate(self, word, mode, grows, zeros, limit):
        at, length = self.place(limit)
        self.say(word, at, length)
        fallocate(self.fd, mode, at, length)
        if grows and at + length > len(self.expected):
            self.expected.extend(bytes(at + length - len(self.expected)))
        if zeros:
            inside = max(0, min(length, len(self.expected) - at))
            self.expected[at:at + inside] = bytes(inside)

    def do_fallocate(self):
        self.allocate("fallocate", 0, True, False, self.largest)

    def do_keep_size(self):
        self.allocate("fallocate keeping the size", KEEP_SIZE, False, False, self.largest)

    def do_punch(self):
        self.allocate("punch hole", PUNCH_HOLE | KEEP_SIZE, False, True, self.largest)

    def do_zero(self):
        self.allocate("zero range", ZERO_RANGE, True, True, self.largest)

    def do_zero_keep_size(self):
        self.allocate("zero range keeping the size", ZERO_RANGE | KEEP_SIZE, False, True, self.largest)

    def do_copy(self):
        """Inside the file, from one place to another that it does not touch."""
        if len(self.expected) < 2:
            return
        from_at, length = self.place(len(self.expected))
        to_at = self.offset(self.largest - length)
        length = min(length, len(self.expected) - from_at)
        if from_at < to_at + length and to_at < from_at + length:
            return
        self.say("copy", length, "from", from_at, "to", to_at)
        done = 0
        while done < length:
            n = os.copy_file_range(self.fd, self.fd, length - done, from_at + done, to_at + done)
            self.check(n > 0, "copy_file_range", n)
            done += n
        self.put(to_at, bytes(self.expected[from_at:from_at + length]))

    def do_seek(self):
        """What is reported as a hole reads as zeros; data and holes take turns up to the end."""
        at, size = self.offset(max(1, len(self.expected))), len(self.expected)
        if at >= size:
            return
        self.say("seek", at)
        try:
            data = os.lseek(self.fd, at, os.SEEK_DATA)
        except OSError as error:
            self.check(error.errno == errno.ENXIO, "SEEK_DATA", error)
            data = size
        self.check(at <= data <= size, "SEEK_DATA", data)
        self.check(not any(self.expected[at:data]), "a hole has bytes", at, data)
        hole = os.lseek(self.fd, at, os.SEEK_HOLE)
        self.check(at <= hole <= size, "SEEK_HOLE", hole)
        self.check((data == at) == (hole > at), "both data and a hole", at, data, hole)

    def do_stat(self):
        self.check(os.fstat(self.fd).st_size == len(self.expected) == os.stat(self.disk / self.name).st_size, "the size",
                   os.fstat(self.fd).st_size, len(self.expected))

    def do_fsync(self):
        self.say("fsync")
        os.fsync(self.fd)

    def do_reopen(self):
        self.say("close and open")
        os.close(self.fd)
        self.fd = os.open(self.disk / self.name, os.O_RDWR)

    def do_reopen_empty(self):
        self.say("close and open with O_TRUNC")
        os.close(self.fd)
        self.fd = os.open(self.disk / self.name, os.O_RDWR | os.O_TRUNC)
        self.expected = bytearray()

    # ---- Runs

    def compare(self):
        with open(self.disk / self.name, "rb") as f:
            self.same(f.read(), 0, self.largest, "the whole file")

    def remount(self):
        self.say("remount")
        os.close(self.fd)
        self.disk.umount()
        self.same(self.disk.bucket.get(self.name), 0, self.largest, "the object")
        self.disk.start()
        self.compare()
        self.fd = os.open(self.disk / self.name, os.O_RDWR)

    def run(self, operations, remounts):
        every = operations // (remounts + 1)
        for k in range(operations):
            self.number += 1
            getattr(self, "do_" + self.rng.choices(list(self.weights), self.weights.values())[0])()
            if k % 200 == 199:
                self.compare()
            if k % every == every - 1:
                self.remount()
        os.close(self.fd)
        self.compare()
