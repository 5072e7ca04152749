"""What is stored beside the weights: files from before are read, and written as they were."""

import json
from pathlib import Path

from pvit_data import ClipConfig, LabelSpace
from pvit_model.network.inference import FILE, Inference


def test_label_spaces_keep_their_name_in_files(tmp_path: Path) -> None:
    space = LabelSpace("things", ("ground", "box"))
    Inference(clip=ClipConfig(), tasks=("segm",), spaces={"things": space}).save(tmp_path)
    values = json.loads((tmp_path / FILE).read_text())
    assert "spaces" not in values
    assert values["segm"]["things"]["classes"] == ["ground", "box"]
    found = Inference.load(tmp_path)
    assert found.spaces == {"things": space}
    assert found.num_ids("segm/things") == 2
