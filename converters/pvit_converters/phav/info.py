"""What a user must know about PHAV before converting it."""

from pvit_converters.base import SourceInfo

INFO = SourceInfo(
    name="phav",
    title="PHAV: Procedural Human Action Videos",
    licence="unknown (see adas.cvc.uab.es/phav)",
    redistributable=False,
    citation="""@inproceedings{desouza2017procedural,
  title = {Procedural Generation of Videos to Train Deep Action Recognition Networks},
  author = {de Souza, C{\\'e}sar Roberto and Gaidon, Adrien and Cabon, Yohann and L{\\'o}pez, Antonio Manuel},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  year = {2017}
}""",
    obtain=(
        "BitTorrent only, one torrent per modality (adas.cvc.uab.es/phav; 'phav' on academictorrents.com). "
        "Used are post-processed RGB, depth and semantic and (for boxes) instance segmentation; any may be "
        "absent. Unpack all of them into one folder: mkdir videos; for f in */*.tar.bz2; do tar xjf $f -C videos "
        "--strip-components=1 --skip-old-files; done"
    ),
    tree="""ROOT/ (or ROOT/videos/; torrents unpacked elsewhere: --more-roots)
  BrushHair/ ... Wave/                               35 actions
    b1079-GreenCity-Day-Foggy-clap_01-Civilian_Female01-Kite-w-<32 hex digits>/
      img_00001.jpg  depth_00001.png  classgt_00001.png  instancegt_00001.png  flow_{x,y}_00001.jpg  instances.txt
  colors.txt                                         optional: the colour table of the classes
File names are recognised by their prefix; --layout FILE.yaml overrides them.""",
    produces=("rgb", "depth", "segm", "boxes", "action"),
    tasks=("depth", "segm"),
    derived="unknown",
    derived_clause="No text of a licence was found.",
    spaces={"segm": "phav63 (63 classes)", "boxes": "phav63", "action": "phav35 (35 actions)"},
    verified=(
        "No released image was seen. 2,195 names of released videos, and file names and colours in the code of "
        "people who use the download, are what the layout rests on; scale and far plane of depth are from memory "
        "of the paper. Tested on simulated trees in that layout."
    ),
)
