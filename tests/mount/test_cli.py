"""The command line: the mount returns when it serves, or says in one line why not."""
import json
import os
import signal
import socket
import subprocess
import time

import pytest

from support import mounts, servers
from support.cli import one_line
from support.work import wait_until


def test_the_command_returns_when_the_mount_serves(cli, witness):
    result = cli.mount(witness.source)
    assert (result.returncode, result.stderr) == (0, "")
    assert (cli.mnt / "f").read_bytes() == b"content"


def without_standard_descriptors():
    for fd in (0, 1, 2):
        os.close(fd)


def test_a_command_without_standard_descriptors_mounts(cli, witness):
    assert cli.mount(witness.source, preexec_fn=without_standard_descriptors).returncode == 0
    assert (cli.mnt / "f").read_bytes() == b"content"
    (cli.mnt / "g").write_bytes(b"new")
    assert witness.get("g") == b"new"


def test_files_named_relatively_in_the_environment_are_found_after_the_mount_too(cli, witness, tmp_path):
    """The daemon works in "/"; a bucket of s3:// is opened when it is first used, and then reads the profile again."""
    (tmp_path / "keys").write_text("[own]\naws_access_key_id = test\naws_secret_access_key = test\n")
    (tmp_path / "keys").chmod(0o600)
    env = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None, "AWS_SHARED_CREDENTIALS_FILE": "keys"}
    assert cli.mount("s3://", "profile=own", env=env, cwd=tmp_path).returncode == 0
    assert (cli.mnt / witness.name / "f").read_bytes() == b"content"


@pytest.mark.parametrize("where", ["command line", "config file"])
def test_directories_of_options_are_taken_from_where_the_command_is_given(cli, witness, tmp_path, where):
    relative = ["state=here/state", "cache=here/cache"]
    (tmp_path / "here").mkdir()
    if where == "config file":
        (tmp_path / "awsfs.conf").write_text("".join(line + "\n" for line in relative))
        cli.base = [option for option in cli.base if not option.startswith(("state=", "cache="))]
        relative = ["config=awsfs.conf"]
    assert cli.mount(witness.source, *relative, cwd=tmp_path).returncode == 0
    assert sorted(os.listdir(tmp_path / "here")) == ["cache", "state"]
    assert (tmp_path / "here" / "cache" / "index.db").exists()
    assert cli.run("cache", "show", "-o", "cache=here/cache", cwd=tmp_path).returncode == 0


def test_a_process_for_credentials_is_waited_for_where_children_were_ignored(cli, witness, tmp_path):
    reply = json.dumps({"Version": 1, "AccessKeyId": "test", "SecretAccessKey": "test"})
    (tmp_path / "reply").write_text(reply)
    (tmp_path / "config").write_text("[default]\ncredential_process = cat %s\n" % (tmp_path / "reply"))
    env = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None, "AWS_CONFIG_FILE": str(tmp_path / "config")}
    result = cli.mount(witness.source, env=env, preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN))
    assert result.returncode == 0, result.stderr


def test_the_mount_helper_has_the_form_that_mount_8_calls(cli, witness, tmp_path):
    helper = tmp_path / "mount.awsfs"
    helper.symlink_to(mounts.program())
    options = ",".join(cli.base + ["endpoint=" + cli.endpoint, "rw", "_netdev", "nofail", "noauto", "x-systemd.automount", "noatime"])
    result = subprocess.run([helper, witness.source, cli.mnt, "-o", options], capture_output=True, text=True, timeout=60,
                            env=cli.environment(), check=False)
    assert result.returncode == 0, result.stderr
    assert os.listdir(cli.mnt) == ["f"]


def test_without_credentials_each_source_says_why_in_a_line(cli, witness):
    result = cli.mount(witness.source, env={"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None})
    *sources, last = result.stderr.splitlines()
    assert result.returncode == 1 and last.startswith("awsfs: no credentials: none of %d sources" % len(sources))
    assert len(sources) == 12 and all(line.startswith("awsfs: credentials: ") for line in sources)
    assert "AWS_ACCESS_KEY_ID is not set" in sources[0] and "AWS_EC2_METADATA_DISABLED" in sources[-1]


def test_an_endpoint_that_is_not_reachable_is_named(cli, witness):
    port = servers.free_port()
    start = time.monotonic()
    line = one_line(cli.mount(witness.source, "endpoint=http://127.0.0.1:%d" % port, "timeout=1", endpoint=False))
    assert "127.0.0.1:%d" % port in line and time.monotonic() - start < 60


@pytest.mark.parametrize("flags", [[], ["-f"]], ids=["background", "foreground"])
def test_a_mount_that_waits_says_what_for_and_an_interrupt_ends_it(cli, witness, flags):
    address = "http://127.0.0.1:%d" % servers.free_port()
    command = [mounts.program(), witness.source, cli.mnt, *flags, "-o", ",".join(cli.base + ["endpoint=" + address, "timeout=100"])]
    # The time-out is longer than the test waits: only the signal ends it.
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=cli.environment()) as process:
        line = process.stderr.readline()
        assert line.startswith("awsfs: waiting for %s, for up to 100 s: " % address) and "connect" in line
        process.send_signal(signal.SIGINT)
        assert process.wait(10) != 0
    wait_until(lambda: cli.daemon() is None, 10, "the end of the daemon")
    assert not mounts.mounted(cli.mnt)


def test_a_mount_that_waits_for_a_silent_server_says_so(cli, origin, bucket):
    witness = bucket(origin)
    origin.fault({"delay_ms": 3000}, kind="ListObjectsV2", count=1)
    cli.endpoint = origin.endpoint
    result = cli.mount(witness.source)
    assert result.returncode == 0 and result.stderr.count("\n") == 1 and "no answer yet" in result.stderr


def test_a_bucket_that_is_not_there_is_named(cli):
    line = one_line(cli.mount("s3://there-is-no-such-bucket"))
    assert "bucket there-is-no-such-bucket" in line and "no such bucket" in line


def test_a_wrong_region_that_the_server_does_not_correct_is_named(cli, origin, bucket):
    made = bucket(origin)
    origin.fault({"status": 400, "code": "AuthorizationHeaderMalformed"})
    cli.endpoint = origin.endpoint
    line = one_line(cli.mount(made.source))
    assert servers.REGION in line and "AuthorizationHeaderMalformed" in line


def test_a_403_names_the_request(cli, origin, bucket):
    witness = bucket(origin)
    origin.fault({"status": 403, "code": "AccessDenied"})
    cli.endpoint = origin.endpoint
    line = one_line(cli.mount(witness.source, "timeout=3"))
    assert any(word in line for word in ("HeadBucket", "ListObjectsV2", "ListObjects")) and witness.name in line


def test_a_missing_device_says_what_to_install(cli, witness):
    # A mount namespace in which /dev/fuse is hidden. Only /dev is made private: in a chroot the root is no mount point.
    command = ["unshare", "-m", "--propagation", "unchanged", "sh", "-c",
               'mount --make-private /dev && mount -t tmpfs none /dev && exec "$@"', "sh", mounts.program(), witness.source, cli.mnt, "-o",
               ",".join(cli.base + ["endpoint=" + cli.endpoint])]
    if os.getuid():
        pytest.skip("only root can hide /dev/fuse")
    result = subprocess.run(command, capture_output=True, text=True, timeout=60, env=cli.environment(), check=False)
    line = one_line(result)
    assert "fuse" in line.lower() and ("install" in line.lower() or "modprobe" in line.lower())


def test_a_device_that_a_user_may_not_open_is_told_before_and_by_the_mount(cli, witness):
    # In a mount namespace of its own, with a device that only root may open. The program is reached by a descriptor: others may
    # not enter its directory.
    if os.getuid():
        pytest.skip("only root can take /dev/fuse away from others")
    program = os.open(mounts.program(), os.O_RDONLY)
    setup = ("mount --make-private /dev && mount -t tmpfs none /dev && mknod -m 600 /dev/fuse c 10 229 && mknod -m 666 /dev/null c 1 3"
             " && mknod -m 666 /dev/urandom c 1 9 && mkdir -m 777 /dev/pub /dev/mnt"
             ' && exec setpriv --reuid=65534 --regid=65534 --clear-groups /proc/self/fd/%d "$@"' % program)
    for words in (["check", witness.source], [witness.source, "/dev/mnt"]):
        result = subprocess.run(["unshare", "-m", "--propagation", "unchanged", "sh", "-c", setup, "sh", *words, "-o",
                                 "region=us-east-1,state=/dev/pub/state,endpoint=" + cli.endpoint], capture_output=True, text=True,
                                timeout=60, env=cli.environment({"XDG_RUNTIME_DIR": "/dev/pub"}), check=False, pass_fds=[program])
        told = [line for line in (result.stdout + result.stderr).splitlines() if "may not open /dev/fuse" in line]
        assert result.returncode == 1 and len(told) == 1 and "chmod" in told[0], result
    os.close(program)


def test_a_mount_point_that_is_not_there_is_named(cli, witness):
    cli.mnt = cli.directory / "none"
    line = one_line(cli.mount(witness.source))
    assert str(cli.mnt) in line


# option or source, what the message must name
MALFORMED = [
    ("ttl=soon", ["ttl"]), ("ttl=-1", ["ttl"]), ("attrs=some", ["attrs", "auto", "list", "head"]), ("cache_size=10Q", ["cache_size"]),
    ("timeout=0", ["timeout"]), ("timeout=99999999999999999999", ["timeout"]), ("umask=999", ["umask"]), ("file_mode=rw", ["file_mode"]),
    ("endpiont=http://x", ["endpiont", "endpoint"]), ("nothing_like_this_at_all", ["nothing_like_this_at_all"]),
    ("addressing=sideways", ["addressing", "path", "virtual"]), ("memory=1", ["memory"]), ("excl=maybe", ["excl", "close", "open"]),
    ("sse=rot13", ["sse", "kms"]), ("anonymous,profile=x", ["anonymous", "profile"]), ("region=not a region", ["region"]),
    ("endpoint=ftp://x", ["endpoint"]), ("endpoint=http://host:99999", ["endpoint"]), ("profile=none-such", ["none-such"]),
    ("config=/none/such/file", ["/none/such/file"]), ("storage_class=BEST", ["storage_class"]), ("write=sometimes", ["write"]),
]


@pytest.mark.parametrize("option, names", MALFORMED, ids=[m[0] for m in MALFORMED])
def test_a_malformed_option_is_named_with_what_is_legal_before_anything_is_mounted(cli, witness, option, names):
    result = cli.mount(witness.source, *option.split(","))
    line = one_line(result)
    assert all(name in line for name in names), line
    assert not mounts.mounted(cli.mnt)


@pytest.mark.parametrize("source", ["s3:/bucket", "http://bucket", "s3://UPPER_case!", "s3://a", "ssm:relative", "", "s3://bucket//x"])
def test_a_malformed_source_is_an_error_that_shows_it(cli, source):
    line = one_line(cli.mount(source))
    assert (source or "source").lower() in line.lower() or "SOURCE" in line


@pytest.mark.parametrize("words", [["help"], ["unmount", "/mnt"], ["mount", "s3://bucket", "/mnt"], ["bucket", "/mnt"]], ids=" ".join)
def test_a_word_that_is_neither_command_nor_source_is_answered_with_both(cli, words):
    result = cli.run(*words)
    line = one_line(result)
    assert result.returncode == 2
    assert '"%s"' % words[0] in line and "umount, flush, status, check, cache" in line and "s3://bucket" in line


@pytest.mark.parametrize("words", [["s3://bucket", "/mnt"], ["check", "s3://bucket"]], ids=" ".join)
def test_o_without_options_behind_it_is_an_error(cli, words):
    result = cli.run(*words, "-o")
    assert result.returncode == 2 and "-o needs options" in one_line(result)


# source, options, environment, what the one line must name; nothing is sent
ENDPOINTS = [
    ("s3://arn:aws:s3:eu-west-1:12345:accesspoint/ap", [], {}, ["'12345' is not 12 digits"]),
    ("s3://arn:aws:s3:eu-west-1:123456789012:acesspoint/ap", [], {}, ["'acesspoint'", "accesspoint/NAME"]),
    ("s3://arn:aws:s3:::bucket", [], {}, ["ARN of a bucket", "s3://bucket"]),
    ("s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/ap", ["addressing=path"], {}, ["addressing=path"]),
    ("s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/ap", [], {"AWS_S3_USE_ARN_REGION": "false"}, ["use_arn_region"]),
    ("s3://my.dotted.bucket", ["addressing=virtual"], {}, ["addressing=virtual", "dots"]),
    ("s3://bucket--x-s3", [], {}, ["directory bucket"]),
    ("s3://bucket--use1-az4--x-s3", ["acl=private"], {}, ["acl=", "ACLs"]),
    ("s3://bucket", ["fips", "region=cn-north-1"], {}, ["fips", "cn-north-1"]),
    ("s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/data", [], {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"},
     ["AWS_ENDPOINT_URL: data-123456789012 needs an endpoint with a name"]),
    ("s3://bucket", [], {"AWS_MAX_ATTEMPTS": "many"}, ["AWS_MAX_ATTEMPTS", "'many'"]),
    ("s3://bucket", [], {"AWS_DEFAULTS_MODE": "fast"}, ["AWS_DEFAULTS_MODE", "in-region"]),
    ("s3://bucket", [], {"AWS_CA_BUNDLE": "/none/such.pem"}, ["/none/such.pem"]),
    ("ssm:/x", [], {"AWS_STS_REGIONAL_ENDPOINTS": "no"}, ["AWS_STS_REGIONAL_ENDPOINTS", "legacy"]),
]


@pytest.mark.parametrize("source, options, env, names", ENDPOINTS)
def test_an_endpoint_that_cannot_be_is_one_line(cli, source, options, env, names):
    line = one_line(cli.mount(source, *options, env=env, endpoint=False))
    assert all(name in line for name in names), line
    assert not mounts.mounted(cli.mnt)


def test_options_of_the_other_kind_of_source_are_refused(cli):
    assert "write" in one_line(cli.mount("ssm:/x", "write=back"))


def test_a_credentials_file_that_is_malformed_is_named_with_its_line(cli, witness, tmp_path):
    bad = tmp_path / "credentials"
    bad.write_text("[default]\naws_access_key_id = A\nthis line has no equals sign\n")
    line = one_line(cli.mount(witness.source, env={"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None,
                                                   "AWS_SHARED_CREDENTIALS_FILE": str(bad)}))
    assert str(bad) in line and "3" in line


def test_a_profile_of_the_shared_files_mounts(cli, witness, tmp_path):
    shared = tmp_path / "credentials"
    shared.write_text("[work]\naws_access_key_id = %s\naws_secret_access_key = %s\n" % (servers.ACCESS, servers.SECRET))
    result = cli.mount(witness.source, "profile=work", env={"AWS_SHARED_CREDENTIALS_FILE": str(shared)})
    assert result.returncode == 0, result.stderr
    assert os.listdir(cli.mnt) == ["f"]


def test_options_come_from_a_config_file_too(cli, witness, tmp_path):
    config = tmp_path / "awsfs.conf"
    config.write_text("# comment\nendpoint = %s\nfile_mode = 0604\n" % cli.endpoint)
    result = cli.mount(witness.source, "config=%s" % config, endpoint=False)
    assert result.returncode == 0, result.stderr
    assert os.stat(cli.mnt / "f").st_mode & 0o777 == 0o604


def test_a_config_file_with_an_error_is_named_with_its_line(cli, witness, tmp_path):
    config = tmp_path / "awsfs.conf"
    config.write_text("ttl = 5\nttll = 6\n")
    line = one_line(cli.mount(witness.source, "config=%s" % config))
    assert str(config) in line and "2" in line and "ttll" in line


def test_a_config_file_may_hold_no_secret(cli, witness, tmp_path):
    config = tmp_path / "awsfs.conf"
    config.write_text("secret_access_key = abc\n")
    assert "abc" not in one_line(cli.mount(witness.source, "config=%s" % config))


def test_the_endpoint_of_the_environment_is_used(cli, witness):
    result = cli.mount(witness.source, endpoint=False, env={"AWS_ENDPOINT_URL": cli.endpoint})
    assert result.returncode == 0, result.stderr
    assert os.listdir(cli.mnt) == ["f"]


def test_f_stays_in_the_foreground_and_notifies_readiness(cli, witness, tmp_path):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(20)
        options = ",".join(cli.base + ["endpoint=" + cli.endpoint])
        process = subprocess.Popen([mounts.program(), witness.source, cli.mnt, "-f", "-o", options],
                                   env=cli.environment({"NOTIFY_SOCKET": str(path)}))
        assert b"READY=1" in listener.recv(4096)
        assert (cli.mnt / "f").read_bytes() == b"content"
        process.terminate()
        assert process.wait(20) == 0
    assert not mounts.mounted(cli.mnt)


def test_status_tells_counters_as_text_and_as_json(cli, witness):
    assert cli.mount(witness.source).returncode == 0
    (cli.mnt / "f").read_bytes()
    text = cli.run("status", cli.mnt)
    assert text.returncode == 0 and witness.name in text.stdout, text
    values = json.loads(cli.run("status", cli.mnt, "--json").stdout)
    assert "GetObject" in json.dumps(values)


def test_the_log_option_writes_lines_with_component_and_level(cli, witness):
    assert cli.mount(witness.source).returncode == 0
    os.listdir(cli.mnt)
    subprocess.run(["fusermount3", "-u", cli.mnt], check=True)
    wait_until(lambda: cli.daemon() is None)
    text = (cli.directory / "log").read_text()
    assert servers.SECRET not in text


def test_no_option_takes_a_secret_and_help_says_what_there_is(cli):
    result = cli.run("--help")
    assert result.returncode == 0
    for option in ("endpoint", "region", "ttl", "attrs", "state", "ssm_type"):
        assert option in result.stdout
    assert "secret" not in result.stdout.lower().replace("secretsmanager", "")


def test_version_is_told(cli):
    result = cli.run("--version")
    assert result.returncode == 0 and "awsfs" in result.stdout


def test_an_unwritable_state_directory_is_named_before_anything_is_mounted(cli, witness):
    line = one_line(cli.mount(witness.source, "state=/proc/none"))
    assert "/proc/none" in line and not mounts.mounted(cli.mnt)


def test_a_second_mount_of_the_same_bucket_works_beside_the_first(moto, bucket, mount):
    witness = bucket(moto)
    first, second = mount(witness), mount(witness)
    (first / "f").write_bytes(b"1")
    assert first.process.poll() is None and second.process.poll() is None
    wait_until(lambda: (second / "f").exists())
