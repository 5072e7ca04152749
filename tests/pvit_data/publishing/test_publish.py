"""Publishing to a Hub of our own: what is sent, when it can be seen, what is sent again, what is said."""

import shutil
from pathlib import Path
from typing import Any

import pytest

import pvit_data
from pvit_cli.data import main
from pvit_data.errors import CorruptShardError, LicenceError, StorageError, UsageError
from pvit_data.publishing.card import FIRST
from pvit_data.publishing.choice import Choice
from pvit_data.publishing.connection import connected
from pvit_data.publishing.guard import Consent
from pvit_data.publishing.publish import Options, Published, plan_publication, publish
from pvit_data.publishing.pulling.target import NOTE
from pvit_data.publishing.repository import Repository
from pvit_data.storage.storage import Storage
from tests.hub_server import REPO, Fault, Hub
from tests.hub_server.state import sha256
from tests.pvit_data.reading.test_layers import require_equal, write_base

KEY = ("dataset", REPO)
MADE = {"croissant.json", "preview.jpg"}
"""What is made when a dataset is published."""


def put(folder: Path, options: Options | None = None, repo: str = REPO) -> Published:
    options = options or Options()
    storage = Storage(folder)
    with connected() as connection:
        repository = Repository(connection, repo)
        repository.require_token()
        plan = plan_publication(storage, repository, options)
        return publish(storage, connection, repository, plan, options)


def contents(folder: Path) -> dict[str, bytes]:
    """All files, but for the note of what was pulled."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != NOTE]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def large(files: dict[str, bytes]) -> list[str]:
    """Hashes of what goes to the store, where equal files are one."""
    return sorted({sha256(data) for name, data in files.items() if name.endswith((".tar", ".parquet"))})


def history(hub: Hub) -> list[dict[str, bytes]]:
    """Its commits, oldest first, each looked at: no manifest without what it lists."""
    commits = list(hub.repositories[KEY].commits.values())
    for files in commits:
        if "manifest.json" in files:
            listed = [name for name in contents_listed(files) if name not in files]
            assert listed == []
    return commits


def contents_listed(files: dict[str, bytes]) -> list[str]:
    import json

    manifest = json.loads(files["manifest.json"])
    entries = [*manifest["sources"].values(), *manifest.get("layers", {}).values()]
    return [shard["name"] for entry in entries for info in entry["splits"].values() for shard in info["shards"]]


def test_all_of_it_arrives_in_one_commit_and_an_unchanged_one_sends_nothing(hub: Hub, dataset: Path) -> None:
    done = put(dataset)
    found = hub.repositories[KEY]
    own = contents(dataset)
    sent = {name: data for name, data in found.files.items() if name != ".gitattributes"}
    assert sent.keys() == own.keys() | MADE
    assert {n for n in own if own[n] != sent[n]} == {"README.md"}  # which names the repository
    assert b'pvit_data.open("hf://datasets/me/mine"' in sent["README.md"]
    assert len(history(hub)) == 2  # that of its creation, ours
    assert sorted(hub.stored) == large(own)
    assert (done.commit, done.sent, done.kept, done.is_new) == (found.heads["main"], len(sent), 0, True)

    hub.forget()
    again = put(dataset)
    assert (again.commit, again.sent, again.kept, again.is_new) == (
        done.commit,
        0,
        len(sent),  # the picture is not made again, and there
        False,
    )
    assert len(history(hub)) == 2
    assert hub.received == 0
    assert not [line for line in hub.asked if "commit" in line or "preupload" in line]
    assert hub.leaks == []


def test_what_is_published_streams_as_it_is_here(hub: Hub, dataset: Path) -> None:
    put(dataset)
    for options in ({"source": "clips", "layers": ["later"]}, {"source": "few"}):
        here = pvit_data.open(dataset, **options)
        there = pvit_data.open(f"hf://datasets/{REPO}", **options)
        assert len(here) == len(there) > 0
        for one, other in zip(here, there, strict=True):
            require_equal(one, other)


def test_only_what_changed_is_sent(hub: Hub, dataset: Path, tmp_path: Path) -> None:
    folder = tmp_path / "d"
    write_base(folder, licence="CC0-1.0", redistributable=True)
    put(folder)
    before = contents(folder)
    write_base(tmp_path / "more", licence="CC0-1.0", redistributable=True)
    with pvit_data.ShardWriter(folder, "second", licence="CC0-1.0", redistributable=True) as writer:
        writer.write(pvit_data.Sample(key="other", num_frames=1))
    hub.forget()
    done = put(folder, Options(tag="v2"))
    new = {name: data for name, data in contents(folder).items() if before.get(name) != data}
    assert sorted(hub.stored) == large(new)
    assert done.sent == len({*new, "croissant.json"})  # the picture is the same
    assert hub.repositories[KEY].tags == {"v2": done.commit}
    assert put(folder, Options(tag="v2")).is_new is False
    only = Choice(sources=("clips",))
    left = [name for name in contents(folder) if name.startswith("second/")]
    assert put(folder, Options(only)).left == len(left)
    assert put(folder, Options(only, delete_missing=True)).deleted == len(left)
    assert not [name for name in history(hub)[-1] if name.startswith("second/")]
    before = dict(hub.repositories[KEY].heads)
    with pytest.raises(StorageError, match="the tag v2 is of another commit"):
        put(folder, Options(only, tag="v2"))
    assert hub.repositories[KEY].heads == before  # said before anything is sent


def test_parts_of_a_dataset_are_datasets(hub: Hub, dataset: Path) -> None:
    put(dataset, Options(Choice(layers_only=True)))
    assert not [name for name in hub.repositories[KEY].files if name.startswith("clips/")]
    url = f"hf://datasets/{REPO}"
    joined = list(pvit_data.open(dataset, source="clips", layers=[f"{url}#later"]))
    put(dataset, Options(Choice(sources=("clips",))), "me/base")
    base = "hf://datasets/me/base"
    assert len(pvit_data.open(base, source="clips", layers=[f"{dataset}#later"])) == len(joined)
    assert len(pvit_data.open(f"{dataset}", source="few", base=base)) == 5
    for one, other in zip(joined, pvit_data.open(dataset, source="clips", layers=["later"]), strict=True):
        require_equal(one, other)


def test_parts_that_leave_the_published_dataset_are_told_first(
    hub: Hub, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["publish", str(dataset), "--repo", REPO]
    told = "published before, and no longer in the dataset after this: {}"
    assert main([*argv, "--sources", "clips", "--splits", "train"]) == 0
    assert main([*argv, "--sources", "clips", "--splits", "val", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert told.format("train of clips") in out
    assert "the same command with --splits train,val" in out
    assert main([*argv, "--sources", "clips", "--splits", "train,val"]) == 0
    assert "published before" not in "".join(capsys.readouterr())
    assert main([*argv, "--layers", "later", "--delete-missing", "--dry-run"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert told.format("sources clips") in out
    assert "will be removed clips/index/train.parquet clips/index/val.parquet" in out
    assert "clips/train-00000.tar" in out
    assert main([*argv, "--layers", "later"]) == 0
    assert "sources clips" in capsys.readouterr().err


@pytest.mark.parametrize("tag", ["bad tag", "a..b", "-x", "x.lock", "a:b", "x/", "@"])
def test_names_that_no_tag_can_have_are_refused_before_anything_is_sent(
    hub: Hub, dataset: Path, tag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["publish", str(dataset), "--repo", REPO, f"--tag={tag}"]) != 0
    assert "is no name of a tag" in capsys.readouterr().err
    assert hub.asked == []


def test_a_run_and_a_page_without_sources_are_told(
    hub: Hub, dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.yaml").write_text("name: pvit\n")
    assert main(["publish", str(tmp_path), "--repo", REPO]) != 0
    assert f"publish it with 'pvit publish {tmp_path}'" in " ".join(capsys.readouterr().err.split())
    assert main(["publish", str(dataset), "--repo", REPO, "--layers-only", "--gallery", "3", "--dry-run"]) == 0
    assert "--gallery: no page is made" in capsys.readouterr().out


FAULTS = [
    Fault("PUT /store/whole", "cut", times=2, after=5000),
    Fault("PUT /store/whole", "503", times=2),
    Fault("PUT /store/whole", "403"),  # the address has expired
    Fault("PUT /store/whole", "flip"),
    Fault("info/lfs/objects/batch", "429", times=2),
    Fault("POST /store/verify", "lost"),
    Fault("preupload", "500", times=2),
    Fault("whoami", "503"),
    Fault("repos/create", "lost"),
    Fault("repos/create", "429"),
    Fault("validate-yaml", "502"),
    Fault("/commit/", "lost"),
    Fault("/commit/", "503"),
    Fault("/commit/", "cut", after=100),
    Fault("GET /api/datasets/me/mine/tree", "cut", after=10),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f"{f.kind} {f.match.rpartition('/')[2]}")
def test_faults_that_pass_are_lived_through(fault: Fault, hub: Hub, dataset: Path) -> None:
    """All arrives, in one commit."""
    layer = Options(Choice(layers=("later",)))
    hub.faults = [Fault(**vars(fault))]
    if fault.kind == "flip":  # which the store notices, and has to be sent again
        assert "the file that arrived is not the one that was announced" in said(lambda: put(dataset, layer))
    put(dataset, layer)
    assert hub.faults[0].times == 0
    assert len(history(hub)) == 2
    found = hub.repositories[KEY].files
    own = {name: data for name, data in contents(dataset).items() if name.startswith("layers/later/")}
    assert {name: found.get(name) for name in own} == own


def test_progress_counts_bytes_to_the_end(hub: Hub, dataset: Path) -> None:
    """Also where a file is sent twice."""
    hub.faults = [Fault("PUT /store/whole", "503", times=2)]
    told: list[tuple[int, int]] = []
    with connected() as connection:
        repository = Repository(connection, REPO)
        plan = plan_publication(Storage(dataset), repository, Options())
        publish(Storage(dataset), connection, repository, plan, Options(), lambda *pair: told.append(pair))
    assert told[-1] == (plan.size, plan.size)
    assert max(told)[0] == plan.size


def test_uploads_in_parts(hub: Hub, dataset: Path) -> None:
    hub.part_bytes = 3000
    hub.faults = [Fault("PUT /store/part", "503", skip=3), Fault("/store/complete", "lost")]
    put(dataset)
    assert sorted(set(hub.stored)) == large(contents(dataset))
    assert any("/part/" in line for line in hub.asked)
    assert len(history(hub)) == 2


def test_a_store_that_keeps_other_bytes_is_noticed(hub: Hub, dataset: Path) -> None:
    """Also where it does not compare them itself."""
    hub.faults = [Fault("PUT /store/whole", "flip"), Fault("POST /store/verify", "200", times=99)]
    with pytest.raises(CorruptShardError, match="the Hub has other bytes under this name"):
        put(dataset)


def said(action: Any) -> str:
    with pytest.raises((StorageError, UsageError, LicenceError, CorruptShardError)) as caught:
        action()
    return str(caught.value)


def test_what_goes_wrong_is_called_what_it_is(
    hub: Hub, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.tokens.clear()
    assert "the token is not accepted, it may have expired" in said(lambda: put(dataset))
    hub.tokens.add("hf_secret")
    hub.may_write = False
    assert "the token may not do this" in said(lambda: put(dataset))
    hub.may_write = True
    for name in ("mine", "me/mi..ne", "me/--mine", "me/mine.git", "https://huggingface.co/datasets/me/mine"):
        assert "expected OWNER/NAME" in said(lambda name=name: put(dataset, repo=name))
    hub.faults = [Fault("POST /api/datasets", "cut", times=99)]
    assert "the connection failed (" in said(lambda: put(dataset, Options(Choice(layers=("few",)))))
    hub.faults = [Fault("/commit/", "500", times=99)]
    assert said(lambda: put(dataset, Options(Choice(layers=("few",))))).startswith("me/mine: the server answers 500")
    hub.faults = [Fault("PUT /store", "403", times=99)]
    assert "the Hub's store answers 403: run the same command again" in said(lambda: put(dataset))
    hub.faults = []
    assert "manifest.json" not in hub.repositories[KEY].files
    monkeypatch.setenv("HF_TOKEN", "")
    assert "no token: run 'hf auth login'" in said(lambda: put(dataset))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "HF_HUB_OFFLINE is set" in said(lambda: put(dataset))
    assert "no such folder" in said(lambda: plan_nothing(tmp_path / "none"))


def plan_nothing(folder: Path) -> None:
    from pvit_data.publishing.publish import plan_files

    plan_files(Storage(folder), REPO, Options())


@pytest.mark.parametrize("moment", ["/tree/", "objects/batch", "PUT /store", "/commit/"])
def test_a_token_that_expires_meanwhile(hub: Hub, dataset: Path, moment: str) -> None:
    """The client calls that a missing repository."""
    put(dataset, Options(Choice(layers=("few",))))
    both = Options(Choice(layers=("few", "later")))
    hub.faults = [Fault(moment, "expire")]
    assert "the token is not accepted, it may have expired" in said(lambda: put(dataset, both))
    hub.tokens.add("hf_secret")
    hub.faults = []
    assert put(dataset, both).is_new


def test_a_silent_hub_is_not_waited_for(hub: Hub, dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pvit_data.publishing.connection.SILENCE", 0.2)
    hub.faults = [Fault("PUT /store/whole", "stall", times=99, seconds=0.5)]
    assert "the Hub did not answer for 0.2 s" in said(lambda: put(dataset))


def test_a_damaged_shard_is_not_sent(hub: Hub, dataset: Path, tmp_path: Path) -> None:
    folder = tmp_path / "d"
    shutil.copytree(dataset, folder)
    path = folder / "clips/train-00000.tar"
    data = path.read_bytes()
    path.write_bytes(data[:5000] + bytes([data[5000] ^ 1]) + data[5001:])
    told = said(lambda: put(folder))
    assert "clips/train-00000.tar is not the file that its manifest names" in told
    assert told.endswith("was made for it, and is empty")
    assert "manifest.json" not in hub.repositories[KEY].files
    assert sha256(path.read_bytes()) not in hub.objects
    put(dataset)
    assert put(folder).is_new is False  # what the Hub has is not even opened


def test_a_shard_that_is_cut_off_or_gone_is_told_before_anything_is_made(
    hub: Hub, dataset: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "d"
    shutil.copytree(dataset, folder)
    path = folder / "clips/train-00000.tar"
    path.write_bytes(path.read_bytes()[:-1])
    assert "its manifest says" in said(lambda: put(folder))
    path.unlink()
    path.symlink_to(dataset / "clips/train-00000.tar")
    assert "clips/train-00000.tar" in said(lambda: put(folder))
    assert KEY not in hub.repositories


def test_many_files_go_in_several_commits_the_manifest_in_the_last(
    hub: Hub, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pvit_data.publishing.commits.MAX_OPERATIONS", 10)
    hub.faults = [Fault("/commit/", "lost", skip=1)]
    put(dataset)
    commits = history(hub)
    assert len(commits) == 2 + (len({*contents(dataset), *MADE}) - 1) // 10
    assert ["manifest.json" in files for files in commits] == [False] * (len(commits) - 1) + [True]


def test_many_changes_come_at_once_by_a_pull_request(
    hub: Hub, dataset: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    put(dataset)
    found = hub.repositories[KEY]
    main = [found.heads["main"]]
    push = found.push

    def watched(files: dict[str, bytes], branch: str = "main", title: str = "") -> str:
        made = push(files, branch, title)
        main.extend([made] if branch == "main" else [])
        return made

    monkeypatch.setattr(found, "push", watched)
    monkeypatch.setattr("pvit_data.publishing.commits.MAX_OPERATIONS", 3)
    changed = tmp_path / "d"
    write_base(changed, licence="CC-BY-4.0", redistributable=True)
    done = put(changed, Options(delete_missing=True, tag="v2"))
    own = contents(changed)
    assert len(main) == 2  # readers of main see the old one, then the new one
    assert done.commit == main[-1] == found.tags["v2"]
    assert found.files.keys() == own.keys() | MADE | {".gitattributes"}
    assert found.files["manifest.json"] == own["manifest.json"]
    assert b"CC-BY-4.0" in found.files["manifest.json"]
    write_base(tmp_path / "e", licence="MIT", redistributable=True)
    hub.faults = [Fault("/merge", "409")]
    told = said(lambda: put(tmp_path / "e"))
    assert f"{hub.url}/datasets/me/mine/discussions/2: the server answers 409" in told
    assert f"run again, makes a pull request of its own: close this one if it is still open, {hub.url}/" in told
    assert len(main) == 2
    assert put(tmp_path / "e").is_new
    assert len(main) == 3


def test_a_public_repository_is_not_taken_for_a_private_one(hub: Hub, dataset: Path) -> None:
    put(dataset)
    private = Options(consent=Consent(private=True, accepted=True))
    assert "me/mine is public, not private" in said(lambda: put(dataset, private))
    put(dataset, private, "me/closed")
    assert hub.repositories["dataset", "me/closed"].private


@pytest.mark.parametrize(
    ("moment", "told"), [("PUT /store", ": nothing more was committed"), ("/commit/", ", so that everybody sees")]
)
def test_a_private_repository_that_is_made_public_meanwhile(
    hub: Hub, dataset: Path, monkeypatch: pytest.MonkeyPatch, moment: str, told: str
) -> None:
    """While files are sent: nothing is committed; later: it is said at once."""

    def fault_of(request: str) -> None:
        if moment in request:
            hub.repositories[KEY].private = False

    monkeypatch.setattr(hub, "fault_of", fault_of)
    private = Options(consent=Consent(private=True, accepted=True))
    assert f"me/mine was made public meanwhile{told}" in said(lambda: put(dataset, private))
    assert ("manifest.json" in hub.repositories[KEY].files) == (moment == "/commit/")


def test_own_words_survive_and_the_card_alone(hub: Hub, dataset: Path) -> None:
    alone = Options(card_only=True)
    assert "has no dataset yet" in said(lambda: put(dataset, alone))
    put(dataset)
    files = dict(hub.repositories[KEY].files)
    card = files["README.md"].decode()
    hub.repositories[KEY].push(files | {"README.md": card.replace(FIRST, f"{FIRST}\nFilmed in 2019, by Zoë.").encode()})
    assert put(dataset).is_new is False
    assert "\nFilmed in 2019, by Zoë.\n" in hub.repositories[KEY].files["README.md"].decode()
    hub.repositories[KEY].push(files | {"README.md": b"other"})
    assert put(dataset, alone).sent == 1
    assert hub.repositories[KEY].files == files
    hub.repositories[KEY].push(files | {"README.md": b"other", "manifest.json": b"older"})
    assert "me/mine holds another dataset" in said(lambda: put(dataset, alone))
    assert hub.repositories[KEY].files["README.md"] == b"other"
