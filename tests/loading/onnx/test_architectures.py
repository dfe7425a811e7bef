"""Convolutional networks by both exporters, and that the whole zoo covers what it should."""

from tests.support.architecture_suite import ArchitectureSuite, exports_of
from tests.support.zoo import ARCHITECTURES
from tests.support.zoo.convolutional import CONVOLUTIONAL
from tests.support.zoo.mobile import MOBILE


@exports_of(CONVOLUTIONAL | MOBILE)
class TestConvolutionalNetworks(ArchitectureSuite):
    pass


def test_both_exporters_write_every_network_and_every_opset_occurs() -> None:
    older = {opset for member in ARCHITECTURES.values() for opset in member.torchscript}
    newer = {opset for member in ARCHITECTURES.values() for opset in member.dynamo}
    assert older == set(range(11, 21))
    assert newer == set(range(18, 24))
    # The newer exporter does not keep loops, the older one does so where the network is scripted.
    assert [name for name, member in ARCHITECTURES.items() if not (member.torchscript and member.dynamo)] == [
        "recurrence"
    ]
