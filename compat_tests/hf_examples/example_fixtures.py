"""Models, data and metrics of the example scripts: ``python example_fixtures.py FOLDER``.

Runs in the environment with the original libraries, which write the models. All text is made from
templates by a seeded generator, so two runs write the same files.
"""

from __future__ import annotations

import csv
import json
import random
import sys
from pathlib import Path

ANIMALS = "cat dog horse sheep rabbit fox crow goose".split()
PLACES = "garden kitchen barn forest river market station harbour".split()
DEEDS = "sleeps waits runs hides eats sings looks walks".split()
TIMES = "in the morning|at noon|after the rain|before dinner|on Sunday|every winter".split("|")
COLOURS = {"red": (200, 40, 40), "green": (40, 180, 60), "blue": (40, 60, 210)}

ACCURACY = '''"""Share of right predictions. evaluate takes a local folder before the hub's."""

import datasets
import evaluate
import numpy as np


class Accuracy(evaluate.Metric):
    def _info(self):
        label = datasets.Value("int64")
        return evaluate.MetricInfo(
            description="Share of predictions that equal their reference.",
            citation="",
            features=datasets.Features({"predictions": label, "references": label}),
        )

    def _compute(self, predictions, references):
        return {"accuracy": float(np.mean(np.array(predictions) == np.array(references)))}
'''


def sentence(draw: random.Random) -> str:
    """Return one sentence of the little language of these fixtures."""
    who, where, deed = draw.choice(ANIMALS), draw.choice(PLACES), draw.choice(DEEDS)
    when = draw.choice(TIMES)
    return draw.choice(
        (
            f"The {who} {deed} near the {where} {when}.",
            f"{when.capitalize()} a {who} {deed} in the {where}.",
            f"Nobody knows why the {who} {deed} {when}, but the {where} is quiet.",
            f"There is a {who} by the {where}; it {deed} {when}.",
        )
    )


def write_text(folder: Path) -> Path:
    """Write sample_text.txt: paragraphs of a few sentences, one a line."""
    draw = random.Random(1)
    path = folder / "sample_text.txt"
    lines = [" ".join(sentence(draw) for _ in range(draw.randint(2, 5))) for _ in range(90)]
    path.write_text("\n".join(lines) + "\n")
    return path


def write_pairs(path: Path, rows: int, seed: int) -> None:
    """Write sentence pairs with label 1 where the second says the first again."""
    draw = random.Random(seed)
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["label", "sentence1", "sentence2"])
        for _ in range(rows):
            first, same = sentence(draw), draw.randint(0, 1)
            second = f"It is said: {first}" if same else sentence(draw)
            table.writerow([same, first, second])


def write_choices(path: Path, rows: int) -> None:
    """Write questions with four endings in the columns of SWAG."""
    draw = random.Random(3)
    with path.open("w") as file:
        for row in range(rows):
            who, endings = draw.choice(ANIMALS), draw.sample(PLACES, 4)
            label = draw.randrange(4)
            asked = {"sent1": f"A {who} goes to the {endings[label]}.", "sent2": "It stays"}
            asked["startphrase"] = f"{asked['sent1']} {asked['sent2']}"
            asked |= {f"ending{i}": f"in the {place}." for i, place in enumerate(endings)}
            line = {"video-id": f"made-{row}", "fold-ind": str(row), **asked}
            file.write(json.dumps({**line, "gold-source": "gold", "label": label}) + "\n")


def write_images(folder: Path, each: int, seed: int) -> None:
    """Write a folder of noisy squares for each colour."""
    import numpy as np
    from PIL import Image

    draw = np.random.default_rng(seed)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for number in range(each):
            height, width = draw.integers(36, 60, 2)
            noise = draw.integers(-40, 40, (height, width, 3))
            pixels = np.clip(np.array(colour) + noise, 0, 255).astype("uint8")
            Image.fromarray(pixels).save(folder / name / f"{number}.png")


def write_gpt2(folder: Path, text: Path) -> None:
    import tokenizers
    import transformers

    end = "<|endoftext|>"
    pieces = tokenizers.ByteLevelBPETokenizer()
    pieces.train([str(text)], vocab_size=420, special_tokens=[end], show_progress=False)
    folder.mkdir(parents=True)
    pieces.save_model(str(folder))
    tokenizer = transformers.GPT2TokenizerFast.from_pretrained(folder)
    tokenizer.save_pretrained(folder)
    token = tokenizer.convert_tokens_to_ids(end)
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=128,
        n_embd=48,
        n_layer=2,
        n_head=4,
        bos_token_id=token,
        eos_token_id=token,
    )
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)


def write_bert(folder: Path, text: Path) -> None:
    import tokenizers
    import transformers

    pieces = tokenizers.BertWordPieceTokenizer()
    pieces.train([str(text)], vocab_size=300, show_progress=False)
    folder.mkdir(parents=True)
    pieces.save_model(str(folder))
    tokenizer = transformers.BertTokenizerFast.from_pretrained(folder, model_max_length=128)
    tokenizer.save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=128,
    )
    transformers.BertForMaskedLM(config).save_pretrained(folder)


CHAT = (
    "{% for turn in messages %}<|{{ turn['role'] }}|>{{ turn['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def write_llama(folder: Path, text: Path) -> None:
    """Write a llama with a chat template and no padding token, as its tokenizers have none."""
    import tokenizers
    import transformers

    special = ["<|end|>", "<|user|>", "<|assistant|>"]
    pieces = tokenizers.ByteLevelBPETokenizer()
    pieces.train([str(text)], vocab_size=420, special_tokens=special, show_progress=False)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=pieces._tokenizer, eos_token="<|end|>", model_max_length=128
    )
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(folder)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)


def write_chats(folder: Path, rows: int) -> None:
    """Write questions with answers, as chats and in the columns of Alpaca."""
    draw = random.Random(8)
    chats, tasks = [], []
    for _ in range(rows):
        asked, said = f"What does the {draw.choice(ANIMALS)} do?", sentence(draw)
        turns = (("user", asked), ("assistant", said))
        chats.append({"messages": [{"role": role, "content": text} for role, text in turns]})
        tasks.append({"instruction": asked, "input": draw.choice(("", said)), "output": said})
    for name, lines in (("chat", chats), ("alpaca", tasks)):
        (folder / name).mkdir()
        path = folder / name / "train.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def write_t5(folder: Path, tokenizer: Path) -> None:
    """Write an encoder-decoder for the WordPiece tokenizer that lies in ``tokenizer``."""
    import transformers

    pieces = transformers.AutoTokenizer.from_pretrained(tokenizer)
    pieces.save_pretrained(folder)
    config = transformers.T5Config(
        vocab_size=len(pieces),
        d_model=48,
        d_kv=12,
        d_ff=64,
        # Where relu bends, a last bit decides: torch's own levels of instructions then part.
        feed_forward_proj="gated-gelu",
        num_layers=2,
        num_heads=4,
        pad_token_id=pieces.pad_token_id,
        eos_token_id=pieces.sep_token_id,
        decoder_start_token_id=pieces.cls_token_id,
    )
    transformers.T5ForConditionalGeneration(config).save_pretrained(folder)


def write_vit(folder: Path) -> None:
    """Write a model for two classes: the script must replace its head for three."""
    import transformers

    config = transformers.ViTConfig(
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        image_size=32,
        patch_size=8,
    )
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    size = {"height": 32, "width": 32}
    processor = transformers.ViTImageProcessorPil(size=size)
    processor.save_pretrained(folder)


def write_all(folder: Path) -> None:
    """Write models/, data/, images/{train,val} and metrics/accuracy in ``folder``.

    Raises: FileExistsError if an earlier call left something there.
    """
    import torch

    torch.manual_seed(0)
    data = folder / "data"
    for name in ("MRPC", "swag"):
        (data / name).mkdir(parents=True)
    text = write_text(data)
    write_pairs(data / "MRPC" / "train.csv", 24, 4)
    write_pairs(data / "MRPC" / "dev.csv", 10, 5)
    write_choices(data / "swag" / "sample.json", 24)
    write_chats(data, 40)
    write_images(folder / "images" / "train", 12, 6)
    write_images(folder / "images" / "val", 4, 7)
    accuracy = folder / "metrics" / "accuracy"
    accuracy.mkdir(parents=True)
    (accuracy / "accuracy.py").write_text(ACCURACY)
    write_gpt2(folder / "models" / "gpt2", text)
    write_bert(folder / "models" / "bert", text)
    write_vit(folder / "models" / "vit")
    write_llama(folder / "models" / "llama", text)


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
