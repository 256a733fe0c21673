"""In each of these set-ups of environment and files awsfs and botocore choose the same credentials."""
import hashlib
import json

import pytest

import cloud as clouds

KEYS = "aws_access_key_id = %s\naws_secret_access_key = MARKER-of-%s\n"

ROLE = "[profile %s]\nrole_arn = arn:aws:iam::123456789012:role/x\nsource_profile = %s\n%s"
SOURCE = "[profile %s]\nrole_arn = arn:aws:iam::123456789012:role/x\ncredential_source = %s\n"
BASE = "[base]\n" + KEYS % ("BASE", "BASE")
WEB = "[profile %s]\nrole_arn = arn:aws:iam::123456789012:role/web\nweb_identity_token_file = %%HOME%%/jwt\n"
SSO = ("[sso-session 'my work']\nsso_start_url = https://example.awsapps.com/start\nsso_region = eu-west-2\n"
       "[profile %s]\nsso_session = my work\nsso_role_name = Reader\nsso_account_id = 123456789012\n")
OLD_SSO = ("[profile %s]\nsso_start_url = https://example.awsapps.com/start\nsso_region = eu-west-2\n"
           "sso_role_name = Reader\nsso_account_id = 123456789012\n")
PROCESS = ("""printf '{"Version": 1, "AccessKeyId": "%%s", "SecretAccessKey": "s", "SessionToken": "t", "Expiration": """
           """"2099-01-01T00:00:00+00:00"}' %s\n""")


def token(seconds, **members):
    whole = {"accessToken": clouds.SSO_TOKEN, "expiresAt": clouds.later(seconds), "clientId": "id", "clientSecret": "MARKER",
             "registrationExpiresAt": clouds.later(86400), "region": "eu-west-2",
             "startUrl": "https://example.awsapps.com/start"}
    return json.dumps({**whole, **members})


def token_file(name):
    return ".aws/sso/cache/%s.json" % hashlib.sha1(name.encode()).hexdigest()


TOKEN = token_file("my work"), token(7200)
OLD_TOKEN = token_file("https://example.awsapps.com/start"), json.dumps(
    {"accessToken": clouds.SSO_TOKEN, "expiresAt": clouds.later(7200).replace("Z", "UTC")})

# name: environment, files below HOME (a function's result where it must be fresh), profile= or None
SETUPS = {
    "environment": ({"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "s"}, {}, None),
    "environment with a token": ({"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"},
                                 {}, None),
    "old token variable first": ({"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t",
                                  "AWS_SECURITY_TOKEN": "old"}, {}, None),
    "empty variable is none": ({"AWS_ACCESS_KEY_ID": ""}, {".aws/credentials": "[default]\n" + KEYS % ("F", "F")}, None),
    "environment before AWS_PROFILE": ({"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "s", "AWS_PROFILE": "p"},
                                       {".aws/credentials": "[p]\n" + KEYS % ("P", "P")}, None),
    "profile= before the environment": ({"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "s"},
                                        {".aws/credentials": "[p]\n" + KEYS % ("P", "P")}, "p"),
    "AWS_DEFAULT_PROFILE before AWS_PROFILE": (
        {"AWS_DEFAULT_PROFILE": "d", "AWS_PROFILE": "p"},
        {".aws/credentials": "[p]\n" + KEYS % ("P", "P") + "[d]\n" + KEYS % ("D", "D")}, None),
    "credentials file before config file": (
        {}, {".aws/credentials": "[default]\n" + KEYS % ("C", "C"), ".aws/config": "[default]\n" + KEYS % ("X", "X")},
        None),
    "config file": ({}, {".aws/config": "[profile p]\n" + KEYS % ("X", "X")}, "p"),
    "quoted section": ({}, {".aws/config": "[profile 'with space']\n" + KEYS % ("X", "X")}, "with space"),
    "files by variable": ({"AWS_CONFIG_FILE": "$HOME/other/c", "AWS_SHARED_CREDENTIALS_FILE": "~/other/s"},
                          {"other/s": "[default]\nregion = x\n", "other/c": "[default]\n" + KEYS % ("O", "O")}, None),
    "nothing at all": ({}, {}, None),
    "keys of the EC2 tools": ({"AWS_CREDENTIAL_FILE": "~/ec2"}, {"ec2": "AWSAccessKeyId=EC2\nAWSSecretKey = s=s\n"}, None),
    "keys of Boto 2": ({}, {".boto": "[Credentials]\n" + KEYS % ("B", "B")}, None),
    "BOTO_CONFIG": ({"BOTO_CONFIG": "$HOME/b"},
                    {".boto": "[Credentials]\n" + KEYS % ("B", "B"), "b": "[Credentials]\n" + KEYS % ("V", "V")}, None),
    "EC2 tools before Boto 2": ({"AWS_CREDENTIAL_FILE": "~/ec2"},
                                {"ec2": "AWSAccessKeyId=EC2\nAWSSecretKey=s\n", ".boto": "[Credentials]\n" + KEYS % ("B", "B")},
                                None),
    "EC2 tools without a key": ({"AWS_CREDENTIAL_FILE": "~/ec2"},
                                {"ec2": "nothing\n", ".boto": "[Credentials]\n" + KEYS % ("B", "B")}, None),
    "process": ({}, {".aws/config": "[default]\ncredential_process = " + PROCESS % "P"}, None),
    "process in the credentials file": ({}, {".aws/credentials": "[default]\ncredential_process = " + PROCESS % "P"}, None),
    "process before config file": (
        {}, {".aws/config": "[default]\n" + KEYS % ("X", "X") + "credential_process = " + PROCESS % "P"}, None),
    "credentials file before process": ({}, {".aws/config": "[default]\ncredential_process = " + PROCESS % "P",
                                             ".aws/credentials": "[default]\n" + KEYS % ("F", "F")}, None),
    "role": ({}, {".aws/config": ROLE % ("r", "base", ""), ".aws/credentials": BASE}, "r"),
    "role with everything": ({}, {".aws/config": ROLE % ("r", "base", "external_id = e/1\nrole_session_name = me\n"
                                                         "duration_seconds = 900\n"), ".aws/credentials": BASE}, "r"),
    "role with a bad duration": ({}, {".aws/config": ROLE % ("r", "base", "duration_seconds = long\n"),
                                      ".aws/credentials": BASE}, "r"),
    "role by AWS_PROFILE": ({"AWS_PROFILE": "r"}, {".aws/config": ROLE % ("r", "base", ""), ".aws/credentials": BASE}, None),
    "role before its own keys": ({}, {".aws/config": ROLE % ("r", "r", ""), ".aws/credentials": "[r]\n" + KEYS % ("R", "R")},
                                 "r"),
    "role chain": ({}, {".aws/config": ROLE % ("a", "b", "") + ROLE % ("b", "c", "external_id = xy\n") + ROLE % ("c", "base", ""),
                        ".aws/credentials": BASE}, "a"),
    "role chain ends at keys": ({}, {".aws/config": ROLE % ("a", "b", "") + ROLE % ("b", "a", ""),
                                     ".aws/credentials": "[b]\n" + KEYS % ("B", "B")}, "a"),
    "role of the environment": ({"AWS_ACCESS_KEY_ID": "ENV", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"},
                                {".aws/config": SOURCE % ("r", "Environment")}, "r"),
    "role of the container": ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "%CLOUD%/container/a"},
                              {".aws/config": SOURCE % ("r", "EcsContainer")}, "r"),
    "role of the instance": ({"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": "%CLOUD%/imds"},
                             {".aws/config": SOURCE % ("r", "Ec2InstanceMetadata")}, "r"),
    "role by a process": ({}, {".aws/config": ROLE % ("r", "p", "") + "[profile p]\ncredential_process = " + PROCESS % "P"}, "r"),
    "role by web identity": ({}, {".aws/config": ROLE % ("r", "w", "") + WEB % "w", "jwt": "a.b.c-MARKER"}, "r"),
    "role by SSO": ({}, {".aws/config": ROLE % ("r", "s", "") + SSO % "s", TOKEN[0]: TOKEN[1]}, "r"),
    "web identity of the environment": (
        {"AWS_WEB_IDENTITY_TOKEN_FILE": "%HOME%/jwt", "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/web",
         "AWS_ROLE_SESSION_NAME": "me"}, {"jwt": "a.b.c-MARKER", ".aws/credentials": "[default]\n" + KEYS % ("F", "F")}, None),
    "web identity of the profile": ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/nowhere"},
                                    {".aws/config": WEB % "w", "jwt": "a.b.c-MARKER"}, "w"),
    "web identity half of each": ({"AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/other", "AWS_PROFILE": "w"},
                                  {".aws/config": WEB % "w", "jwt": "a.b.c-MARKER"}, None),
    "SSO": ({}, {".aws/config": SSO % "s", TOKEN[0]: TOKEN[1]}, "s"),
    "SSO before credentials file": (
        {}, {".aws/config": SSO % "s", TOKEN[0]: TOKEN[1], ".aws/credentials": "[s]\n" + KEYS % ("F", "F")}, "s"),
    "SSO without a session": ({}, {".aws/config": OLD_SSO % "s", OLD_TOKEN[0]: OLD_TOKEN[1]}, "s"),
    "SSO refreshed": ({}, {".aws/config": SSO % "s", TOKEN[0]: lambda: token(60, refreshToken="refresh-MARKER")}, "s"),
    "SSO not to be refreshed": ({}, {".aws/config": SSO % "s", TOKEN[0]: lambda: token(60, refreshToken="no longer good")}, "s"),
    "SSO whose registration has ended": (
        {}, {".aws/config": SSO % "s",
             TOKEN[0]: lambda: token(60, refreshToken="refresh-MARKER", registrationExpiresAt=clouds.later(-9))},
        "s"),
    "container": ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "%CLOUD%/container/a"}, {}, None),
    "container after the files": ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "%CLOUD%/container/a"},
                                  {".aws/config": "[default]\n" + KEYS % ("X", "X")}, None),
    "container with a token": ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "%CLOUD%/container/a",
                                "AWS_CONTAINER_AUTHORIZATION_TOKEN": "container-token"}, {}, None),
    "container with a token's file": ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "%CLOUD%/container/a?b=c",
                                       "AWS_CONTAINER_AUTHORIZATION_TOKEN": "wrong",
                                       "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "%HOME%/jwt"}, {"jwt": "container-token"}, None),
    "instance": ({"AWS_EC2_METADATA_DISABLED": "false", "AWS_EC2_METADATA_SERVICE_ENDPOINT": "%CLOUD%/imds"}, {}, None),
}

# What neither accepts: the chain ends there although a later source has keys. The last is what awsfs says.
FAILURES = {
    "half of the environment": ({"AWS_ACCESS_KEY_ID": "A"}, {}, None, "AWS_SECRET_ACCESS_KEY is not"),
    "half of the file": ({}, {".aws/credentials": "[default]\naws_access_key_id = A\n"}, None, "no aws_secret_access_key"),
    "no such profile": ({}, {}, "absent", "profile 'absent'"),
    "circle": ({}, {".aws/config": ROLE % ("a", "b", "") + ROLE % ("b", "a", "")}, "a", "circle: a -> b -> a"),
    "circle of one": ({}, {".aws/config": ROLE % ("a", "a", "")}, "a", "circle: a -> a"),
    "role without a source": ({}, {".aws/config": "[profile a]\nrole_arn = a\n"}, "a", "no source_profile"),
    "role with two sources": ({}, {".aws/config": ROLE % ("a", "base", "credential_source = Environment\n")}, "a", "both"),
    "role with an unknown source": ({}, {".aws/config": SOURCE % ("a", "Sun")}, "a", "credential_source = Sun"),
    "role whose source has nothing": ({}, {".aws/config": ROLE % ("a", "b", "") + "[profile b]\nregion = x\n"}, "a",
                                      "has no credentials"),
    "role of an environment without keys": ({}, {".aws/config": SOURCE % ("a", "Environment")}, "a", "AWS_ACCESS_KEY_ID"),
    "web identity without a role": ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/x"}, {}, None, "AWS_ROLE_ARN"),
    "web identity without its file": ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/x", "AWS_ROLE_ARN": "r"}, {}, None, "/x does not exist"),
    "SSO without a login": ({}, {".aws/config": SSO % "s"}, "s", "run `aws sso login --profile s`"),
    "SSO whose login has expired": ({}, {".aws/config": SSO % "s", TOKEN[0]: lambda: token(-60)}, "s",
                                    "run `aws sso login --profile s`"),
    "SSO without its session": ({}, {".aws/config": "[profile s]\nsso_session = z\nsso_role_name = r\nsso_account_id = 1\n"}, "s",
                                "no section [sso-session z]"),
    "SSO that lacks a setting": ({}, {".aws/config": "[profile s]\nsso_role_name = r\nsso_account_id = 1\n"}, "s",
                                 "no sso_start_url"),
    "SSO that contradicts itself": ({}, {".aws/config": SSO % "s" + "sso_region = eu-west-9\n"}, "s", "sso_region differs"),
    "process that fails": ({}, {".aws/config": "[default]\ncredential_process = false\n"}, None, "'false' failed with status 1"),
    "process that is missing": ({}, {".aws/config": "[default]\ncredential_process = /no/such\n"}, None, "/no/such"),
    "process that prints garbage": ({}, {".aws/config": "[default]\ncredential_process = echo MARKER\n"}, None, "no JSON"),
    "missing file of the EC2 tools": ({"AWS_CREDENTIAL_FILE": "~/no"}, {}, None, "does not exist"),
    "container that refuses": ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "https://127.0.0.1:1/container"}, {}, None, "container"),
    "container far away": ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://192.0.2.1/"}, {}, None, "over plain http"),
    "container with a broken token": ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "%CLOUD%/container/a",
                                       "AWS_CONTAINER_AUTHORIZATION_TOKEN": "MARKER\nHost: x"}, {}, None, "line break"),
    "environment that has expired": ({"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "s",
                                      "AWS_CREDENTIAL_EXPIRATION": "2020-01-01T00:00:00Z"}, {}, None, "have expired"),
    "process whose keys have expired": (
        {}, {".aws/config": "[default]\ncredential_process = " + PROCESS.replace("2099", "2019") % "P"}, None, "have expired"),
    "malformed file": ({}, {".aws/config": "[default\n"}, None, "line 1"),
}


def set_up(sandbox, cloud, environment, files):
    for path, text in files.items():
        text = text() if callable(text) else text
        sandbox.write(path, text.replace("%HOME%", str(sandbox.home)))
    for name, value in environment.items():
        sandbox.env[name] = value.replace("%CLOUD%", cloud.url).replace("%HOME%", str(sandbox.home))
    if any("AUTHORIZATION" in name for name in environment):
        cloud.authorization = "container-token"


@pytest.mark.parametrize("name", SETUPS)
def test_both_choose_the_same(sandbox, cloud, name):
    environment, files, profile = SETUPS[name]
    set_up(sandbox, cloud, environment, files)
    expected = sandbox.botocore(profile)
    # What a refresh has changed is put back for the other.
    set_up(sandbox, cloud, environment, files)
    chosen = sandbox.chosen(profile)
    if expected is None:
        assert isinstance(chosen, str) and "no credentials" in chosen
    else:
        assert not isinstance(expected, Exception), expected
        assert chosen == expected


@pytest.mark.parametrize("name", FAILURES)
def test_both_refuse(sandbox, cloud, name):
    environment, files, profile, says = FAILURES[name]
    files = {".boto": "[Credentials]\n" + KEYS % ("LATER", "LATER"), **files}
    if not name.startswith("container"):
        set_up(sandbox, cloud, environment, files)
    else:
        set_up(sandbox, cloud, environment, {})
    assert isinstance(sandbox.botocore(profile), Exception)
    chosen = sandbox.chosen(profile)
    assert isinstance(chosen, str) and says in chosen and "MARKER" not in chosen


