"""Fixtures of the mount tests: servers, buckets, mounts. Nothing they start outlives the test, or the session."""
import os
import random
import subprocess

import pytest

from support import buckets, caches, mounts, recorder as recording, servers
from support.cli import Cli


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes minutes; only with tests/run --long")
    config.addinivalue_line("markers", "quiet: needs the machine for itself; run alone, after the others")
    config.addinivalue_line("markers", "tsan: many threads at work; run once more with the program built with ThreadSanitizer")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    if call.when == "call":
        item.test_failed = outcome.get_result().failed


@pytest.fixture(scope="session")
def work(tmp_path_factory):
    # Not under /tmp where that is memory: some tests write gigabytes.
    return tmp_path_factory.mktemp("awsfs")


@pytest.fixture(scope="session")
def moto(work):
    server = servers.Moto(work / "moto").start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def versitygw(work):
    server = servers.Versitygw(work / "versitygw").start()
    yield server
    server.stop()


def origin_program(variable="AWSFS_ORIGIN"):
    path = os.environ.get(variable, "")
    if not os.path.exists(path):
        raise RuntimeError("%s must name the built awsfs-origin (tests/run sets it); it is %r" % (variable, path))
    return path


@pytest.fixture(scope="session")
def origin_of_session(work):
    server = servers.Origin(work / "origin", origin_program()).start()
    yield server
    server.stop()


@pytest.fixture
def origin(origin_of_session):
    """tests/origin without faults, its counts at zero."""
    server = origin_of_session
    server.heal()
    server.reset_counts()
    yield server
    if server.process.poll() is None:
        server.heal()


@pytest.fixture(scope="session")
def origin_released(work):
    """tests/origin without sanitizers: gigabytes pass through it."""
    program = os.environ.get("AWSFS_RELEASE_ORIGIN", "")
    if not os.path.exists(program):
        pytest.skip("AWSFS_RELEASE_ORIGIN names no program (tests/run builds one)")
    server = servers.Origin(work / "origin-released", program).start()
    yield server
    server.stop()


@pytest.fixture(params=["moto", "versitygw", "origin"])
def server(request):
    """Each server in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def needs():
    """needs(server, what): skips where the server is known not to have it, with the reason."""
    def check(server, *whats):
        for what in whats:
            if what in server.lacks:
                pytest.skip("%s: %s" % (server.name, server.lacks[what]))
    return check


@pytest.fixture
def bucket():
    """bucket(server): a new bucket there."""
    return buckets.Bucket


@pytest.fixture
def mount(request, tmp_path, work):
    """mount(witness, option=value, ...): mounts a bucket or a parameter tree; underscores as the option has them.

    binary= and env= choose the program and add to its environment; source= replaces the whole bucket as source; fresh=True
    leaves it to the mount to find out what the server can do, which others know already."""
    who = mounts.name_of(request.node)
    made = []
    marker = request.node.get_closest_marker("timeout")
    patience = (marker.args[0] if marker else request.config.getoption("timeout")) or 180

    def make(witness, source=None, binary=None, env=None, fresh=False, **options):
        known = None
        if isinstance(witness, buckets.Bucket) and not fresh:
            known = mounts.what_is_known(witness.server, buckets.Bucket, work / ("known-" + witness.server.name))
        made.append(mounts.Mount(witness, tmp_path / ("mount%d" % len(made)), "%s-%d" % (who, len(made)), options, source,
                                 binary, env, patience, known))
        return made[-1]

    yield make
    problems = []
    for one in reversed(made):
        try:
            one.close()
        except (AssertionError, OSError, subprocess.TimeoutExpired) as problem:
            problems.append(str(problem))
    reports = [report for one in made for report in mounts.sanitizer_reports(one.who)]
    # A test that has failed has left things in disorder: only a sanitizer has anything to add then.
    assert reports or not problems or getattr(request.node, "test_failed", False), "\n".join(problems)
    assert not reports, "\n".join(problems)


@pytest.fixture
def disk(server, bucket, mount):
    """A mount of a new bucket, on each server in turn."""
    return mount(bucket(server))


@pytest.fixture
def rng():
    """Random numbers from the seed of this run (tests/run --seed)."""
    seed = int(os.environ.get("AWSFS_SEED", "1"))
    print("seed", seed)
    return random.Random(seed)


@pytest.fixture
def released():
    """The program built as released: what measures memory is meaningless under sanitizers."""
    path = os.environ.get("AWSFS_RELEASE_BIN", "")
    if not os.path.exists(path):
        pytest.skip("AWSFS_RELEASE_BIN names no program (tests/run builds one)")
    return path


@pytest.fixture
def recorder(moto):
    """A proxy before moto that keeps what was asked of the Parameter Store."""
    proxy = recording.Recorder(moto)
    yield proxy
    proxy.stop()


@pytest.fixture
def tree(moto, recorder, mount):
    """tree({name: value, or [value of each version]}, option=...): a mount of a parameter subtree, its requests recorded."""
    def make(values=(), **options):
        return mount(buckets.Parameters(moto).plant(values), **{"endpoint": recorder.endpoint, "ssm_rate": 1000, **options})
    return make


@pytest.fixture
def on_origin(origin, mount):
    """As tree, on tests/origin without a rate, which checks what the service checks; requests are counted from here."""
    def make(values=(), **options):
        origin.parameters(gets_per_s=0)
        disk = mount(buckets.Parameters(origin).plant(values), **{"ssm_rate": 1000, **options})
        origin.reset_counts()
        return disk
    return make


@pytest.fixture
def cached(origin, bucket, mount):
    """cached({key: body}, reads=times, option=...): a mount of tests/origin whose files were all read and are all in the cache; the
    server's counts are at zero."""
    def make(files=None, reads=1, **options):
        files, witness = caches.FILES if files is None else files, bucket(origin)
        for key, body in files.items():
            witness.put(key, body)
        disk = mount(witness, **options)
        for _ in range(reads):
            for key, body in files.items():
                assert (disk / key).read_bytes() == body
            caches.idle(disk)
        origin.reset_counts()
        return disk
    return make


@pytest.fixture
def cli(request, tmp_path, moto):
    """awsfs from a shell, on moto."""
    one = Cli(tmp_path, moto.endpoint, mounts.name_of(request.node))
    yield one
    one.close()


@pytest.fixture
def witness(bucket, moto):
    """A bucket of moto with one object."""
    made = bucket(moto)
    made.put("f", b"content")
    return made
