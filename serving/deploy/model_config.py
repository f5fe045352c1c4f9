"""`models.config`: the versions that TF Serving loads and their labels, and moving a canary's labels.

During a canary release two versions are loaded, `stable` and `canary`. Promoting the canary gives it both labels and
keeps the old version loaded, so that the step can be undone; rolling back gives both labels to the older version and
unloads the newer one. Both labels always point to a loaded version, so no caller gets an error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from google.protobuf import text_format

from serving.deploy.plan import DeployPlan
from serving.errors import DeployError
from serving.wire.protos import ModelServerConfig

STABLE, CANARY = "stable", "canary"


@dataclass(frozen=True)
class LabelMove:
    """The result of a promotion or rollback: the stable version before and after, and the versions loaded now."""

    before: int
    after: int
    loaded: tuple[int, ...]


def model_config(plan: DeployPlan) -> Any:
    """The `ModelServerConfig` message of a plan."""
    config = ModelServerConfig()
    model = config.model_config_list.config.add(name=plan.model, base_path=plan.base_path, model_platform="tensorflow")
    if not plan.served:
        model.model_version_policy.latest.num_versions = 1
        return config
    model.model_version_policy.specific.versions.extend(plan.served)
    for label, version in ((STABLE, plan.stable), (CANARY, plan.canary)):
        if version is not None:
            model.version_labels[label] = version
    return config


def to_text(config: Any) -> str:
    """The text of the file."""
    return str(text_format.MessageToString(config))


def parse(text: str, where: str) -> Any:
    """The message in a file's text.

    Raises:
        DeployError: it is no ModelServerConfig.
    """
    try:
        return text_format.Parse(text, ModelServerConfig())
    except text_format.ParseError as error:
        raise DeployError(where, got=str(error), expected="a ModelServerConfig in text format") from None


def promote(config: Any, name: str) -> LabelMove:
    """Gives the canary's version the label `stable`, in place.

    Raises:
        DeployError: there is no such model, or no canary of it.
    """
    model, stable, canary = _labelled(config, name)
    if canary is None or canary == stable:
        raise DeployError(
            f"the model {name!r}",
            got=f"no canary next to the stable version {stable}",
            expected="a version with the label canary that is not the stable one",
            fix="`transom deploy render --canary VERSION` sets one",
        )
    return _move(model, stable, canary, canary, tuple(model.model_version_policy.specific.versions))


def rollback(config: Any, name: str) -> LabelMove:
    """Withdraws the canary or, after its promotion, returns to the previous version. In place.

    Raises:
        DeployError: there is no such model, or no version to return to.
    """
    model, stable, canary = _labelled(config, name)
    loaded = sorted(model.model_version_policy.specific.versions)
    if canary is not None and canary != stable:
        return _move(model, stable, stable, stable, tuple(one for one in loaded if one != canary))
    others = [version for version in loaded if version != stable]
    if not others:
        raise DeployError(
            f"the model {name!r}",
            got=f"only version {stable} is loaded",
            expected="a canary, or the version before its promotion",
            fix="`transom deploy render --stable VERSION` returns to any version",
        )
    return _move(model, stable, others[-1], others[-1], tuple(others))


def _move(model: Any, before: int, stable: int, canary: int, loaded: tuple[int, ...]) -> LabelMove:
    model.version_labels[STABLE], model.version_labels[CANARY] = stable, canary
    del model.model_version_policy.specific.versions[:]
    model.model_version_policy.specific.versions.extend(loaded)
    return LabelMove(before, stable, loaded)


def _labelled(config: Any, name: str) -> tuple[Any, int, int | None]:
    """The model's entry, and the versions of its labels."""
    models = {model.name: model for model in config.model_config_list.config}
    if name not in models:
        raise DeployError(
            f"the model {name!r}", got="no such entry in the configuration", expected=f"one of {', '.join(models)}"
        )
    labels = dict(models[name].version_labels)
    if STABLE not in labels or models[name].model_version_policy.WhichOneof("policy_choice") != "specific":
        raise DeployError(
            f"the model {name!r}",
            got="no version with the label stable: the newest version is served",
            expected="pinned versions with labels",
            fix="`transom deploy render --canary VERSION` sets them",
        )
    return models[name], labels[STABLE], labels.get(CANARY)
