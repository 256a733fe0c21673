"""The rows: those of earlier.json, and what the read path has to show."""
import cached
from data import WARM, small_names, stream_names
from jobs import Blocks, Clone, Files, Random, Remove, Sequential, Walk, Write
from rows import MIB, Bound, Row, Scenario

KIB = 1024
GIB = 1024 * MIB
COLD_FLOORS = ("curl 8", "curl 1", "null", "null + curl 8", "awsfs cache=none")
ABSENT = tuple("zz-absent-%d" % i for i in range(4))


def big(scale):
    read = Sequential("big0", scale.big)
    return Scenario("big", "big", (
        Row("cold", "read 1 GiB, nothing cached", read, floors=COLD_FLOORS, earlier="read-cold", bounds=(
            Bound("seconds", 2.0, floor="curl 8"), Bound("seconds", 0.5, others=True),
            Bound("cpu_s", scale.big / GIB), Bound("peak_bytes", 256 * MIB))),
        Row("again-dropped", "read it again, page cache dropped", read, "drop", ("local warm",), "read-again-dropped"),
        Row("again", "read it again at once", read, "", ("local warm", "null warm"), "read-again",
            (Bound("seconds", 1.1, floor="local warm"), Bound("seconds", 1.1, floor="null warm"))),
        Row("remount", "remount, page cache dropped, read it again", read, "remount", ("local",), "read-remount"),
    ))


def streams(scale):
    names = stream_names(scale)
    total = scale.streams * scale.stream
    return Scenario("streams", "big", (
        Row("one-reader", "as much by one reader", Sequential("big0", scale.big), floors=("curl 8",)),
        Row("many-readers", "%d files of %d MiB, a sequential reader each" % (scale.streams, scale.stream // MIB),
            Files(names, scale.streams), floors=("curl 16",), bounds=(
                Bound("seconds", 1 / 0.8 * total / scale.big, row="one-reader"), Bound("peak_bytes", 256 * MIB))),
    ))


def slow(scale):
    return Scenario("slow", "slow", (
        Row("slow", "one sequential reader, 1 GiB", Sequential("big0", scale.slow), floors=("curl 16", "curl 1"), bounds=(
            Bound("seconds", 1.05, floor="curl 16", least=(1 / 8, "curl 1")),)),
    ), delay_ms=50, connection_bps=100 * 10**6, warm=tuple(WARM))


def random(scale, way, title, fetched):
    name = "random" if way == "random" else "touch"
    return Scenario(name, "big", (
        Row(name, title, Random("big0", scale.big, scale.random, way), floors=("curl 1",),
            earlier="random" if way == "random" else "",
            bounds=(Bound("seconds", 1.1, floor="curl 1"), Bound("fetched_per_item", fetched))),
    ), delay_ms=10, warm=tuple(WARM))


def few(scale):
    return Scenario("files-one", "files", (
        Row("files-one", "400 files of 4 KiB, one reader", Files(small_names(scale, scale.few)), floors=("curl 1",),
            earlier="files-one", bounds=(Bound("seconds", 1.5), Bound("requests", scale.few + 2))),
    ), delay_ms=10, warm=tuple(WARM))


def many(scale):
    job = Files(small_names(scale, scale.many), 16)
    return Scenario("files-many", "files", (
        Row("files-many", "2000 files of 4 KiB, 16 readers", job, floors=("curl 16",), earlier="files-many", bounds=(
            Bound("seconds", 1.0, floor="curl 16"), Bound("requests", scale.many + scale.directories + 1))),
        Row("files-again", "the 2000 files again", job, "", ("local warm",), "files-again"),
        Row("files-remount", "the 2000 files after a remount", job, "remount", ("local",), "files-remount"),
    ), delay_ms=10, warm=tuple(WARM))


def writes(scale):
    new = [("new/f%05d" % i) for i in range(scale.new_few)]
    more = [("new/g%05d" % i) for i in range(scale.new_many)]
    return Scenario("new-files", "write", (
        Row("new-one", "200 new files of 4 KiB, one writer", Files(new, 1, "create"), "mkdir new", ("curl 1",), "new-one",
            (Bound("seconds", 1.1, floor="curl 1"), Bound("requests", scale.new_few + 2))),
        Row("new-many", "1000 new files, 16 writers", Files(more, 16, "create"), "", ("curl 16",), "new-many",
            (Bound("seconds", 2.0 * scale.new_many / 1000),)),
        Row("remove", "rm -r of those", Remove("new"), earlier="remove"),
    ), delay_ms=10, warm=tuple(WARM))


def writes_back(scale):
    """What write=back answers before anything is sent. Requests are counted until all of it is in S3, time until the job is done."""
    new = [("new/f%05d" % i) for i in range(scale.new_few)]
    more = [("new/g%05d" % i) for i in range(scale.new_many)]
    return Scenario("new-files-back", "write", (
        Row("new-one-back", "write=back: 200 new files of 4 KiB, one writer", Files(new, 1, "create"), "mkdir new",
            ("curl 1", "awsfs write=through"), bounds=(Bound("seconds", 0.3), Bound("requests", scale.new_few + 2))),
        Row("new-many-back", "write=back: 1000 new files, 16 writers", Files(more, 16, "create"), "", ("curl 16",), bounds=(
            Bound("seconds", 0.9), Bound("requests", scale.new_many + 2))),
        Row("remove-back", "write=back: rm -r of those", Remove("new"), bounds=(Bound("seconds", 0.4), Bound("requests", 4))),
    ), delay_ms=10, warm=tuple(WARM), option="write=back")


def write_big(scale):
    return Scenario("write-big", "write", (
        Row("write-big", "write 1 GiB until it is in S3", Write("big", scale.big), floors=("curl 4",), earlier="write-big",
            durable=("big", scale.big), bounds=(Bound("seconds", 1.2, floor="curl 4"), Bound("requests", scale.big / (8 * MIB) + 4))),
    ))


def staging(scale):
    """Files below the size from which parts are sent while a file is written: what is timed is the way into the staging file."""
    count, size = scale.stage
    return Scenario("staging", "write", (
        Row("stage-1m", "write()s of 1 MiB, new files of 48 MiB", Blocks(count, size, MIB), floors=("null", "local"), bounds=(
            Bound("seconds", 1 / 0.6, floor="null"),)),
        Row("stage-4k", "write()s of 4 KiB, new files of 48 MiB", Blocks(max(1, count // 4), size, 4 * KIB), floors=("null", "local"),
            bounds=(Bound("seconds", 1.0, others=True),)),
    ))


def clone(scale):
    return Scenario("clone", "write", (
        Row("clone", "git clone, 2,000 files", Clone(scale.clone), floors=("local",)),
    ), delay_ms=10, warm=tuple(WARM)), Scenario("clone-back", "write", (
        Row("clone-back", "write=back: git clone, 2,000 files", Clone(scale.clone), floors=("local", "bindfs", "awsfs write=through"), bounds=(
            Bound("seconds", 3.0, floor="local"),)),
    ), delay_ms=10, warm=tuple(WARM), option="write=back")


def flat(scale):
    ls = Walk("flat", ("ls", "-l", "{}"))
    return Scenario("flat", "flat", (
        Row("ls-l", "ls -l, 10,000 files in one directory", ls, floors=("curl 1",), earlier="ls-l", bounds=(Bound("seconds", 0.5),)),
        Row("ls-l-again", "that ls -l again", ls, "", ("local warm",), "ls-l-again",
            (Bound("seconds", 0.1), Bound("requests", 0))),
    ), delay_ms=10, warm=tuple(WARM))


def tree(scale):
    return Scenario("tree", "tree", (
        Row("find", "find -size, 10,000 files in 110 directories", Walk("tree", ("find", "{}", "-size", "+100k")),
            floors=("curl 1",), earlier="find", bounds=(Bound("seconds", 0.8), Bound("requests", 14))),
    ), delay_ms=10, warm=tuple(WARM))


def stats(scale):
    """Names that are far, in the alphabet, from what warms the connections: no page of a listing has brought them. In the root the
    floor is the round trip that it takes: that of the page in which the name is."""
    return Scenario("stat-root", "root", (
        Row("stat-root", "stat of a name in the mount's root, nothing known", Files(["n%06d" % (scale.root // 2)], way="stat", page=True),
            floors=("curl 1",), bounds=(Bound("seconds", 0.012), Bound("seconds", 1.2, floor="curl 1"))),
    ), delay_ms=10, warm=ABSENT), Scenario("stat-deep", "root", (
        Row("stat-deep", "stat by a path of 4 components, nothing known", Files(["m/a/b/n%06d" % (scale.root // 2)], way="stat"),
            floors=("curl 1",), earlier="stat-deep"),
    ), delay_ms=10, warm=ABSENT)


def million(scale):
    first = Walk("million", ("entries", "{}"))
    return Scenario("million", "million", (
        Row("million", "ls -f of 10^6 names", first, floors=("curl 1",), earlier="million", bounds=(
            Bound("seconds", 5), Bound("peak_bytes", 250 * MIB))),
        Row("million-again", "that ls -f again", first, earlier="million-again", bounds=(Bound("seconds", 1),)),
    ), delay_ms=10, warm=tuple(WARM))


def scenarios(scale):
    """All of them, in the order of the page."""
    return [
        big(scale), streams(scale), slow(scale),
        random(scale, "random", "300 random reads of 4 KiB in 1 GiB", 128 * KIB),
        random(scale, "touch", "300 random touches of a mapping of 1 GiB", MIB),
        few(scale), many(scale), *stats(scale), flat(scale), tree(scale), million(scale),
        writes(scale), writes_back(scale), write_big(scale), staging(scale), *clone(scale), *cached.scenarios(scale),
    ]
