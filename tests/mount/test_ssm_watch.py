"""Changes by others told by events in a queue: moto has the queue, the test is EventBridge."""
import errno
import json
import os
import time

import pytest

from support import servers
from support.buckets import Parameters
from support.mounts import MountFailed
from support.work import errno_of, wait_until


@pytest.fixture
def queue(moto):
    sqs = moto.client("sqs")
    url = sqs.create_queue(QueueName="watch-%d-%d" % (os.getpid(), time.monotonic_ns()))["QueueUrl"]
    return sqs, moto.endpoint + url[url.index("/", 9):]


def event(name, operation, wrapped=False):
    body = json.dumps({"version": "0", "source": "aws.ssm", "detail-type": "Parameter Store Change", "account": "123456789012",
                       "region": "us-east-1", "resources": ["arn:aws:ssm:us-east-1:123456789012:parameter" + name],
                       "detail": {"operation": operation, "name": name, "type": "String", "description": ""}})
    return json.dumps({"Type": "Notification", "Message": body}) if wrapped else body


@pytest.fixture
def watched(moto, queue, mount):
    witness = Parameters(moto)
    sqs, url = queue

    def say(name, operation, **more):
        sqs.send_message(QueueUrl=url, MessageBody=event(witness.root + "/" + name, operation, **more))

    def make(values, **options):
        disk = mount(witness.plant(values), ssm_rate=1000, ttl="inf", ssm_watch=url, **options)
        disk.say = say
        return disk
    return make


@pytest.mark.parametrize("wrapped", [False, True])
def test_an_update_by_others_shows_at_once_although_the_ttl_never_ends(watched, queue, wrapped):
    disk = watched({"d/p": "one", "q": "same"})
    assert sorted(os.listdir(disk.path)) == ["d", "q"] and (disk / "d" / "p").read_text() == "one"
    before = os.stat(disk / "d" / "p").st_mtime_ns
    disk.parameters.put("d/p", "two longer")
    assert (disk / "d" / "p").read_text() == "one"
    disk.say("d/p", "Update", wrapped=wrapped)
    wait_until(lambda: (disk / "d" / "p").read_text() == "two longer")
    assert os.stat(disk / "d" / "p").st_mtime_ns != before and os.stat(disk / "d" / "p").st_size == 10
    sqs, url = queue
    wait_until(lambda: sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"][
        "ApproximateNumberOfMessagesNotVisible"] == "0", 10)


def test_what_others_make_and_delete_shows_in_listings(watched):
    disk = watched({"d/p": "one"})
    assert os.listdir(disk.path) == ["d"] and os.listdir(disk / "d") == ["p"]
    assert errno_of(os.stat, disk / "d" / "new") == errno.ENOENT and errno_of(os.stat, disk / "e") == errno.ENOENT
    disk.parameters.put("d/new", "n")
    disk.say("d/new", "Create")
    wait_until(lambda: sorted(os.listdir(disk / "d")) == ["new", "p"])
    assert (disk / "d" / "new").read_text() == "n"
    disk.parameters.delete("d/p")
    disk.say("d/p", "Delete")
    wait_until(lambda: os.listdir(disk / "d") == ["new"])
    assert errno_of(os.stat, disk / "d" / "p") == errno.ENOENT
    disk.parameters.put("e/deep/er", "x")
    disk.say("e/deep/er", "Create")
    wait_until(lambda: sorted(os.listdir(disk.path)) == ["d", "e"])
    assert (disk / "e" / "deep" / "er").read_text() == "x"


def test_what_is_no_event_is_taken_out_of_the_queue_and_does_no_harm(watched, queue):
    disk = watched({"p": "one"})
    assert (disk / "p").read_text() == "one"
    sqs, url = queue
    for body in ("no json", "{}", '{"source": "aws.s3"}', event("p" * 5000, "Update"), event("", "Update"), event("/other/tree", "Create")):
        sqs.send_message(QueueUrl=url, MessageBody=body)
    disk.parameters.put("p", "two")
    disk.say("p", "Update")
    wait_until(lambda: (disk / "p").read_text() == "two")


def test_a_queue_that_is_not_there_is_told_once_and_stops_nothing(moto, mount):
    witness = Parameters(moto)
    witness.put("p", "one")
    disk = mount(witness, ssm_watch=moto.endpoint + "/123456789012/none")
    wait_until(lambda: "by ttl= only" in disk.log())
    assert (disk / "p").read_text() == "one"
    time.sleep(2.5)
    assert disk.log().count("by ttl= only") == 1 and servers.SECRET not in disk.log()


@pytest.mark.parametrize("url", ["queue", "https://sqs.eu-west-1.amazonaws.com", "https://sqs.eu-west-1.amazonaws.com/name"])
def test_what_is_no_queue_is_refused_before_anything_is_mounted(moto, mount, url):
    with pytest.raises(MountFailed, match="ssm_watch"):
        mount(Parameters(moto), ssm_watch=url)
