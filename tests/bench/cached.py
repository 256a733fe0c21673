"""The rows of the disk cache: what filling it costs, and what is read from it."""
from data import WARM, small_names
from jobs import Files, Mount, Random, Sequential
from rows import MIB, Bound, Row, Scenario

GIB = 1024 * MIB
# Reads of a held file are so quick that few of them would be the start of a program.
READS_PER_PAGE = 1.5


def held(scale):
    """One large file: filling, and reading it when all of it is in the cache, verified."""
    read = Sequential("big0", scale.big)
    random = Random("big0", scale.big, int(scale.big / 4096 * READS_PER_PAGE) if scale.name != "tiny" else 50)
    return Scenario("held", "big", (
        Row("fill", "read 1 GiB, nothing cached, and fill the cache", read, "", ("awsfs cache=none",), bounds=(
            Bound("seconds", 1.1, floor="awsfs cache=none"),)),
        Row("fill-rest", "until the cache is idle after that (its CPU)", None, "rest", bounds=(
            Bound("seconds", 2 + 3 * scale.big / GIB),)),
        Row("idle-again", "read it again once the cache is idle", read, "idle", ("local warm",)),
        Row("idle-twice", "and once more", read, "", ("local warm",), bounds=(Bound("seconds", 1.1, floor="local warm"),)),
        Row("held", "read 1 GiB that is held, page cache dropped", read, "whole drop", ("local",), bounds=(
            Bound("seconds", 1.15, floor="local"), Bound("cpu_s", 0.12), Bound("requests", 2))),
        Row("held-remount", "the same after a remount", read, "idle remount", ("local",), bounds=(
            Bound("seconds", 1.15, floor="local"), Bound("cpu_s", 0.12), Bound("requests", 2))),
        Row("held-random", "random reads of 4 KiB in it", random, "idle", ("local warm",), bounds=(
            Bound("seconds", 1 / 0.8, floor="local warm"),)),
    ))


def small(scale):
    job = Files(small_names(scale, scale.many), 16)
    return Scenario("held-files", "files", (
        Row("held-files-fill", "2000 files of 4 KiB, 16 readers", job),
        Row("held-files", "the 2000 files after a remount, page cache dropped", job, "idle remount", ("local",), bounds=(
            Bound("seconds", 0.6), Bound("requests", scale.directories + 2))),
    ), delay_ms=10, warm=tuple(WARM))


def mounting(scale):
    return Scenario("mount", "root", (
        Row("mount-empty", "mount, with a cache that is empty", Mount(), "unmounted"),
        Row("mount-million", "mount, with a cache of 10^6 entries, page cache dropped", Mount(), "index %d" % scale.million, ("version",),
            bounds=(Bound("seconds", 0.1),)),
        Row("mount-again", "the same, but for the program and its libraries", Mount(), "again", bounds=(Bound("seconds", 0.1),)),
    ))


def scenarios(scale):
    return [held(scale), small(scale), mounting(scale)]
