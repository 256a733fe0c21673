"""The jobs: each as a program on a directory (a mount, or the local disk) and, where that makes sense, on the bare wire."""
import dataclasses
import os
import subprocess
import urllib.parse

PAGE = 4096
MASK = (1 << 64) - 1


class Programs:
    """Where the C programs are, and a directory for the lists that they read."""

    def __init__(self, work, floor, null, index, directory):
        self.work, self.floor, self.null, self.index, self.directory = work, floor, null, index, directory
        self.clones = 0
        os.makedirs(directory, exist_ok=True)

    def repository(self, files):
        """A bare git repository of that many small files in twenty directories, made when it is first asked for."""
        bare, tree = os.path.join(self.directory, "%d.git" % files), os.path.join(self.directory, "tree")
        if not os.path.exists(bare):
            for i in range(files):
                path = os.path.join(tree, "d%02d" % (i % 20), "f%05d" % i)
                os.makedirs(os.path.dirname(path), exist_ok=True)
                with open(path, "w", encoding="ascii") as out:
                    out.write("%d\n" % i * (1 + i % 700))
            git = ["git", "-C", tree, "-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "init.defaultBranch=main"]
            for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "files"], ["clone", "-q", "--bare", ".", bare]):
                subprocess.run(git + words, check=True)
        return bare

    def listed(self, lines):
        path = os.path.join(self.directory, "list")
        with open(path, "w", encoding="utf-8") as out:
            out.writelines(line + "\n" for line in lines)
        return path


class Job:
    """`at` is the command on a directory; `wire` the one that does the same with libcurl alone over that many connections."""

    def at(self, programs, directory):
        raise NotImplementedError

    def wire(self, programs, server, bucket, connections):
        raise NotImplementedError


@dataclasses.dataclass
class Sequential(Job):
    key: str
    size: int

    def at(self, programs, directory):
        return [programs.work, "sequential", os.path.join(directory, self.key)]

    def wire(self, programs, server, bucket, connections):
        step = -(-self.size // connections)
        tasks = ["%s %d-%d" % (server.url(bucket, self.key), start, min(start + step, self.size) - 1)
                 for start in range(0, self.size, step)]
        return [programs.floor, "get", str(connections), programs.listed(tasks)]


def random_pages(seed, count, pages):
    """The same pages as work.c takes."""
    for number in range(count):
        z = (seed + (number + 1) * 0x9E3779B97F4A7C15) & MASK
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        yield (z ^ (z >> 31)) % pages


@dataclasses.dataclass
class Random(Job):
    """300 reads of 4 KiB anywhere: by pread (random), or each a touched byte of a mapping (touch)."""

    key: str
    size: int
    count: int
    way: str = "random"
    seed: int = 5

    def at(self, programs, directory):
        return [programs.work, self.way, os.path.join(directory, self.key), str(self.count), str(self.seed)]

    def wire(self, programs, server, bucket, connections):
        url = server.url(bucket, self.key)
        tasks = ["%s %d-%d" % (url, page * PAGE, page * PAGE + PAGE - 1)
                 for page in random_pages(self.seed, self.count, self.size // PAGE)]
        return [programs.floor, "get", str(connections), programs.listed(tasks), url]


def before(key):
    """What sorts a little before the key."""
    return key[:-1] + chr(ord(key[-1]) - 1)


@dataclasses.dataclass
class Files(Job):
    """Opens, reads and closes each; or only lstat (way stat); or creates each with `size` bytes (way create). On the wire a stat is
    a LIST of one key, or with `page` of as many as one page has, from the key on."""

    keys: list
    threads: int = 1
    way: str = "files"
    size: int = 4096
    page: bool = False

    def at(self, programs, directory):
        command = [programs.work, self.way, programs.listed(os.path.join(directory, key) for key in self.keys), str(self.threads)]
        return command + ([str(self.size)] if self.way == "create" else [])

    def wire(self, programs, server, bucket, connections):
        if self.way == "stat":
            query = "start-after=%s~" if self.page else "max-keys=1&prefix=%s"
            urls = ["%s?list-type=2&encoding-type=url&" % server.url(bucket)
                    + query % urllib.parse.quote(before(key) if self.page else key) + " -" for key in self.keys]
        else:
            urls = [server.url(bucket, key) + " -" for key in self.keys]
        if self.way == "create":
            return [programs.floor, "put", str(connections), programs.listed(urls), str(self.size)]
        return [programs.floor, "get", str(connections), programs.listed(urls), server.url(bucket, self.keys[0])]


@dataclasses.dataclass
class Walk(Job):
    """A program that lists `key`: ls or find with their arguments, or our own readdir loop. On the wire: LISTs one by one."""

    key: str
    program: tuple
    delimiter: str = ""

    def at(self, programs, directory):
        path = os.path.join(directory, self.key)
        if self.program[0] == "entries":
            return [programs.work, "entries", path]
        return [path if word == "{}" else word for word in self.program]

    def wire(self, programs, server, bucket, connections):
        prefix = urllib.parse.quote(self.key.rstrip("/") + "/")
        return [programs.floor, "list", "%s?list-type=2&prefix=%s%s" % (
            server.url(bucket), prefix, "&delimiter=/" if self.delimiter else "")]


@dataclasses.dataclass
class Write(Job):
    """One file in order, with fsync before close; on the wire that many parallel PUTs with a share each."""

    key: str
    size: int

    def at(self, programs, directory):
        return [programs.work, "write", os.path.join(directory, self.key), str(self.size)]

    def wire(self, programs, server, bucket, connections):
        urls = [server.url(bucket, "%s.%d" % (self.key, part)) for part in range(16)]
        return [programs.floor, "put", str(connections), programs.listed(urls), str(self.size // 16)]


@dataclasses.dataclass
class Blocks(Job):
    """Files written in order, so many bytes a write(); only the writing counts."""

    count: int
    size: int
    block: int

    def at(self, programs, directory):
        return [programs.work, "blocks", directory, str(self.count), str(self.size), str(self.block)]


@dataclasses.dataclass
class Clone(Job):
    """git clone of a repository on the local disk."""

    files: int

    def at(self, programs, directory):
        programs.clones += 1
        return ["git", "clone", "-q", "file://" + programs.repository(self.files), os.path.join(directory, "clone%d" % programs.clones)]


@dataclasses.dataclass
class Mount(Job):
    """Mounts, and is done when the mount serves: the tool's own command, not one on a directory."""


@dataclasses.dataclass
class Remove(Job):
    key: str

    def at(self, programs, directory):
        return ["rm", "-r", os.path.join(directory, self.key)]
