"""Published architectures in miniature, one file per family, each exported by both of torch's exporters."""

from collections.abc import Mapping

from tests.support.zoo.architecture import Architecture
from tests.support.zoo.convolutional import CONVOLUTIONAL
from tests.support.zoo.dense_prediction import DENSE_PREDICTION
from tests.support.zoo.mobile import MOBILE
from tests.support.zoo.scientific import SCIENTIFIC
from tests.support.zoo.sequences import SEQUENCES
from tests.support.zoo.tabular import TABULAR
from tests.support.zoo.transformers import TRANSFORMERS

ARCHITECTURES: Mapping[str, Architecture] = (
    CONVOLUTIONAL | MOBILE | TRANSFORMERS | DENSE_PREDICTION | SEQUENCES | TABULAR | SCIENTIFIC
)
__all__ = ["ARCHITECTURES", "Architecture"]
