"""A training script as users write it: nothing in it knows of Paddle."""

import sys

import torch
from peft import LoraConfig, TaskType, get_peft_model, get_peft_model_state_dict
from torch.utils.data import DataLoader
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    get_linear_schedule_with_warmup,
    set_seed,
)

set_seed(42)
sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
config = LlamaConfig(vocab_size=64, num_attention_heads=4, num_key_value_heads=2, **sizes)
model = AutoModelForCausalLM.from_config(config)
peft_config = LoraConfig(task_type=TaskType.CAUSAL_LM, inference_mode=False, r=8, lora_alpha=32)
model = get_peft_model(model, peft_config)
model.print_trainable_parameters()
print(sum(p.numel() for p in model.parameters() if p.requires_grad))
print(len(list(model.named_parameters())), [name for name, _ in model.named_modules()][5])

ids = torch.randint(0, 64, (8, 12), generator=torch.Generator().manual_seed(1))
shuffled = torch.Generator().manual_seed(3)
loader = DataLoader(ids, batch_size=4, shuffle=True, generator=shuffled)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
schedule = get_linear_schedule_with_warmup(optimizer, 0, 20)
model.train()
for epoch in range(3):
    total = 0
    for batch in loader:
        loss = model(input_ids=batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        total += loss.detach().float()
    print(f"epoch {epoch}: {(total / len(loader)).item():.5f}")

model.save_pretrained(sys.argv[1])
tensors = get_peft_model_state_dict(model)
print(
    len(tensors), sorted(tensors)[0], f"{sum(v.abs().sum().item() for v in tensors.values()):.3f}"
)
model.eval()
with torch.no_grad():
    before = model(input_ids=ids[:2]).logits
    merged = model.merge_and_unload()
    after = merged(input_ids=ids[:2]).logits
print(torch.allclose(before, after, atol=1e-4), len(merged.state_dict()))
print(isinstance(merged.model.layers[0].self_attn.q_proj, torch.nn.Linear))
