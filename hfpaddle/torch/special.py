"""``torch.special``: special functions, under the names that torch gives them here."""

from hfpaddle.torch._pointwise import FUNCTIONS
from hfpaddle.torch._reduce import log_softmax, logsumexp, softmax

_NAMES = "digamma erf erfinv expm1 i0 log1p logit sinc round xlogy".split()
globals().update({name: FUNCTIONS[name] for name in _NAMES})
expit, gammaln, psi = FUNCTIONS["sigmoid"], FUNCTIONS["lgamma"], FUNCTIONS["digamma"]

__all__ = [*_NAMES, "expit", "gammaln", "log_softmax", "logsumexp", "psi", "softmax"]
