import pytest
import transformers
from harness import TINY, batch, check_causal_lm, check_head, close, run_both

from hfpaddle.core.errors import UnsupportedConfigError
from hfpaddle.models.gptj import GPTJForCausalLM


@pytest.mark.parametrize("rotary_dim", [4, 8])
def test_gptj(rotary_dim, tmp_path):
    theirs, ours = check_causal_lm("gptj", tmp_path, rotary_dim=rotary_dim)
    ids, mask = batch()
    types = {"input_ids": ids, "attention_mask": mask, "token_type_ids": ids % 3}
    got, want = run_both(theirs, ours, **types)
    close(got.logits[1:], want.logits[1:], "logits with token types")


def test_gptj_tied(tmp_path):
    options = {"n_inner": 40, "activation_function": "relu", "layer_norm_epsilon": 1e-3}
    check_causal_lm("gptj", tmp_path, rotary_dim=2, tie_word_embeddings=True, **options)


def test_gptj_refuses_other_rotary_sizes():
    with pytest.raises(UnsupportedConfigError, match="rotary_dim=16"):
        GPTJForCausalLM(transformers.GPTJConfig(**TINY, rotary_dim=16))


@pytest.mark.parametrize("head", ["SequenceClassification", "QuestionAnswering"])
def test_gptj_heads(head, tmp_path):
    check_head("gptj", f"AutoModelFor{head}", tmp_path, rotary_dim=4)
