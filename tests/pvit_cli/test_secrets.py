"""A planted password, signature and token stand in nothing that is printed or written, also where a command fails."""

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pvit_cli import data, model
from pvit_data import LabelSpace, Sample, ShardWriter
from tests.pvit_data.range_server import serve

PASSWORD, SIGNATURE, TOKEN = "pa55w0rd", "s1gnature", "hf_t0ken"
RECIPE = """
clip: {downstream: real, num_frames: 4, size: [32, 32]}
mixture: {batch_size: 2}
model: {name: mvitv2_xxs, tasks: [], options: {depth: 2, stages: [1], dense_layers: [0, 1], embed_dim: 8}}
optim: {name: adamw, lr: 0.003, steps: 2}
data: {crops: 1, workers: 0}
run: {log_every: 1, eval_every: 2, eval_clips: 2, predictions: 1, threads: 1, watchdog_s: 0}
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """A folder with a recipe, and the address of a dataset: with a user and a password."""
    root = tmp_path_factory.mktemp("secrets")
    rng = np.random.default_rng(0)
    space = {"action": LabelSpace("a", ("x", "y"))}
    for split, number in (("train", 4), ("val", 2)):
        with ShardWriter(
            root / "web/d", "real", split, spaces=space, role="downstream", tasks=(), licence="CC0-1.0"
        ) as writer:
            for i in range(number):
                rgb = rng.integers(0, 255, (4, 32, 32, 3)).astype(np.uint8)
                writer.write(Sample(key=f"{split}{i}", rgb=rgb, fps=10.0, action=i % 2))
    (root / "web/d/README.md").write_text(f"https://me:{PASSWORD}@host/ no card", encoding="utf-8")
    (root / "r.yaml").write_text(RECIPE, encoding="utf-8")
    with serve(root / "web") as traffic:
        yield root, traffic.url.replace("http://", f"http://me:{PASSWORD}@")


COMMANDS = {
    "validate": (data, ["validate", "URL/d"], 1),
    "validate json": (data, ["validate", "URL/d", "--json"], 1),
    "stats": (data, ["stats", "URL/d"], 0),
    "stats json": (data, ["stats", "URL/d", "--json"], 0),
    "show": (data, ["show", "URL/d"], 0),
    "gallery": (data, ["gallery", "URL/d", "--out", "TMP/g.html", "--json"], 0),
    "mix": (data, ["mix", "ROOT/r.yaml", "--shards", "URL/d", "--figure", "TMP/m.svg"], 0),
    "mix json": (data, ["mix", "ROOT/r.yaml", "--shards", "URL/d", "--json"], 0),
    "flat mix": (data, ["mix", "TMP/flat.yaml"], 0),
    "dry run": (model, ["train", "--shards", "URL/d", "--recipe", "ROOT/r.yaml", "--out", "TMP/dry", "--dry-run"], 0),
    "no folder": (data, ["stats", "URL/none"], None),
    "no folder debug": (data, ["--debug", "-v", "stats", "URL/none"], None),
    "signed": (data, ["stats", f"URL/d?Signature={SIGNATURE}"], None),
    "signed debug": (data, ["--debug", "-v", "validate", f"URL/d?Signature={SIGNATURE}"], None),
    "no scheme": (data, ["stats", f"ftp://me:{PASSWORD}@host/d?Signature={SIGNATURE}"], 2),
    "no source": (data, ["stats", "URL/d", "--source", "none"], 2),
    "no split": (data, ["stats", "URL/d", "--split", "test"], 2),
    "no sample": (data, ["show", "URL/d", "--where", "frames > 100"], 2),
    "twice": (data, ["mix", "ROOT/r.yaml", "--shards", "URL/d", "--shards", f"URL/d/?Signature={SIGNATURE}"], None),
    "no option": (data, ["stats", "URL/d", f"--https://me:{PASSWORD}@host"], 2),
    "no video": (model, ["predict", f"http://me:{PASSWORD}@host/v.mp4", "--model", "ROOT", "--out", "TMP/p"], 1),
    "no model": (model, ["eval", "--model", f"http://me:{PASSWORD}@host/m", "--shards", "URL/d"], 2),
    "no weights": (
        model,
        ["train", "--shards", "URL/d", "--recipe", "ROOT/r.yaml", "--out", "TMP/w", "--dry-run",
         "--set", f"model.checkpoint=https://me:{PASSWORD}@host/w.pth?Signature={SIGNATURE}"],
        1,
    ),
}  # fmt: skip


def secrets_in(text: str) -> set[str]:
    return {secret for secret in (PASSWORD, SIGNATURE, TOKEN) if secret in text}


def written(folder: Path) -> dict[str, set[str]]:
    """Files of ours with a secret in them."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name not in ("flat.yaml", "README.md")]
    found = {path.name: secrets_in(path.read_bytes().decode("latin-1")) for path in files}
    return {name: secrets for name, secrets in found.items() if secrets}


@pytest.fixture
def quiet() -> Iterator[None]:
    """Puts the log back that -v turns on."""
    before, level = logging.root.handlers[:], logging.root.level
    yield
    logging.root.handlers[:] = before
    logging.root.setLevel(level)


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.usefixtures("quiet")
def test_no_command_tells_a_secret(
    name: str,
    place: tuple[Path, str],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root, url = place
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    (tmp_path / "flat.yaml").write_text(f"shards: ['{url}/d']\ndownstream: real\nbatch_size: 2\n", encoding="utf-8")
    command, argv, code = COMMANDS[name]
    words = [w.replace("URL", url).replace("TMP", str(tmp_path)).replace("ROOT", str(root)) for w in argv]
    capfd.readouterr()
    found = command.main(words)
    out, err = capfd.readouterr()
    assert secrets_in(out + err) == set(), out + err
    assert written(tmp_path) == {}
    assert found == code or (code is None and found != 0), out + err


def test_a_run_over_the_network_keeps_no_secret_and_resumes(
    place: tuple[Path, str], tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address with its secret is given again with --resume; what is stored is the plain one."""
    root, url = place
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    out = tmp_path / "run"
    argv = ["train", "--shards", f"{url}/d", "--recipe", str(root / "r.yaml"), "--out", str(out)]
    assert model.main(argv) == 0
    assert model.main([*argv, "--set", "optim.steps=2", "--resume"]) == 0
    assert model.main(["eval", "--model", str(out), "--shards", f"{url}/d", "--out", str(tmp_path / "e.json")]) == 0
    assert model.main(["info", str(out)]) == 0
    printed = "".join(capfd.readouterr())
    assert secrets_in(printed) == set()
    assert written(tmp_path) == {}
    stored = json.loads((out / "data.json").read_text(encoding="utf-8"))["sources"]["real"]["url"]
    assert stored == re.sub("//.*@", "//", url) + "/d"


def test_mixtures_say_what_they_open(
    place: tuple[Path, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Once per host, before it is opened, and not where the command line names the address."""
    _, url = place
    plain = re.sub("//.*@", "//", url)
    mixture = tmp_path / "m.yaml"
    mixture.write_text(f"shards: ['{url}/d', '{url}/d']\ndownstream: real\nbatch_size: 2\n", encoding="utf-8")
    assert data.main(["mix", str(mixture)]) == 0
    said = f"the recipe opens {plain}/d, which the command line does not name\n"
    assert capfd.readouterr().err == said
    mixture.write_text("shards: ['http://127.0.0.1:9/none']\n", encoding="utf-8")
    assert data.main(["mix", str(mixture)]) == 1
    assert capfd.readouterr().err.startswith("the recipe opens http://127.0.0.1:9/none, which")
    mixture.write_text(f"shards: ['{url}/d']\ndownstream: real\nbatch_size: 2\n", encoding="utf-8")
    assert data.main(["mix", str(mixture), "--shards", f"{url}/d"]) == 0
    assert capfd.readouterr().err == ""


def test_recipes_say_whose_weights_they_fetch(
    place: tuple[Path, str], tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # read from the environment at import
    root, url = place
    recipe = tmp_path / "r.yaml"
    recipe.write_text(RECIPE.replace("mvitv2_xxs,", "mvitv2_xxs, init_from: some/body,"), encoding="utf-8")
    argv = ["train", "--shards", f"{url}/d", "--out", str(tmp_path / "run"), "--dry-run"]
    assert model.main([*argv, "--recipe", str(recipe)]) == 1
    assert capfd.readouterr().err.startswith("the recipe opens some/body, which the command line does not name\n")
    recipe = root / "r.yaml"
    assert model.main([*argv, "--recipe", str(recipe), "--set", "model.init_from=some/body"]) == 1
    assert "the recipe opens" not in capfd.readouterr().err
