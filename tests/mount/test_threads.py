"""Many programs at work on one mount: every byte is right, whoever is interrupted meanwhile, and umount leaves nothing out."""
import json
import os
import signal

import pytest

from support.work import Script, pattern, sha512

pytestmark = pytest.mark.tsan

HERE = os.path.dirname(os.path.abspath(__file__))

# Works in files of its own and reads what all read; tells at the end which names it has left, with the hash of each.
WORKER = """
import hashlib, json, random
sys.path.insert(0, sys.argv[4])
from support.work import pattern
top, name = sys.argv[1], sys.argv[2]
rng, mine, shared = random.Random(sys.argv[3] + name), {}, [pattern(400_000, i) for i in range(4)]

def new():
    return os.path.join(top, "%s-%d" % (name, rng.randrange(1_000_000)))

def write():
    path, data = new(), rng.randbytes(rng.choice([1, 5000, 300_000]))
    open(path, "wb").write(data)
    mine[path] = data

def change():
    path = rng.choice(list(mine))
    offset, data = rng.randrange(len(mine[path])), rng.randbytes(rng.choice([10, 100_000]))
    with open(path, "r+b") as f:
        f.seek(offset)
        f.write(data)
    mine[path] = mine[path][:offset] + data + mine[path][offset + len(data):]

def rename():
    old, path = rng.choice(list(mine)), new()
    os.rename(old, path)
    mine[path] = mine.pop(old)

def remove():
    path = rng.choice(list(mine))
    os.unlink(path)
    del mine[path]

def read():
    path = rng.choice(list(mine))
    assert open(path, "rb").read() == mine[path], path

def read_shared():
    i, offset = rng.randrange(4), rng.randrange(300_000)
    fd = os.open(os.path.join(top, "shared%d" % i), os.O_RDONLY)
    assert os.pread(fd, 100_000, offset) == shared[i][offset:offset + 100_000], (i, offset)
    os.close(fd)

def look():
    names = set(os.listdir(top))
    assert {os.path.basename(p) for p in mine} <= names, name
    for path in mine:
        assert os.stat(path).st_size == len(mine[path]), path

def attributes():
    os.chmod(rng.choice(list(mine)), rng.choice([0o600, 0o644]))

write()
for _ in range(40):
    write() if not mine else rng.choice([write, change, rename, remove, read, read_shared, read_shared, look, attributes])()
print(json.dumps({os.path.basename(p): hashlib.sha512(data).hexdigest() for p, data in mine.items()}))
"""

VICTIM = """
import signal
signal.signal(signal.SIGINT, signal.SIG_DFL)
f = open(sys.argv[1], "rb", buffering=0)
print("reading")
f.read(100_000)
"""


def test_programs_at_work_side_by_side_while_others_are_interrupted_lose_no_byte(origin, bucket, mount, rng):
    witness = bucket(origin)
    for i in range(4):
        witness.put("shared%d" % i, pattern(400_000, i))
    witness.put("stalled", b"x" * 200_000)
    disk = mount(witness, timeout=120)
    origin.fault("hang", kind="GetObject", key=witness.name + "/stalled")
    scripts = []
    try:
        seed = rng.randrange(1 << 30)
        workers = [Script(WORKER, disk.path, "w%d" % i, seed, HERE) for i in range(6)]
        victims = [Script(VICTIM, disk / "stalled") for _ in range(8)]
        scripts = workers + victims
        for i, victim in enumerate(victims):
            assert victim.line() == "reading"
            victim.kill(signal.SIGKILL if i % 2 else signal.SIGINT, 5)
        expected = {}
        for worker in workers:
            expected.update(json.loads(worker.finish(150)))
    finally:
        for script in scripts:
            script.close()
        origin.heal()
    disk.umount()
    found = {key: sha512(witness.get(key)) for key in witness.keys() if key.startswith("w")}
    assert found == expected


@pytest.mark.parametrize("how", ["umount", "SIGTERM"])
def test_what_many_programs_left_unsent_is_sent_before_the_daemon_ends(origin, bucket, mount, how):
    disk = mount(bucket(origin))
    code = "for i in range(20):\n open(sys.argv[1] + '-%d' % i, 'wb').write(b'%d' % i); os.chmod(sys.argv[1] + '-%d' % i, 0o600)"
    writers = [Script(code, disk / ("w%d" % i)) for i in range(4)]
    for writer in writers:
        writer.finish()
    if how == "umount":
        disk.umount()
    else:
        assert disk.terminate() == 0
    for i in range(4):
        for j in range(20):
            assert disk.bucket.get("w%d-%d" % (i, j)) == b"%d" % j
            assert disk.bucket.head("w%d-%d" % (i, j))["Metadata"]["mode"] == str(0o100600)


def test_many_readers_of_one_large_file_through_handles_of_their_own_read_its_bytes(origin, bucket, mount):
    data = pattern(12 << 20)
    witness = bucket(origin)
    witness.put("f", data)
    disk = mount(witness)
    code = "import hashlib\nprint(hashlib.sha512(open(sys.argv[1], 'rb', buffering=0).read()).hexdigest())"
    readers = [Script(code, disk / "f") for _ in range(8)]
    assert {reader.finish().strip() for reader in readers} == {sha512(data)}
    assert os.stat(disk / "f").st_size == len(data)
