"""What a user must know about Something-Something V2 before converting it."""

from pvit_converters.base import SourceInfo

INFO = SourceInfo(
    name="ssv2",
    title="Something-Something V2",
    licence="Something-Something-V2 research licence (no redistribution)",
    redistributable=False,
    citation="""@inproceedings{goyal2017something,
  title = {The "Something Something" Video Database for Learning and Evaluating Visual Common Sense},
  author = {Goyal, Raghav and Kahou, Samira Ebrahimi and Michalski, Vincent and Materzynska, Joanna and
            Westphal, Susanne and Kim, Heuna and Haenel, Valentin and Fruend, Ingo and Yianilos, Peter and
            Mueller-Freitag, Moritz and others},
  booktitle = {International Conference on Computer Vision (ICCV)},
  year = {2017}
}""",
    obtain=(
        "Register at Qualcomm's developer site (AI datasets, Something-Something V2) and download the videos and the "
        "labels package. Unzip the downloads, then: cat 20bn-something-something-v2-?? | tar zx"
    ),
    tree="""ROOT/
  20bn-something-something-v2/1.webm ... 220847.webm      (or videos/; .mp4 works as well; or extracted frames:
                                                           frames/1/0001.jpg, frames/1/img_00001.jpg,
                                                           frames/1/1_000001.jpg)
  labels/{labels,train,validation,test}.json              (or annotations/ or ROOT, with or without the prefix
                                                           something-something-v2-)""",
    produces=("rgb", "action"),
    role="downstream",
    sampler="segment",
    derived="yes",
    derived_clause=(
        "Inferred, the text of the licence was not read: a layer may be passed on that holds keys, splits and "
        "predictions of one's own, and nothing of the videos, labels or texts."
    ),
    spaces={"action": "ssv2 (174 classes in the release, read from labels.json)"},
    verified=(
        "Checked on real facts: the 174 names and their order, the three pairs of classes that a flip exchanges, "
        "sizes and frame counts of 13 released videos that were given as JPEG. No released WebM file and no whole "
        "label file was seen: both layouts are tested on simulated trees."
    ),
)
