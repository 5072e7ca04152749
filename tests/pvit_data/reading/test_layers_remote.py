"""Layers behind URLs: an annotation layer costs one more range, a protocol none; a cache asks for nothing twice."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import pvit_data
from tests.hub_server import REPO, Hub, serve_hub
from tests.pvit_data.range_server import Traffic, serve
from tests.pvit_data.reading.test_layers import keys, require_equal, write_base, write_layer, write_protocol
from tests.pvit_data.storage.test_hub import finish, go_on, line, start


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`data` with everything; `base` and `apart` with the base and the layers alone."""
    out = tmp_path_factory.mktemp("remote")
    write_base(out / "data")
    write_layer(out / "data")
    with pvit_data.ShardWriter(out / "data", "plain", base="clips", kind="protocol") as writer:
        for key in keys()[::-1]:
            writer.write(pvit_data.Sample(key=key))
    write_base(out / "base")
    write_layer(out / "apart", base=f"{out / 'base'}#clips")
    write_protocol(out / "apart", base=f"{out / 'base'}#clips")
    return out


@pytest.fixture
def server(folder: Path) -> Iterator[Traffic]:
    with serve(folder) as traffic:
        yield traffic


def shards(server: Traffic) -> list[str]:
    """Which shards were asked since the last time, a request each."""
    found = [path for path, _ in server.sent if path.endswith(".tar")]
    server.sent.clear()
    return found


def test_a_layer_costs_one_range_and_a_protocol_none(server: Traffic) -> None:
    url = f"{server.url}/data"
    base = pvit_data.open(url)
    layered = pvit_data.open(url, source="clips", layers=["later"])
    plain = pvit_data.open(url, source="plain")
    for ds in (base, layered, plain):
        ds.column("frames")
    assert shards(server) == []
    assert base[0].key == layered[0].key == plain[0].key == "train-0"
    asked = shards(server)
    own = [path for path in asked if path.startswith("/data/layers/")]
    assert own == ["/data/layers/later/train-00000.tar"]
    assert len(asked) == 4
    assert layered.read(0, ("rgb", "action")).depth is None
    assert [path for path in shards(server) if "layers" in path] == []  # nothing of the layer is wanted
    layered[1]
    assert [path for path in shards(server) if "layers" in path] == []  # it has no row of this sample
    labelled = pvit_data.open(f"{server.url}/apart", source="few", base=url)
    labelled[0]
    assert [path for path in shards(server) if "layers" in path] == [
        "/apart/layers/few/train-00000.tar"
    ]  # for its meta


def test_bases_and_layers_apart_and_a_cache(server: Traffic, folder: Path, tmp_path: Path) -> None:
    base, apart = f"{server.url}/base", f"{server.url}/apart"
    truth = list(pvit_data.open(folder / "data", source="clips", layers=["later"]))
    for number in range(2):
        ds = pvit_data.open(base, source="clips", layers=[f"{apart}#later"], cache=tmp_path / "cache")
        for sample, expected in zip(ds, truth, strict=True):
            require_equal(sample, expected)
        asked = shards(server)
        assert (asked == []) == (number == 1)
    assert ds.digest_of("clips") == pvit_data.open(base, source="clips", layers=[apart]).digest_of("clips")


def test_a_damaged_range_of_a_layer_is_asked_again(server: Traffic, folder: Path) -> None:
    ds = pvit_data.open(f"{server.url}/data", source="clips", layers=["later"])
    expected = pvit_data.open(folder / "data", source="clips", layers=["later"])[0]
    ds.column("frames")
    server.fault = lambda path: "flip" if "/layers/later/train" in path and server.times < 1 else ""
    require_equal(ds[0], expected)
    assert server.times == 1


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serve_hub() as found:
        yield found


def test_base_and_layer_are_each_read_at_their_own_commit(hub: Hub, folder: Path, tmp_path: Path) -> None:
    """Both lie in one repository's history: the base at one commit, the layer at a later one; pushes change nothing."""

    def files(name: str) -> dict[str, bytes]:
        root = folder / name
        return {p.relative_to(root).as_posix(): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}

    first = hub.push(files("base"))
    second = hub.push(files("apart"))
    process = start(
        hub,
        f"""
base, layers = "hf://datasets/{REPO}@{first}", "hf://datasets/{REPO}@main"
ds = pvit_data.open(base, source="clips", layers=[layers + "#later"])
say(len(ds), sum(ds.column("has_depth")))
wait()
found = list(ds)
say(*[s.key for s in found if s.depth is not None])
again = pickle.loads(pickle.dumps(ds))
say(again[0].depth.shape, again[0].rgb.shape)
""",
        tmp_path,
    )
    assert line(process) == "10 5"
    hub.push({"README.md": b"all is gone"})
    hub.asked.clear()
    go_on(process)
    lines = finish(process)
    assert lines[0] == " ".join(keys()[::2])
    assert lines[1] == "(4, 32, 48) (4, 32, 48, 3)"
    resolved = {path.split("/resolve/")[1].split("/")[0] for path in hub.asked if "/resolve/" in path}
    assert resolved <= {first, second}
    assert hub.leaks == []
