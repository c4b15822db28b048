"""Mirror of ``transformers.modeling_outputs``."""

from hfpaddle.modeling.outputs import *  # noqa: F403
