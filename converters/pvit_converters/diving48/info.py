"""What a user must know about Diving48 before converting it."""

from pvit_converters.base import SourceInfo
from pvit_data.sample.rights import RECORD, Rights

_OF_DIVING48 = Rights(licence="unknown", why="No text of a licence of the annotations was found.")

INFO = SourceInfo(
    name="diving48",
    title="Diving48",
    licence="unknown; clips of web videos of competitions: for research only (no redistribution)",
    redistributable=False,
    citation="""@inproceedings{li2018resound,
  title = {RESOUND: Towards Action Recognition without Representation Bias},
  author = {Li, Yingwei and Li, Yi and Vasconcelos, Nuno},
  booktitle = {European Conference on Computer Vision (ECCV)},
  year = {2018}
}""",
    obtain=(
        "http://www.svcl.ucsd.edu/projects/resound/dataset.html: Diving48_rgb.tar.gz (unpack it), Diving48_vocab.json, "
        "Diving48_V2_train.json and Diving48_V2_test.json"
    ),
    tree="""ROOT/
  rgb/-mmq0PT-u8k_00155.mp4                             (or videos/; or frames/NAME/image_000001.jpg,
                                                        rawframes/NAME/img_00001.jpg, which may be incomplete)
  Diving48_V2_train.json  Diving48_V2_test.json         (or in annotations/)
  Diving48_vocab.json""",
    produces=("rgb", "action"),
    role="downstream",
    sampler="segment",
    clips_within="range",
    derived="unknown",
    derived_clause="No text of a licence was found.",
    rights={"action": _OF_DIVING48, RECORD: _OF_DIVING48},
    spaces={"action": "diving48 (48 classes, read from Diving48_vocab.json)"},
    verified=(
        "No released file was seen. Rows of the second edition's JSON files as others quote them, and the order "
        "of the 48 classes, which two code bases agree on, are what the layout rests on; codec and rates of the "
        "videos are unknown. Tested on simulated trees in that layout."
    ),
)
