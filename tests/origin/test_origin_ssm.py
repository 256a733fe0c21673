"""The Parameter Store: the service's rules, which boto3 and moto do not check."""
import concurrent.futures
import json

import boto3
import botocore.config
import botocore.exceptions
import pytest


@pytest.fixture
def ssm(origin):
    origin.control("POST", "parameters/settings", gets_per_s=0)
    return boto3.client("ssm", endpoint_url="http://127.0.0.1:%d" % origin.port, region_name="us-east-1",
                        aws_access_key_id="id", aws_secret_access_key="secret",
                        config=botocore.config.Config(retries={"max_attempts": 0}, parameter_validation=False))


def code_of(call, **arguments):
    try:
        call(**arguments)
    except botocore.exceptions.ClientError as e:
        return e.response["Error"]["Code"]
    return None


def put(ssm, name, value="v", **more):
    return ssm.put_parameter(Name=name, Value=value, **{"Type": "String", **more})


def test_a_parameter_is_put_read_listed_and_deleted(ssm):
    assert put(ssm, "/a/x", "one", Description="d", Tags=[{"Key": "k", "Value": "t"}])["Version"] == 1
    assert put(ssm, "/a/x", "two", Overwrite=True)["Version"] == 2
    put(ssm, "root")
    one = ssm.get_parameter(Name="/a/x")["Parameter"]
    assert (one["Value"], one["Version"], one["DataType"], one["Type"]) == ("two", 2, "text", "String")
    assert one["ARN"] == "arn:aws:ssm:us-east-1:123456789012:parameter/a/x"
    assert ssm.get_parameter(Name=one["ARN"])["Parameter"]["Value"] == "two"
    assert ssm.get_parameter(Name="/a/x:1")["Parameter"]["Selector"] == ":1"
    assert ssm.get_parameter(Name="/root")["Parameter"]["Name"] == "root"
    page = ssm.get_parameters_by_path(Path="/", Recursive=True)
    assert [p["Name"] for p in page["Parameters"]] == ["/a/x", "root"] and "NextToken" not in page
    assert [p["Name"] for p in ssm.get_parameters_by_path(Path="/")["Parameters"]] == ["root"]
    several = ssm.get_parameters(Names=["/none", "/a/x", "root"])
    assert [p["Name"] for p in several["Parameters"]] == ["/a/x", "root"] and several["InvalidParameters"] == ["/none"]
    assert ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId="/a/x")["TagList"] == [{"Key": "k", "Value": "t"}]
    assert ssm.delete_parameters(Names=["/a/x", "/none"])["DeletedParameters"] == ["/a/x"]
    ssm.delete_parameter(Name="root")
    assert code_of(ssm.get_parameter, Name="root") == "ParameterNotFound"


REFUSED = [
    ("ValidationException", {"Name": "/a b"}), ("ValidationException", {"Name": "a/b"}), ("ValidationException", {"Name": "/a//b"}),
    ("ValidationException", {"Name": "/" + "n" * 967}), (None, {"Name": "/" + "n" * 966}), (None, {"Name": " /blank "}),
    ("AccessDeniedException", {"Name": "/aWs/x"}), ("ValidationException", {"Name": "ssmx"}), (None, {"Name": "/x/aws/ssm"}),
    ("HierarchyLevelLimitExceededException", {"Name": "/l" * 16}), (None, {"Name": "/l" * 15}),
    ("ValidationException", {"Value": ""}), ("ValidationException", {"Value": "x" * 4097}), (None, {"Value": "x" * 4096}),
    (None, {"Value": "x" * 8192, "Tier": "Advanced"}), ("ValidationException", {"Value": "x" * 8193, "Tier": "Advanced"}),
    (None, {"Value": "x" * 4097, "Tier": "Intelligent-Tiering"}), ("ValidationException", {"Value": "a {{ssm:b}}"}),
    ("ValidationException", {"Type": "Text"}), ("ValidationException", {"Type": None}), ("ValidationException", {"Tier": "Big"}),
    ("ValidationException", {"DataType": "binary"}), ("ValidationException", {"Description": "x" * 1025}),
    ("ValidationException", {"KeyId": "alias/k"}), ("InvalidKeyId", {"Type": "SecureString", "KeyId": "alias/off"}),
    ("InvalidAllowedPatternException", {"AllowedPattern": "("}), (None, {"AllowedPattern": "[a-z]+"}),
    ("ParameterPatternMismatchException", {"AllowedPattern": "[0-9]+"}),
    ("ValidationException", {"Policies": json.dumps([{"Type": "Expiration", "Version": "1.0", "Attributes": {"Timestamp": "2030-01-01T00:00:00Z"}}])}),
    ("InvalidPolicyTypeException", {"Tier": "Advanced", "Policies": '[{"Type": "Magic"}]'}),
    ("InvalidPolicyAttributeException", {"Tier": "Advanced", "Policies": '[{"Type": "Expiration", "Attributes": {}}]'}),
    ("PoliciesLimitExceededException", {"Tier": "Advanced", "Policies": json.dumps([{"Type": "NoChangeNotification"}] * 11)}),
    ("ValidationException", {"Tier": "Advanced", "Policies": "{}"}),
]


@pytest.mark.parametrize("code, change", REFUSED)
def test_what_the_service_refuses_of_a_new_parameter(origin, ssm, code, change):
    origin.control("POST", "parameters/settings", keys={"alias/off": "disabled"})
    given = {"Name": "/p", "Value": "v", "Type": "String", **change}
    assert code_of(ssm.put_parameter, **{k: v for k, v in given.items() if v is not None}) == code


def test_what_the_service_refuses_of_an_overwrite(ssm):
    put(ssm, "/p", Tier="Advanced")
    assert code_of(put, ssm=ssm, name="/p") == "ParameterAlreadyExists"
    assert code_of(put, ssm=ssm, name="/p", Overwrite=True, Type="StringList") == "HierarchyTypeMismatchException"
    assert code_of(put, ssm=ssm, name="/p", Overwrite=True, Tier="Standard") == "ValidationException"
    assert code_of(put, ssm=ssm, name="/p", Overwrite=True, Tags=[{"Key": "a", "Value": "b"}]) == "ValidationException"
    assert ssm.put_parameter(Name="/p", Value="w", Overwrite=True)["Tier"] == "Advanced"


def test_policies_are_kept_until_they_are_cleared(ssm):
    policy = '[{"Type":"Expiration","Version":"1.0","Attributes":{"Timestamp":"2030-01-01T00:00:00Z"}}]'
    put(ssm, "/p", Tier="Intelligent-Tiering", Policies=policy)
    put(ssm, "/p", "w", Overwrite=True)
    described = ssm.describe_parameters(ParameterFilters=[{"Key": "Name", "Values": ["/p"]}])["Parameters"][0]
    assert described["Tier"] == "Advanced" and described["Policies"][0]["PolicyType"] == "Expiration"
    assert json.loads(described["Policies"][0]["PolicyText"]) == json.loads(policy)[0]
    put(ssm, "/p", "x", Overwrite=True, Policies="[{}]")
    assert ssm.describe_parameters()["Parameters"][0]["Policies"] == []


def test_a_hundred_versions_are_kept_and_a_labelled_one_is_not_dropped(ssm):
    put(ssm, "/p", "0")
    for i in range(1, 105):
        put(ssm, "/p", str(i), Overwrite=True)
    history = []
    for page in ssm.get_paginator("get_parameter_history").paginate(Name="/p"):
        history += page["Parameters"]
    assert [h["Version"] for h in history] == list(range(6, 106))
    assert code_of(ssm.get_parameter, Name="/p:5") == "ParameterVersionNotFound"
    ssm.label_parameter_version(Name="/p", ParameterVersion=6, Labels=["keep"])
    assert code_of(put, ssm=ssm, name="/p", Overwrite=True) == "ParameterMaxVersionLimitExceeded"
    assert ssm.get_parameter(Name="/p:keep")["Parameter"]["Value"] == "5"


def test_a_label_is_on_one_version_and_ten_are_on_one(ssm):
    put(ssm, "/p", "1")
    put(ssm, "/p", "2", Overwrite=True)
    answer = ssm.label_parameter_version(Name="/p", ParameterVersion=1, Labels=["live", "9x", "aws-x", "ssm", "a b"])
    assert answer["InvalidLabels"] == ["9x", "aws-x", "ssm", "a b"] and answer["ParameterVersion"] == 1
    ssm.label_parameter_version(Name="/p", Labels=["live"])
    assert [h["Labels"] for h in ssm.get_parameter_history(Name="/p")["Parameters"]] == [[], ["live"]]
    ssm.label_parameter_version(Name="/p", ParameterVersion=2, Labels=["l%d" % i for i in range(9)])
    assert code_of(ssm.label_parameter_version, Name="/p", ParameterVersion=2, Labels=["more"]) == "ParameterVersionLabelLimitExceeded"
    assert ssm.unlabel_parameter_version(Name="/p", ParameterVersion=2, Labels=["l0", "none"])["RemovedLabels"] == ["l0"]
    assert [p["Value"] for p in ssm.get_parameters_by_path(Path="/", ParameterFilters=[{"Key": "Label", "Values": ["live"]}])["Parameters"]] == ["2"]


def test_tags_have_limits(ssm):
    put(ssm, "/p")
    where = {"ResourceType": "Parameter", "ResourceId": "/p"}
    ssm.add_tags_to_resource(Tags=[{"Key": "k%d" % i, "Value": "v"} for i in range(50)], **where)
    assert code_of(ssm.add_tags_to_resource, Tags=[{"Key": "one", "Value": "more"}], **where) == "TooManyTagsError"
    ssm.remove_tags_from_resource(TagKeys=["k%d" % i for i in range(49)], **where)
    assert ssm.list_tags_for_resource(**where)["TagList"] == [{"Key": "k49", "Value": "v"}]
    assert code_of(ssm.add_tags_to_resource, Tags=[{"Key": "k" * 129, "Value": "v"}], **where) == "ValidationException"
    assert code_of(ssm.list_tags_for_resource, ResourceType="Parameter", ResourceId="/none") == "InvalidResourceId"


def listed(ssm, path="/", **more):
    names, pages = [], 0
    for page in ssm.get_paginator("get_parameters_by_path").paginate(Path=path, Recursive=True, **more):
        names += [p["Name"] for p in page["Parameters"]]
        pages += 1
    return names, pages


def test_a_thousand_parameters_are_a_hundred_pages(origin, ssm):
    assert origin.control("POST", "parameters", prefix="/many/p", count=1000)["last"] == "/many/p000999"
    names, pages = listed(ssm, "/many")
    assert names == ["/many/p%06d" % i for i in range(1000)] and pages == 100
    assert origin.control("GET", "counts")["by_kind"] == {"GetParametersByPath": 100}
    assert origin.control("GET", "counts")["by_key"] == {"ssm:/many": {"GetParametersByPath": 100}}
    assert code_of(ssm.get_parameters_by_path, Path="/many", MaxResults=11) == "ValidationException"
    assert code_of(ssm.get_parameters_by_path, Path="/many", NextToken="?") == "InvalidNextToken"


def test_a_page_may_be_empty_and_not_the_last(origin, ssm):
    origin.control("POST", "parameters", prefix="/p", count=25)
    origin.control("POST", "parameters/settings", empty_every=2)
    assert listed(ssm) == (["/p%06d" % i for i in range(25)], 5)
    assert ssm.get_parameters_by_path(Path="/", NextToken=ssm.get_parameters_by_path(Path="/")["NextToken"])["Parameters"] == []


def test_a_token_goes_round_on_request(origin, ssm):
    origin.control("POST", "parameters", prefix="/p", count=15)
    origin.fault("loop_listing", kind="GetParametersByPath", count=-1)
    pages = [ssm.get_parameters_by_path(Path="/", NextToken=t) for t in ("page0:", "page1:loop", "page1:loop")]
    assert {p["NextToken"] for p in pages} == {"page1:loop"} and len({p["Parameters"][0]["Name"] for p in pages}) == 1


def test_a_secure_string_is_told_in_the_clear_only_decrypted_and_with_its_key(origin, ssm):
    put(ssm, "/s", "secret", Type="SecureString", KeyId="alias/mine")
    put(ssm, "/t", "plain")
    assert "secret" not in ssm.get_parameter(Name="/s")["Parameter"]["Value"]
    assert ssm.get_parameter(Name="/s", WithDecryption=True)["Parameter"]["Value"] == "secret"
    for state, code in (("disabled", "InvalidKeyId"), ("denied", "AccessDeniedException")):
        origin.control("POST", "parameters/settings", keys={"alias/mine": state})
        assert code_of(ssm.get_parameter, Name="/s", WithDecryption=True) == code
        assert code_of(ssm.get_parameters, Names=["/s", "/t"], WithDecryption=True) == code
        assert code_of(ssm.get_parameters_by_path, Path="/", WithDecryption=True) == code
        assert code_of(ssm.get_parameter_history, Name="/s", WithDecryption=True) == code
        assert code_of(ssm.get_parameter, Name="/s") is None and code_of(ssm.get_parameters_by_path, Path="/") is None


def test_rules_deny_listing_or_reading(origin, ssm):
    put(ssm, "/a/x")
    origin.control("POST", "parameters/settings", deny=[{"kind": "GetParametersByPath"}, {"kind": "GetParameter*", "name": "/b/*"},
                                                        {"kind": "GetParameters", "name": "/a/*"}, {"kind": "*", "name": "/c*"}])
    assert code_of(ssm.get_parameters_by_path, Path="/a") == "AccessDeniedException"
    assert code_of(ssm.get_parameter, Name="/a/x") is None
    assert code_of(ssm.get_parameters, Names=["/z", "/a/x"]) == "AccessDeniedException"
    assert code_of(ssm.get_parameter_history, Name="/b/x") == "AccessDeniedException"
    assert code_of(put, ssm=ssm, name="/c/new") == "AccessDeniedException"


def test_forty_reads_a_second_of_the_account_and_no_more(origin, ssm):
    put(ssm, "/p")
    origin.control("POST", "parameters/settings", gets_per_s=40)
    codes = [code_of(ssm.get_parameter, Name="/p") for _ in range(30)]
    codes += [code_of(ssm.get_parameters_by_path, Path="/") for _ in range(10)]
    assert codes == [None] * 40
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(lambda _: code_of(ssm.get_parameter, Name="/p"), range(200)))
    assert "ThrottlingException" in codes
    assert origin.control("GET", "counts")["throttled"] == codes.count("ThrottlingException")
    assert code_of(ssm.describe_parameters) is None
    origin.control("POST", "parameters/settings", others_per_s=1, burst=1)
    assert [code_of(ssm.describe_parameters) for _ in range(2)] == [None, "ThrottlingException"]


def test_updates_of_one_parameter_too_close_to_each_other_are_refused(origin, ssm):
    origin.control("POST", "parameters/settings", update_ms=60000)
    put(ssm, "/p")
    put(ssm, "/q")
    assert code_of(put, ssm=ssm, name="/p", Overwrite=True) == "TooManyUpdates"
    origin.control("POST", "parameters/settings", update_ms=0)
    assert code_of(put, ssm=ssm, name="/p", Overwrite=True) is None


def test_the_account_has_a_limit_of_standard_parameters(origin, ssm):
    origin.control("POST", "parameters/settings", max_standard=2)
    put(ssm, "/a")
    put(ssm, "/b")
    assert code_of(put, ssm=ssm, name="/c") == "ParameterLimitExceeded"
    assert code_of(put, ssm=ssm, name="/c", Tier="Advanced") is None
    assert code_of(put, ssm=ssm, name="/a", Overwrite=True) is None


FILTERS = [({"Key": "Name", "Values": ["/a/one"]}, ["/a/one"]), ({"Key": "Name", "Option": "BeginsWith", "Values": ["/a/"]}, ["/a/deep/two", "/a/one"]),
           ({"Key": "Name", "Option": "Contains", "Values": ["two"]}, ["/a/deep/two"]), ({"Key": "Type", "Values": ["StringList"]}, ["/b"]),
           ({"Key": "Path", "Values": ["/a"]}, ["/a/one"]), ({"Key": "Path", "Option": "Recursive", "Values": ["/a"]}, ["/a/deep/two", "/a/one"]),
           ({"Key": "tag:team", "Values": ["x"]}, ["/b"]), ({"Key": "Tier", "Values": ["Advanced"]}, ["/a/one"])]


@pytest.mark.parametrize("filter, names", FILTERS)
def test_descriptions_are_filtered(ssm, filter, names):
    put(ssm, "/a/one", Tier="Advanced")
    put(ssm, "/a/deep/two")
    put(ssm, "/b", Type="StringList", Tags=[{"Key": "team", "Value": "x"}])
    assert [p["Name"] for p in ssm.describe_parameters(ParameterFilters=[filter])["Parameters"]] == names


def test_faults_apply_to_parameters(origin, ssm):
    put(ssm, "/p/x", "one")
    origin.fault({"status": 400, "code": "TooManyUpdates"}, kind="PutParameter", key="ssm:/p/*")
    assert code_of(put, ssm=ssm, name="/p/x", Overwrite=True) == "TooManyUpdates"
    origin.fault({"status": 503}, kind="GetParameter")
    assert code_of(ssm.get_parameter, Name="/p/x") == "ThrottlingException"
    origin.fault("execute_then_reset", kind="PutParameter")
    with pytest.raises(botocore.exceptions.ConnectionClosedError):
        put(ssm, "/p/x", "two", Overwrite=True)
    assert ssm.get_parameter(Name="/p/x")["Parameter"]["Value"] == "two"
    reply = origin.http("POST", "/", "[]", X_Amz_Target="AmazonSSM.GetParameter")
    assert (reply.status, reply.json()["__type"]) == (400, "SerializationException")
    reply = origin.http("POST", "/", "{}", X_Amz_Target="AmazonSSM.Reboot")
    assert reply.json()["__type"] == "UnknownOperationException"
