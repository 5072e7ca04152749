"""What `pvit score` writes: only after all was compared, over nothing that it reads, in the form that its name says."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from pvit_cli.model import main
from pvit_data import LabelSpace, Sample, ShardWriter
from tests.pvit_data.scoring import made, test_ego4d

NAMES = ("Pulling it", "Pushing it", "Turning it")
LOGITS = np.random.default_rng(0).normal(size=(4, 3, 3))


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["score", *map(str, arguments)]) != 0
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def ssv2_shards(root: Path) -> Path:
    with ShardWriter(root / "shards", "ssv2", "val", spaces={"action": LabelSpace("ssv2", NAMES)}) as writer:
        for n in range(4):
            writer.write(Sample(key=f"ssv2-{n:06d}", num_frames=1, action=n % 3, meta={"video_id": str(n)}))
    return root / "shards"


@pytest.mark.parametrize("option", ["--out", "--submit"])
@pytest.mark.parametrize("name", ["p.npz", "t.csv", "classes.txt", "train.csv", "linked.csv"])
def test_nothing_that_is_read_is_overwritten(
    option: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "p.npz", ids=["a", "b"], logits=np.eye(2), labels=[0, 1])
    (tmp_path / "t.csv").write_text("id,label\na,0\nb,1\n")
    (tmp_path / "train.csv").write_text("id,label\nc,0\n")
    (tmp_path / "classes.txt").write_text("x\ny\n")
    (tmp_path / "linked.csv").symlink_to("t.csv")
    before = (tmp_path / name).read_bytes()
    error = refused(capsys, tmp_path / "p.npz", "--metric", "topk", "--truth", tmp_path / "t.csv",
                    "--classes", tmp_path / "classes.txt", "--strict", "--train-list", tmp_path / "train.csv",
                    option, tmp_path / name)  # fmt: skip
    assert f"{option} {tmp_path / name}: is the " in error
    assert "which would be overwritten: name another file" in error
    assert (tmp_path / name).read_bytes() == before


def test_files_beside_the_truth_are_read_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = made.movies(seconds=4)
    made.diagnose_boxes(tmp_path, truth, made.detections(truth))
    beside = tmp_path / "ava_val_excluded_timestamps_v2.2.csv"
    beside.write_text("aaaaaaaaaaa,0903\n")
    error = refused(capsys, tmp_path / "found.csv", "--metric", "ava", "--truth", tmp_path / "ava_val_v2.2.csv",
                    "--submit", beside)  # fmt: skip
    assert "is the list of excluded seconds, which would be overwritten" in error


def test_official_lists_beside_the_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A former result of such a name may be overwritten."""
    clips = made.clips(number=8)
    made.diagnose_clips(tmp_path, clips, {row["unique_id"]: 3 for row in clips})
    command = [str(tmp_path / "p.json"), "--metric", "pnr", "--truth", str(tmp_path / "fho_oscc-pnr_val.json")]
    out = tmp_path / "fho_oscc-pnr_train.json"
    out.write_text(json.dumps(clips))
    assert "is an official list beside the truth" in refused(capsys, *command, "--out", out)
    link = tmp_path / "mine.json"
    link.symlink_to(out.name)  # would be written through
    assert "is an official list beside the truth" in refused(capsys, *command, "--out", link)
    assert json.loads(out.read_text()) == clips
    for _ in range(2):
        assert main(["score", *command, "--out", str(tmp_path / "fho_oscc-pnr_mine.json")]) == 0


def test_both_outputs_need_a_file_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "p.npz", ids=["a", "b"], logits=np.eye(2), labels=[0, 1])
    command = (tmp_path / "p.npz", "--metric", "topk")
    same = tmp_path / "same.txt"
    error = refused(capsys, *command, "--submit", same, "--out", tmp_path / "." / "same.txt")
    assert f"--out {same}: is the file of --submit, too" in error
    for folder in (".", tmp_path):
        assert f"--out {folder}: is a folder; name a file" in refused(capsys, *command, "--out", folder)
    shards = ssv2_shards(tmp_path)
    error = refused(capsys, *command, "--truth", shards, "--out", shards / "manifest.json")
    assert "is a file of the truth (--truth), which would be overwritten" in error
    assert not same.exists()


@pytest.mark.parametrize(("protocol", "ending", "right"), [("ssv2", ".json", ".csv"), ("ssv2", ".zip", ".csv"),
                                                           ("kinetics400", ".csv", ".json")])  # fmt: skip
def test_the_name_says_the_form(
    protocol: str, ending: str, right: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / f"sub{ending}"
    error = refused(capsys, "p.npz", "--metric", "topk", "--protocol", protocol, "--submit", out)
    assert f"the submission of {protocol} is {right[1:].upper()}: name it sub{right}" in error
    assert not out.exists()


@pytest.mark.parametrize(("ids", "said"), [(["0", "1", "2"], "1 of the 4 videos have no prediction"),
                                           (["0", "1", "2", "3", "9"], "that the list does not have")])  # fmt: skip
def test_a_list_in_shards_is_compared_first(
    ids: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logits = np.zeros((len(ids), 3, 3))
    np.savez(tmp_path / "p.npz", ids=ids, logits=logits)
    out = tmp_path / "s.csv"
    command = (tmp_path / "p.npz", "--metric", "topk", "--protocol", "ssv2", "--truth", ssv2_shards(tmp_path))
    assert said in refused(capsys, *command, "--submit", out)
    assert not out.exists()


def test_shards_name_the_classes_of_a_submission(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "p.npz", ids=[f"ssv2-{n:06d}" for n in range(4)], logits=LOGITS)
    out = tmp_path / "s.csv"
    assert main(["score", str(tmp_path / "p.npz"), "--metric", "topk", "--protocol", "ssv2",
                 "--truth", str(ssv2_shards(tmp_path)), "--submit", str(out)]) == 0  # fmt: skip
    assert "  top-1: " in capsys.readouterr().out
    share = np.exp(LOGITS) / np.exp(LOGITS).sum(axis=2, keepdims=True)
    order = np.argsort(-share.sum(axis=1), axis=1)
    assert out.read_text().splitlines() == [f"{n};{';'.join(NAMES[k] for k in order[n])}" for n in range(4)]


@pytest.mark.parametrize("metric", ["pnr", "oscc"])
def test_shards_of_ego4d(metric: str, tmp_path: Path) -> None:
    """The same submission as of the official list."""
    file = test_ego4d.annotations(tmp_path / "fho_oscc-pnr_val.json")
    rows = json.loads(file.read_text())["clips"]
    with ShardWriter(tmp_path / "shards", "ego4d", "val", spaces={"action": LabelSpace("s", ("no", "yes"))}) as writer:
        for n, row in enumerate(rows):
            state = row.pop("state_change")
            meta = {name: value for name, value in row.items() if value is not None}
            writer.write(
                Sample(key=f"ego4d-{n}", num_frames=1, action=None if state is None else int(state), meta=meta)
            )
    logits = np.random.default_rng(0).normal(size=(len(rows), 16 if metric == "pnr" else 2))
    np.savez(tmp_path / "p.npz", ids=[row["unique_id"] for row in rows], logits=logits)
    for truth, name in ((file, "a.json"), (tmp_path / "shards", "b.json")):
        command = ["score", str(tmp_path / "p.npz"), "--metric", metric, "--truth", str(truth)]
        assert main([*command, "--partial", "--submit", str(tmp_path / name)]) == 0
    assert json.loads((tmp_path / "a.json").read_text()) == json.loads((tmp_path / "b.json").read_text())


def test_any_number_of_classes_per_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A probability per class: the mean of the sigmoid over the views."""
    np.savez(tmp_path / "p.npz", ids=list("abcd"), logits=LOGITS)
    (tmp_path / "t.csv").write_text("id,label\na,\nb,\nc,\nd,\n")
    (tmp_path / "c.json").write_text(json.dumps(['say "a, b"', "y", "z"]))
    out = tmp_path / "s.csv"
    command = ["score", str(tmp_path / "p.npz"), "--metric", "multilabel", "--truth", str(tmp_path / "t.csv")]
    assert main([*command, "--classes", str(tmp_path / "c.json"), "--submit", str(out)]) == 0
    head, *rows = csv.reader(out.open())
    assert head == ["id", 'say "a, b"', "y", "z"]
    assert [row[0] for row in rows] == list("abcd")
    expected = (1 / (1 + np.exp(-LOGITS))).mean(axis=1)
    np.testing.assert_allclose(np.array([row[1:] for row in rows], float), expected, rtol=1e-8)


@pytest.mark.parametrize("option", [["--json"], ["--out", "o.json"], ["--strict"], ["--diagnose"]])
def test_what_needs_a_score_is_refused_without_labels(
    option: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez("p.npz", ids=["a", "b"], logits=np.eye(2))
    (tmp_path / "t.csv").write_text("id\na\nb\n")
    for truth in (["--truth", "t.csv"], []):
        error = refused(capsys, "p.npz", "--metric", "topk", *truth, "--submit", "s.csv", *option)
        assert "has no labels, so that there is nothing to score" in error
        assert option[0] in error
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.npz", "t.csv"]


def test_labels_in_the_predictions_are_scored_beside_a_submission(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "p.npz", ids=["a", "b"], logits=np.eye(2), labels=[0, 1])
    command = ["score", str(tmp_path / "p.npz"), "--metric", "topk", "--submit", str(tmp_path / "s.csv"), "--json"]
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["top1"] == 1
    assert (tmp_path / "s.csv").read_text() == "id,label\na,0\nb,1\n"


def test_seconds_without_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A list of AVA's seconds alone: movies are compared, and nothing is scored."""
    (tmp_path / "p.csv").write_text("m,0902,0.1,0.1,0.5,0.5,1,0.5\n")
    (tmp_path / "t.csv").write_text("m,0902\n")
    out = tmp_path / "s.csv"
    command = ["score", str(tmp_path / "p.csv"), "--metric", "ava", "--truth", str(tmp_path / "t.csv")]
    assert main([*command, "--submit", str(out)]) == 0
    assert out.read_text() == "m,0902,0.1,0.1,0.5,0.5,1,0.5\n"
    (tmp_path / "t.csv").write_text("m,0902\nn,0902\n")
    out.unlink()
    capsys.readouterr()
    assert "1 of the 2 videos have no prediction, first 'n'" in refused(capsys, *command[1:], "--submit", out)
    assert not out.exists()
