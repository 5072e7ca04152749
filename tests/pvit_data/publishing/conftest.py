"""A Hub for the client in this process, and small data sets: one that may be passed on, with layers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hub_server import TOKEN, Hub, serve_hub
from tests.pvit_data.reading.test_layers import write_base, write_layer, write_protocol

SECRET = TOKEN


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    """A Hub that the client finds, by LFS, with tries that follow each other at once."""
    import huggingface_hub
    from huggingface_hub import HfFileSystem, constants

    with serve_hub() as found:
        monkeypatch.setattr(constants, "ENDPOINT", found.url)
        template = found.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)
        monkeypatch.setenv("HF_TOKEN", SECRET)
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
        HfFileSystem.clear_instance_cache()
        yield found
        huggingface_hub.close_session()
        HfFileSystem.clear_instance_cache()


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source of two splits with a label, an annotation layer and a protocol over it. Read only."""
    folder = tmp_path_factory.mktemp("published") / "data"
    free = {"licence": "CC0-1.0", "redistributable": True}
    write_base(folder, **free)
    write_layer(folder, **free)
    write_protocol(folder, **free)
    return folder
