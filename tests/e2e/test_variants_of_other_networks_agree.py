"""Networks of attention, of sequences, tables and sciences traced, scripted, frozen and exported."""

import pytest
import torch
from torch._dynamo.exc import UserError

from tests.support.onnx_models import architecture
from tests.support.variant_suite import VariantSuite, networks
from tests.support.variants import FILES, FREE_BATCH, ONE_BATCH_SIZE, UNSCRIPTABLE, file_of, forms_of
from tests.support.zoo import ARCHITECTURES
from tests.support.zoo.scientific import SCIENTIFIC
from tests.support.zoo.sequences import SEQUENCES
from tests.support.zoo.tabular import TABULAR
from tests.support.zoo.transformers import TRANSFORMERS


@networks(TRANSFORMERS | SEQUENCES | TABULAR | SCIENTIFIC)
class TestOtherNetworks(VariantSuite):
    pass


@pytest.mark.parametrize(("name", "reason"), UNSCRIPTABLE.items())
@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_scripted_still_cannot(name: str, reason: str) -> None:
    """Refused by the compiler, or by the compiled network itself: it is the first call that raises then."""
    module, inputs = architecture(name)
    with pytest.raises(Exception, match=reason):
        torch.jit.script(module)(*inputs)


@pytest.mark.parametrize(("name", "reason"), ONE_BATCH_SIZE.items())
@pytest.mark.filterwarnings("ignore")
def test_what_cannot_be_exported_for_any_batch_size_still_cannot(name: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        file_of(name, FREE_BATCH)


def test_thirty_and_more_networks_are_compared_each_in_four_forms_or_more() -> None:
    assert len(ARCHITECTURES) >= 30
    assert min(len(forms_of(name)) for name in ARCHITECTURES) == 4
    assert set(UNSCRIPTABLE) | set(ONE_BATCH_SIZE) <= set(ARCHITECTURES)
    assert set().union(*(forms_of(name) for name in ARCHITECTURES)) == set(FILES)
