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
)
