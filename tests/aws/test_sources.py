"""Single sources of credentials, beyond the comparison with botocore: TLS with an authority of its own, refreshes, hostile answers."""
import hashlib
import json
import os
import stat

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

import cloud as clouds
from sandbox import sha256
from support import servers
from test_credentials import OLD_SSO, OLD_TOKEN, SSO, TOKEN, WEB, token

LOGIN = "arn:aws:iam::123456789012:user/me"


def chosen_keys(*parts):
    access, secret, session = clouds.keys(*parts)
    return access, sha256(secret), sha256(session)


@pytest.mark.parametrize("known", [True, False])
def test_the_container_is_asked_over_tls_by_an_authority_that_is_known(sandbox, tls_cloud, known):
    sandbox.env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = tls_cloud.url.replace("127.0.0.1", "localhost") + "/container/x"
    if not known:
        del sandbox.env["AWS_CA_BUNDLE"]
    chosen = sandbox.chosen()
    if known:
        assert chosen == chosen_keys("container", "/container/x")
    else:
        assert "container" in chosen and not tls_cloud.seen


def test_single_sign_on_is_asked_over_tls(sandbox, tls_cloud):
    sandbox.write(".aws/config", SSO % "s")
    sandbox.write(*TOKEN)
    assert sandbox.chosen("s") == chosen_keys("sso", ["Reader"], ["123456789012"], clouds.SSO_TOKEN)
    method, path, query, headers, _ = tls_cloud.seen[0]
    assert (method, path, query) == ("GET", "/federation/credentials", "role_name=Reader&account_id=123456789012")
    assert "Authorization" not in headers


def test_a_login_of_single_sign_on_that_ends_soon_is_refreshed_and_kept(sandbox, cloud):
    sandbox.write(".aws/config", SSO % "s")
    cache = sandbox.write(TOKEN[0], token(600, refreshToken="refresh-MARKER"))
    assert sandbox.chosen("s") == chosen_keys("sso", ["Reader"], ["123456789012"], clouds.SSO_TOKEN + "-refreshed")
    kept = json.loads(open(cache, encoding="utf-8").read())
    assert kept["accessToken"] == clouds.SSO_TOKEN + "-refreshed" and kept["refreshToken"] == "refresh-MARKER-2"
    assert kept["clientId"] == "id" and kept["clientSecret"] == "MARKER" and kept["startUrl"] and kept["region"] == "eu-west-2"
    assert stat.S_IMODE(os.stat(cache).st_mode) == 0o600
    assert os.listdir(os.path.dirname(cache)) == [os.path.basename(cache)]
    # What is kept is what the next one uses, and botocore too.
    assert sandbox.chosen("s") == sandbox.botocore("s") and cloud.count("/token") == 1


def test_a_login_that_the_portal_does_not_take_says_what_to_run(sandbox, cloud):
    sandbox.write(".aws/config", OLD_SSO % "s")
    sandbox.write(OLD_TOKEN[0], json.dumps({"accessToken": "another-MARKER", "expiresAt": clouds.later(7200)}))
    chosen = sandbox.chosen("s")
    assert "aws sso login --profile s" in chosen and "--use-device-code" in chosen
    sandbox.write(*OLD_TOKEN)
    cloud.failing["/federation/credentials"] = 403, {"message": "ForbiddenException"}
    assert "does not give you the role Reader of account 123456789012" in sandbox.chosen("s")


@pytest.mark.parametrize("text", ["", "MARKER", "[]", "{}", json.dumps({"accessToken": "MARKER"}),
                                  json.dumps({"accessToken": "a\r\nb: MARKER", "expiresAt": "2099-01-01T00:00:00Z"}),
                                  json.dumps({"accessToken": "MARKER", "expiresAt": "never"}), "x" * 2000000])
def test_a_cached_token_that_is_broken_is_no_login(sandbox, cloud, text):
    sandbox.write(".aws/config", SSO % "s")
    sandbox.write(TOKEN[0], text)
    chosen = sandbox.chosen("s")
    assert TOKEN[0] in chosen and ("aws sso login --profile s" in chosen or "larger than" in chosen)
    assert not cloud.seen


@pytest.mark.parametrize("path,reply", [
    ("/federation/credentials", (200, "MARKER")), ("/federation/credentials", (200, "{}")),
    ("/federation/credentials", (200, {"roleCredentials": {"accessKeyId": "A", "secretAccessKey": "MARKER", "expiration": -1}})),
    ("/federation/credentials", (200, {"roleCredentials": {"accessKeyId": "A", "secretAccessKey": "a\nMARKER", "expiration": 9}})),
    ("/federation/credentials", (500, "MARKER")), ("/federation/credentials", (200, "MARKER" * 20000)),
    ("/token", (200, "MARKER")), ("/token", (200, {"accessToken": "a\nMARKER", "expiresIn": 5})),
    ("/token", (200, {"accessToken": "MARKER", "expiresIn": -5})), ("/token", (503, ""))])
def test_what_single_sign_on_answers_is_not_trusted(sandbox, cloud, path, reply):
    sandbox.write(".aws/config", SSO % "s")
    sandbox.write(TOKEN[0], token(-5, refreshToken="refresh-MARKER") if path == "/token" else TOKEN[1])
    cloud.failing[path] = reply
    assert isinstance(sandbox.chosen("s"), str)
    assert cloud.count("/token") <= 1 and cloud.count("/federation/credentials") <= 3


def login(sandbox, cloud, seconds, **members):
    key = ec.generate_private_key(ec.SECP256R1())
    numbers = key.public_key().public_numbers()
    cloud.login_key = tuple(clouds.encode64(n.to_bytes(32, "big")) for n in (numbers.x, numbers.y))
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL,
                            serialization.NoEncryption()).decode()
    whole = {"accessToken": {"accessKeyId": "OLD", "secretAccessKey": "MARKER", "sessionToken": "t", "accountId": "123456789012",
                             "expiresAt": clouds.later(seconds)},
             "tokenType": "aws_sigv4", "refreshToken": "refresh-MARKER", "idToken": "id-MARKER",
             "clientId": "arn:aws:signin:::devtools/same-device", "dpopKey": pem}
    sandbox.write(".aws/config", "[profile l]\nlogin_session = %s\n" % LOGIN)
    name = hashlib.sha256(LOGIN.encode()).hexdigest() + ".json"
    return sandbox.write(".aws/login/cache/" + name, json.dumps({**whole, **members}))


def test_a_login_is_used_while_it_holds(sandbox, cloud):
    login(sandbox, cloud, 700)
    assert sandbox.chosen("l") == ("OLD", sha256("MARKER"), sha256("t"))
    assert not cloud.seen


def test_a_login_is_refreshed_with_a_proof_and_kept(sandbox, cloud):
    cache = login(sandbox, cloud, 100)
    before = json.loads(open(cache, encoding="utf-8").read())
    assert sandbox.chosen("l") == chosen_keys("login")
    kept = json.loads(open(cache, encoding="utf-8").read())
    assert kept["refreshToken"] == "refresh-MARKER-2" and kept["accessToken"]["accessKeyId"] == clouds.keys("login")[0]
    assert kept["accessToken"]["accountId"] == "123456789012"
    assert {k: kept[k] for k in ("tokenType", "idToken", "clientId", "dpopKey")} == {
        k: before[k] for k in ("tokenType", "idToken", "clientId", "dpopKey")}
    assert sandbox.chosen("l") == chosen_keys("login") and cloud.count("/v1/token") == 1


def test_a_login_that_cannot_be_refreshed_is_used_to_its_end_and_then_says_what_to_run(sandbox, cloud):
    login(sandbox, cloud, 100, refreshToken="no longer good")
    assert sandbox.chosen("l")[0] == "OLD"
    login(sandbox, cloud, -5, refreshToken="no longer good")
    assert "run `aws login --profile l`" in sandbox.chosen("l")
    login(sandbox, cloud, -5, dpopKey="MARKER")
    assert "run `aws login --profile l`" in sandbox.chosen("l")
    sandbox.env["AWS_LOGIN_CACHE_DIRECTORY"] = "$HOME/empty"
    assert "there is no login: run `aws login --profile l`" in sandbox.chosen("l")


def test_the_token_file_of_the_container_is_read_and_a_line_break_in_it_refused(sandbox, cloud):
    sandbox.env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = cloud.url + "/container/x"
    sandbox.env["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = sandbox.write("token", "MARKER\r\nX-Evil: 1")
    assert "line break" in sandbox.chosen()
    sandbox.env["AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"] = str(sandbox.home / "absent")
    assert "absent does not exist" in sandbox.chosen()
    assert not cloud.seen


def test_the_container_is_asked_three_times_where_it_stumbles_and_once_where_it_refuses(sandbox, cloud):
    sandbox.env["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = cloud.url + "/container/x"
    cloud.failing["/container/x"] = 500, "MARKER"
    assert "status 500" in sandbox.chosen() and cloud.count("/container/x") == 3
    cloud.reset()
    cloud.failing["/container/x"] = 404, "MARKER"
    assert "status 404" in sandbox.chosen() and cloud.count("/container/x") == 1


def test_web_identity_is_not_signed_and_its_refusal_is_shown(sandbox, cloud):
    sandbox.write(".aws/config", WEB.replace("%%HOME%%", str(sandbox.home)) % "w")
    sandbox.write("jwt", "a.b.c-MARKER\n")
    assert isinstance(sandbox.chosen("w"), tuple)
    assert "Authorization" not in cloud.seen[0][3] and "WebIdentityToken=a.b.c-MARKER" in cloud.seen[0][4]
    cloud.failing["/"] = 400, ("<ErrorResponse><Error><Code>InvalidIdentityToken</Code><Message>No OpenIDConnect provider"
                               "</Message></Error></ErrorResponse>")
    assert "InvalidIdentityToken" in sandbox.chosen("w")


def test_a_credentials_file_that_others_may_read_gives_a_warning_and_is_used(sandbox):
    path = sandbox.write(".aws/credentials", "[default]\naws_access_key_id = A\naws_secret_access_key = MARKER\n")
    os.chmod(path, 0o644)
    result = sandbox.run()
    assert path + " can be read by other users: chmod 600 it" in result.stderr
    assert json.loads(result.stdout)["credentials"]["access_key_id"] == "A"


def test_moto_gives_roles_and_the_instances_credentials(sandbox, moto):
    sandbox.env.update(AWS_ENDPOINT_URL_STS=moto.endpoint, AWS_DEFAULT_REGION="us-east-1")
    sandbox.write(".aws/config", "[profile r]\nrole_arn = arn:aws:iam::123456789012:role/reader\nsource_profile = base\n" +
                  "[profile i]\nrole_arn = arn:aws:iam::123456789012:role/reader\ncredential_source = Ec2InstanceMetadata\n" +
                  WEB.replace("%%HOME%%", str(sandbox.home)) % "w")
    sandbox.write(".aws/credentials", "[base]\naws_access_key_id = %s\naws_secret_access_key = %s\n" %
                  (servers.ACCESS, servers.SECRET))
    sandbox.write("jwt", "a.b.c-MARKER")
    sandbox.env.update(AWS_EC2_METADATA_SERVICE_ENDPOINT=moto.endpoint)
    del sandbox.env["AWS_EC2_METADATA_DISABLED"]
    for profile in ("r", "w", "i"):
        found = sandbox.awsfs("--profile", profile)["credentials"]
        assert not found["error"] and found["access_key_id"].startswith("ASIA") and found["token_sha256"], profile
    found = sandbox.awsfs()["credentials"]
    assert found["source"].endswith("of the instance (IMDS)") and sandbox.chosen() == sandbox.botocore()
