"""What the benchmark reads: how large each set is, and how it comes into the server and onto the local disk."""
import dataclasses
import os


MIB = 1 << 20
WARM = ["warm/w%02d" % i for i in range(16)]


@dataclasses.dataclass(frozen=True)
class Scale:
    """The sizes of all sets. `full` is what the bounds are stated for."""

    name: str
    big: int = 1024 * MIB
    random: int = 300
    few: int = 400
    many: int = 2000
    directories: int = 20
    flat: int = 10000
    tree: tuple = (10, 11, 91)
    million: int = 1000000
    root: int = 3000
    new_few: int = 200
    new_many: int = 1000
    streams: int = 64
    stream: int = 16 * MIB
    slow: int = 1024 * MIB
    stage: tuple = (8, 48 * MIB)
    clone: int = 2000


FULL = Scale("full")
QUICK = Scale("quick", big=256 * MIB, random=100, few=200, many=400, flat=2000, tree=(5, 11, 40), million=50000, new_few=50,
              new_many=100, streams=16, slow=256 * MIB, stage=(4, 24 * MIB), clone=200)
TINY = Scale("tiny", big=8 * MIB, random=5, few=10, many=20, directories=5, flat=50, tree=(2, 2, 5), million=3000, root=1100,
             new_few=5, new_many=8, streams=4, stream=MIB, slow=4 * MIB, stage=(2, 2 * MIB), clone=25)


def small_names(scale, count):
    """File i lies in directory i mod 20: who reads them in the order of i goes from directory to directory."""
    return ["small/d%02d/f%05d" % (i % scale.directories, i // scale.directories) for i in range(count)]


def stream_names(scale):
    return ["streams/s%03d" % i for i in range(scale.streams)]


class Data:
    """The sets, made on first use: each is a bucket of its own, and a directory of the same name on the local disk."""

    SETS = ("big", "slow", "files", "flat", "tree", "million", "root", "write")

    def __init__(self, server, directory, scale):
        self.server, self.scale = server, scale
        self.directory = os.path.join(directory, "local")
        self.made, self.made_local = set(), set()

    @staticmethod
    def bucket(name):
        return "bench-" + name

    def fill(self, name):
        """The bucket of this set, filled."""
        bucket = self.bucket(name)
        if name not in self.made:
            assert name in self.SETS, name
            self.made.add(name)
            self.server.make_bucket(bucket)
            if name != "root":
                self.server.family(bucket, "warm/w%02d", [len(WARM)], MIB)
            getattr(self, "_fill_" + name)(bucket)
        return bucket

    def local(self, name):
        """The directory with the same names and sizes on the local disk. Only sets that fit are asked for."""
        path = os.path.join(self.directory, name)
        if name not in self.made_local:
            self.made_local.add(name)
            os.makedirs(path)
            for key, size in getattr(self, "_local_" + name)():
                self._write(os.path.join(path, key), size)
        return path

    @staticmethod
    def _write(path, size):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        block = os.urandom(min(size, MIB))
        with open(path, "wb", buffering=0) as out:
            while size > 0:
                size -= out.write(block[:size])

    def _local_big(self):
        return [("big0", self.scale.big)]

    def _local_files(self):
        return [(key, 4096) for key in small_names(self.scale, self.scale.many)]

    def _local_flat(self):
        return [("flat/f%06d" % i, 1) for i in range(self.scale.flat)]

    def _local_write(self):
        return []

    def _fill_big(self, bucket):
        self.server.family(bucket, "big%01d", [1], self.scale.big)
        self.server.family(bucket, "streams/s%03d", [self.scale.streams], self.scale.stream)

    def _fill_slow(self, bucket):
        self.server.family(bucket, "big%01d", [1], self.scale.slow)

    def _fill_files(self, bucket):
        self.server.family(bucket, "small/d%02d/f%05d", [self.scale.directories, self.scale.many // self.scale.directories], 4096)

    def _fill_flat(self, bucket):
        self.server.family(bucket, "flat/f%06d", [self.scale.flat], 4096)

    def _fill_tree(self, bucket):
        self.server.family(bucket, "tree/a%02d/b%02d/f%04d", list(self.scale.tree), 4096)

    def _fill_million(self, bucket):
        self.server.family(bucket, "million/f%06d", [self.scale.million], 4096)

    def _fill_root(self, bucket):
        self.server.family(bucket, "n%06d", [self.scale.root], 4096)
        self.server.family(bucket, "m/a/b/n%06d", [self.scale.root], 4096)

    def _fill_write(self, bucket):
        """Empty but for what warms connections."""
