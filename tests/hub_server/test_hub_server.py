"""The stand-in is what the client takes for the Hub: its own calls, for data sets and models."""

from pathlib import Path

import pytest
from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError, RevisionNotFoundError

from tests.hub_server import TOKEN, Fault, Hub
from tests.pvit_data.publishing.conftest import hub

__all__ = ["hub"]
pytestmark = pytest.mark.filterwarnings("ignore")  # of a client that is used as anybody uses it


@pytest.mark.parametrize("kind", ["dataset", "model"])
def test_a_folder_up_and_down(hub: Hub, tmp_path: Path, kind: str) -> None:
    files = {
        "README.md": b"# mine\n",
        "a/b/c.tar": bytes(range(256)) * 40,
        "a/empty.json": b"",
        "m.safetensors": b"w" * 9,
    }
    for name, data in files.items():
        path = tmp_path / "up" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    api = HfApi(endpoint=hub.url, token=TOKEN)
    hub.page, hub.part_bytes = 2, 4000
    api.create_repo("me/it", repo_type=kind)
    api.create_repo("me/it", repo_type=kind, exist_ok=True)
    with pytest.raises(HfHubHTTPError):
        api.create_repo("me/it", repo_type=kind)
    made = api.upload_folder(repo_id="me/it", repo_type=kind, folder_path=tmp_path / "up")
    assert made.oid == api.repo_info("me/it", repo_type=kind).sha
    assert sorted(api.list_repo_files("me/it", repo_type=kind)) == [".gitattributes", *sorted(files)]
    down = api.snapshot_download("me/it", repo_type=kind, local_dir=tmp_path / "down")
    assert {name: (Path(down) / name).read_bytes() for name in files} == files
    api.verify_repo_checksums("me/it", repo_type=kind, local_dir=tmp_path / "down")
    again = api.upload_folder(repo_id="me/it", repo_type=kind, folder_path=tmp_path / "up")
    assert again.oid == made.oid
    assert len(hub.repositories[kind, "me/it"].commits) == 2


def test_branches_tags_and_pull_requests(hub: Hub) -> None:
    api = HfApi(endpoint=hub.url, token=TOKEN)
    api.create_repo("me/it", repo_type="dataset", private=True)
    head = api.repo_info("me/it", repo_type="dataset").sha
    kwargs = {"repo_id": "me/it", "repo_type": "dataset"}
    first = api.upload_file(path_or_fileobj=b"1", path_in_repo="x/one.txt", create_pr=True, **kwargs)
    api.upload_file(path_or_fileobj=b"2", path_in_repo="x/two.txt", revision=first.pr_revision, **kwargs)
    assert api.repo_info("me/it", repo_type="dataset").sha == head
    assert api.list_repo_files("me/it", repo_type="dataset") == [".gitattributes"]
    api.merge_pull_request("me/it", first.pr_num, repo_type="dataset")
    assert sorted(api.list_repo_files("me/it", repo_type="dataset"))[1:] == ["x/one.txt", "x/two.txt"]
    api.create_tag("me/it", tag="v1", repo_type="dataset")
    api.delete_file("x/one.txt", **kwargs)
    api.delete_folder("x", **kwargs)
    assert api.list_repo_files("me/it", repo_type="dataset") == [".gitattributes"]
    assert len(api.list_repo_files("me/it", repo_type="dataset", revision="v1")) == 3
    with pytest.raises(RevisionNotFoundError):
        api.list_repo_files("me/it", repo_type="dataset", revision="v2")
    with pytest.raises(RepositoryNotFoundError):
        HfApi(endpoint=hub.url, token=False).repo_info("me/it", repo_type="dataset")
    with pytest.raises(HfHubHTTPError):
        HfApi(endpoint=hub.url, token="old").whoami()


def test_faults_hit_as_often_as_told(hub: Hub) -> None:
    api = HfApi(endpoint=hub.url, token=TOKEN)
    hub.faults = [Fault("whoami", "503", times=2, skip=1)]
    told = []
    for _ in range(4):
        try:
            told.append(api.whoami()["name"])
        except HfHubHTTPError as error:
            told.append(error.response.status_code)
    assert told == ["me", 503, 503, "me"]
