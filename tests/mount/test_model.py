"""Random operations on a mount give what they give on a local disk."""
import random

import pytest

from support.model import Model


@pytest.fixture
def model(origin, bucket, mount, tmp_path, rng):
    """model(option=value, ...): a mount beside an empty local directory."""
    def make(**options):
        local = tmp_path / "local"
        local.mkdir()
        return Model(mount(bucket(origin), **options), local, random.Random(rng.random()))
    return make


def test_a_sample_of_random_operations_gives_what_a_disk_gives(model):
    model().run(3_000, remounts=3)


def test_random_operations_with_every_name_asked_for_again_give_what_a_disk_gives(model):
    model(ttl=0).run(1_000, remounts=1)


def test_random_operations_with_write_back_give_what_a_disk_gives(model):
    model(write="back", ttl=0).run(2_000, remounts=3)


@pytest.mark.long
@pytest.mark.timeout(5400)
@pytest.mark.parametrize("write", ["through", "back"])
def test_a_million_random_operations_give_what_a_disk_gives(model, write):
    model(write=write).run(1_000_000, remounts=200)
