"""How we look at a matrix: Lanczos, quadrature, traces, norms, summaries of spectra, sampling error.

Everything here is a plain function of a ``LinearOperator`` or of tensors; results are frozen and carry their error and
outcome. Nothing here knows networks, probe sets or the names of a report.
"""

from eigengate.estimators._block_trace import block_trace
from eigengate.estimators._hutchpp import hutchpp
from eigengate.estimators._lanczos import Eigenpairs, Ends, ExtremeEigenpairs, lanczos
from eigengate.estimators._randomized_svd import LowRank, randomized_svd
from eigengate.estimators._slq import slq
from eigengate.estimators._spectral_norm import SpectralNorm, spectral_norm
from eigengate.estimators.estimate import Estimate
from eigengate.estimators.resampling import (
    bootstrap_mean_interval,
    influence_interval,
    jackknife_interval,
    log_jackknife_interval,
)
from eigengate.estimators.spectra import Spectra, kernel_summaries, singular_summaries
from eigengate.estimators.spectral_measure import SpectralMeasure

__all__ = [
    "Eigenpairs",
    "Ends",
    "Estimate",
    "ExtremeEigenpairs",
    "LowRank",
    "Spectra",
    "SpectralMeasure",
    "SpectralNorm",
    "block_trace",
    "bootstrap_mean_interval",
    "hutchpp",
    "influence_interval",
    "jackknife_interval",
    "kernel_summaries",
    "lanczos",
    "log_jackknife_interval",
    "randomized_svd",
    "singular_summaries",
    "slq",
    "spectral_norm",
]
