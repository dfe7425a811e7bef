"""Networks over time, tables and graphs, and networks whose output is an image, by both exporters."""

from tests.support.architecture_suite import ArchitectureSuite, exports_of
from tests.support.zoo.dense_prediction import DENSE_PREDICTION
from tests.support.zoo.scientific import SCIENTIFIC
from tests.support.zoo.sequences import SEQUENCES
from tests.support.zoo.tabular import TABULAR


@exports_of(SEQUENCES | TABULAR | SCIENTIFIC | DENSE_PREDICTION)
class TestOtherNetworks(ArchitectureSuite):
    pass
