"""Names that other tools have for Transom's keys and values, so that a message can say ours.

Hugging Face's `TrainingArguments`, its configurations of models and example scripts, PEFT, Keras, and Lightning.
"""

from __future__ import annotations

KEYS = {
    "author": "card.author",
    "backbone": "model.preset",
    "bf16": "train.precision: mixed_bfloat16",
    "early_stopping_patience": "train.early_stopping",
    "evaluation_file": "data.eval",
    "fp16": "train.precision: mixed_float16",
    "framework": "train.backend",
    "gradient_accumulation_steps": "train.accumulate",
    "gradient_checkpointing": "train.remat",
    "gradient_clip_val": "train.clip_norm",
    "hidden_size": "model.width",
    "jit_compile": "train.xla",
    "language": "card.languages",
    "licence": "card.licence",
    "license": "card.licence",
    "label_column": "task.label",
    "label_smoothing_factor": "train.label_smoothing",
    "lora_r": "model.lora_rank",
    "lr": "train.learning_rate",
    "lr_scheduler_type": "train.schedule",
    "max_epochs": "train.epochs",
    "max_grad_norm": "train.clip_norm",
    "max_seq_length": "tokenizer.max_length",
    "metric_for_best_model": "train.metric",
    "mixed_precision": "train.precision",
    "model_name_or_path": "model.preset",
    "num_attention_heads": "model.num_heads",
    "num_gpus": "train.devices",
    "num_hidden_layers": "model.num_layers",
    "num_train_epochs": "train.epochs",
    "output_dir": "output",
    "patience": "train.early_stopping",
    "per_device_train_batch_size": "train.batch_size",
    "per_gpu_train_batch_size": "train.batch_size",
    "pretrained_model_name_or_path": "model.preset",
    "rank": "model.lora_rank",
    "save_steps": "train.checkpoint_steps",
    "test_file": "data.test",
    "text_column": "task.text",
    "train_batch_size": "train.batch_size",
    "train_file": "data.train",
    "validation_file": "data.eval",
    "vocab_size": "tokenizer.vocabulary_size",
    "warmup_ratio": "train.warmup",
    "warmup_steps": "train.warmup, a share of the steps",
}
"""The last part of a key to what Transom has for it."""

VALUES = {
    "16": "mixed_float16",
    "16-mixed": "mixed_float16",
    "32": "float32",
    "bf16": "mixed_bfloat16",
    "bf16-mixed": "mixed_bfloat16",
    "bfloat16": "mixed_bfloat16",
    "ddp": "mirrored",
    "float16": "mixed_float16",
    "fp16": "mixed_float16",
    "fp32": "float32",
    "full": "float32",
    "half": "mixed_float16",
    "pytorch": "torch",
    "tf": "tensorflow",
}
"""In lower case, for a key with a few possible values."""
