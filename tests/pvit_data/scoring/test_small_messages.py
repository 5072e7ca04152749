"""What is said of files that cannot be scored, or only in part."""

import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pvit_cli.model import main
from tests.pvit_data.scoring import made


def refused(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 1) -> str:
    assert main(["score", *map(str, arguments)]) == code
    return capsys.readouterr().err


def test_packed_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "p.csv.gz").write_bytes(gzip.compress(b"m,0902,0.1,0.1,0.5,0.5,1,0.5\n"))
    (tmp_path / "t.csv").write_text("m,0902,0.1,0.1,0.5,0.5,1,0\n")
    said = "is compressed; unpack it first (gunzip -k p.csv.gz)"
    ava = ("--metric", "ava", "--no-excluded", "--truth")
    assert said in refused(capsys, tmp_path / "p.csv.gz", *ava, tmp_path / "t.csv")
    assert said in refused(capsys, tmp_path / "t.csv", *ava, tmp_path / "p.csv.gz")
    assert said in refused(capsys, tmp_path / "p.csv.gz", "--metric", "topk")
    np.savez(tmp_path / "p.npz", ids=["a"], logits=np.eye(1, 3))
    assert said in refused(capsys, tmp_path / "p.npz", "--metric", "topk", "--truth", tmp_path / "p.csv.gz")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("0 0 1 0\n".encode("utf-16"), "is text in UTF-16; save it in UTF-8"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "is a pointer of Git LFS"),
        (b"\n <!DOCTYPE html><html><body>Sign in", "is a web page, not the file itself"),
    ],
)
def test_what_is_left_in_place_of_files(
    data: bytes, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x").write_bytes(data)
    np.savez(tmp_path / "p.npz", ids=["a"], logits=np.eye(1, 3))
    assert said in refused(capsys, tmp_path / "x", "--metric", "topk")
    assert said in refused(capsys, tmp_path / "p.npz", "--metric", "topk", "--truth", tmp_path / "x")
    assert said in refused(capsys, tmp_path / "p.npz", "--metric", "ava", "--no-excluded", "--truth", tmp_path / "x")
    assert said in refused(capsys, tmp_path / "x", "--metric", "pnr", "--truth", tmp_path / "x")


def test_the_first_video_is_not_taken_for_totals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ids that are numbers, and few classes; totals are fewer numbers than any row has."""
    for start, number in (("", 2), ("66.7, 100.0\n", 2), ("66.7\n", 2)):
        (tmp_path / "p.txt").write_text(f"{start}17 0 0.9 0.1\n18 1 0.2 0.8\n")
        assert main(["score", str(tmp_path / "p.txt"), "--metric", "topk", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["list"]["n"] == number


def test_columns_that_stand_twice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text("id,label,label\na,1,2\n")
    np.savez(tmp_path / "p.npz", ids=["a"], logits=np.eye(1, 3))
    error = refused(capsys, tmp_path / "p.npz", "--metric", "topk", "--truth", tmp_path / "t.csv")
    assert "t.csv: column 'label' stands twice" in error
    (tmp_path / "t.csv").write_text("id,action\na,1\n")
    error = refused(capsys, tmp_path / "p.npz", "--metric", "topk", "--truth", tmp_path / "t.csv", code=2)
    assert "has no labels (a column label, labels, template, class or actions)" in error


def test_truth_of_which_nothing_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Seconds without people; actions that are none of the 60."""
    (tmp_path / "p.csv").write_text("m,0902,0.1,0.1,0.5,0.5,1,0.5\n")
    for text, number in (("m,0902\n", 0), ("m,0902,0.1,0.1,0.5,0.5,2,0\n", 1)):
        (tmp_path / "t.csv").write_text(text)
        error = refused(capsys, tmp_path / "p.csv", "--metric", "ava", "--no-excluded", "--truth", tmp_path / "t.csv")
        assert f"none of its {number} boxes counts" in error


@pytest.mark.parametrize(
    ("text", "seen"), [("", "is empty"), ("m,0902,1\n", "3 columns"), ("m,902,0,0,1,1,1\n", "7 columns")]
)
def test_excluded_seconds_of_another_form(
    text: str, seen: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.csv").write_text("m,0902,0.1,0.1,0.5,0.5,1,0.5\n")
    (tmp_path / "t.csv").write_text("m,0902,0.1,0.1,0.5,0.5,1,0\n")
    (tmp_path / "e.csv").write_text(text)
    command = (tmp_path / "p.csv", "--metric", "ava", "--truth", tmp_path / "t.csv", "--excluded", tmp_path / "e.csv")
    assert f"e.csv: {seen}, expected 2 columns: video,second without a header" in refused(capsys, *command)


def test_scores_that_are_no_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "p.npz", ids=["a", "b"], logits=[[0, 1.0], [np.nan, 1]], labels=[0, 1])
    error = refused(capsys, tmp_path / "p.npz", "--metric", "topk")
    assert f"{tmp_path}/p.npz: 1 of 2 videos have scores that are NaN or infinite, first 'b'" in error
    assert f"{tmp_path}/p.npz: 1 of 2" in refused(capsys, tmp_path / "p.npz", "--metric", "topk", "--submit", "s.csv")


def test_paths_with_blanks(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Between tabs, between commas, and before the bracket of a view; between blanks nobody can tell."""
    path = tmp_path / "p.txt"
    for text in ("my clip.mp4\t1\t0.2\t0.8\n", "my clip.mp4, 1, 0.2, 0.8\n", "my clip.mp4 [0.2, 0.8] 1 0 0\n"):
        path.write_text(text)
        assert main(["score", str(path), "--metric", "topk", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["top1"] == 1
    path.write_text("my clip.mp4 1 0.2 0.8\n")
    hint = "a path with blanks in it needs tabs or commas between the columns"
    assert hint in refused(capsys, path, "--metric", "topk")
    path.write_text("clip.mp4 0.2 0.8 0.1\n")
    assert hint not in refused(capsys, path, "--metric", "topk")


def test_answers_that_are_no_bins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = made.clips(number=8)
    answers = {row["unique_id"]: 33.3 for row in rows}
    made.diagnose_clips(tmp_path, rows, answers)
    command = ["score", str(tmp_path / "p.json"), "--metric", "pnr", "--truth", str(tmp_path / "fho_oscc-pnr_val.json")]
    assert main(command) == 0
    assert "nan" not in capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["details"]["pnr_error_sec_shown_frame"] is None


def test_clips_without_a_change(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row for row in made.clips() if not row["state_change"]]
    (tmp_path / "t.json").write_text(json.dumps(rows))
    (tmp_path / "p.json").write_text(json.dumps([{"unique_id": row["unique_id"], "pnr_frame": 3} for row in rows]))
    error = refused(capsys, tmp_path / "p.json", "--metric", "pnr", "--truth", tmp_path / "t.json", code=2)
    assert "the state changes in none of its 30 clips" in error
    assert "--metric oscc scores such a list" in error


def test_the_error_of_the_majority_is_no_simple_prediction(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "p.npz", ids=["a", "b", "c", "d"], logits=np.eye(4), labels=[0, 0, 1, 2])
    command = ["score", str(tmp_path / "p.npz"), "--metric", "topk"]
    assert main(command) == 0
    assert "simple predictions: majority 50.00 % (+- 25.00)\n" in capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["baselines"], result["details"]["majority_se"]) == ({"majority": 0.5}, 0.25)


def test_several_classes_where_one_is_expected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "p.npz", ids=["a", "b"], logits=np.eye(2, 3), labels=[[1, 1, 0], [0, 0, 1]])
    assert "of one class (--metric multilabel?)" in refused(capsys, tmp_path / "p.npz", "--metric", "topk", code=2)
    np.savez(tmp_path / "p.npz", ids=["a", "b"], logits=np.eye(2, 3), labels=[[2, 1, 0], [0, 0, 1]])
    assert "expected (2,) whole numbers, or (2, 3) of 0 and 1" in refused(
        capsys, tmp_path / "p.npz", "--metric", "topk"
    )


@pytest.mark.parametrize(("name", "number"), [("Diving48_test.json", 4), ("renamed.json", 2096)])
def test_first_labels_of_diving48(name: str, number: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By name, or by how many there are; another protocol takes them."""
    rows = [{"vid_name": f"d_{n:05d}", "label": n % 2, "start_frame": 0, "end_frame": 9} for n in range(number)]
    (tmp_path / name).write_text(json.dumps(rows))
    np.savez(tmp_path / "p.npz", ids=[row["vid_name"] for row in rows], logits=np.zeros((number, 3, 2)))
    command = (tmp_path / "p.npz", "--metric", "topk", "--truth", tmp_path / name)
    error = refused(capsys, *command, "--protocol", "diving48")
    assert "these are Diving48's labels of the first edition (V1)" in error
    assert "take Diving48_V2_test.json" in error
    assert main(["score", *map(str, command)]) == 0


def test_first_labels_of_diving48_are_no_training_list_of_the_second(tmp_path: Path) -> None:
    from pvit_data.scoring.doctor.lists import leak

    for name in ("Diving48_train.json", "Diving48_V2_test.json", "Diving48_V2_train.json"):
        rows = [{"vid_name": "other" if "V2_train" in name else "a", "label": 0}]
        (tmp_path / name).write_text(json.dumps(rows))
    assert leak(["a"], tmp_path / "Diving48_V2_test.json", None, "diving48", str) is None
    assert leak(["other"], tmp_path / "Diving48_V2_test.json", None, "diving48", str) is not None


def test_a_submission_is_no_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Scored against itself it would be perfect."""
    (tmp_path / "labels.json").write_text(json.dumps({"Pulling it": "0", "Pushing it": "1", "Turning it": "2"}))
    (tmp_path / "test-answers.csv").write_text("1;Pushing it\n2;Turning it\n")
    np.savez(tmp_path / "p.npz", ids=["1", "2"], logits=np.zeros((2, 3, 3)))
    command = [tmp_path / "p.npz", "--metric", "topk", "--protocol", "ssv2", "--truth"]
    assert (
        main(["score", *map(str, command), str(tmp_path / "test-answers.csv"), "--submit", str(tmp_path / "s.csv")])
        == 0
    )
    capsys.readouterr()
    assert "s.csv: '1' has 3 classes ('Pulling it, Pushing it, Turning it'): a submission?" in refused(
        capsys, *command, tmp_path / "s.csv"
    )


@pytest.mark.parametrize("listed", ["a/x.mp4", "x"])
@pytest.mark.parametrize("predicted", ["b/x.mp4", "x.webm", "x"])
def test_names_of_files_with_and_without_folders(
    predicted: str, listed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "t.csv").write_text(f"path,label\n{listed},1\na/y.mp4,0\n")
    (tmp_path / "p.txt").write_text(f"{predicted} 1 0.2 0.8\nb/y.mp4 0 0.9 0.1\n")
    np.savez(tmp_path / "p.npz", ids=[predicted, "b/y.mp4"], logits=[[0.2, 0.8], [0.9, 0.1]])
    for name in ("p.txt", "p.npz"):
        command = ["score", str(tmp_path / name), "--metric", "topk", "--truth", str(tmp_path / "t.csv"), "--json"]
        assert main(command) == 0
        assert json.loads(capsys.readouterr().out)["top1"] == 1
    (tmp_path / "t.csv").write_text("path,label\na/x.mp4,1\nc/x.mp4,0\n")  # two of one name: only whole paths tell
    assert "have no prediction" in refused(
        capsys, tmp_path / "p.npz", "--metric", "topk", "--truth", tmp_path / "t.csv"
    )


def test_no_video_has_a_class(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "p.npz", ids=["a", "b"], logits=np.eye(2), labels=np.zeros((2, 2), int))
    assert "no video has a class" in refused(capsys, tmp_path / "p.npz", "--metric", "multilabel", code=2)


def test_results_that_are_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "p.npz", ids=["a", "b"], logits=np.eye(2), labels=[0, 1])
    good = tmp_path / "good.json"
    assert main(["score", str(tmp_path / "p.npz"), "--metric", "topk", "--out", str(good)]) == 0
    for old, new, said in (('"top1": 1.0', '"top1": "x"', "top1 is 'x', expected a number"),
                           ('"sha256": "', '"sha256": [], "x": "', "the sha256 of its list is no text")):  # fmt: skip
        (tmp_path / "bad.json").write_text(good.read_text().replace(old, new))
        capsys.readouterr()
        assert main(["compare", str(good), str(tmp_path / "bad.json")]) == 1
        assert said in capsys.readouterr().err


def test_options_that_mean_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An option that the metric would not read is refused; one that the variant does not need is a note."""
    np.savez(tmp_path / "p.npz", ids=["a", "b"], logits=np.eye(2), labels=[0, 1])
    command = (tmp_path / "p.npz", "--metric", "topk")
    for option in (["--no-cap"], ["--threshold", "0"], ["--excluded", "x.csv"], ["--label-map", "ava80"]):
        error = refused(capsys, *command, *option, code=2)
        assert f"{option[0]} means nothing to --metric topk, only to ava" in error
    error = refused(capsys, *command[:2], "pnr", "--truth", "t.json", "--classes", "c.txt", code=2)
    assert "--classes means nothing to --metric pnr, only to topk and multilabel" in error
    assert "--threshold" in refused(capsys, *command, "--threshold", "7", code=2)
    assert "say --diagnose" in refused(capsys, *command, "--train-list", "t.csv", code=2)
    for truth, said in (((), "without --truth there are none"), (("--truth", tmp_path / "p.npz"), "p.npz is a file")):
        error = refused(capsys, *command, *truth, "--split", "val", code=2)
        assert "--split is of converted shards, and" in error
        assert said in error
    result = made.diagnose_boxes(tmp_path, made.movies(seconds=4), made.detections(made.movies(seconds=4)), no_cap=True)
    assert "--no-cap is not used by this variant, which has no cap to lift" in result.notes


def test_one_class_in_a_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "p.npz", ids=["a", "b"], logits=np.eye(2))
    (tmp_path / "t.json").write_text('[{"id": "a", "labels": [1]}, {"id": "b", "labels": [0]}]')
    error = refused(capsys, tmp_path / "p.npz", "--metric", "topk", "--truth", tmp_path / "t.json")
    assert "row 1 ('a') has a list of classes, [1]: --metric multilabel counts those" in error


def test_columns_between_bars(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "p.npz", ids=["a", "b"], logits=np.eye(2))
    (tmp_path / "t.csv").write_text("id|label\na|0\nb|1\n")
    error = refused(capsys, tmp_path / "p.npz", "--metric", "topk", "--truth", tmp_path / "t.csv")
    assert "t.csv: its columns ('id|label') are separated by |" in error


def test_zeros_that_a_table_lost(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text("id,label\n007344,0\n000001,1\n")
    command = (tmp_path / "p.npz", "--metric", "topk", "--truth", tmp_path / "t.csv")
    for ids, is_said in (([7344, 1], True), ([7344, 2], False)):
        np.savez(tmp_path / "p.npz", ids=ids, logits=np.eye(2))
        error = refused(capsys, *command)
        assert "2 of the 2 videos have no prediction" in error
        assert ("the same but for zeros in front" in error) is is_said


def test_numbers_of_other_machines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = np.eye(2).astype(">f8")
    np.savez(tmp_path / "p.npz", ids=["a", "b"], logits=given, labels=[0, 1])
    error = refused(capsys, tmp_path / "p.npz", "--metric", "topk")
    assert "'logits.npy' has its bytes in the order of other machines (big-endian)" in error
    np.savez(tmp_path / "p.npz", ids=["a", "b"], logits=given.astype(given.dtype.newbyteorder("<")), labels=[0, 1])
    assert main(["score", str(tmp_path / "p.npz"), "--metric", "topk"]) == 0


def test_large_logits_are_no_probabilities(tmp_path: Path) -> None:
    """Only what a constant more or less does not change."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 12, 60)
    logits = made.network(labels, 12, 0.5, rng).astype(np.float64)
    plain = made.diagnose_classes(tmp_path, logits, labels, 12).values
    assert made.diagnose_classes(tmp_path, logits + 1e6, labels, 12).values == plain


@pytest.mark.parametrize("kind", ["null", "int64", "some"])
def test_labels_that_a_dump_lacks(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = pa.array([None, 1] if kind == "some" else [None] * 2, pa.null() if kind == "null" else pa.int64())
    pq.write_table(pa.table({"id": ["a", "b"], "label": labels, "logits": [[1.0, 0], [0, 1]]}), tmp_path / "p.parquet")
    (tmp_path / "t.csv").write_text("id,label\na,0\nb,1\n")
    command = ["score", str(tmp_path / "p.parquet"), "--metric", "topk", "--truth", str(tmp_path / "t.csv"), "--json"]
    assert main(command) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["top1"], [f for f in result["findings"] if f["is_finding"]]) == (1, [])


def test_a_list_is_not_known_by_its_number_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ids = [str(n + 1) for n in range(430)]
    np.savez(tmp_path / "p.npz", ids=ids, logits=np.eye(3)[np.arange(430) % 3])
    (tmp_path / "mine.csv").write_text("id,label\n" + "".join(f"{name},0\n" for name in ids))
    command = ["score", str(tmp_path / "p.npz"), "--metric", "topk", "--protocol", "something-else", "--json"]
    assert main([*command, "--truth", str(tmp_path / "mine.csv")]) == 0
    assert json.loads(capsys.readouterr().out)["list"]["name"] == "mine.csv (as many as 5-shot train)"


def test_the_split_that_publications_score() -> None:
    parts = {name: made.ScoreOptions(protocol=made.find_protocol("topk", name)).part for name in ("ssv2", "diving48")}
    assert parts == {"ssv2": "val", "diving48": "test"}
