"""Transformers and their relatives by both exporters."""

from tests.support.architecture_suite import ArchitectureSuite, exports_of
from tests.support.zoo.transformers import TRANSFORMERS


@exports_of(TRANSFORMERS)
class TestAttentionNetworks(ArchitectureSuite):
    pass
