"""Parameters as files, on moto: exact values, versions, types, limits refused before a request."""
import contextlib
import errno
import os
import stat
import subprocess
import time

import pytest

from support.buckets import Parameters
from support.work import errno_of, run, wait_until


def test_the_tree_is_directories_and_values_are_exact(tree):
    values = {"a": "plain", "db/user": "admin", "db/password": "p\u00e4ss word\n", "db/deep/er": "x" * 4000, "nl": "line\n\n",
              "odd": "  spaces \t tab ", "json": '{"a": "b"}'}
    disk = tree(values)
    assert sorted(os.listdir(disk.path)) == ["a", "db", "json", "nl", "odd"]
    assert sorted(os.listdir(disk / "db")) == ["deep", "password", "user"]
    for name, value in values.items():
        assert (disk / name).read_bytes() == value.encode()
        assert os.stat(disk / name).st_size == len(value.encode())


def test_a_directory_is_as_new_as_the_latest_parameter_below_it(tree):
    disk = tree({"a": "1", "d/deep/er": "2", "d/x": "3"}, ttl=0)
    latest = {name: disk.parameters.parameter(name)["LastModifiedDate"].timestamp() for name in ("a", "d/deep/er", "d/x")}
    os.listdir(disk.path)
    assert os.stat(disk / "d" / "deep").st_mtime == pytest.approx(latest["d/deep/er"], abs=0.01)
    assert os.stat(disk / "d").st_mtime == pytest.approx(max(latest["d/x"], latest["d/deep/er"]), abs=0.01)
    before = os.stat(disk / "d").st_mtime_ns
    time.sleep(0.05)
    disk.parameters.put("d/deep/er", "newer")
    os.listdir(disk.path)
    assert os.stat(disk / "d").st_mtime_ns > before and os.stat(disk.path).st_mtime_ns > before


def test_a_tree_of_more_than_a_page_is_complete(tree):
    values = {"p%02d" % i: str(i) for i in range(35)}
    disk = tree(values)
    assert sorted(os.listdir(disk.path)) == sorted(values)


def test_one_walk_of_the_tree_costs_its_pages_and_no_request_per_file(tree, recorder):
    disk = tree({"d%d/p%d" % (i % 5, i): "v" for i in range(30)})
    recorder.calls.clear()
    run("grep", "-r", "v", disk.path)
    assert set(recorder.operations()) <= {"GetParametersByPath"}
    assert len(recorder.calls) <= 5


def test_a_new_file_is_a_secure_string_of_the_standard_tier(tree):
    disk = tree()
    (disk / "new").write_text("value")
    assert disk.parameters.get("new") == "value"
    described = disk.parameters.describe("new")
    assert (described["Type"], described["Tier"]) == ("SecureString", "Standard")
    assert stat.S_IMODE(os.stat(disk / "new").st_mode) == 0o600


def test_the_type_of_new_files_is_an_option(tree):
    disk = tree(ssm_type="String")
    (disk / "plain").write_text("v")
    assert disk.parameters.describe("plain")["Type"] == "String"
    assert stat.S_IMODE(os.stat(disk / "plain").st_mode) == 0o644


def test_an_overwrite_keeps_the_type_and_sends_key_and_tier(tree, recorder):
    disk = tree()
    disk.parameters.put("p", "one", "SecureString", KeyId="alias/mine", Tier="Advanced")
    disk.parameters.put("list", "a,b", "StringList")
    (disk / "p").write_text("two")
    (disk / "list").write_text("a,b,c")
    puts = {call["Name"].rsplit("/", 1)[-1]: call for operation, call in recorder.calls if operation == "PutParameter"}
    assert (puts["p"]["Type"], puts["p"]["KeyId"], puts["p"]["Tier"]) == ("SecureString", "alias/mine", "Advanced")
    assert puts["list"]["Type"] == "StringList" and disk.parameters.get("list") == "a,b,c"


def test_an_unchanged_value_makes_no_new_version(tree, recorder):
    disk = tree({"p": "same"})
    recorder.calls.clear()
    (disk / "p").write_text("same")
    assert "PutParameter" not in recorder.operations()
    assert disk.parameters.parameter("p")["Version"] == 1


def test_each_change_is_one_version(tree):
    disk = tree({"p": "1"})
    for value in ("2", "3"):
        (disk / "p").write_text(value)
    assert disk.parameters.parameter("p")["Version"] == 3
    assert disk.parameters.get("p") == "3"


def test_versions_are_read_by_name_also_of_a_directory_that_was_just_listed(tree):
    disk = tree({"d/p": "first"})
    disk.parameters.put("d/p", "second")
    assert os.listdir(disk / "d") == ["p"]
    assert (disk / "d" / "p").read_text() == "second"
    assert (disk / "d" / "p@1").read_text() == "first"
    assert (disk / "d" / "p@2").read_text() == "second"
    assert errno_of(os.stat, disk / "d" / "p@7") == errno.ENOENT


def test_versions_and_labels_are_read_by_name_and_cannot_be_written(tree):
    disk = tree({"d/p": "first"})
    disk.parameters.put("d/p", "second")
    disk.parameters.ssm.label_parameter_version(Name=disk.parameters.root + "/d/p", ParameterVersion=1, Labels=["good"])
    assert (disk / "d" / "p@1").read_text() == "first"
    assert (disk / "d" / "p@2").read_text() == "second"
    assert (disk / "d" / "p@good").read_text() == "first"
    assert errno_of(os.stat, disk / "d" / "p@7") == errno.ENOENT
    assert errno_of((disk / "d" / "p@1").write_text, "x") in (errno.EACCES, errno.EROFS, errno.EPERM)
    assert sorted(os.listdir(disk / "d")) == ["p"]


def test_a_parameter_that_is_a_hierarchy_too_is_self(tree):
    disk = tree({"both": "value of both", "both/in": "inner"})
    assert (disk / "both").is_dir()
    assert (disk / "both" / "@self").read_text() == "value of both"
    assert (disk / "both" / "in").read_text() == "inner"
    (disk / "both" / "@self").write_text("changed")
    assert disk.parameters.get("both") == "changed"


def test_a_file_is_removed_and_made_again_under_the_same_name(tree):
    disk = tree({"p": "x"})
    (disk / "p").unlink()
    assert disk.parameters.names() == []
    (disk / "p").write_text("again")
    assert disk.parameters.get("p") == "again"


def test_append_and_truncate_change_the_value(tree):
    disk = tree({"p": "one"})
    with open(disk / "p", "a") as f:
        f.write(" two")
    assert disk.parameters.get("p") == "one two"
    os.truncate(disk / "p", 3)
    wait_until(lambda: disk.parameters.get("p") == "one")


NEWLINES = [("keep", "v\n", "v\n", "v\n"), ("keep", "v", "v", "v"), ("chomp", "v\n", "v", "v"), ("chomp", "v\n\n", "v\n", "v\n"),
            ("add", "v", "v", "v\n"), ("add", "v\n", "v", "v\n"), ("add", "v\n\n", "v\n", "v\n")]


@pytest.mark.parametrize("newline, written, stored, shown", NEWLINES)
def test_newline_option(tree, newline, written, stored, shown):
    disk = tree(newline=newline)
    (disk / "p").write_text(written)
    for _ in range(2):
        assert disk.parameters.get("p") == stored
        assert (disk / "p").read_text() == shown and os.stat(disk / "p").st_size == len(shown)
        disk.remount()


def test_what_is_shown_with_newlines_added_is_written_back_without_a_new_version(tree):
    disk = tree({"p": "one"}, newline="add")
    text = (disk / "p").read_text()
    assert text == "one\n"
    (disk / "p").write_text(text)
    assert disk.parameters.parameter("p")["Version"] == 1
    with open(disk / "p", "r+") as f:
        f.write("uno")
    assert disk.parameters.get("p") == "uno" and (disk / "p").read_text() == "uno\n"
    with open(disk / "p", "a") as f:
        f.write("two")
    assert disk.parameters.get("p") == "uno\ntwo"


@pytest.mark.parametrize("newline, shown", [("chomp", "one"), ("add", "one\n")])
def test_a_file_that_stays_open_agrees_with_what_is_stored(tree, newline, shown):
    disk = tree(newline=newline)
    fd = os.open(disk / "p", os.O_RDWR | os.O_CREAT, 0o600)
    os.write(fd, b"one" if newline == "add" else b"one\n")
    os.fsync(fd)
    wait_until(lambda: os.fstat(fd).st_size == len(shown))
    assert os.pread(fd, 100, 0) == shown.encode() == (disk / "p").read_bytes()
    os.write(fd, b"two\n")
    os.close(fd)
    assert disk.parameters.get("p") == ("onetwo" if newline == "add" else "one\ntwo")


def test_a_newline_that_is_not_stored_does_not_count_for_the_limit(tree):
    disk = tree(newline="add")
    (disk / "p").write_text("x" * 4096 + "\n")
    assert disk.parameters.get("p") == "x" * 4096
    assert errno_of((disk / "q").write_text, "x" * 4097 + "\n") == errno.EFBIG


def test_a_mount_that_ends_while_a_refused_file_is_open_ends_well(tree):
    """Who wrote it was told. The same where only the kernel's word of the last close has not come yet."""
    disk = tree()
    fd = os.open(disk / "q", os.O_WRONLY | os.O_CREAT, 0o600)
    os.write(fd, b"x" * 4097)
    assert errno_of(lambda: os.close(os.dup(fd))) == errno.EFBIG
    assert disk.terminate() == 0, disk.log()
    with contextlib.suppress(OSError):
        os.close(fd)


# What the API would refuse: name or path, bytes, the errnos that are precise.
REFUSED = [
    ("too large for the tier", "p", b"x" * 4097, (errno.EFBIG,)),
    ("too large for any tier", "p", b"x" * 9000, (errno.EFBIG,)),
    ("no utf-8", "p", b"\xff\xfe", (errno.EILSEQ, errno.EINVAL)),
    ("a nul", "p", b"a\0b", (errno.EINVAL, errno.EILSEQ)),
    ("a template", "p", b"see {{ssm:other}}", (errno.EINVAL,)),
    ("a space in the name", "with space", b"v", (errno.EINVAL, errno.EILSEQ)),
    ("a sign in the name", "a+b", b"v", (errno.EINVAL, errno.EILSEQ)),
    ("another script in the name", "schl\u00fcssel", b"v", (errno.EINVAL, errno.EILSEQ)),
    ("a long name", "n" * 1000, b"v", (errno.ENAMETOOLONG,)),
]


@pytest.mark.parametrize("why, name, value, errnos", REFUSED, ids=[r[0] for r in REFUSED])
def test_what_the_api_would_refuse_is_refused_without_a_request(tree, recorder, why, name, value, errnos):
    disk = tree({"other": "x"})
    os.listdir(disk.path)
    recorder.calls.clear()
    assert errno_of((disk / name).write_bytes, value) in errnos
    assert "PutParameter" not in recorder.operations()
    assert disk.parameters.names() == ["other"]


def test_an_empty_value_is_refused_without_a_request_and_leaves_no_parameter(tree, recorder):
    disk = tree({"p": "value"})
    os.listdir(disk.path)
    recorder.calls.clear()
    errno_of((disk / "new").write_bytes, b"")
    errno_of((disk / "p").write_bytes, b"")
    time.sleep(0.5)
    assert "PutParameter" not in recorder.operations() and disk.parameters.get("p") == "value"


def test_more_than_15_levels_are_refused_without_a_request(tree, recorder):
    disk = tree()
    recorder.calls.clear()

    def descend():
        deep = disk.path
        for i in range(16):
            deep = deep / ("l%d" % i)
            deep.mkdir()
        (deep / "p").write_text("v")

    assert errno_of(descend) in (errno.ENAMETOOLONG, errno.ELOOP)
    assert "PutParameter" not in recorder.operations()


@pytest.mark.parametrize("name", ["aws", "ssm", "AWS-thing", "Ssm.x"])
def test_a_first_component_that_belongs_to_aws_is_refused_without_a_request(moto, recorder, mount, name):
    witness = Parameters(moto)
    disk = mount(witness, source="ssm:", endpoint=recorder.endpoint, ssm_rate=1000)
    recorder.calls.clear()
    assert errno_of((disk / name).write_text, "v") in (errno.EINVAL, errno.EPERM, errno.EACCES)
    assert "PutParameter" not in recorder.operations()


def test_bytes_that_were_refused_stay_readable_until_close(tree):
    disk = tree()
    fd = os.open(disk / "p", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.write(fd, b"\xff bad")
    except OSError:
        pass
    else:
        assert os.pread(fd, 100, 0) == b"\xff bad"
    errno_of(os.close, fd)


EDITORS = [".p.swp", ".p.swo", "p~", "4913", ".#p", "#p#", "sedAbC123", ".goutputstream-X1", ".fuse_hidden0001"]


@pytest.mark.parametrize("name", EDITORS)
def test_what_an_editor_writes_beside_the_file_stays_local(tree, recorder, name):
    disk = tree({"p": "x"})
    os.listdir(disk.path)
    recorder.calls.clear()
    (disk / name).write_text("secret in a side file")
    assert (disk / name).read_text() == "secret in a side file"
    assert recorder.operations().count("PutParameter") == 0
    (disk / name).unlink()
    assert disk.parameters.names() == ["p"]


def test_a_side_file_renamed_to_a_real_name_becomes_its_next_version(tree):
    disk = tree({"p": "one"})
    (disk / "sedAbC123").write_text("two")
    os.rename(disk / "sedAbC123", disk / "p")
    assert disk.parameters.get("p") == "two" and disk.parameters.parameter("p")["Version"] == 2
    assert disk.parameters.describe("p")["Type"] == "String"
    assert disk.parameters.names() == ["p"]


def test_a_parameter_moved_to_a_backup_and_written_again_is_never_absent(tree, recorder):
    disk = tree({"p": "one"})
    os.rename(disk / "p", disk / "p~")
    assert disk.parameters.names() == ["p"]
    (disk / "p").write_text("two")
    assert disk.parameters.get("p") == "two"
    assert "DeleteParameter" not in recorder.operations() and "DeleteParameters" not in recorder.operations()


VIM = ["nobackup writebackup swapfile", "backup writebackup swapfile", "nobackup nowritebackup swapfile",
       "backup backupcopy=no swapfile", "nobackup writebackup backupcopy=yes noswapfile"]


@pytest.mark.parametrize("settings", VIM)
def test_vim_edits_a_parameter(tree, settings):
    disk = tree({"other": "x"})
    disk.parameters.put("p", "one\ntwo\n", "SecureString", KeyId="alias/mine")
    os.listdir(disk.path)
    for old, new in (("one", "eins"), ("two", "zwei")):
        run("vim", "-u", "NONE", "-es", "-N", "--cmd", "set " + settings, "-c", "%%s/%s/%s/" % (old, new), "-c", "wq", disk / "p",
            stdin=subprocess.DEVNULL)
    assert disk.parameters.get("p") == "eins\nzwei\n" == (disk / "p").read_text()
    described = disk.parameters.describe("p")
    assert (described["Type"], described["KeyId"]) == ("SecureString", "alias/mine")
    assert disk.parameters.names() == ["other", "p"]
    assert sorted(set(os.listdir(disk.path)) - {"p~"}) == ["other", "p"]
    disk.remount()
    assert disk.parameters.names() == sorted(os.listdir(disk.path)) == ["other", "p"]


def test_sed_i_edits_a_parameter(tree):
    disk = tree()
    disk.parameters.put("p", "one\ntwo\n", "SecureString", KeyId="alias/mine")
    run("sed", "-i", "s/one/eins/", disk / "p")
    run("sed", "-i.bak~", "s/two/zwei/", disk / "p")
    described = disk.parameters.describe("p")
    assert (described["Type"], described["KeyId"]) == ("SecureString", "alias/mine")
    assert disk.parameters.get("p") == "eins\nzwei\n" == (disk / "p").read_text()
    assert disk.parameters.names() == ["p"]


def test_cp_a_and_rsync_a_onto_parameters_end_well(tree, tmp_path):
    disk = tree()
    source = tmp_path / "source"
    (source / "db").mkdir(parents=True, mode=0o700)
    for name, mode in (("host", 0o644), ("port", 0o444), ("db/password", 0o600), ("db/user", 0o640)):
        (source / name).write_text("v of " + name)
        (source / name).chmod(mode)
        os.utime(source / name, (1, 1))
    run("cp", "-a", source, disk / "copied")
    run("rsync", "-a", str(source) + "/", disk / "synced")
    run("diff", "-r", source, disk / "copied")
    run("diff", "-r", source, disk / "synced")
    assert stat.S_IMODE(os.stat(disk / "synced" / "port").st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="allow_other of a user needs user_allow_other in /etc/fuse.conf")
def test_where_others_are_let_in_a_mode_that_would_protect_is_refused(tree):
    disk = tree({"p": "v"}, allow_other=True, ssm_type="String")
    (disk / "p").chmod(0o666)
    assert errno_of((disk / "p").chmod, 0o600) == errno.EPERM
    assert errno_of(os.chown, disk / "p", 12345, -1) == errno.EPERM
    assert stat.S_IMODE(os.stat(disk / "p").st_mode) == 0o644


def test_a_swap_file_is_larger_than_any_value_and_stays_while_empty(tree):
    disk = tree({"p": "x"})
    (disk / ".p.swpx").touch()
    assert (disk / ".p.swpx").read_bytes() == b""
    (disk / ".p.swp").write_bytes(b"b0VIM" * 20000)
    assert (disk / ".p.swp").read_bytes() == b"b0VIM" * 20000
    assert errno_of((disk / ".p.swp").write_bytes, bytes(2 << 20)) == errno.EFBIG
    assert sorted(os.listdir(disk.path)) == [".p.swp", ".p.swpx", "p"]
    assert disk.parameters.names() == ["p"]


def test_rename_of_a_parameter_moves_its_value_type_and_attributes(tree):
    disk = tree({"old": "v"})
    os.rename(disk / "old", disk / "new")
    assert disk.parameters.names() == ["new"] and disk.parameters.get("new") == "v"
    assert disk.parameters.describe("new")["Type"] == "String"


def test_type_version_and_arn_are_attributes_that_are_not_listed(tree):
    disk = tree({"p": "v"})
    disk.parameters.put("p", "w")
    path = disk / "p"
    assert os.getxattr(path, "user.ssm.type") == b"String"
    assert os.getxattr(path, "user.ssm.version") == b"2"
    assert os.getxattr(path, "user.ssm.arn").decode() == disk.parameters.parameter("p")["ARN"]
    assert os.listxattr(path) == []


def test_the_version_is_that_of_what_was_written_last(tree):
    disk = tree({"d/p": "v"})
    assert os.listdir(disk / "d") == ["p"]
    assert os.getxattr(disk / "d" / "p", "user.ssm.version") == b"1"
    for number in (b"2", b"3"):
        (disk / "d" / "p").write_text("edit " + number.decode())
        assert os.getxattr(disk / "d" / "p", "user.ssm.version") == number
    assert os.getxattr(disk / "d" / "p@2", "user.ssm.version") == b"2"
    assert os.getxattr(disk / "d" / "p", "user.ssm.type") == b"String"


def test_modes_tell_secure_strings_apart(tree):
    disk = tree({"plain": "v"})
    disk.parameters.put("secure", "s", "SecureString")
    wait_until(lambda: "secure" in os.listdir(disk.path) or disk.remount())
    assert stat.S_IMODE(os.stat(disk / "secure").st_mode) == 0o600
    assert stat.S_IMODE(os.stat(disk / "plain").st_mode) == 0o644


def test_a_change_by_others_is_seen_within_ttl(tree):
    disk = tree({"p": "one"}, ttl=1)
    assert (disk / "p").read_text() == "one"
    disk.parameters.put("p", "two longer")
    time.sleep(1.2)
    assert (disk / "p").read_text() == "two longer"


def test_a_denied_parameter_is_eacces_and_throttling_is_waited_out(tree, recorder):
    disk = tree({"p": "v"}, ttl=0, timeout=3)
    for operation in ("GetParameter", "GetParameters", "GetParametersByPath"):
        recorder.fail_with(operation, "AccessDeniedException")
    assert errno_of((disk / "p").read_text) == errno.EACCES
    for operation in ("GetParameter", "GetParameters", "GetParametersByPath"):
        recorder.fail_with(operation, "ThrottlingException")
    start = time.monotonic()
    assert errno_of((disk / "p").read_text) in (errno.EIO, errno.EAGAIN)
    assert time.monotonic() - start > 1
    recorder.failures.clear()
    wait_until(lambda: errno_of((disk / "p").read_text) == 0)
    assert (disk / "p").read_text() == "v"


def test_the_rate_stays_within_its_share(moto, recorder, mount):
    witness = Parameters(moto)
    for i in range(10):
        witness.put("p%d" % i, "v")
    disk = mount(witness, endpoint=recorder.endpoint, ttl=0, ssm_rate=5)
    recorder.calls.clear()
    start = time.monotonic()
    while time.monotonic() - start < 10:
        errno_of(os.stat, disk / "p1")
    # A burst of at most 40, then 5 a second.
    assert len(recorder.calls) <= 40 + 5 * 11


def test_directories_are_kept_while_mounted_and_cost_nothing(tree, recorder):
    disk = tree({"a": "x"})
    os.listdir(disk.path)
    recorder.calls.clear()
    (disk / "new").mkdir()
    assert os.listdir(disk / "new") == []
    assert "PutParameter" not in recorder.operations()
    (disk / "new" / "p").write_text("v")
    assert disk.parameters.get("new/p") == "v"


def test_cp_and_diff_of_a_whole_tree(tree, tmp_path):
    disk = tree({"a/b": "1", "a/c": "2", "d": "3"})
    run("cp", "-r", disk.path, tmp_path / "copy")
    run("diff", "-r", disk.path, tmp_path / "copy")
    run("cp", "-r", tmp_path / "copy" / "a", disk / "e")
    assert disk.parameters.get("e/b") == "1"


def test_a_low_limit_on_locked_memory_is_logged_once_and_stops_nothing(moto, recorder, mount, released, tmp_path):
    limited = tmp_path / "limited"
    limited.write_text('#!/bin/sh\nulimit -l 64\nexec setpriv --bounding-set -ipc_lock,-sys_resource "%s" "$@"\n' % released)
    limited.chmod(0o755)
    witness = Parameters(moto)
    for i in range(30):
        witness.put("p%02d" % i, "%02d" % i * 2000, "SecureString")
    disk = mount(witness, binary=limited, endpoint=recorder.endpoint, ssm_rate=1000)
    for i in range(30):
        assert (disk / ("p%02d" % i)).read_text() == "%02d" % i * 2000
    (disk / "new").write_text("v")
    assert witness.get("new") == "v"
    assert disk.log().count("raise RLIMIT_MEMLOCK") == 1 and " E " not in disk.log()
