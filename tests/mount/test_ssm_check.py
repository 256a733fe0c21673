"""What `awsfs check ssm:/path` says in trouble: the cause, and a policy only where one helps."""
import pytest

from support.buckets import Parameters
from support.check import Checked


@pytest.fixture
def checked(origin, tmp_path, monkeypatch):
    origin.parameters(gets_per_s=0)
    witness = Parameters(origin).plant({"p": "plain"})
    witness.put("s", "secret", "SecureString", KeyId="alias/mine")
    monkeypatch.setattr(Checked, "state", tmp_path / "state")

    def check(**options):
        return Checked(witness.source, endpoint=origin.endpoint, ssm_rate=1000, **options)

    check.witness = witness
    return check


@pytest.mark.parametrize("state, granted", [("denied", {"kms:Decrypt"}), ("disabled", set())])
def test_a_key_that_cannot_be_used_is_no_trouble_of_the_store(origin, checked, state, granted):
    origin.parameters(keys={"alias/mine": state})
    told = checked()
    assert (told.verdict("store"), told.rows["store"]["detail"]) == ("ok", "it answers")
    assert told.verdict("list") == told.verdict("read") == "allowed"
    assert told.verdict("decryption") == "denied" and told.granted() == granted
    assert state == "denied" or "InvalidKeyId" in told.rows["decryption"]["detail"]


def test_what_is_throttled_says_so(origin, checked):
    origin.fault({"status": 400, "code": "ThrottlingException"})
    told = checked()
    assert told.status == 1 and "Throttling" in told.rows["store"]["detail"]


def test_what_never_answers_says_so(origin, checked):
    origin.fault("hang")
    told = checked()
    assert told.status == 1 and told.rows["store"]["detail"].startswith("no answer in time")
    origin.release()


@pytest.mark.parametrize("code, words", [("ExpiredTokenException", "ExpiredToken"), ("UnrecognizedClientException", "Unrecognized")])
def test_credentials_that_are_refused_are_the_reason(origin, checked, code, words):
    origin.fault({"status": 400, "code": code})
    told = checked()
    assert told.status == 1 and words in told.rows["store"]["detail"]


def test_nothing_that_is_tried_stays(origin, checked):
    told = checked()
    assert told.status == 0 and told.granted() == set()
    assert {"PutParameter", "DeleteParameter"} <= set(origin.requests())
    stored = checked.witness.ssm.get_parameters_by_path(Path=checked.witness.root, Recursive=True)["Parameters"]
    assert {p["Name"].rsplit("/", 1)[-1]: p["Version"] for p in stored} == {"p": 1, "s": 1}
