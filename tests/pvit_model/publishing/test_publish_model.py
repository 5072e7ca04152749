"""A trained model to a Hub of our own and back: the same logits, one commit, nothing sent twice, a true card."""

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from huggingface_hub import ModelCard, constants

from pvit_cli.model import main
from pvit_data.codecs.video import encode_video
from pvit_data.errors import LicenceError, SourceError, StorageError, UsageError
from pvit_data.publishing.connection import connected
from pvit_data.publishing.guard import Consent
from pvit_data.publishing.publish import Options, Published, publish
from pvit_data.publishing.repository import Repository
from pvit_model.network.pvit import PViT
from pvit_model.network.save import WEIGHTS
from pvit_model.publishing.licences import require_allowed, strictest
from pvit_model.publishing.publish import plan_model, staged
from pvit_model.publishing.results import results_in
from pvit_model.runs.learned import Rights
from pvit_model.using.loading import load_model
from tests.hub_server import REPO, TOKEN, Fault, Hub
from tests.hub_server.state import sha256
from tests.pages import DOCS
from tests.pvit_data.publishing.conftest import hub as hub_of_datasets

__all__ = ["hub_of_datasets"]
KEY = ("model", REPO)
FILES = {"README.md", "classes.csv", "config.json", "inference.json", "model.safetensors"}


@pytest.fixture
def hub(hub_of_datasets: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Hub:
    """The Hub, and an empty cache."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return hub_of_datasets


def put(where: Path, repo: str = REPO, confirmed: bool = True, private: bool = False, **how: Any) -> Published:
    options = Options(consent=Consent(private=private), tag=how.pop("tag", ""))
    with staged(str(where), **how) as stage, connected() as connection:
        repository = Repository(connection, repo, "model")
        repository.require_token()
        plan = plan_model(stage, repository, options, confirmed)
        return publish(stage.storage, connection, repository, plan, options)


def logits(model: PViT) -> torch.Tensor:
    video = torch.rand(1, 3, 8, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return model(video, tasks=()).logits


def history(hub: Hub) -> list[dict[str, bytes]]:
    return list(hub.repositories[KEY].commits.values())


def test_there_and_back_again(hub: Hub, run_folder: Path) -> None:
    done = put(run_folder, tag="v1")
    assert hub.repositories[KEY].files.keys() - {".gitattributes"} == FILES
    assert (done.sent, done.is_new, len(history(hub))) == (len(FILES), True, 2)  # that of its creation, ours
    mine = load_model(str(run_folder))[0]
    for found in (PViT.from_pretrained(REPO), PViT.from_pretrained(REPO, revision="v1"), load_model(f"{REPO}@v1")[0]):
        assert torch.equal(logits(found), logits(mine))
    hub.forget()
    again = put(run_folder, tag="v1")
    assert (again.sent, again.kept, again.is_new, again.commit) == (0, len(FILES), False, done.commit)
    assert (hub.received, len(history(hub))) == (0, 2)
    assert hub.leaks == []


def test_a_revision_that_is_not_there_is_called_so(hub: Hub, run_folder: Path) -> None:
    put(run_folder)
    with pytest.raises(SourceError, match=f"{REPO}: there is no such revision"):
        load_model(f"{REPO}@v9")
    with pytest.raises(SourceError, match="me/none: there is no such repository"):
        load_model("me/none")


def test_the_card_tells_what_was_recorded(hub: Hub, run_folder: Path) -> None:
    put(run_folder)
    text = hub.repositories[KEY].files["README.md"].decode()
    card = ModelCard(text)
    last = next(x for x in reversed(lines(run_folder)) if x["kind"] == "eval")
    told = {each.metric_name.split(",")[0]: each for each in card.data.eval_results or []}
    assert told["action top1"].metric_value == last["real/action/top1"]
    assert (told["action top1"].dataset_type, told["action top1"].dataset_split) == ("real", "val")
    assert told["depth rmse"].task_type == "depth-estimation"
    assert told["action top1"].dataset_args == {"n": 9}
    assert "validation during training on 9 clips, 8 frames x 1 clip x 1 crop" in text
    assert (card.data.license, card.data.pipeline_tag) == ("apache-2.0", "video-classification")
    assert "| real | | 18 | action | CC0-1.0 |" in text
    assert "- steps: 6" in text
    assert "- starting weights: random" in text
    assert "confirmed to have the right to pass on weights made from: people, real, scenes." in text
    assert str(run_folder.parent) not in text
    assert not [name for name in told if "loss" in name or "constant" in name]
    assert yaml.safe_load(text.split("---\n")[1])["model-index"][0]["name"] == "mine"


def lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_own_words_stay(hub: Hub, run_folder: Path) -> None:
    put(run_folder)
    files = dict(hub.repositories[KEY].files)
    mark = b"<!-- Your own words: what stands from here -->\n"
    files["README.md"] = files["README.md"].replace(mark, mark + b"Trained in May.\n")
    hub.repositories[KEY].push(files)
    hub.forget()
    assert not put(run_folder).is_new
    put(run_folder, heads=False)
    card = hub.repositories[KEY].files["README.md"].decode()
    assert "Trained in May.\n<!-- to here stays" in card
    assert "Its auxiliary heads were left out" in card
    assert {each.metric_name.split()[0] for each in ModelCard(card).data.eval_results or []} == {"action"}
    assert {row.split(" | ")[2] for row in card.splitlines() if row.startswith("| real | val | ")} == {"action"}


def test_without_heads_actions_are_the_same(hub: Hub, run_folder: Path) -> None:
    put(run_folder, heads=False)
    found, inference = load_model(REPO)
    assert torch.equal(logits(found), logits(load_model(str(run_folder))[0]))
    assert inference.tasks == ()
    assert not [name for name in found.state_dict() if name.startswith("heads.")]


def test_the_last_checkpoint_and_averaged_weights(hub: Hub, run_folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(run_folder, run)
    last = run / "checkpoints/step-00000006"
    other = PViT.from_pretrained(run / "checkpoints/step-00000003")
    manifest = json.loads((last / "manifest.json").read_text())
    shutil.copy(run / "checkpoints/step-00000003" / WEIGHTS, last / "ema.safetensors")
    data = (last / "ema.safetensors").read_bytes()
    manifest["files"]["ema.safetensors"] = {"sha256": sha256(data), "bytes": len(data)}
    (last / "manifest.json").write_text(json.dumps(manifest))
    put(run, revision="last")
    assert torch.equal(logits(PViT.from_pretrained(REPO)), logits(other))
    with pytest.raises(UsageError, match=r"--revision last: .* is no run's folder"):
        put(run / "model", revision="last")


def test_who_may_publish(hub: Hub, run_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        LicenceError, match="real: nobody said that what is made from it may be passed on; licence: CC0"
    ):
        put(run_folder, confirmed=False)
    assert hub.repositories == {}
    put(run_folder, "me/closed", confirmed=False, private=True)
    assert hub.repositories["model", "me/closed"].private
    shutil.copytree(run_folder / "model", tmp_path / "alone")
    with pytest.raises(LicenceError, match="nothing tells what it was trained on"):
        put(tmp_path / "alone", confirmed=False)
    put(tmp_path / "alone", "me/alone")
    card = hub.repositories["model", "me/alone"].files["README.md"].decode()
    assert "license: other\nlicense_name: unknown\n" in card
    assert "None are recorded for these weights." in card
    assert "model-index" not in card
    put(run_folder)
    with pytest.raises(LicenceError, match="me/mine is public, not private"):
        put(run_folder, private=True)


def test_runs_from_before_recorded_no_licences(hub: Hub, run_folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(run_folder, run)
    record = json.loads((run / "data.json").read_text())
    for entry in record["sources"].values():
        del entry["rights"], entry["train"]
    (run / "data.json").write_text(json.dumps(record))
    with pytest.raises(LicenceError, match="real: its licence is unknown"):
        put(run, confirmed=False)
    put(run)
    assert "| real | | unknown | action | unknown |" in hub.repositories[KEY].files["README.md"].decode()


def test_tasks_that_no_sample_carried_were_not_trained_on(hub: Hub, run_folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(run_folder, run)
    record = json.loads((run / "data.json").read_text())
    record["sources"]["people"]["without"] = ["boxes"]
    record["before"] = [{"name": "people", "rights": [{"name": "people", "licence": "MIT"}]}]
    (run / "data.json").write_text(json.dumps(record))
    put(run)
    rows = hub.repositories[KEY].files["README.md"].decode().splitlines()
    assert next(row for row in rows if row.startswith("| people |")).split(" | ")[2] == "pose3d"
    assert "| people (earlier data) | | unknown | pose3d, boxes | MIT |" in rows
    assert {"- people: CC0-1.0", "- people: MIT"} <= {*rows}


FREE = {"licence": "CC0-1.0", "redistributable": True}


@pytest.mark.parametrize(
    ("licences", "expected"),
    [
        (["CC0-1.0"], "apache-2.0"),
        (["CC-BY-4.0", "MIT"], "cc-by-4.0"),
        (["CC-BY-SA-3.0", "CC0-1.0"], "cc-by-sa-3.0"),
        (["CC0-1.0", "CC BY-NC 4.0"], "cc-by-nc-4.0"),
        (["CC-BY-SA-3.0", "CC BY-NC 4.0"], "other"),  # each asks for its own terms
        (["CC0-1.0", "theirs (no redistribution)"], "other"),
        (["CC0-1.0", ""], "other"),
    ],
)
def test_the_strictest_licence(licences: list[str], expected: str) -> None:
    head = strictest([Rights(name=str(n), licence=text) for n, text in enumerate(licences)])
    assert head["license"] == expected
    assert ("license_name" in head) == ("license_link" in head) == (expected == "other")


def test_weights_of_open_data_need_no_word_and_starting_weights_count() -> None:
    free = Rights(name="a", **FREE)
    assert require_allowed([free], private=False, confirmed=False) == []
    with pytest.raises(LicenceError, match=r"w\.pth: its licence is unknown"):
        require_allowed([free, Rights(name="w.pth", is_weights=True)], private=False, confirmed=False)
    closed = Rights(name="b", licence="theirs", derived="no", derived_clause="section 3.")
    with pytest.raises(
        LicenceError, match=r"does not let be passed on what is made from it: theirs, section 3\. What you"
    ):
        require_allowed([closed], private=False, confirmed=False)


def test_results_of_these_weights_only(hub: Hub, run_folder: Path, shards: list[str], tmp_path: Path) -> None:
    argv = ["eval", "--shards", shards[0], "--reference-split", "", "--out"]
    assert main([*argv, str(tmp_path / "a.json"), "--model", str(run_folder)]) == 0
    put(run_folder, documents=(tmp_path / "a.json",))
    passport = json.loads((tmp_path / "a.json").read_text())["reports"][0]["passport"]
    told = ModelCard(hub.repositories[KEY].files["README.md"].decode()).data.eval_results or []
    found = [e for e in told if e.dataset_args == {"list_sha256": passport["list"]["sha256"], "n": 9}]
    assert {each.metric_value for each in found if each.metric_type == "top1"} == {passport["top1"]}
    assert main([*argv, str(tmp_path / "b.json"), "--model", str(run_folder / "checkpoints/step-00000003")]) == 0
    with pytest.raises(UsageError, match="was measured with other weights"):
        put(run_folder, documents=(tmp_path / "b.json",))


def test_results_on_training_samples_say_so(tmp_path: Path) -> None:
    passport = {"model": {"weights": "w", "evaluated": {"overlap": {"real": 2}}}}
    report = {"source": "a", "split": "val", "clips": 3, "metrics": {"action": {"top1": 0.5}}, "passport": passport}
    (tmp_path / "a.json").write_text(json.dumps({"reports": [report]}))
    (found,) = results_in([tmp_path / "a.json"], "w")
    assert found.protocol.endswith("; 2 of the clips are training samples")


def test_a_cut_upload_goes_on_and_sends_no_file_twice(hub: Hub, run_folder: Path) -> None:
    hub.faults = [Fault("PUT /store", "cut", times=99)]
    with pytest.raises(StorageError):
        put(run_folder)
    assert (hub.stored, len(history(hub))) == ([], 1)
    hub.faults = [Fault("/commit/", "500", times=99)]
    with pytest.raises(StorageError):
        put(run_folder)
    assert len(history(hub)) == 1
    weights = sha256((run_folder / "model" / WEIGHTS).read_bytes())
    assert hub.stored == [weights]
    hub.faults = []
    hub.forget()
    assert put(run_folder).is_new
    assert hub.stored == []
    assert torch.equal(logits(PViT.from_pretrained(REPO)), logits(load_model(str(run_folder))[0]))


def test_pickles_are_not_opened(hub: Hub, tmp_path: Path) -> None:
    with connected() as connection:
        Repository(connection, REPO, "model").create(False)
    hub.repositories[KEY].push({"config.json": b"{}", "pytorch_model.bin": b"\x80\x04cos\nsystem\n"})
    for load in (PViT.from_pretrained, load_model):
        with pytest.raises(
            SourceError, match=r"has no model\.safetensors, only pytorch_model\.bin: such files can run"
        ):
            load(REPO)
    assert not list((tmp_path / "cache").rglob("*.bin"))
    (tmp_path / "m").mkdir()
    (tmp_path / "m/config.json").write_text("{}")
    (tmp_path / "m/model.pt").write_bytes(b"\x80\x04")
    with pytest.raises(SourceError, match=r"has no model\.safetensors, only model\.pt"):
        PViT.from_pretrained(tmp_path / "m")


def test_damage_is_found_and_offline_uses_the_cache(
    hub: Hub, run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(run_folder)
    mine = logits(PViT.from_pretrained(REPO))
    cached = next((tmp_path / "cache").rglob(WEIGHTS)).resolve()
    data = bytearray(cached.read_bytes())
    data[-1] ^= 1
    cached.write_bytes(data)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(SourceError, match=r"model\.safetensors has other bytes than the Hub says"):
        PViT.from_pretrained(REPO)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    assert torch.equal(logits(PViT.from_pretrained(REPO)), mine)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.forget()
    assert torch.equal(logits(PViT.from_pretrained(REPO)), mine)
    assert torch.equal(logits(PViT.from_pretrained(run_folder / "model")), mine)
    with pytest.raises(SourceError, match="HF_HUB_OFFLINE is set"):
        PViT.from_pretrained("me/another")
    assert hub.asked == []


def test_the_command_and_the_planted_token(
    hub: Hub, run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    from pvit_data.errors import PvitError

    def run(*argv: str, code: int = 0) -> str:
        assert main([*argv]) == code
        out, err = capfd.readouterr()
        assert TOKEN not in out + err
        assert "signature=" not in out + err
        return out + err

    argv = ("publish", str(run_folder), "--repo", REPO)
    assert "error: cannot be published in public: people: " in run(*argv, code=1)
    assert hub.asked == []
    argv = (*argv, "--rights-confirmed")
    text = run(*argv, "--dry-run")
    assert "as me, to me/mine (will be made)" in text
    assert "nothing was sent (--dry-run)" in text
    assert hub.repositories == {}
    assert json.loads(run(*argv, "--dry-run", "--json"))["exists"] is False
    assert "5 files (" in run(*argv, "--tag", "v1")
    assert "nothing has changed: 5 files are there, no commit was made" in run(*argv, "--tag", "v1")
    video = tmp_path / "video.mp4"
    video.write_bytes(encode_video(np.zeros((20, 48, 80, 3), np.uint8), fps=10))
    run("predict", str(video), "--model", REPO, "--out", str(tmp_path / "out"))
    card = hub.repositories[KEY].files["README.md"].decode()
    code = card.split("```python\n")[1].split("```")[0]
    assert len(code.splitlines()) == 5
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {})
    assert capfd.readouterr().out.count("ish: ") == 3
    hub.tokens.clear()
    assert "error: the Hub: the token is not accepted, it may have expired" in run(*argv, code=1)
    with pytest.raises(PvitError, match="the token is not accepted"):
        PViT.from_pretrained("me/never")
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and TOKEN.encode() in p.read_bytes()]
    assert not [text for text in hub.said if TOKEN in text]
    assert not [d for files in history(hub) for d in files.values() if TOKEN.encode() in d]


def test_the_page(
    hub: Hub, run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The blocks of docs/publish.md about models, in their order."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run_folder, tmp_path / "run")
    (tmp_path / "video.mp4").write_bytes(encode_video(np.zeros((20, 48, 80, 3), np.uint8), fps=10))
    page = (DOCS / "publish.md").read_text(encoding="utf-8").partition("\n## Models\n")[2]
    blocks = re.findall(r"```(bash|python)\n(.*?)```", page, re.DOTALL)
    assert [language for language, _ in blocks] == ["bash", "python"]
    for line in blocks[0][1].splitlines():
        assert main(shlex.split(line)[1:]) == 0, line
    exec(compile(blocks[1][1], "docs/publish.md", "exec"), {})
    assert capsys.readouterr().out.endswith("True 8\n")
    assert hub.repositories["model", "me/pvit"].tags.keys() == {"v1.0"}
    assert hub.repositories["model", "me/pvit-small"].private
