"""Who may reload, and from which folders."""

import asyncio

import pytest
from fronts import with_fronts
from tiny_servers import config_of

from serving.errors import Code, StatusError
from serving.server.flags import single_model
from serving.server.front.listening import is_local
from serving.server.front.reload_policy import check_reload
from serving.server.options import ServerOptions
from serving.wire.protos import MODEL_SERVICE, ModelConfig, ReloadConfigRequest

HERE, THERE = "ipv4:127.0.0.1:1", "ipv4:192.0.2.1:1"


@pytest.mark.parametrize(
    ("peer", "local"),
    [
        ("ipv4:127.0.0.1:4711", True),
        ("ipv4:127.9.9.9:4711", True),
        ("ipv6:[::1]:4711", True),
        ("ipv6:%5B::1%5D:4711", True),
        ("ipv6:[::ffff:127.0.0.1]:4711", True),
        ("unix:", True),
        ("unix:/run/models.sock", True),
        ("unix-abstract:models", True),
        ("ipv4:192.0.2.1:4711", False),
        ("ipv4:10.127.0.0:1", False),
        ("ipv6:[2001:db8::1]:4711", False),
        ("ipv6:[fe80::1%eth0]:4711", False),
        ("ipv6:[::ffff:192.0.2.1]:4711", False),
        ("ipv4:localhost:4711", False),
        ("ipv4:", False),
        ("", False),
    ],
)
def test_only_loopback_and_unix_sockets_are_this_machine(peer, local):
    assert is_local(peer) is local


def refused(caller, config, **fields):
    """Why a reload is refused, None where it is not."""
    options = ServerOptions(models=single_model("m", "/m"), **fields)
    try:
        asyncio.run(check_reload(options, caller, ReloadConfigRequest(config=config)))
    except StatusError as error:
        return error.message if error.code is Code.PERMISSION_DENIED else error.code.name
    return None


def test_reload_from_determines_who_may_reload(tmp_path):
    config = config_of(m=tmp_path)
    assert refused(THERE, config) is None
    assert refused(HERE, config, reload_from="loopback") is None
    assert "loopback address (127.0.0.1, ::1)" in refused(THERE, config, reload_from="loopback")
    assert "192.0.2.1" in refused(THERE, config, reload_from="loopback")
    assert "an unknown address" in refused("", config, reload_from="loopback")
    assert "--reload_from=nowhere" in refused(HERE, config, reload_from="nowhere")


def test_no_path_leaves_the_roots(tmp_path):
    root, other, outside = tmp_path / "root", tmp_path / "other", tmp_path / "outside"
    for folder in (root / "m" / "1", other, outside / "1", tmp_path / "root2", root / "linked", root / "inner"):
        folder.mkdir(parents=True)
    (root / "link").symlink_to(outside)
    (root / "linked" / "2").symlink_to(outside / "1")
    (root / "inner" / "1").symlink_to(root / "m" / "1")
    (tmp_path / "way").symlink_to(root)
    roots = (tmp_path / "way", other)
    good = [root, root / "m", root / "m" / ".." / "m", root / "later", root / "inner", other, tmp_path / "way" / "m"]
    bad = [
        outside,
        tmp_path,
        tmp_path / "root2",
        root / ".." / "outside",
        root / "link",
        root / "link" / "..",
        root / "linked",
        f"file://{root}/m",
        f"gs://{root}",
        "m",
        "",
        f"{root}/m\0",
    ]
    for path in good:
        assert refused(HERE, config_of(m=root / "m", n=path), reload_roots=roots) is None
    for path in bad:
        assert "--reload_roots" in refused(HERE, config_of(m=root / "m", n=path), reload_roots=roots)
    words = refused(HERE, config_of(m=root / "linked"), reload_roots=roots)
    assert words.startswith(f"Version 2, a link in {root / 'linked'}, of model m is not under ")


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda config: config.extend([ModelConfig(name=str(n)) for n in range(1024)]), "1025 models"),
        (lambda config: config[0].model_version_policy.specific.versions.extend(range(5000)), "5000 labels and"),
        (lambda config: config[0].version_labels.update({str(n): n for n in range(4097)}), "4097 labels and"),
        (lambda config: config.add(name="é" * 513), "1026 bytes in a name"),
        (lambda config: config.add(base_path="/" * 5000), "5000 bytes in a base_path"),
    ],
)
def test_a_configuration_with_too_many_models_is_refused(tmp_path, change, part):
    config = config_of(m=tmp_path)
    change(config.model_config_list.config)
    with pytest.raises(StatusError, match=part) as refused:
        asyncio.run(check_reload(ServerOptions(models=config), HERE, ReloadConfigRequest(config=config)))
    assert refused.value.code is Code.INVALID_ARGUMENT


def test_a_refused_reload_reaches_no_model(tmp_path):
    request = ReloadConfigRequest(config=config_of(n=tmp_path / "outside"))

    async def ask(fronts):
        code, _ = await fronts.call("HandleReloadConfigRequest", request, MODEL_SERVICE)
        return code, fronts.frontend.service.reloads

    assert with_fronts(ask, reload_from="nowhere") == ("PERMISSION_DENIED", 0)
    assert with_fronts(ask, reload_roots=(tmp_path / "models",)) == ("PERMISSION_DENIED", 0)


def test_loopback_and_the_roots_may_reload(tmp_path):
    request = ReloadConfigRequest(config=config_of(n=tmp_path / "models" / "n"))

    async def ask(fronts):
        await fronts.call("HandleReloadConfigRequest", request, MODEL_SERVICE)
        return fronts.frontend.service.reloads

    assert with_fronts(ask, reload_from="loopback", reload_roots=(tmp_path / "models",)) == 1
