"""What a parameter has beside its value, as extended attributes; which type a new one gets. moto and tests/origin as witness."""
import errno
import json
import os
import stat

import pytest

from support.buckets import Parameters
from support.mounts import MountFailed
from support.work import errno_of, run

POLICY = '[{"Type":"Expiration","Version":"1.0","Attributes":{"Timestamp":"2038-01-01T00:00:00.000Z"}}]'


@pytest.fixture(params=["moto", "origin"])
def parameters(request):
    server = request.getfixturevalue(request.param)
    if request.param == "origin":
        server.parameters(gets_per_s=0)
    return Parameters(server)


@pytest.fixture
def tree(parameters, mount):
    return lambda values=(), **options: mount(parameters.plant(values), ssm_rate=1000, **options)


def attribute(path, name):
    return os.getxattr(path, "user.ssm." + name).decode()


def set_attribute(path, name, value):
    os.setxattr(path, "user.ssm." + name, value.encode())


def tags(disk, name):
    found = disk.parameters.ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=disk.parameters.root + "/" + name)
    return {t["Key"]: t["Value"] for t in found["TagList"]}


def test_description_and_pattern_are_changed_by_a_new_version_with_the_same_value(tree):
    disk = tree({"p": "value"})
    set_attribute(disk / "p", "description", "what it is for")
    set_attribute(disk / "p", "allowed_pattern", "[a-z]+")
    described = disk.parameters.describe("p")
    assert (described["Description"], described["AllowedPattern"], described["Version"]) == ("what it is for", "[a-z]+", 3)
    assert disk.parameters.get("p") == "value" == (disk / "p").read_text()
    assert attribute(disk / "p", "description") == "what it is for" and attribute(disk / "p", "version") == "3"
    set_attribute(disk / "p", "description", "what it is for")
    assert disk.parameters.parameter("p")["Version"] == 3
    (disk / "p").write_text("other")
    described = disk.parameters.describe("p")
    assert (described["Description"], described["AllowedPattern"], described["Version"]) == ("what it is for", "[a-z]+", 4)
    os.removexattr(disk / "p", "user.ssm.description")
    assert disk.parameters.describe("p").get("Description", "") == ""
    assert errno_of(attribute, disk / "p", "description") == errno.ENODATA


def test_tags_are_changed_without_a_new_version(tree):
    disk = tree({"p": "value"})
    set_attribute(disk / "p", "tag.team", "blue & green")
    set_attribute(disk / "p", "tag.stage", "prod")
    assert tags(disk, "p") == {"team": "blue & green", "stage": "prod"}
    assert attribute(disk / "p", "tag.team") == "blue & green"
    assert sorted(attribute(disk / "p", "tags").split("&")) == ["stage=prod", "team=blue%20%26%20green"]
    os.removexattr(disk / "p", "user.ssm.tag.team")
    assert tags(disk, "p") == {"stage": "prod"} and disk.parameters.parameter("p")["Version"] == 1
    assert errno_of(attribute, disk / "p", "tag.team") == errno.ENODATA


def test_a_higher_tier_takes_policies_and_is_not_taken_back(on_origin):
    disk = on_origin({"p": "value"})
    assert errno_of(set_attribute, disk / "p", "policies", POLICY) == errno.EINVAL
    set_attribute(disk / "p", "tier", "Advanced")
    set_attribute(disk / "p", "policies", POLICY)
    described = disk.parameters.describe("p")
    assert described["Tier"] == "Advanced" and json.loads(described["Policies"][0]["PolicyText"]) == json.loads(POLICY)[0]
    assert json.loads(attribute(disk / "p", "policies")) == json.loads(POLICY)
    (disk / "p").write_text("x" * 5000)
    assert disk.parameters.describe("p")["Policies"] and disk.parameters.get("p") == "x" * 5000
    os.removexattr(disk / "p", "user.ssm.policies")
    assert not disk.parameters.describe("p")["Policies"]
    assert errno_of(set_attribute, disk / "p", "tier", "Standard") == errno.EPERM
    assert errno_of(os.removexattr, disk / "p", "user.ssm.tier") == errno.EPERM


def test_a_secret_moves_to_another_key(tree):
    disk = tree()
    disk.parameters.put("s", "secret", "SecureString", KeyId="alias/one")
    set_attribute(disk / "s", "key_id", "alias/two")
    assert disk.parameters.describe("s")["KeyId"] == "alias/two" and disk.parameters.get("s") == "secret"
    disk.parameters.put("p", "plain")
    assert errno_of(set_attribute, disk / "p", "key_id", "alias/two") == errno.EPERM


def test_limits_count_characters(on_origin):
    disk = on_origin({"p": "value"})
    set_attribute(disk / "p", "description", "\u00e9" * 1024)
    assert disk.parameters.describe("p")["Description"] == "\u00e9" * 1024 == attribute(disk / "p", "description")
    assert attribute(disk / "p@history" / "2", "description") == "\u00e9" * 1024
    assert errno_of(set_attribute, disk / "p", "description", "\u00e9" * 1025) == errno.EINVAL
    (disk / "new").touch()
    set_attribute(disk / "new", "description", "\U0001f600" * 1024)
    set_attribute(disk / "new", "tag.team", "\u00e9" * 256)
    assert errno_of(set_attribute, disk / "new", "tag.team", "\u00e9" * 257) == errno.EINVAL
    assert errno_of(os.setxattr, disk / "new", "user.ssm.tag.team", b"\xff") == errno.EINVAL
    (disk / "new").write_text("v")
    assert disk.parameters.describe("new")["Description"] == "\U0001f600" * 1024 and tags(disk, "new") == {"team": "\u00e9" * 256}


def test_the_data_type_is_chosen_and_changed(on_origin):
    disk = on_origin({"p": "ami-0123456789abcdef0"})
    assert attribute(disk / "p", "data_type") == "text"
    set_attribute(disk / "p", "data_type", "aws:ec2:image")
    assert disk.parameters.parameter("p")["DataType"] == "aws:ec2:image" == attribute(disk / "p", "data_type")
    (disk / "new").touch()
    set_attribute(disk / "new", "data_type", "aws:ec2:image")
    (disk / "new").write_text("ami-0123456789abcdef0")
    assert disk.parameters.parameter("new")["DataType"] == "aws:ec2:image"
    os.rename(disk / "new", disk / "moved")
    assert disk.parameters.parameter("moved")["DataType"] == "aws:ec2:image"


def test_who_changed_a_version_and_when_is_told(tree):
    disk = tree({"p": "one"})
    disk.parameters.put("p", "two")
    history = disk.parameters.ssm.get_parameter_history(Name=disk.parameters.root + "/p")["Parameters"]
    for number, version in enumerate(history, 1):
        path = disk / "p@history" / str(number)
        assert attribute(path, "last_modified_user") == version["LastModifiedUser"]
        assert os.stat(path).st_mtime == pytest.approx(version["LastModifiedDate"].timestamp(), abs=0.01)
    assert attribute(disk / "p", "last_modified_user") == history[-1]["LastModifiedUser"]


WRONG = [("type", "SecureString", errno.EPERM), ("type", "Text", errno.EINVAL), ("tier", "Big", errno.EINVAL),
         ("description", "x" * 1025, errno.EINVAL), ("policies", "no json", errno.EINVAL), ("allowed_pattern", "[0-9]+", errno.EINVAL),
         ("version", "3", errno.EPERM), ("arn", "x", errno.EPERM), ("nothing", "x", errno.EPERM), ("data_type", "binary", errno.EINVAL)]


@pytest.mark.parametrize("name, value, code", WRONG)
def test_what_cannot_be_changed_says_so_and_changes_nothing(on_origin, name, value, code):
    disk = on_origin({"p": "value"})
    assert errno_of(set_attribute, disk / "p", name, value) == code
    assert disk.parameters.parameter("p")["Version"] == 1


def test_the_type_of_a_new_file_is_chosen_while_it_is_empty(tree):
    disk = tree()
    (disk / "list").touch()
    set_attribute(disk / "list", "type", "StringList")
    set_attribute(disk / "list", "description", "three of them")
    set_attribute(disk / "list", "tag.team", "blue")
    assert attribute(disk / "list", "type") == "StringList"
    assert disk.parameters.names() == [] and os.listdir(disk.path) == ["list"]
    assert stat.S_IMODE(os.stat(disk / "list").st_mode) == 0o644
    (disk / "list").write_text("a,b,c")
    described = disk.parameters.describe("list")
    assert (described["Type"], described["Description"], described["Version"]) == ("StringList", "three of them", 1)
    assert disk.parameters.get("list") == "a,b,c" and tags(disk, "list") == {"team": "blue"}
    assert errno_of(set_attribute, disk / "list", "type", "String") == errno.EPERM


def test_the_tier_of_a_new_file_decides_how_long_its_value_may_be(on_origin):
    disk = on_origin()
    (disk / "long").touch()
    set_attribute(disk / "long", "tier", "Advanced")
    (disk / "long").write_text("x" * 8000)
    assert disk.parameters.describe("long")["Tier"] == "Advanced" and disk.parameters.get("long") == "x" * 8000
    assert errno_of((disk / "short").write_text, "x" * 8000) == errno.EFBIG


def test_an_empty_file_stays_here_until_it_is_removed_or_the_mount_ends(tree):
    disk = tree()
    (disk / "one").touch()
    (disk / "two").touch()
    assert (disk / "one").read_bytes() == b""
    (disk / "one").unlink()
    assert os.listdir(disk.path) == ["two"] and disk.parameters.names() == []
    assert errno_of(set_attribute, disk / "two", "version", "1") == errno.EPERM
    os.truncate(disk / "two", 0)
    assert os.listdir(disk.path) == ["two"]
    with open(disk / "two", "a") as f:
        f.write("appended")
    assert disk.parameters.get("two") == "appended"
    (disk / "three").touch()
    disk.remount()
    assert os.listdir(disk.path) == ["two"]


def test_rules_choose_the_type_by_the_name(tree):
    disk = tree(ssm_rule="config/*:String *hosts:StringList")
    for name in ("config/level", "config/deep/er", "db/hosts", "password"):
        (disk / name).parent.mkdir(exist_ok=True)
        (disk / name).write_text("v")
    types = {name: disk.parameters.describe(name)["Type"] for name in disk.parameters.names()}
    assert types == {"config/level": "String", "config/deep/er": "String", "db/hosts": "StringList", "password": "SecureString"}
    (disk / "config" / "secret").touch()
    set_attribute(disk / "config" / "secret", "type", "SecureString")
    (disk / "config" / "secret").write_text("s")
    assert disk.parameters.describe("config/secret")["Type"] == "SecureString"


def test_the_key_is_that_of_the_secrets_that_a_rule_makes(tree, parameters, mount):
    disk = tree(ssm_type="String", ssm_key="alias/mine", ssm_rule="secret/*:SecureString")
    (disk / "secret").mkdir()
    (disk / "secret" / "s").write_text("v")
    (disk / "plain").write_text("v")
    assert (disk.parameters.describe("secret/s")["KeyId"], disk.parameters.describe("plain")["Type"]) == ("alias/mine", "String")
    with pytest.raises(MountFailed, match="ssm_key=: only for SecureStrings"):
        mount(parameters, ssm_type="String", ssm_key="alias/mine", ssm_rule="*:StringList")


@pytest.mark.parametrize("rule", ["", "x", "*:Text", ":String", "a:String *:"])
def test_a_rule_that_is_none_is_refused_before_anything_is_mounted(parameters, mount, rule):
    with pytest.raises(MountFailed, match="GLOB:TYPE"):
        mount(parameters, ssm_rule=rule)


def test_a_rename_takes_attributes_tags_and_policies_along(on_origin):
    disk = on_origin()
    disk.parameters.put("old", "value", Tier="Advanced", Policies=POLICY, Description="d", AllowedPattern="[a-z]+")
    set_attribute(disk / "old", "tag.team", "blue")
    os.rename(disk / "old", disk / "new")
    described = disk.parameters.describe("new")
    assert (described["Description"], described["AllowedPattern"], described["Tier"]) == ("d", "[a-z]+", "Advanced")
    assert json.loads(described["Policies"][0]["PolicyText"]) == json.loads(POLICY)[0]
    assert tags(disk, "new") == {"team": "blue"} and disk.parameters.names() == ["new"]


def test_attributes_are_not_copied_by_cp_a(tree, tmp_path):
    disk = tree({"p": "v"})
    set_attribute(disk / "p", "description", "d")
    run("cp", "-a", disk / "p", tmp_path / "copy")
    assert os.listxattr(tmp_path / "copy") == []
