"""What tests/origin computes for the keys of a family (tests/origin/README.md), computed again: keys, sizes, ETags and any
byte of any object, without asking the server."""
import functools
import re

MASK = (1 << 64) - 1
PERIOD = 1048573


def word(seed, index):
    z = (seed + index + 0x9E3779B97F4A7C15) & MASK
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
    return z ^ z >> 31


@functools.lru_cache(maxsize=1)
def pattern():
    """The period of all contents, twice, so that a slice of up to one period is in one piece."""
    once = b"".join(word(0, i).to_bytes(8, "little") for i in range(PERIOD // 8 + 1))[:PERIOD]
    return once + once


class Family:
    """Family("d%02d/f%05d", each=[100, 100000], size=4096), or Family("big", size=1 << 30): the rule, and what it means."""

    def __init__(self, name, each=None, size=0, count=None, seed=0, mtime=1700000000):
        self.name = name
        self.seed = seed
        self.sizes = tuple(size) if isinstance(size, (list, tuple)) else (size, size)
        self.fields = re.findall(r"%0\d+d", name.replace("%%", ""))
        self.each = list(each) if each else [count] if self.fields else []
        self.count = count or functools.reduce(lambda a, b: a * b, self.each, 1)
        self.mtime = mtime

    def rule(self):
        """The body of POST /-/families, but for the bucket."""
        return {"name": self.name, "each": self.each, "count": self.count, "size": list(self.sizes), "seed": self.seed,
                "mtime": self.mtime}

    def key(self, number):
        values = []
        for many in reversed(self.each):
            number, value = divmod(number, many)
            values.append(value)
        return self.name % tuple(reversed(values))

    def keys(self):
        return map(self.key, range(self.count))

    def _identity(self, key):
        value = 0xCBF29CE484222325
        for byte in key.encode():
            value = (value ^ byte) * 0x100000001B3 & MASK
        return word(self.seed, value)

    def size(self, key):
        low, high = self.sizes
        return low + word(self._identity(key), 1) % (high - low + 1)

    def etag(self, key):
        identity = self._identity(key)
        return '"%016x%016x-1"' % (word(identity, 2), word(identity ^ self.size(key), 3))

    def contents(self, key, offset=0, length=None):
        """Bytes of the object from offset on, to its end or as many as asked for."""
        end = self.size(key) if length is None else min(self.size(key), offset + length)
        at = word(self._identity(key), 0) % PERIOD + offset
        pieces = []
        while offset < end:
            start = at % PERIOD
            piece = pattern()[start:start + min(PERIOD, end - offset)]
            pieces.append(piece)
            at += len(piece)
            offset += len(piece)
        return b"".join(pieces)
