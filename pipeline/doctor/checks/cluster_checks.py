"""What of the configuration would not run on Kubeflow, or on Vertex AI. No TensorFlow."""

from __future__ import annotations

from collections.abc import Iterator

from models.errors import TransomError
from pipeline.doctor.finding import Check, Finding, Project, Status, from_error

_NAME = "kubeflow"


def checks(project: Project) -> list[Check]:
    return [Check(_NAME, lambda: kubeflow(project))]


def kubeflow(project: Project) -> Iterator[Finding]:
    """All settings that `transom compile` would refuse. They are only notes if the project is not meant for a cluster:
    if its configuration has no group `kubeflow`."""
    from pipeline.kubeflow.cluster_paths import paths_on_cluster
    from pipeline.kubeflow.config import KubeflowConfig
    from pipeline.kubeflow.target_checks import IMAGE, problems
    from pipeline.preflight_beam import check_beam
    from pipeline.steps import CLUSTER_STEPS

    config = project.config
    is_meant = config.kubeflow != KubeflowConfig()
    bad: Status = "error" if is_meant else "note"
    target = "vertex" if (config.kubeflow.root or "").startswith("gs://") and not config.kubeflow.mounts else "kubeflow"
    found = []
    for problem in problems(config, target, None, CLUSTER_STEPS):
        # `--image` may give it; a wrong one stays an error.
        lacks_image = problem.what == IMAGE and not config.kubeflow.image
        found.append(from_error(_NAME, problem, "note" if lacks_image else bad))
    try:
        paths_on_cluster(config, project.file, target)
    except TransomError as error:
        found.append(from_error(_NAME, error, bad))
    if not is_meant:
        first = found[0].text if found else ""
        yield Finding(
            _NAME, "note", f"the configuration has no group kubeflow; it would need one: {first}", "docs/kubeflow.md"
        )
        return
    try:
        check_beam(config, runs_here=False)
    except TransomError as error:
        found.append(from_error(_NAME, error, bad))
    if config.train.backend != "tensorflow":
        image = "the image of `transom compile --dockerfile` has TensorFlow alone"
        text = f"train.backend is {config.train.backend}, and {image}"
        found.append(Finding(_NAME, "note", text, 'docs/backends.md, "In an image for Kubeflow"'))
    yield from found
    if not any(finding.status == "error" for finding in found):
        where = (
            "Vertex AI (kubeflow.root is in a bucket, and there are no mounts)" if target == "vertex" else "Kubeflow"
        )
        yield Finding(_NAME, "ok", f"nothing in the configuration keeps it from running on {where}")
