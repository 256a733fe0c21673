"""What a row of the benchmark is made of."""
import dataclasses

MIB = 1 << 20


@dataclasses.dataclass(frozen=True)
class Bound:
    """awsfs's `metric` (of a Cell) is at most `limit`, or `limit` times that of a floor, of the best other tool, or of another
    row of awsfs. Where `least` is given, the larger of the two limits counts: it is `least` times that floor."""

    metric: str
    limit: float
    floor: str = ""
    others: bool = False
    row: str = ""
    least: tuple = ()


@dataclasses.dataclass(frozen=True)
class Row:
    """One job and what goes before it: "" the mount as the row before left it, "drop" page cache dropped, "remount" both, each after
    "idle " when the tool says that it has nothing left to do, and after "whole " when the job was repeated until the cache took all
    of it (what comes faster than the disk takes it is left out); "rest": the wait for that is the row, without a job; "unmounted", and
    "index N": with a cache that knows N objects (only awsfs has one), page cache dropped; "again": with what the row before left on the
    disk, page cache dropped, then the program and its libraries read.

    floors: what is run beside the tools, the first is what ratios are to: "curl N" libcurl alone on N connections, "local" the
    local disk, page cache dropped before, "local warm" read once before, "bindfs" that through a FUSE file system that only hands on,
    "null" a file system that keeps nothing, "null warm" that when the kernel's page cache has the file, "null + curl N" that and curl at the same time, "awsfs OPTION" awsfs with that option,
    mounted afresh, "version" what `awsfs --version` takes, page cache dropped: to read the program and its libraries. earlier: the line of earlier.json that it repeats. durable: a key and size; the row's time ends when the server
    has it.
    """

    name: str
    title: str
    job: object
    before: str = ""
    floors: tuple = ()
    earlier: str = ""
    bounds: tuple = ()
    durable: tuple = ()


@dataclasses.dataclass(frozen=True)
class Scenario:
    """Rows that follow each other on one mount of one set of data.

    delay_ms, connection_bps: the link. warm: names of files that are read or (absent ones) looked up by as many threads before
    the clock starts, so that connections are open; none of them is what a row is about. option: awsfs alone, mounted with it.
    """

    name: str
    data: str
    rows: tuple
    delay_ms: int = 0
    connection_bps: int = 0
    warm: tuple = ()
    option: str = ""

    def link(self):
        parts = ["%d ms a request" % self.delay_ms] if self.delay_ms else []
        parts += ["%d MB/s a connection" % (self.connection_bps // 10**6)] if self.connection_bps else []
        return ", ".join(parts + (["connections warm"] if self.warm else ["connections cold"]))
