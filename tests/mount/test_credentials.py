"""Credentials that expire while the mount is at work, and where none of them is ever to be seen."""
import json
import os
import threading
import time

import pytest

from support import mounts
from support.keys import MARKER, Keys
from support.secrets import core_dump_has, files_with
from support.work import pattern, sha512

MIB = 1 << 20


@pytest.fixture
def keys(origin):
    """keys(seconds): keys that hold so long."""
    made = []

    def make(lasts):
        made.append(Keys(origin, lasts))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_long_read_goes_on_across_expiries(origin, bucket, mount, keys):
    content = pattern(64 * MIB)
    witness = bucket(origin)
    witness.put("long", content)
    short = keys(4)
    disk = mount(witness, endpoint=short.endpoint, memory="16M", env=short.environment())
    got = bytearray()
    with open(disk / "long", "rb", buffering=0) as f:
        while len(got) < len(content):
            got += f.read(MIB)
            # Until another key is in use the reader takes its time, so that the read does span several of them.
            for _ in range(20):
                if len(short.used) > len(got) // (16 * MIB):
                    break
                time.sleep(0.1)
    assert sha512(got) == sha512(content)
    assert len(short.used) >= 3
    assert short.used <= set(short.given)


def test_a_hundred_threads_whose_keys_are_refused_make_one_refresh(origin, bucket, mount, keys):
    witness = bucket(origin)
    for i in range(100):
        witness.put("f%d" % i, b"%d" % i)
    lasting = keys(3600)
    disk = mount(witness, endpoint=lasting.endpoint, env=lasting.environment())
    assert len(os.listdir(disk.path)) == 100
    assert len(lasting.given) == 1
    lasting.revoke_all()
    start, results = threading.Barrier(100), {}

    def read(i):
        start.wait()
        results[i] = (disk / ("f%d" % i)).read_bytes()

    threads = [threading.Thread(target=read, args=(i,)) for i in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {i: b"%d" % i for i in range(100)}
    assert len(lasting.given) == 2 and lasting.refused >= 1


@pytest.mark.parametrize("size", [100, 12 * MIB, 72 * MIB])
def test_an_upload_goes_on_across_keys_that_are_refused_in_its_middle(origin, bucket, mount, keys, size):
    """In one request, by parts after the close, by parts while it is written."""
    content = pattern(size)
    witness = bucket(origin)
    lasting = keys(3600)
    disk = mount(witness, endpoint=lasting.endpoint, env=lasting.environment())
    with open(disk / "f", "wb", buffering=0) as f:
        for at in range(0, size, MIB):
            f.write(content[at:at + MIB])
            if at // MIB % 40 == 39:
                lasting.revoke_all()
        lasting.revoke_all()
    assert witness.get("f") == content and witness.uploads() == [] and witness.keys() == ["f"]
    assert lasting.refused >= 1 and len(lasting.given) >= 2


def helper(tmp_path):
    """A credential_process that counts its calls and keeps what it was started with."""
    program = tmp_path / "helper"
    program.write_text("""#!/bin/sh
cd %s
echo call >>calls
tr '\\0' '\\n' </proc/self/environ >environ
tr '\\0' '\\n' </proc/$PPID/environ >environ.parent
tr '\\0' ' ' </proc/$PPID/cmdline >cmdline
cat answer
""" % tmp_path)
    program.chmod(0o700)
    (tmp_path / "answer").write_text(json.dumps({
        "Version": 1, "AccessKeyId": "ASIAPROCESS", "SecretAccessKey": MARKER, "SessionToken": MARKER + "-token",
        "Expiration": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))}))
    config = tmp_path / "config"
    config.write_text("[profile p]\ncredential_process = '%s'\n[profile q]\naws_access_key_id = A\naws_secret_access_key = %s\n" %
                      (program, MARKER))
    return {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None, "AWS_CONFIG_FILE": str(config)}


def test_a_process_gets_the_environment_that_the_mount_was_given_and_nothing_more(origin, bucket, mount, tmp_path):
    env = {**helper(tmp_path), "GIVEN": "by the user"}
    disk = mount(bucket(origin), env=env, profile="p", log_level="debug")
    (disk / "written").write_text("x")
    assert (tmp_path / "calls").read_text().split() == ["call"]
    child, daemon = ((tmp_path / name).read_text().splitlines() for name in ("environ", "environ.parent"))
    ours = {line for line in child if not line.startswith(("PWD=", "OLDPWD=", "SHLVL=", "_="))}
    assert "GIVEN=by the user" in ours and ours <= set(daemon)
    assert MARKER not in (tmp_path / "environ").read_text() + (tmp_path / "cmdline").read_text()
    disk.umount()
    assert MARKER not in disk.log() and MARKER not in disk.output()
    assert files_with(MARKER.encode(), disk.directory) == []


def test_no_secret_of_any_source_is_in_a_log_a_command_line_or_a_core_dump(origin, bucket, mount, keys, released, tmp_path):
    handed_out = keys(3600)
    witness = bucket(origin)
    witness.put("f", b"content")
    (tmp_path / "jwt").write_text("a.b." + MARKER)
    (tmp_path / "token").write_text(MARKER)
    web = {**handed_out.environment(), "AWS_CONTAINER_CREDENTIALS_FULL_URI": None, "AWS_ROLE_ARN": "arn:aws:iam::1:role/r",
           "AWS_WEB_IDENTITY_TOKEN_FILE": str(tmp_path / "jwt"), "AWS_ENDPOINT_URL_STS": handed_out.endpoint}
    container = {**handed_out.environment(), "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(tmp_path / "token")}
    for number, (env, options) in enumerate([(container, {"endpoint": handed_out.endpoint}),
                                             (web, {"endpoint": handed_out.endpoint}),
                                             (helper(tmp_path), {"profile": "p"}),
                                             (helper(tmp_path), {"profile": "q"})]):
        disk = mount(witness, binary=released, env=env, log_level="debug", **options)
        assert (disk / "f").read_bytes() == b"content"
        handed_out.revoke_all()
        (disk / ("g%d" % number)).write_bytes(b"more")
        with open("/proc/%d/cmdline" % disk.pid, "rb") as f:
            assert MARKER.encode() not in f.read()
        assert not core_dump_has(disk.pid, MARKER.encode()), options
        disk.umount()
        assert MARKER not in disk.log() and MARKER not in disk.output()
        assert files_with(MARKER.encode(), disk.directory) == []


def test_a_broken_source_is_one_line_and_nothing_is_mounted(origin, bucket, mount, tmp_path):
    env = helper(tmp_path)
    (tmp_path / "answer").write_text("garbage " + MARKER)
    with pytest.raises(mounts.MountFailed) as failed:
        mount(bucket(origin), env=env, profile="p")
    line, = failed.value.output.strip().splitlines()
    assert "helper' prints something that is no JSON" in line and MARKER not in line
