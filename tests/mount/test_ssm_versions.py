"""Versions and labels of parameters, what AWS provides by name: on moto, with boto3 as the witness."""
import errno
import json
import os
import stat
import subprocess
import threading

import pytest

from support.work import errno_of, wait_until


def label(disk, name, version, *labels):
    disk.parameters.ssm.label_parameter_version(Name=disk.parameters.root + "/" + name, ParameterVersion=version, Labels=list(labels))


def labels_of(disk, name):
    history = disk.parameters.ssm.get_parameter_history(Name=disk.parameters.root + "/" + name)["Parameters"]
    return {p["Version"]: sorted(p["Labels"]) for p in history if p["Labels"]}


def attribute(path, name):
    return os.getxattr(path, "user.ssm." + name).decode()


def test_the_history_of_a_parameter_is_a_directory_that_is_not_listed(tree, recorder):
    disk = tree({"d/p": ["one", "two", "three"]})
    assert os.listdir(disk / "d") == ["p"]
    recorder.calls.clear()
    assert sorted(os.listdir(disk / "d" / "p@history")) == ["1", "2", "3"]
    assert [(disk / "d" / "p@history" / n).read_text() for n in "123"] == ["one", "two", "three"]
    assert set(recorder.operations()) == {"GetParameterHistory"} and len(recorder.calls) <= 2
    assert os.listdir(disk / "d") == ["p"]
    history = disk.parameters.ssm.get_parameter_history(Name=disk.parameters.root + "/d/p")["Parameters"]
    for p in history:
        assert os.stat(disk / "d" / "p@history" / str(p["Version"])).st_mtime == pytest.approx(p["LastModifiedDate"].timestamp(), abs=0.01)


def test_a_version_of_the_history_is_found_without_a_listing(tree, recorder):
    disk = tree({"p": ["one", "two"]})
    os.stat(disk / "p@history")
    recorder.calls.clear()
    assert (disk / "p@history" / "1").read_text() == "one"
    assert len(recorder.calls) <= 1
    assert errno_of(os.stat, disk / "p@history" / "9") == errno.ENOENT
    assert errno_of(os.stat, disk / "p@history" / "x") == errno.ENOENT


def test_a_parameter_that_is_not_there_has_no_history(tree):
    disk = tree({"p": ["one"]})
    assert errno_of(os.stat, disk / "q@history") == errno.ENOENT
    assert errno_of(os.listdir, disk / "q@history") == errno.ENOENT


def test_a_history_of_more_than_a_page_is_complete(tree):
    disk = tree({"p": ["v%d" % i for i in range(1, 71)]})
    assert sorted(map(int, os.listdir(disk / "p@history"))) == list(range(1, 71))
    assert (disk / "p@history" / "70").read_text() == "v70"


def test_histories_cannot_be_changed(tree):
    disk = tree({"p": ["one", "two"]})
    for change, args in ((os.unlink, ("1",)), (os.mkdir, ("x",)), (os.rename, ("1", "y"))):
        paths = [disk / "p@history" / a for a in args]
        assert errno_of(change, *paths) in (errno.EPERM, errno.EROFS, errno.EACCES), change
    assert errno_of((disk / "p@history" / "1").write_text, "x") in (errno.EACCES, errno.EROFS)
    assert errno_of((disk / "p@history" / "new").write_text, "x") in (errno.EACCES, errno.EROFS)
    assert errno_of(os.rmdir, disk / "p@history") in (errno.EPERM, errno.EROFS)
    assert errno_of(os.rename, disk / "p@history", disk / "elsewhere") == errno.EPERM
    assert disk.parameters.names() == ["p"] and disk.parameters.get("p") == "two"


def test_what_belongs_to_a_version_is_among_its_attributes(tree, recorder):
    disk = tree()
    disk.parameters.put("p", "one", "SecureString", Description="first", KeyId="alias/one")
    disk.parameters.put("p", "two", "SecureString", Description="second", KeyId="alias/one")
    label(disk, "p", 1, "good", "old")
    os.listdir(disk / "p@history")
    recorder.calls.clear()
    first = disk / "p@history" / "1"
    assert (attribute(first, "description"), attribute(first, "key_id"), attribute(first, "version")) == ("first", "alias/one", "1")
    assert sorted(attribute(first, "labels").split(",")) == ["good", "old"]
    assert attribute(disk / "p@history" / "2", "description") == "second"
    assert errno_of(attribute, disk / "p@history" / "2", "labels") == errno.ENODATA
    assert recorder.operations() == []
    assert attribute(disk / "p@1", "description") == "first"
    assert sorted(attribute(disk / "p@good", "labels").split(",")) == ["good", "old"]
    assert errno_of(attribute, disk / "p", "labels") == errno.ENODATA
    assert stat.S_IMODE(os.stat(first).st_mode) == 0o400


@pytest.mark.skipif(os.geteuid() != 0, reason="a mount for another user is root's")
def test_versions_are_read_only_also_to_their_owner_who_sets_labels_by_the_parameter(tree):
    disk = tree({"p": ["one", "two"]}, allow_other=True, uid=65534)
    assert [stat.S_IMODE(os.stat(disk / name).st_mode) for name in ("p", "p@1", "p@history/1", "p@history")] == [0o644, 0o444, 0o444, 0o555]

    def as_owner(*command):
        return subprocess.run(["setpriv", "--reuid", "65534", "--clear-groups", *command], capture_output=True, check=False,
                              cwd=disk.path).returncode

    assert as_owner("test", "-w", "p") == 0
    assert as_owner("test", "-w", "p@1") == as_owner("test", "-w", "p@history/1") == 1
    assert as_owner("setfattr", "-n", "user.ssm.label.live", "-v", "1", "p") == 0
    assert labels_of(disk, "p") == {1: ["live"]}
    assert as_owner("setfattr", "-n", "user.ssm.labels", "-v", "good", "p@1") != 0


def test_labels_are_set_moved_and_removed(tree):
    disk = tree({"p": ["one", "two", "three"]})
    os.setxattr(disk / "p@1", "user.ssm.labels", b"good, old")
    assert labels_of(disk, "p") == {1: ["good", "old"]}
    assert (disk / "p@good").read_text() == "one"
    os.setxattr(disk / "p@history" / "2", "user.ssm.labels", b"good")
    assert labels_of(disk, "p") == {1: ["old"], 2: ["good"]}
    assert (disk / "p@good").read_text() == "two"
    assert attribute(disk / "p@history" / "2", "labels") == "good"
    os.setxattr(disk / "p", "user.ssm.labels", b"live")
    assert labels_of(disk, "p") == {1: ["old"], 2: ["good"], 3: ["live"]}
    os.removexattr(disk / "p@1", "user.ssm.labels")
    assert labels_of(disk, "p") == {2: ["good"], 3: ["live"]}
    assert errno_of(os.stat, disk / "p@old") == errno.ENOENT


def test_a_label_is_pointed_at_a_version(tree):
    disk = tree({"p": ["one", "two"]})
    assert errno_of(os.stat, disk / "p@live") == errno.ENOENT
    os.setxattr(disk / "p", "user.ssm.label.live", b"1")
    assert (disk / "p@live").read_text() == "one" and attribute(disk / "p", "label.live") == "1"
    os.setxattr(disk / "p", "user.ssm.label.live", b"2")
    assert (disk / "p@live").read_text() == "two" and labels_of(disk, "p") == {2: ["live"]}
    os.removexattr(disk / "p", "user.ssm.label.live")
    assert errno_of(os.stat, disk / "p@live") == errno.ENOENT and labels_of(disk, "p") == {}
    assert errno_of(attribute, disk / "p", "label.live") == errno.ENODATA


BAD_LABELS = [b"1st", b"awsome", b"SSM-x", b"a b" + b"x" * 101, b"sp@ce", b"a/b", b"\xff", b",".join(b"l%d" % i for i in range(11))]


@pytest.mark.parametrize("value", BAD_LABELS)
def test_what_is_no_label_is_refused_before_a_request(tree, recorder, value):
    disk = tree({"p": ["one"]})
    os.stat(disk / "p@1")
    os.stat(disk / "p")
    recorder.calls.clear()
    assert errno_of(os.setxattr, disk / "p@1", "user.ssm.labels", value) == errno.EINVAL
    assert errno_of(os.setxattr, disk / "p", "user.ssm.label.x", b"one") == errno.EINVAL
    assert recorder.operations() == []


@pytest.mark.parametrize("attribute_name", ["label.live", "labels"])
def test_a_label_whose_removal_was_not_answered_is_removed(origin, on_origin, attribute_name):
    """The request is sent again, and the service says then that the label is not there."""
    disk = on_origin({"p": "one"})
    label(disk, "p", 1, "live")
    origin.fault("execute_then_reset", kind="UnlabelParameterVersion", count=1)
    os.removexattr(disk / ("p" if attribute_name == "label.live" else "p@1"), "user.ssm." + attribute_name)
    assert labels_of(disk, "p") == {} and errno_of(os.stat, disk / "p@live") == errno.ENOENT


def test_a_label_that_others_move_while_it_is_removed_is_removed_all_the_same(origin, on_origin):
    disk = on_origin({"p": "one"})
    disk.parameters.put("p", "two")
    label(disk, "p", 1, "live")
    origin.fault("hang", kind="UnlabelParameterVersion", count=1)
    removal = threading.Thread(target=os.removexattr, args=(disk / "p", "user.ssm.label.live"))
    removal.start()
    wait_until(lambda: "UnlabelParameterVersion" in origin.requests())
    label(disk, "p", 2, "live")
    origin.release()
    removal.join()
    assert labels_of(disk, "p") == {}


def test_a_new_version_shows_at_once_among_the_versions(tree):
    disk = tree({"p": ["one"]})
    assert errno_of(os.stat, disk / "p@2") == errno.ENOENT
    assert os.listdir(disk / "p@history") == ["1"]
    (disk / "p").write_text("two")
    assert (disk / "p@2").read_text() == "two"
    assert sorted(os.listdir(disk / "p@history")) == ["1", "2"]


def test_what_goes_or_moves_takes_its_versions_along_at_once(tree):
    disk = tree({"d/p": ["one", "two"], "d/q": ["other"]})
    assert (disk / "d" / "p@1").read_text() == "one" and len(os.listdir(disk / "d" / "p@history")) == 2
    (disk / "d" / "p").unlink()
    assert errno_of(os.stat, disk / "d" / "p@1") == errno.ENOENT
    assert errno_of(os.stat, disk / "d" / "p@history") == errno.ENOENT
    assert errno_of(os.stat, disk / "d" / "r@1") == errno.ENOENT
    (disk / "d" / "q").rename(disk / "d" / "r")
    assert (disk / "d" / "r@1").read_text() == "other"
    assert errno_of(os.stat, disk / "d" / "q@1") == errno.ENOENT


def test_a_view_has_no_attributes_of_a_parameter(tree):
    disk = tree({"p": ["one"]})
    for name in ("type", "description", "labels", "label.x"):
        assert errno_of(attribute, disk / "@json", name) == errno.ENODATA
    assert errno_of(os.setxattr, disk / "@json", "user.ssm.labels", b"x") in (errno.EPERM, errno.EACCES)


def test_views_of_a_label_or_a_version_are_fetched_ten_at_once(tree, recorder):
    disk = tree({"d/p%02d" % i: ["old%d" % i, "new%d" % i] for i in range(25)})
    for i in range(0, 25, 2):
        label(disk, "d/p%02d" % i, 1, "live")
    os.listdir(disk / "d")
    recorder.calls.clear()
    assert json.loads((disk / "d" / "@json@live").read_text()) == {"p%02d" % i: "old%d" % i for i in range(0, 25, 2)}
    assert recorder.operations() == ["GetParameters"] * 3
    assert len(json.loads((disk / "d" / "@json@2").read_text())) == 25
    recorder.calls.clear()
    assert (disk / "d" / "@json@live").read_bytes() and (disk / "d" / "@json@2").read_bytes()
    assert recorder.operations() == []
    assert json.loads((disk / "@tree.json@1").read_text())["d"]["p03"] == "old3"
    assert errno_of(os.stat, disk / "d" / "@json@nowhere") == errno.ENOENT
    assert errno_of(os.stat, disk / "d" / "@json@not legal") == errno.ENOENT


def test_a_moved_label_shows_at_once_in_its_views(tree):
    disk = tree({"d/p": ["one", "two"]})
    label(disk, "d/p", 1, "live")
    assert (disk / "d" / "@env@live").read_text() == 'P="one"\n'
    assert json.loads((disk / "@tree.json@live").read_text()) == {"d": {"p": "one"}}
    os.setxattr(disk / "d" / "p", "user.ssm.label.live", b"2")
    assert (disk / "d" / "@env@live").read_text() == 'P="two"\n'
    assert json.loads((disk / "@tree.json@live").read_text()) == {"d": {"p": "two"}}


def test_public_parameters_are_found_by_name(tree):
    disk = tree({"p": ["one"]})
    assert os.listdir(disk.path) == ["p"]
    public = disk / "@aws" / "service" / "global-infrastructure" / "regions"
    witness = disk.parameters.ssm.get_parameter(Name="/aws/service/global-infrastructure/regions/us-east-1")["Parameter"]
    assert (public / "us-east-1" / "@self").read_text() == witness["Value"]
    assert stat.S_ISDIR(os.stat(public).st_mode)
    assert errno_of(os.stat, public / "nowhere") == errno.ENOENT
    for unlisted in (disk / "@aws", disk / "@aws" / "service", disk / "@aws" / "reference", public):
        assert errno_of(os.listdir, unlisted) == errno.EOPNOTSUPP
    assert errno_of(os.stat, public / "@json") == errno.EOPNOTSUPP
    assert errno_of((public / "us-east-1" / "@self").write_text, "x") in (errno.EACCES, errno.EROFS)
    assert errno_of((public / "new").write_text, "x") in (errno.EACCES, errno.EROFS)
    assert errno_of(os.mkdir, disk / "@aws" / "service" / "new") in (errno.EACCES, errno.EROFS)
    assert errno_of(os.stat, disk / "p" / "@aws") == errno.ENOTDIR
    assert os.listdir(disk.path) == ["p"]


def test_secrets_of_secrets_manager_are_read_by_their_id(tree, moto):
    disk = tree({"p": ["one"]})
    secrets = moto.client("secretsmanager")
    name = disk.parameters.root[1:] + "/db"
    secrets.create_secret(Name=name, SecretString="first")
    directory = disk / "@aws" / "reference" / "secretsmanager"
    path = directory / name.replace("/", "%2F")
    assert path.read_text() == "first" and stat.S_IMODE(os.stat(path).st_mode) & 0o077 == 0
    assert errno_of(os.listdir, directory) == errno.EOPNOTSUPP
    assert errno_of(os.stat, directory / "nothing") == errno.ENOENT
    assert errno_of(path.write_text, "x") in (errno.EACCES, errno.EROFS)


def test_a_changed_secret_is_another_version(tree, moto):
    disk = tree({"p": ["one"]}, ttl=0)
    secrets = moto.client("secretsmanager")
    name = disk.parameters.root[1:]
    secrets.create_secret(Name=name, SecretString="first")
    path = disk / "@aws" / "reference" / "secretsmanager" / name
    assert path.read_text() == "first"
    secrets.put_secret_value(SecretId=name, SecretString="other")
    assert path.read_text() == "other"
