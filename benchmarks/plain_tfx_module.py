"""The module file of `plain_tfx.py`, for TFX's Transform and Trainer."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import DataAccessor, FnArgs
from tfx_bsl.public import tfxio

LENGTH, VOCABULARY, WIDTH, HEADS, INNER, LAYERS, BATCH = 128, 8_000, 16, 2, 32, 2, 32


def preprocessing_fn(inputs: dict[str, Any]) -> dict[str, Any]:
    """Lower-case words as the numbers of a vocabulary, and the label."""
    words = tf.strings.split(tf.strings.lower(tf.reshape(inputs["text"], [-1])))
    numbers = tft.compute_and_apply_vocabulary(words, top_k=VOCABULARY - 2, num_oov_buckets=1)
    ids = (numbers + 1)[:, :LENGTH].to_tensor(shape=[None, LENGTH])
    return {"ids": ids, "label": inputs["label"]}


def run_fn(args: FnArgs) -> None:
    """Trains a small encoder, and saves it with a signature for serialized examples."""
    output = tft.TFTransformOutput(args.transform_output)
    model = build_model()
    model.fit(
        read(args.train_files, args.data_accessor, output),
        steps_per_epoch=args.train_steps,
        validation_data=read(args.eval_files, args.data_accessor, output),
        validation_steps=args.eval_steps,
        verbose=0,
    )
    save(model, output, args.serving_model_dir)


def build_model() -> keras.Model:
    """An encoder of two layers."""
    ids = keras.Input([LENGTH], dtype="int64", name="ids")
    hidden = keras.layers.Embedding(VOCABULARY, WIDTH)(ids)
    for _ in range(LAYERS):
        attended = keras.layers.MultiHeadAttention(HEADS, WIDTH // HEADS)(hidden, hidden)
        hidden = keras.layers.LayerNormalization()(hidden + attended)
        inner = keras.layers.Dense(WIDTH)(keras.layers.Dense(INNER, activation="gelu")(hidden))
        hidden = keras.layers.LayerNormalization()(hidden + inner)
    pooled = keras.layers.GlobalAveragePooling1D()(hidden)
    model = keras.Model(ids, keras.layers.Dense(2, activation="softmax")(pooled))
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def read(files: list[str], accessor: DataAccessor, output: tft.TFTransformOutput) -> tf.data.Dataset:
    """Batches of the transformed examples, without an end."""
    options = tfxio.TensorFlowDatasetOptions(batch_size=BATCH, label_key="label")
    dataset = accessor.tf_dataset_factory(files, options, output.transformed_metadata.schema)
    return dataset.map(lambda features, label: (features["ids"], label)).repeat()


def save(model: keras.Model, output: tft.TFTransformOutput, folder: str) -> None:
    """Saves the model with the transformation of raw examples in front."""
    layer = output.transform_features_layer()

    class Served(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.model = layer, model
            self.variables_of_model = model.variables

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
        def serve(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
            spec = output.raw_feature_spec()
            spec.pop("label")
            raw = tf.io.parse_example(examples, spec)
            return {"output": self.model(self.layer(raw)["ids"])}

    served = Served()
    tf.saved_model.save(served, folder, signatures={"serving_default": served.serve})
