"""In each of these set-ups of options, environment and files awsfs and botocore choose the same region and endpoint."""
import re
import urllib.parse

import botocore.awsrequest
import botocore.config
import botocore.endpoint_provider
import botocore.loaders
import pytest

AP = "arn:aws:s3:eu-west-1:123456789012:accesspoint/my-ap"
OLAP = "arn:aws:s3-object-lambda:eu-west-1:123456789012:accesspoint/my-ol"
OUTPOST = "arn:aws:s3-outposts:eu-west-1:123456789012:outpost/op-01234567890123456/accesspoint/my-ap"
DIRECTORY = "bkt--euw1-az1--x-s3"
R = {"AWS_DEFAULT_REGION": "eu-west-1"}
NO_SESSION = {"AWS_S3_DISABLE_EXPRESS_SESSION_AUTH": "true"}


def config(*lines, section="default"):
    return {".aws/config": "[%s]\n" % section + "\n".join(lines) + "\n"}


# name: environment, files below HOME, what awsfs is asked with (and botocore, by the same names)
SETUPS = {
    "region of the environment": (R, {}, {}),
    "region of the profile": ({}, config("region = eu-north-1"), {}),
    "environment before profile": (R, config("region = eu-north-1"), {}),
    "option before both": (R, config("region = eu-north-1"), {"region": "ap-south-1"}),
    "named profile": ({}, config("region = sa-east-1", section="profile p"), {"profile": "p"}),
    "profile by variable": ({"AWS_PROFILE": "p"}, config("region = sa-east-1", section="profile p"), {}),
    "credentials file has a region": ({}, {**config("region = eu-north-1"), ".aws/credentials": "[default]\nregion = x-1\n"}, {}),
    "China": ({}, config("region = cn-north-1"), {}),
    "GovCloud": ({}, config("region = us-gov-east-1"), {}),
    "European Sovereign Cloud": ({}, config("region = eusc-de-east-1"), {}),
    "aws-global": ({"AWS_DEFAULT_REGION": "aws-global"}, {}, {}),
    "us-east-1 regional": ({"AWS_DEFAULT_REGION": "us-east-1", "AWS_S3_US_EAST_1_REGIONAL_ENDPOINT": "regional"}, {}, {}),
    "us-east-1 legacy": ({"AWS_DEFAULT_REGION": "us-east-1"}, config("s3_us_east_1_regional_endpoint = legacy"), {}),
    "us-east-1 legacy in the block": ({}, config("region = us-east-1", "s3 =", "  us_east_1_regional_endpoint = legacy"), {}),
    "dual-stack of the environment": ({**R, "AWS_USE_DUALSTACK_ENDPOINT": "true"}, {}, {}),
    "dual-stack of the profile": (R, config("use_dualstack_endpoint = true"), {}),
    "dual-stack of the block": (R, config("s3 =", "  use_dualstack_endpoint = true"), {}),
    "dual-stack not any more": ({**R, "AWS_USE_DUALSTACK_ENDPOINT": "false"}, config("use_dualstack_endpoint = true"), {}),
    "dual-stack by option": (R, {}, {"dualstack": True}),
    "FIPS of the environment": ({**R, "AWS_USE_FIPS_ENDPOINT": "True"}, {}, {}),
    "FIPS and dual-stack": (R, config("use_fips_endpoint = true", "use_dualstack_endpoint = true"), {}),
    "only true is true": ({**R, "AWS_USE_FIPS_ENDPOINT": "1"}, {}, {}),
    "path style": (R, config("s3 =", "  addressing_style = path"), {}),
    "path style by option": (R, config("s3 =", "  addressing_style = virtual"), {"addressing": "path"}),
    "dots go by path": (R, config("s3 =", "  addressing_style = virtual"), {"bucket": "my.dotted.bucket"}),
    "accelerated": (R, config("s3 =", "  use_accelerate_endpoint = true"), {}),
    "accelerated with dual-stack": (R, config("use_dualstack_endpoint = true", "s3 =", "  use_accelerate_endpoint = true"), {}),
    "endpoint by option": (R, {}, {"endpoint": "http://127.0.0.1:9000"}),
    "endpoint of the environment": ({**R, "AWS_ENDPOINT_URL": "https://store.example/base"}, {}, {}),
    "endpoint of the service": ({**R, "AWS_ENDPOINT_URL": "http://a.example", "AWS_ENDPOINT_URL_S3": "http://b.example"}, {}, {}),
    "endpoint of the profile": (R, config("endpoint_url = http://c.example:81"), {}),
    "endpoint of a services section": (R, config("services = x", "endpoint_url = http://c.example", "[services x]", "s3 =",
                                                 "  endpoint_url = http://d.example"), {}),
    "endpoint ignored by variable": ({**R, "AWS_ENDPOINT_URL": "http://a.example", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true"},
                                     {}, {}),
    "endpoint ignored by profile": (R, config("endpoint_url = http://c.example", "ignore_configured_endpoint_urls = true"), {}),
    "endpoint and dual-stack of the profile": (R, config("endpoint_url = http://c.example", "use_dualstack_endpoint = true",
                                                         "use_fips_endpoint = true"), {}),
    "endpoint with hosts": (R, config("endpoint_url = http://c.example", "s3 =", "  addressing_style = virtual"), {}),
    "access point": (R, {}, {"bucket": AP}),
    "access point of another region": ({"AWS_DEFAULT_REGION": "us-west-2"}, {}, {"bucket": AP}),
    "access point with FIPS and dual-stack": (R, config("use_fips_endpoint = true", "use_dualstack_endpoint = true"), {"bucket": AP}),
    "access point at an endpoint": (R, {}, {"bucket": AP, "endpoint": "https://store.example"}),
    "access point where only the own region is allowed": (R, config("s3_use_arn_region = false"), {"bucket": AP}),
    "access point alias": (R, {}, {"bucket": "my-ap-hrzrlukc5m36ft7okagglf3gmwluquse1b-s3alias"}),
    "Object Lambda": (R, {}, {"bucket": OLAP}),
    "Outposts": (R, {}, {"bucket": OUTPOST}),
    "directory bucket": ({**R, **NO_SESSION}, {}, {"bucket": DIRECTORY}),
    "directory bucket at an address": ({**R, **NO_SESSION}, {}, {"bucket": DIRECTORY, "endpoint": "http://127.0.0.1:9000"}),
    "ssm": (R, {}, {"service": "ssm"}),
    "ssm with FIPS": ({**R, "AWS_USE_FIPS_ENDPOINT": "true"}, {}, {"service": "ssm"}),
    "ssm with dual-stack": (R, config("use_dualstack_endpoint = true"), {"service": "ssm"}),
    "ssm at an endpoint": ({**R, "AWS_ENDPOINT_URL_SSM": "http://127.0.0.1:9"}, {}, {"service": "ssm"}),
    "ssm in China": ({"AWS_DEFAULT_REGION": "cn-northwest-1"}, {}, {"service": "ssm"}),
    "sts": (R, {}, {"service": "sts"}),
    "sts legacy": ({**R, "AWS_STS_REGIONAL_ENDPOINTS": "legacy"}, {}, {"service": "sts"}),
    "sts legacy in a newer region": ({"AWS_DEFAULT_REGION": "eu-south-2"}, config("sts_regional_endpoints = legacy"),
                                     {"service": "sts"}),
}

# Refused by both; awsfs says these words.
REFUSED = {
    "access point of another region, not allowed": ({"AWS_DEFAULT_REGION": "us-west-2"}, config("s3_use_arn_region = false"),
                                                    {"bucket": AP}, "use_arn_region"),
    "access point of another partition": ({"AWS_DEFAULT_REGION": "cn-north-1"}, {}, {"bucket": AP}, "partition"),
    "Object Lambda with dual-stack": ({**R, "AWS_USE_DUALSTACK_ENDPOINT": "true"}, {}, {"bucket": OLAP}, "dual-stack"),
    "Outposts with FIPS": ({**R, "AWS_USE_FIPS_ENDPOINT": "true"}, {}, {"bucket": OUTPOST}, "FIPS"),
    "FIPS in China": ({"AWS_DEFAULT_REGION": "cn-north-1"}, config("use_fips_endpoint = true"), {}, "FIPS"),
    "accelerated dots": (R, config("s3 =", "  use_accelerate_endpoint = true"), {"bucket": "a.b.c"}, "accelerate"),
    "accelerated at an endpoint": (R, config("s3 =", "  use_accelerate_endpoint = true"), {"endpoint": "http://a.example"},
                                   "accelerate"),
    "accelerated directory bucket": ({**R, **NO_SESSION}, config("s3 =", "  use_accelerate_endpoint = true"),
                                     {"bucket": DIRECTORY}, "accelerate"),
    "no style": (R, config("s3 =", "  addressing_style = host"), {}, "addressing_style"),
    "multi-region access points disabled": ({**R, "AWS_S3_DISABLE_MULTIREGION_ACCESS_POINTS": "true"}, {},
                                            {"bucket": "arn:aws:s3::123456789012:accesspoint/a.mrap"}, "disable"),
}


def arguments(asked):
    listed = []
    for name, value in asked.items():
        listed += ["--" + name] if value is True else ["--" + name, value]
    return listed + ([] if asked.get("service") else ["--key", "k"])


def ask_awsfs(sandbox, asked):
    asked = {"bucket": "my-bucket", **asked} if asked.get("service", "s3") == "s3" else asked
    return sandbox.awsfs("--no-credentials", *arguments(asked))["client"]


def ask_botocore(sandbox, asked):
    """Region and URL of the first request; it is not sent."""
    service = asked.get("service", "s3")
    seen = []

    def keep(request, **_):
        seen.append(request)
        return botocore.awsrequest.AWSResponse(request.url, 200, {}, None)

    options = {"use_dualstack_endpoint": asked.get("dualstack"), "use_fips_endpoint": asked.get("fips")}
    if "addressing" in asked:
        options["s3"] = {"addressing_style": asked["addressing"]}
    client = sandbox.session(asked.get("profile")).create_client(
        service, region_name=asked.get("region"), endpoint_url=asked.get("endpoint"), aws_access_key_id="A",
        aws_secret_access_key="S", config=botocore.config.Config(**{k: v for k, v in options.items() if v}))
    client.meta.events.register("before-send", keep)
    try:
        if service == "s3":
            client.head_object(Bucket=asked.get("bucket", "my-bucket"), Key="k")
        elif service == "ssm":
            client.get_parameter(Name="k")
        else:
            client.get_caller_identity()
    except Exception:
        if not seen:
            raise
    scope = re.search(r"Credential=A/\d+/([^/]+)/", seen[0].headers["Authorization"].decode())
    return scope.group(1), seen[0].url


def set_up(sandbox, environment, files):
    sandbox.env.update(environment)
    for path, text in files.items():
        sandbox.write(path, text)


@pytest.mark.parametrize("name", SETUPS)
def test_both_choose_the_same(sandbox, name):
    environment, files, asked = SETUPS[name]
    set_up(sandbox, environment, files)
    found = ask_awsfs(sandbox, asked)
    assert found["error"] is None
    region, url = ask_botocore(sandbox, asked)
    assert (found["region"], found["url"].rstrip("/")) == (region, url.rstrip("/"))


@pytest.mark.parametrize("name", REFUSED)
def test_both_refuse(sandbox, name):
    environment, files, asked, says = REFUSED[name]
    set_up(sandbox, environment, files)
    found = ask_awsfs(sandbox, asked)
    assert found["error"] and says in found["error"]
    with pytest.raises(Exception):
        ask_botocore(sandbox, asked)


def test_where_awsfs_differs(sandbox):
    """docs/endpoints.md says why."""
    set_up(sandbox, {"AWS_REGION": "eu-west-2", "AWS_DEFAULT_REGION": "eu-west-1"}, {})
    assert ask_awsfs(sandbox, {})["region"] == "eu-west-2"
    sandbox.env.update(AWS_REGION="us-east-1")
    assert ask_awsfs(sandbox, {})["url"] == "https://my-bucket.s3.us-east-1.amazonaws.com/k"
    sandbox.env.clear()
    sandbox.env.update(HOME=str(sandbox.home), AWS_EC2_METADATA_DISABLED="true")
    assert ask_awsfs(sandbox, {})["region"] == "us-east-1"


BUCKETS = ["my-bucket", "a.b.c", "My_Bucket", "ab", "10.0.0.1", AP, AP.replace(":eu-west-1:", ":us-west-2:"), OLAP, OUTPOST,
           "test-accessp-o0b1d075431d83bebde8xz5w8ijx1qzlbp3i3kuse10--op-s3",
           "test-accessp-e0b1d075431d83bebde8xz5w8ijx1qzlbp3i3kuse10--op-s3", DIRECTORY, "ap--usw2-az1--xa-s3", "bad--x-s3"]
REGIONS = ["eu-west-1", "cn-north-1", "us-iso-east-1"]
FLAGS = [(), ("dualstack",), ("fips",), ("dualstack", "fips"), ("accelerate",), ("path",)]


def rule_set():
    loader = botocore.loaders.create_loader()
    rules = loader.load_service_model("s3", "endpoint-rule-set-1")
    return botocore.endpoint_provider.EndpointProvider(rules, loader.load_data("partitions"))


@pytest.mark.parametrize("region", REGIONS)
def test_the_rule_set_gives_the_same(sandbox, region):
    """Without the client in between that adapts some of its inputs."""
    provider = rule_set()
    differences = []
    for bucket in BUCKETS:
        for flags in FLAGS:
            sandbox.write(".aws/config", "[default]\ns3 =\n  use_accelerate_endpoint = %s\n" % ("accelerate" in flags))
            # By path is not legal for these; botocore's client ignores the wish, awsfs says so.
            path = "path" in flags
            if path and (":" in bucket or bucket.endswith("-s3")):
                continue
            listed = ["--region", region, "--bucket", bucket] + ["--" + f for f in flags if f in ("dualstack", "fips")]
            found = sandbox.awsfs("--no-credentials", *listed, *(["--addressing", "path"] if path else []))["client"]
            try:
                expected = provider.resolve_endpoint(
                    Bucket=bucket, Region=region, UseFIPS="fips" in flags, UseDualStack="dualstack" in flags,
                    Accelerate="accelerate" in flags, ForcePathStyle=path, UseGlobalEndpoint=False, UseArnRegion=True,
                    DisableMultiRegionAccessPoints=False)
            except Exception as refusal:
                expected = refusal
            # The rules ignore there what awsfs refuses.
            if isinstance(expected, Exception) or (flags and bucket.endswith("--op-s3")):
                same = found["error"] is not None
            else:
                schemes = expected.properties["authSchemes"]
                same = (not found["error"] and urllib.parse.unquote(found["url"].rstrip("/")) == expected.url
                        and found["region"] in [s.get("signingRegion") for s in schemes])
            if not same:
                differences.append((bucket, flags, str(expected), found))
    assert not differences, "\n".join(map(str, differences))
