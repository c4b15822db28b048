"""Text generation for any model with a language-model head: `GenerationMixin.generate`.

A model that derives from the mixin and whose forward pass returns ``logits`` and
``past_key_values`` gets greedy search, sampling, beam search and assisted decoding with the
original library's arguments, results and tokens.
"""

from hfpaddle.generation.candidate_generator import (
    AssistedCandidateGenerator,
    CandidateGenerator,
    PromptLookupCandidateGenerator,
)
from hfpaddle.generation.logits_process import *  # noqa: F403
from hfpaddle.generation.logits_process import __all__ as _processors
from hfpaddle.generation.output import (
    GenerateBeamDecoderOnlyOutput,
    GenerateBeamEncoderDecoderOutput,
    GenerateDecoderOnlyOutput,
    GenerateEncoderDecoderOutput,
)
from hfpaddle.generation.stopping_criteria import (
    ConfidenceCriteria,
    EosTokenCriteria,
    MaxLengthCriteria,
    MaxTimeCriteria,
    StoppingCriteria,
    StoppingCriteriaList,
    StopStringCriteria,
    validate_stopping_criteria,
)
from hfpaddle.generation.utils import GenerationMixin

__all__ = [
    "AssistedCandidateGenerator",
    "CandidateGenerator",
    "ConfidenceCriteria",
    "EosTokenCriteria",
    "GenerateBeamDecoderOnlyOutput",
    "GenerateBeamEncoderDecoderOutput",
    "GenerateDecoderOnlyOutput",
    "GenerateEncoderDecoderOutput",
    "GenerationMixin",
    "MaxLengthCriteria",
    "MaxTimeCriteria",
    "PromptLookupCandidateGenerator",
    "StopStringCriteria",
    "StoppingCriteria",
    "StoppingCriteriaList",
    "validate_stopping_criteria",
    *_processors,
]
