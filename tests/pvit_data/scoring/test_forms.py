"""Every form of predictions and of truth gives the same numbers; what is wrong in one is said."""

import json
import pickle
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pvit_cli.model import main
from pvit_data.scoring.files.dump import write_dump
from pvit_data.scoring.metrics.classes import top_k
from pvit_data.scoring.metrics.views import summed

NAMES = [
    "Holding something", "Moving something up", "Pushing something from left to right",
    "Pushing something from right to left", "Throwing something", "Wiping something off of something",
]  # fmt: skip
N, V, K = 30, 3, len(NAMES)
RNG = np.random.default_rng(5)
IDS = [str(n) for n in RNG.permutation(np.arange(1, 500))[:N]]
LABELS = RNG.integers(0, K, N)
LOGITS = (RNG.normal(size=(N, V, K)) + 2 * np.eye(K)[LABELS][:, None]).astype(np.float32)
EXPECTED = top_k(summed(LOGITS), LABELS)


def scored(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict:
    assert main(["score", *map(str, arguments), "--metric", "topk", "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 1) -> str:
    assert main(["score", *map(str, arguments), "--metric", "topk"]) == code
    return capsys.readouterr().err


def ssv2_tree(root: Path) -> Path:
    (root / "labels.json").write_text(json.dumps({name: str(n) for n, name in enumerate(NAMES)}))
    rows = [
        {
            "id": name,
            "label": "free text",
            "template": NAMES[label].replace("something", "[something]"),
            "placeholders": [],
        }
        for name, label in zip(IDS, LABELS, strict=True)
    ]
    (root / "validation.json").write_text(json.dumps(rows))
    return root / "validation.json"


def dump(path: Path, shuffle: bool = False, **more: object) -> Path:
    rows = np.repeat(np.arange(N), V)
    views = np.tile(np.arange(V), N)
    order = RNG.permutation(N * V) if shuffle else np.arange(N * V)
    rows, views = rows[order], views[order]
    keys = [f"ssv2-{int(IDS[row]):06d}" for row in rows]
    about = {"source": "ssv2", "split": "val", "frames": 16, "clips": 1, "crops": 3, **more}
    write_dump(path, keys, [IDS[row] for row in rows], views, LABELS[rows], LOGITS[rows, views], about)
    return path


def npz(path: Path, logits: np.ndarray = LOGITS, **more: object) -> Path:
    np.savez_compressed(path, ids=np.array(IDS), logits=logits, **more)  # type: ignore[arg-type]
    return path


def score_list(path: Path) -> Path:
    total = summed(LOGITS)
    lines = [
        f"videos/{name}.webm {label} {' '.join(map(repr, map(float, row)))}"
        for name, label, row in zip(IDS, LABELS, total, strict=True)
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def view_list(path: Path) -> Path:
    """As several processes write it, joined: each begins with its totals."""
    lines = ["61.2, 88.0"]
    for n, name in enumerate(IDS):
        lines += [f"{name} {LOGITS[n, v].astype(float).tolist()} {LABELS[n]} 0 {v}" for v in range(V)]
    rows = np.random.default_rng(0).permutation(lines[1:]).tolist()
    path.write_text("\n".join([lines[0], *rows[:100], lines[0], *rows[100:]]), encoding="utf-8")
    return path


@pytest.mark.parametrize("form", ["dump", "shuffled", "npz", "npz-ints", "npz-bytes", "views"])
def test_forms_with_views(form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = ssv2_tree(tmp_path)
    path = {
        "dump": lambda: dump(tmp_path / "p.parquet"),
        "shuffled": lambda: dump(tmp_path / "p.parquet", shuffle=True),
        "npz": lambda: npz(tmp_path / "p.npz"),
        "npz-ints": lambda: (
            np.savez(tmp_path / "p.npz", ids=np.array(IDS, np.int64), logits=LOGITS),
            tmp_path / "p.npz",
        )[1],
        "npz-bytes": lambda: (np.savez(tmp_path / "p.npz", ids=np.array(IDS, "S"), logits=LOGITS), tmp_path / "p.npz")[
            1
        ],
        "views": lambda: view_list(tmp_path / "p.txt"),
    }[form]()
    result = scored(capsys, path, "--protocol", "ssv2", "--truth", truth)
    for name in ("top1", "top5", "mean_class_accuracy"):
        assert result[name] == EXPECTED[name]
    assert result["baselines"]["majority"] == EXPECTED["majority"]
    assert result["views"] == {
        "frames": 16 if "dump" in form or form == "shuffled" else None,
        "clips": 1,
        "crops": 3,
        "number": 3,
    }


def test_one_row_per_video_is_taken_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = ssv2_tree(tmp_path)
    for path in (score_list(tmp_path / "p.txt"), npz(tmp_path / "p.npz", summed(LOGITS))):
        result = scored(capsys, path, "--protocol", "ssv2", "--truth", truth)
        assert result["top1"] == EXPECTED["top1"]
        assert any("its writer combined the views" in note for note in result["notes"])
        assert result["views"]["crops"] is None


def truths(root: Path) -> dict[str, Path]:
    """The same classes as tables."""
    named = [(name, NAMES[label]) for name, label in zip(IDS, LABELS, strict=True)]
    files = {
        "numbers.csv": "id,label\n" + "".join(f"{i},{k}\n" for i, k in zip(IDS, LABELS, strict=True)),
        "names.tsv": "id\tlabel\n" + "".join(f"{i}\t{name}\n" for i, name in named),
        "answers.csv": "".join(f"{i};{name}\n" for i, name in named),
        "list.txt": "".join(f"some/folder/{i}.mp4 {k}\n" for i, k in zip(IDS, LABELS, strict=True)),
        "bom.json": "\ufeff" + json.dumps([{"id": int(i), "label": int(k)} for i, k in zip(IDS, LABELS, strict=True)]),
    }
    for name, text in files.items():
        (root / name).write_text(text, encoding="utf-8")
    pq.write_table(pa.table({"id": IDS, "label": LABELS, "other": [[1.0]] * N}), root / "table.parquet")
    return {name: root / name for name in (*files, "table.parquet")}


def test_forms_of_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = npz(tmp_path / "p.npz")
    (tmp_path / "classes.txt").write_text("".join(f"{name}\n" for name in NAMES))
    found = {}
    for name, truth in truths(tmp_path).items():
        more = ["--classes", str(tmp_path / "classes.txt")] if name in ("names.tsv", "answers.csv") else []
        result = scored(capsys, path, "--truth", truth, *more)
        assert result["top1"] == EXPECTED["top1"], name
        found[name] = result["list"]["sha256"]
    assert len(set(found.values())) == 1


def test_labels_of_the_predictions_are_the_truth_if_none_is_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (dump(tmp_path / "p.parquet"), npz(tmp_path / "p.npz", labels=LABELS), view_list(tmp_path / "p.txt")):
        assert scored(capsys, path, "--protocol", "ssv2")["top1"] == EXPECTED["top1"]
    assert "carries no labels; give --truth" in refused(capsys, npz(tmp_path / "q.npz"), code=2)


def test_the_list_has_a_name_that_everybody_can_compute(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """sha256 of the sorted original ids, each followed by a newline; written with other tools."""
    from hashlib import sha256

    result = scored(capsys, dump(tmp_path / "p.parquet"), "--protocol", "ssv2", "--truth", ssv2_tree(tmp_path))
    text = "".join(f"{name}\n" for name in sorted(IDS))
    assert result["list"]["sha256"] == sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("views", [1, 2])
def test_other_views_than_published_are_refused(views: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = npz(tmp_path / "p.npz", LOGITS[:, :views])
    error = refused(capsys, path, "--protocol", "ssv2", "--truth", ssv2_tree(tmp_path))
    assert f"{views} views of each video, protocol ssv2 has 3 (1 clips x 3 crops)" in error
    scored(capsys, path, "--truth", tmp_path / "validation.json", "--classes", tmp_path / "labels.json")


def test_clips_are_no_crops(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three views either way; a list of views and a dump tell them apart."""
    how = ("--protocol", "ssv2", "--truth", ssv2_tree(tmp_path))
    text = view_list(tmp_path / "p.txt").read_text()
    (tmp_path / "q.txt").write_text(re.sub(r" 0 (\d)$", r" \1 0", text, flags=re.MULTILINE))
    for path in (tmp_path / "q.txt", dump(tmp_path / "p.parquet", clips=3, crops=1)):
        assert "3 clips x 1 crops of each video, protocol ssv2 has 3 (1 clips x 3 crops)" in refused(capsys, path, *how)
        assert scored(capsys, path)["views"] | {"frames": 0} == {"frames": 0, "clips": 3, "crops": 1, "number": 3}
    assert scored(capsys, tmp_path / "p.txt")["views"]["crops"] == 3


def test_a_lost_view_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pq.read_table(dump(tmp_path / "p.parquet"))
    pq.write_table(table.slice(0, N * V - 1), tmp_path / "p.parquet")
    error = refused(capsys, tmp_path / "p.parquet", "--protocol", "ssv2")
    assert f"1 of {N} videos have other than 3 views, first 'ssv2-" in error
    pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), tmp_path / "p.parquet")
    assert "1 of 30 videos have other than 3 views" in refused(capsys, tmp_path / "p.parquet", "--protocol", "ssv2")
    twice = table.to_pydict()
    twice["view"][0] = 1
    pq.write_table(pa.table(twice, schema=table.schema), tmp_path / "p.parquet")
    assert "1 videos have a view twice" in refused(capsys, tmp_path / "p.parquet", "--protocol", "ssv2")


def test_ids_that_are_missing_doubled_or_unknown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = ssv2_tree(tmp_path)
    how = ("--protocol", "ssv2", "--truth", truth)
    path = tmp_path / "p.npz"
    np.savez(path, ids=np.array(IDS[:-3]), logits=LOGITS[:-3])
    assert f"3 of the {N} videos have no prediction, first '{IDS[-3]}'" in refused(capsys, path, *how)
    result = scored(capsys, path, *how, "--partial")
    assert (result["list"]["n"], result["list"]["of"]) == (N - 3, N)
    np.savez(path, ids=np.array([*IDS[:-1], IDS[0]]), logits=LOGITS)
    assert f"1 ids stand twice, first '{IDS[0]}'" in refused(capsys, path, *how)
    np.savez(path, ids=np.array([*IDS, "777777"]), logits=np.concatenate([LOGITS, LOGITS[:1]]))
    assert "1 predictions are of videos that the list does not have, first '777777'" in refused(
        capsys, path, *how, "--partial"
    )


def test_ids_of_another_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = ssv2_tree(tmp_path)
    (tmp_path / "train.json").write_text(json.dumps([{"id": str(900 + n), "template": NAMES[0]} for n in range(N)]))
    np.savez(tmp_path / "p.npz", ids=np.array([str(900 + n) for n in range(N)]), logits=LOGITS)
    error = refused(capsys, tmp_path / "p.npz", "--protocol", "ssv2", "--truth", truth)
    assert "these are the ids of train.json, which is another list" in error


def test_columns_are_matched_by_the_names_of_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A dump that brings names, or a file that names the columns, needs no order."""
    truth = ssv2_tree(tmp_path)
    order = [3, 0, 5, 1, 2, 4]
    shuffled = [NAMES[k] for k in order]
    (tmp_path / "mine.json").write_text(json.dumps(shuffled))
    path = npz(tmp_path / "p.npz", LOGITS[:, :, order])
    # The labels' file lies beside the truth; `--classes` names the columns.
    result = scored(capsys, path, "--protocol", "ssv2", "--truth", truth, "--classes", tmp_path / "mine.json")
    assert result["top1"] == EXPECTED["top1"]
    rows, views = np.repeat(np.arange(N), V), np.tile(np.arange(V), N)
    write_dump(
        tmp_path / "p.parquet", [f"k{r}" for r in rows], [IDS[r] for r in rows], views, np.full(N * V, -1),
        LOGITS[rows, views][:, order], {"classes": shuffled},
    )  # fmt: skip
    result = scored(capsys, tmp_path / "p.parquet", "--protocol", "ssv2", "--truth", truth)
    assert result["top1"] == EXPECTED["top1"]
    assert any("by their names" in note for note in result["notes"])


def test_a_table_of_names_without_a_file_of_classes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Predictions with names need none; without names, all classes must occur."""
    rows = [n for n in range(N) if LABELS[n] != 2]
    (tmp_path / "t.csv").write_text("id,label\n" + "".join(f"{IDS[n]},{NAMES[LABELS[n]]}\n" for n in rows))
    np.savez(tmp_path / "p.npz", ids=[IDS[n] for n in rows], logits=LOGITS[rows])
    error = refused(capsys, tmp_path / "p.npz", "--truth", tmp_path / "t.csv")
    assert "6 columns of scores for 5 classes that occur in the truth: give the file with all classes" in error
    more, views = np.repeat(rows, V), np.tile(np.arange(V), len(rows))
    write_dump(
        tmp_path / "p.parquet", [IDS[n] for n in more], [IDS[n] for n in more], views, np.full(len(more), -1),
        LOGITS[more, views], {"classes": NAMES},
    )  # fmt: skip
    expected = top_k(summed(LOGITS[rows]), LABELS[rows])
    assert scored(capsys, tmp_path / "p.parquet", "--truth", tmp_path / "t.csv")["top1"] == expected["top1"]
    (tmp_path / "t.csv").write_text((tmp_path / "t.csv").read_text().replace("Throwing", "Trowing"))
    error = refused(capsys, tmp_path / "p.parquet", "--truth", tmp_path / "t.csv")
    assert "class 'Trowing something' is none of the predictions' 6 classes" in error


def test_something_else_counts_by_the_alphabet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The values of its label files are another order, which half of the programs use."""
    ssv2_tree(tmp_path)
    values = {name: n for n, name in enumerate(reversed(NAMES))}
    (tmp_path / "labels.json").write_text(json.dumps(values))
    path = npz(tmp_path / "p.npz")
    how = ("--protocol", "something-else", "--truth", tmp_path / "validation.json")
    assert scored(capsys, path, *how)["top1"] == EXPECTED["top1"]
    other = npz(tmp_path / "q.npz", LOGITS[:, :, ::-1])
    assert scored(capsys, other, *how)["top1"] != EXPECTED["top1"]
    assert scored(capsys, other, *how, "--classes", tmp_path / "labels.json")["top1"] == EXPECTED["top1"]


def test_numbers_that_two_orders_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The protocol's is the alphabet, the file's is another; a list and its columns may follow either."""
    values = {name: n for n, name in enumerate(reversed(NAMES))}
    (tmp_path / "order.json").write_text(json.dumps(values))
    own = [values[NAMES[k]] for k in LABELS]
    (tmp_path / "own.csv").write_text("id,label\n" + "".join(f"{i},{k}\n" for i, k in zip(IDS, own, strict=True)))
    path = npz(tmp_path / "q.npz", LOGITS[:, :, ::-1])
    how = (path, "--protocol", "something-else", "--truth", tmp_path / "own.csv")
    assert scored(capsys, *how)["top1"] == EXPECTED["top1"]
    error = refused(capsys, *how, "--classes", tmp_path / "order.json", code=2)
    assert "has numbers of classes, which --protocol something-else counts in the order of the alphabet" in error
    assert "and order.json in another" in error
    assert "leave out --classes; else write names instead of numbers into the list" in error
    (tmp_path / "labels.json").write_text((tmp_path / "order.json").read_text())  # beside the list
    assert scored(capsys, *how)["top1"] == EXPECTED["top1"]
    assert "and labels.json in another" in refused(capsys, *how, "--classes", tmp_path / "order.json", code=2)
    (tmp_path / "labels.json").unlink()
    (tmp_path / "order.json").write_text(json.dumps(NAMES))  # the alphabet: one reading
    assert scored(capsys, *how, "--classes", tmp_path / "order.json")["top1"] == EXPECTED["top1"]


def test_kinetics_and_diving(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ids = [f"-_{n:09d}" for n in range(N)]
    rows = [f'"{NAMES[k]}",{i},417,427,val,0' for i, k in zip(ids, LABELS, strict=True)]
    (tmp_path / "val.csv").write_text("label,youtube_id,time_start,time_end,split,is_cc\n" + "\n".join(rows))
    five = np.concatenate([LOGITS, LOGITS[:, :2]], axis=1)
    np.savez(tmp_path / "p.npz", ids=[f"{i}_000417_000427" for i in ids], logits=five)
    result = scored(capsys, tmp_path / "p.npz", "--protocol", "kinetics400", "--truth", tmp_path / "val.csv")
    assert result["top1"] == top_k(summed(five), LABELS)["top1"]
    dives = [
        {"vid_name": f"{i}_00{k:03d}", "label": int(k), "start_frame": 0, "end_frame": 9}
        for i, k in zip(ids, LABELS, strict=True)
    ]
    (tmp_path / "Diving48_V2_test.json").write_text(json.dumps(dives))
    vocabulary = [["Back", f"{k}som", "05Twis", "FREE"] for k in range(K)]
    (tmp_path / "Diving48_vocab.json").write_text(json.dumps(vocabulary))
    np.savez(tmp_path / "d.npz", ids=[f"{d['vid_name']}.mp4" for d in dives], logits=LOGITS)
    result = scored(capsys, tmp_path / "d.npz", "--protocol", "diving48", "--truth", tmp_path / "Diving48_V2_test.json")
    assert result["top1"] == EXPECTED["top1"]
    assert result["details"]["class_names"][1] == "Back+1som+05Twis+FREE"


def test_several_classes_per_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pvit_data.scoring.metrics.multilabel import mean_average_precision

    rng = np.random.default_rng(2)
    flags = rng.random((N, K)) < 0.3
    logits = rng.normal(size=(N, 1, K))
    np.savez(tmp_path / "p.npz", ids=np.array(IDS), logits=logits)
    cells = [" ".join(map(str, np.flatnonzero(row))) for row in flags]
    charades = [";".join(f"c{k:03d} 1.50 9.10" for k in np.flatnonzero(row)) for row in flags]
    forms = {
        "a.csv": "id,labels\n" + "".join(f"{i},{c}\n" for i, c in zip(IDS, cells, strict=True)),
        "b.csv": "id,label\n"
        + "".join(f"{i},{k}\n" for i, row in zip(IDS, flags, strict=True) for k in np.flatnonzero(row)),
        "c.csv": "id,actions\n" + "".join(f"{i},{c}\n" for i, c in zip(IDS, charades, strict=True)),
    }
    expected = mean_average_precision(1 / (1 + np.exp(-logits[:, 0])), flags)[0]
    for name, text in forms.items():
        (tmp_path / name).write_text(text)
        assert main(["score", str(tmp_path / "p.npz"), "--metric", "multilabel", "--truth", str(tmp_path / name),
                     "--json", "--partial"]) in (0, 1)  # fmt: skip
        out = capsys.readouterr()
        if name == "b.csv" and not flags.any(axis=1).all():
            assert "the list does not have" in out.err  # a video without a class has no row there
            continue
        assert json.loads(out.out)["mAP"] == pytest.approx(expected, abs=1e-9), name


def test_several_classes_by_name_where_one_has_no_video(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The names that occur are not all: numbered by themselves they would be other columns."""
    scores = np.array([[0.9, 0.1, 0.2], [0.2, 0.8, 0.7], [0.8, 0.3, 0.1], [0.1, 0.2, 0.6]])
    ids, path = list("wxyz"), tmp_path / "p.npz"
    np.savez(path, ids=ids, logits=np.log(scores / (1 - scores)))
    (tmp_path / "t.csv").write_text("id,label\nw,run\nx,walk\ny,run\nz,\n")
    (tmp_path / "classes.txt").write_text("run\nsit\nwalk\n")
    command = ["score", str(path), "--metric", "multilabel", "--truth", str(tmp_path / "t.csv")]
    assert main(command) == 1
    assert "3 columns of scores for 2 classes that occur in the truth: give the file" in capsys.readouterr().err
    assert main([*command, "--classes", str(tmp_path / "classes.txt"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mAP"] == 1.0
    about = {"classes": ["walk", "sit", "run"]}  # a dump names its columns
    write_dump(tmp_path / "p.parquet", ids, ids, np.zeros(4, int), np.full(4, -1), scores[:, ::-1], about)
    assert main([*command[:1], str(tmp_path / "p.parquet"), *command[2:], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["mAP"] == 1.0


def test_shards_are_a_truth(shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Original ids come from the samples' metadata; their keys are understood as well."""
    import pvit_data

    ds = pvit_data.open(shards, source="ssv2", split="val")
    ids = [str(s.meta["video_id"]) for s in ds]
    labels = ds.column("action")
    space = ds.spaces_of("ssv2")["action"]
    logits = np.random.default_rng(0).normal(size=(len(ids), 3, space.num_ids))
    for names in (ids, ds.column("key").tolist()):
        np.savez(tmp_path / "p.npz", ids=names, logits=logits)
        result = scored(capsys, tmp_path / "p.npz", "--protocol", "ssv2", "--truth", shards, "--source", "ssv2")
        assert result["top1"] == top_k(summed(logits), labels)["top1"]
    assert "name one with --source" in refused(
        capsys, tmp_path / "p.npz", "--protocol", "ssv2", "--truth", shards, "--split", "train", code=2
    )


def test_pickles_are_refused_with_the_lines_that_convert_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And the line works."""
    import shlex
    import subprocess

    path = tmp_path / "results.pkl"
    path.write_bytes(pickle.dumps([LOGITS.mean(axis=1), LABELS]))
    error = refused(capsys, path)
    assert "is a pickle, which may run any code" in error
    line = error.split("`")[1]
    subprocess.run(shlex.split(line), cwd=tmp_path, check=True, capture_output=True)
    assert scored(capsys, tmp_path / "results.npz")["list"]["n"] == N
    np.savez(tmp_path / "o.npz", ids=np.array(IDS, object), logits=LOGITS)
    assert "holds Python objects, that is a pickle" in refused(capsys, tmp_path / "o.npz")


def test_submissions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of a list without labels."""
    ssv2_tree(tmp_path)
    (tmp_path / "test.json").write_text(json.dumps([{"id": name} for name in IDS]))
    path, out = npz(tmp_path / "p.npz"), tmp_path / "out"
    base = ["score", str(path), "--metric", "topk", "--submit", str(out), "--truth"]
    assert main([*base, str(tmp_path / "test.json"), "--protocol", "ssv2"]) == 0
    order = np.argsort(-summed(LOGITS)[0])
    assert out.read_text().splitlines()[0] == ";".join([IDS[0], *(NAMES[k] for k in order[:5])])
    (tmp_path / "list.csv").write_text("id,label\n" + "".join(f"{i},\n" for i in IDS))
    assert main([*base, str(tmp_path / "list.csv")]) == 0
    assert out.read_text().splitlines()[:2] == ["id,label", f"{IDS[0]},{order[0]}"]
    capsys.readouterr()
