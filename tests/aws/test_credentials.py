"""In each of these set-ups of environment and files awsfs and botocore choose the same credentials."""
import pytest

KEYS = "aws_access_key_id = %s\naws_secret_access_key = secret-of-%s\n"

# name: environment, files below HOME, profile= or None
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
}


@pytest.mark.parametrize("name", SETUPS)
def test_both_choose_the_same(sandbox, name):
    environment, files, profile = SETUPS[name]
    sandbox.env.update(environment)
    for path, text in files.items():
        sandbox.write(path, text)
    expected, chosen = sandbox.botocore(profile), sandbox.chosen(profile)
    if expected is None:
        assert isinstance(chosen, str) and "no credentials" in chosen
    else:
        assert not isinstance(expected, Exception), expected
        assert chosen == expected
