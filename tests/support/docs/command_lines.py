"""The commands in the documents: which the walkthrough runs, and which it does not, with the reason."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from documents import REPOSITORY, blocks, documents

NOT_RUN = {
    r"git clone ": "the commands of the README are tried on a fresh clone by hand, before a release",
    r"cd |\. \.venv/": "change the shell; what follows them is run",
    r"make ": "the recipes are run by CI and by hand; `make demo` and `make install` download packages",
    r"python benchmarks/": "take from minutes to hours; `make bench` runs the quick form of each",
    r"docker |kubectl ": "need a registry or a cluster",
    r"grpcurl ": "is not on every machine; tests/serving/client/test_docs.py checks its request",
    r"curl --fail|echo ": "tests/serving/client/test_docs.py runs them",
    r"uv pip |TRANSOM_TORCH_PYTHON=": "install PyTorch",
    r"cp -r tflite/host": "tests/tflite/host runs a copy in an environment of its own",
    r"(PATH=\S+ )?python -m apache_beam": "start services; tests/e2e/test_beam_runners.py does",
    r".*beam\.runner=PortableRunner": "needs those services; tests/e2e/test_beam_runners.py runs it",
    r"(TRANSOM_BACKENDS=\S+ |RUN .*)?transom backends install": "install gigabytes; tests/pipeline/backends installs"
    " small packages",
    r"transom submit ": "needs a cluster; tests/pipeline/kubeflow/test_submission.py has a stand-in",
    r"transom compile .*--verify": "runs the pipeline twice; tests/e2e/test_kubeflow.py does",
    r"transom deploy .*--(canary|bucket|pvc)|transom deploy (promote|rollback)": "need two versions, or a server with"
    " labels; tests/serving/client/test_docs.py runs them in their order",
    r"transom predict pairs-out": "needs a model of pairs; tests/e2e/test_tasks.py trains and queries one",
    r"transom run --set model\.preset=minilm-l6": "fine-tunes for minutes; `make demo` does",
    r"python -m venv ~/xprof": "installs TensorBoard's profiler, which is not in the lock",
    r"transom (lineage|reproduce) .*1796047957": "names a version of another project; tests/pipeline/lineage has one",
    r"transom reproduce .* (--data|--set)": "needs tables in another place; tests/pipeline/lineage has some",
    r"transom completion .*(>>|>|source)": "changes how the user's shell starts",
    r"transom tensorboard": "serves until it is stopped; tests/pipeline/commands/running/test_tensorboard.py starts it",
}
"""Beginnings of lines, as regular expressions, and why the walkthrough does not run them."""
_COMMAND = re.compile(
    r"(?:[A-Z_]+=\S+ )*(?:RUN .*)?"
    r"(?:transom|git|cd|\.|make|python|pip|uv|curl|cp|docker|kubectl|echo|grpcurl) "
)


def shell_lines(document: Path) -> Iterator[str]:
    """The commands in a document's code blocks, without prompts and comments; a command of several lines is one."""
    for language, text in blocks(document):
        if language in ("", "bash", "console"):
            for line in text.replace("\\\n", " ").splitlines():
                command = re.sub(r"(^|\s+)#\s.*", "", line.removeprefix("$ ")).strip()
                if _COMMAND.match(f"{command} "):
                    yield re.sub(r"\s{2,}", " ", command)


def all_lines(repository: Path = REPOSITORY) -> dict[str, str]:
    """Every command, once, with the first document that has it."""
    found: dict[str, str] = {}
    for document in documents(repository):
        for line in shell_lines(document):
            found.setdefault(line, document.relative_to(repository).as_posix())
    return found


def why_not_run(line: str) -> str:
    """The reason why the walkthrough does not run a command; "" if it does."""
    return next((reason for start, reason in NOT_RUN.items() if re.match(start, line)), "")


def run_lines() -> list[str]:
    """The commands that the walkthrough runs, in the order of the documents."""
    return [line for line in all_lines() if not why_not_run(line)]


def inline_commands(repository: Path = REPOSITORY) -> Iterator[tuple[str, str]]:
    """Document and text of each command of `transom` that is quoted in a sentence."""
    for document in documents(repository):
        text = re.sub(r"^( *)```.*?^\1```$", "", document.read_text(encoding="utf-8"), flags=re.S | re.M)
        for quoted in re.findall(r"`(transom [^`]+)`", text):
            yield document.name, " ".join(quoted.split())
