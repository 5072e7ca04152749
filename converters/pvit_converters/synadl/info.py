"""What a user must know about SynADL before converting it."""

from pvit_converters.base import SourceInfo

INFO = SourceInfo(
    name="synadl",
    title="KIST SynADL (ElderSim): synthetic daily activities of older adults",
    licence="subject to the KIST SynADL EULA",
    redistributable=False,
    citation="""@article{hwang2020eldersim,
  title = {ElderSim: A Synthetic Data Generation Platform for Human Action Recognition in Eldercare Applications},
  author = {Hwang, Hochul and Jang, Cheongjae and Park, Geonwoo and Cho, Junghyun and Kim, Ig-Jae},
  journal = {arXiv preprint arXiv:2010.14742},
  year = {2020}
}""",
    obtain=(
        "See ai4robot.github.io/ElderSim: sign the EULA and ask by e-mail. Needed: RGB.zip (433 GB; a part is fine) "
        "and one of the 3D skeleton archives (OpenPose.zip or the Kinect one), better with its 2D skeletons, which "
        "give back the translation that the 3D files lack. Unzip them side by side, or pass --from-zip."
    ),
    tree="""ROOT/
  RGB/A001_P101_G001_C001.avi ...                 640x360
  Openpose/2DJ/A001_P101_G001_C001.json ...       BODY_25, pixels
  Openpose/3DJ/A001_P101_G001_C001.json ...       BODY_25, centimetres, per camera
  Kinect/2DJ/...  Kinect/3DJ/...                  25 Kinect joints; used before the OpenPose ones
Found by file names at any depth; --layout FILE.yaml names folders that are called otherwise.""",
    produces=("rgb", "pose3d", "pose2d", "action", "camera"),
    tasks=("pose3d",),
    derived="unknown",
    derived_clause="The EULA, which is signed to get the data, was not read.",
    spaces={"action": "synadl55 (55 actions)"},
    verified=(
        "No released file was seen. 3,680 names of released videos, and code of people who work on the files, are "
        "what the layout, the units and the camera rest on; folder and units of the Kinect skeletons, codec and "
        "rate of the videos are guessed, and detected where possible. Tested on simulated trees in that layout."
    ),
)
