"""`descriptors.binpb` holds what `serving.wire.protos.update` would write."""

from __future__ import annotations

import re

from serving.wire import protos
from serving.wire.protos import update


def test_the_descriptors_begin_with_those_of_the_installed_packages() -> None:
    assert protos.FILE.read_bytes().startswith(update.installed())


def test_every_source_is_in_the_descriptors_under_its_path() -> None:
    for path in update.SOURCES.rglob("*.proto"):
        text = path.read_text(encoding="utf-8")
        file = protos.POOL.FindFileByName(str(path.relative_to(update.SOURCES)))
        assert list(file.message_types_by_name) == re.findall(r"^message (\w+)", text, re.MULTILINE)
        fields = [field.name for message in file.message_types_by_name.values() for field in message.fields]
        assert fields == re.findall(r"(\w+) = [1-9]\d*;", re.sub(r"enum .*?}", "", text, flags=re.DOTALL))


def test_the_two_reflection_protos_differ_by_their_package_alone() -> None:
    new, old = ((update.SOURCES / f"grpc/reflection/{version}/reflection.proto") for version in ("v1", "v1alpha"))
    assert old.read_text(encoding="utf-8").replace("v1alpha", "v1") == new.read_text(encoding="utf-8")
