"""Instructions for an Accelerator with an adapter, dropout and accumulation; knows of no Paddle."""

import sys

import torch
from accelerate import Accelerator
from peft import LoraConfig, get_peft_model
from torch.utils.data import DataLoader
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    get_cosine_schedule_with_warmup,
    set_seed,
)

set_seed(7)
accelerator = Accelerator(gradient_accumulation_steps=2, cpu=True)
sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
base = LlamaConfig(vocab_size=64, num_attention_heads=4, num_key_value_heads=2, **sizes)
model = AutoModelForCausalLM.from_config(base)
config = LoraConfig(
    task_type="CAUSAL_LM", r=4, lora_dropout=0.1, target_modules="all-linear",
    trainable_token_indices=[3, 5], use_rslora=True,
)  # fmt: skip
model = get_peft_model(model, config)
model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
ids = torch.randint(0, 64, (12, 10), generator=torch.Generator().manual_seed(1))
loader = DataLoader(ids, batch_size=2, shuffle=True, generator=torch.Generator().manual_seed(3))
trained = [param for param in model.parameters() if param.requires_grad]
optimizer = torch.optim.AdamW(trained, lr=1e-2)
schedule = get_cosine_schedule_with_warmup(optimizer, 2, 12)
model, optimizer, loader, schedule = accelerator.prepare(model, optimizer, loader, schedule)
model.train()
for epoch in range(3):
    total = 0.0
    for batch in loader:
        with accelerator.accumulate(model):
            loss = model(input_ids=batch, labels=batch).loss
            accelerator.backward(loss)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
        total += accelerator.gather(loss.detach()).mean().item()
    accelerator.print(f"epoch {epoch}: {total / len(loader):.4f}")
plain = accelerator.unwrap_model(model)
plain.save_pretrained(sys.argv[1])
plain.eval()
found = plain.generate(input_ids=ids[:2, :4], max_new_tokens=5, do_sample=False)
print(found.tolist())
