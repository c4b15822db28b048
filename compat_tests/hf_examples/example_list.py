"""The example scripts that must run unchanged, with their commands.

``{models}``, ``{data}``, ``{images}`` and ``{out}`` in a command are folders of `example_fixtures`
and of the run. Beyond what a user would type, a command asks for every loss to be logged, and for a
learning rate at which a tiny model learns something within the run.
"""

from __future__ import annotations

from dataclasses import dataclass

TRAINER = "--logging_steps 1 --learning_rate 1e-3 --report_to none"
TRACKED = "--with_tracking --report_to tensorboard --learning_rate 1e-3"
TEXTS = "--train_file {data}/sample_text.txt --validation_file {data}/sample_text.txt"
PAIRS = "--train_file {data}/MRPC/train.csv --validation_file {data}/MRPC/dev.csv"


@dataclass(frozen=True)
class Example:
    script: str  # below examples/pytorch, trl/scripts or examples
    command: str
    # What the run must leave in its output folder.
    leaves: tuple[str, ...] = ("all_results.json", "model.safetensors")
    origin: str = "transformers"  # or trl or peft

    @property
    def name(self) -> str:
        return self.script.rpartition("/")[2].removesuffix(".py")

    def arguments(self, places: dict[str, str]) -> list[str]:
        """Return the command's words with ``places`` filled in; quotes hold words together."""
        import shlex

        return [word.format(**places) for word in shlex.split(self.command)]


RESULTS = ("all_results.json", "train_results.json", "eval_results.json", "trainer_state.json")
ADAPTER = ("adapter_config.json", "adapter_model.safetensors")
TRAINED = (*RESULTS, "model.safetensors", "README.md")

EXAMPLES = (
    Example(
        "language-modeling/run_clm.py",
        f"--model_name_or_path {{models}}/gpt2 {TEXTS} --do_train --do_eval --block_size 64 "
        "--per_device_train_batch_size 4 --num_train_epochs 2 --use_cpu --output_dir {out} "
        + TRAINER,
        TRAINED,
    ),
    Example(
        "language-modeling/run_clm_no_trainer.py",
        f"--model_name_or_path {{models}}/gpt2 {TEXTS} --block_size 64 "
        "--per_device_train_batch_size 4 --num_train_epochs 4 --seed 42 --output_dir {out} "
        + TRACKED,
    ),
    Example(
        "text-classification/run_glue.py",
        f"--model_name_or_path {{models}}/bert {PAIRS} --do_train --do_eval --max_seq_length 64 "
        "--max_steps 10 --seed 42 --use_cpu --output_dir {out} " + TRAINER,
        TRAINED,
    ),
    Example(
        "text-classification/run_glue_no_trainer.py",
        f"--model_name_or_path {{models}}/bert {PAIRS} --num_train_epochs 4 "
        f"--per_device_train_batch_size 2 --seed 42 --output_dir {{out}} {TRACKED}",
    ),
    Example(
        "language-modeling/run_mlm.py",
        f"--model_name_or_path {{models}}/bert {TEXTS} --do_train --do_eval "
        "--prediction_loss_only --max_seq_length 64 --num_train_epochs 1 --use_cpu "
        "--output_dir {out} " + TRAINER,
        TRAINED,
    ),
    Example(
        "multiple-choice/run_swag.py",
        "--model_name_or_path {models}/bert --train_file {data}/swag/sample.json "
        "--validation_file {data}/swag/sample.json --max_steps 20 --do_train --do_eval --use_cpu "
        "--output_dir {out} " + TRAINER,
        TRAINED,
    ),
    Example(
        "text-generation/run_generation.py",
        "--model_type gpt2 --model_name_or_path {models}/gpt2 --prompt Hello --length 10 "
        "--seed 42 --use_cpu --num_return_sequences 4",
        (),
    ),
    Example(
        "image-classification/run_image_classification.py",
        "--model_name_or_path {models}/vit --train_dir {images}/train "
        "--validation_dir {images}/val --do_train --do_eval --remove_unused_columns False "
        "--ignore_mismatched_sizes True --max_steps 5 --use_cpu --output_dir {out} " + TRAINER,
        TRAINED,
    ),
    Example(
        "text-classification/run_classification.py",
        f"--model_name_or_path {{models}}/bert {PAIRS} --text_column_names sentence1,sentence2 "
        "--label_column_name label --metric_name accuracy --shuffle_train_dataset --do_train "
        "--do_eval --max_seq_length 64 --max_steps 10 --use_cpu --output_dir {out} " + TRAINER,
        TRAINED,
    ),
    Example(
        "language-modeling/run_mlm_no_trainer.py",
        f"--model_name_or_path {{models}}/bert {TEXTS} --max_seq_length 64 --num_train_epochs 3 "
        "--seed 42 --output_dir {out} " + TRACKED,
    ),
    Example(
        "multiple-choice/run_swag_no_trainer.py",
        "--model_name_or_path {models}/bert --train_file {data}/swag/sample.json "
        "--validation_file {data}/swag/sample.json --num_train_epochs 3 --seed 42 "
        "--per_device_train_batch_size 4 --output_dir {out} " + TRACKED,
    ),
    Example(
        "image-classification/run_image_classification_no_trainer.py",
        "--model_name_or_path {models}/vit --dataset_name {images} --num_train_epochs 3 --seed 42 "
        "--ignore_mismatched_sizes --output_dir {out} " + TRACKED,
    ),
    Example(
        "sft.py",
        "--model_name_or_path {models}/llama --dataset_name {data}/chat --use_peft --lora_r 4 "
        "--max_steps 5 --use_cpu --bf16 False --output_dir {out} " + TRAINER,
        ADAPTER,
        "trl",
    ),
    Example(
        "olora_finetuning/olora_finetuning.py",
        "--base_model {models}/llama --data_path {data}/alpaca --batch_size 4 --num_epochs 1 "
        "--val_set_size 4 --seed 42 --dtype float32 --device_map cpu --lora_r 8 "
        "--eval_step 3 --save_step 3 --output_dir {out}",
        ADAPTER,
        "peft",
    ),
)
