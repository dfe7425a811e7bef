"""Convolutional networks traced, scripted, frozen and exported: one network, one set of measurements."""

from tests.support.variant_suite import VariantSuite, networks
from tests.support.zoo.convolutional import CONVOLUTIONAL
from tests.support.zoo.dense_prediction import DENSE_PREDICTION
from tests.support.zoo.mobile import MOBILE


@networks(CONVOLUTIONAL | MOBILE | DENSE_PREDICTION)
class TestConvolutionalNetworks(VariantSuite):
    pass
