"""Reference values of the published code: weights by published name, through the ordinary checkpoint loader."""

import importlib.util
from pathlib import Path

import pytest
import torch

from pvit_model import PViT, create_model, load_backbone_checkpoint

_spec = importlib.util.spec_from_file_location("published_weights", Path(__file__).with_name("published_weights.py"))
assert _spec is not None
assert _spec.loader is not None
published = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(published)

V2_S = {
    (16, 224, 224): ((-1.73094, 1.78518, 0.08925, -1.02269, -1.88992, 0.37130), 0.021196, 1.010301, 61),
    (8, 160, 160): ((-0.88123, 1.98450, 0.51503, -1.29572, -2.04019, 0.33794), -0.017270, 1.005616, 61),
    (32, 224, 224): ((-1.51521, 1.84926, -0.10340, -0.61810, -2.14246, 0.07065), 0.020555, 1.006005, 362),
    (16, 256, 256): ((-1.67957, 1.54663, 0.39655, -0.85384, -1.99459, 0.32629), 0.017340, 1.002420, 61),
    (8, 160, 220): ((-1.42027, 1.61528, -0.18187, -1.36072, -1.69587, 0.65712), -0.002808, 0.997266, 362),
    (8, 180, 236): ((-1.31170, 1.64725, 0.34534, -1.44494, -1.56861, 0.39703), -0.006904, 0.986255, 362),
}
V2_B = ((1.42986, 0.34949, -0.67678, 0.02210, 0.10741, 0.24416), 0.022424, 1.002785, 368)
V1_B = ((1.54911, -0.30812, 0.03954, -0.28697, -0.32321, -0.77331), -0.004485, 1.028786, 142)
TIMESFORMER = ((0.21815, 0.19538, -0.44081, 0.13007, 0.11693, 0.25058), -0.033242, 1.018534, 141)
MOTIONFORMER = {
    "original": ((-0.03629, -0.24553, 1.09118, 0.25317, 0.26522, -0.65448), 0.012797, 0.627355, 362),
    "projected": ((-0.80118, 0.56819, 0.73980, 0.32948, -0.86805, 0.10799), -0.004544, 0.609209, 141),
}
SWIN_T = {
    (32, 224, 224): ((0.66661, 1.81776, 0.24335, 1.13138, 1.91990, 0.22714), -0.127145, 0.976116, 81),
    (16, 224, 224): ((0.63160, 1.81370, 0.23808, 1.09059, 1.87556, 0.28863), -0.126296, 0.980180, 81),
    (16, 160, 160): ((0.47659, 2.04559, 0.31123, 1.31550, 1.79748, 0.09707), -0.143394, 0.962396, 370),
}
TOKENS = {
    0: ((1.2137, -0.61719, -0.04086), -0.010201, 1.611023, (0.79017, -0.46537, 0.79191)),
    2: ((-1.20468, -1.58188, -1.94523), 1.408336, 2.029246, (2.59914, 1.36461, 1.13317)),
    12: ((1.43583, 3.47694, -5.40179), 1.282514, 4.524641, (-1.93498, 4.79276, -6.59711)),
    15: ((-0.38836, 2.67973, -0.73875), 0.873069, 2.120120, (1.83975, 0.15746, -2.77692)),
}


def loaded(
    name: str,
    shapes: dict[str, tuple[int, ...]],
    folder: Path,
    unused: tuple[str, ...] = (),
    container: str = "model_state",
    **options: object,
) -> PViT:
    """The model with every parameter from a file of its authors."""
    path = folder / f"{name}.pyth"
    torch.save({container: published.fill(shapes), "epoch": 1, "optimizer_state": {}, "cfg": "text"}, path)
    model = create_model(name, **options).eval()
    report = load_backbone_checkpoint(model, path)
    assert len(report.loaded) == len(shapes) - len(unused)
    assert not report.resized
    assert not report.fresh
    assert tuple(report.unused) == unused
    return model


@pytest.fixture(scope="module")
def v2_s(tmp_path_factory: pytest.TempPathFactory) -> PViT:
    return loaded("mvitv2_s", published.mvitv2_s(), tmp_path_factory.mktemp("weights"))


def close(got: torch.Tensor, expected: object, tolerance: float = 1e-4) -> None:
    torch.testing.assert_close(got, torch.as_tensor(expected), atol=tolerance, rtol=0)


def check(logits: torch.Tensor, expected: tuple[tuple[float, ...], float, float, int]) -> None:
    first, mean, std, argmax = expected
    close(logits[0, :6], first)
    close(logits.mean(), mean)
    close(logits.std(correction=0), std)
    assert int(logits.argmax()) == argmax


@torch.no_grad()
@pytest.mark.parametrize("size", [size for size in V2_S if size != (16, 224, 224)])
def test_mvitv2_s(v2_s: PViT, size: tuple[int, int, int]) -> None:
    check(v2_s(published.clip(*size)).logits, V2_S[size])


@torch.no_grad()
def test_mvitv2_s_and_its_tokens_at_the_nominal_size(v2_s: PViT) -> None:
    after: dict[int, torch.Tensor] = {}
    handles = [
        block.register_forward_hook(lambda _, __, out, i=i: after.__setitem__(i, out[0][0]))
        for i, block in enumerate(v2_s.backbone.blocks)
    ]
    check(v2_s(published.clip(16, 224, 224)).logits, V2_S[16, 224, 224])
    for handle in handles:
        handle.remove()
    for i, (cls, mean, std, patch) in TOKENS.items():
        tokens = after[i]
        close(tokens[0, :3], cls, 2e-4)
        close(tokens[1:].mean(), mean)
        close(tokens[1:].std(correction=0), std)
        close(tokens[1, :3], patch, 2e-4)


@torch.no_grad()
def test_mvitv1_b(tmp_path: Path) -> None:
    model = loaded("mvitv1_b", published.mvitv1_b(), tmp_path)
    check(model(published.clip(16, 224, 224)).logits, V1_B)


@torch.no_grad()
@pytest.mark.full
def test_mvitv2_b(tmp_path: Path) -> None:
    model = loaded("mvitv2_b", published.mvitv2_b(), tmp_path)
    check(model(published.clip(32, 224, 224)).logits, V2_B)


@torch.no_grad()
@pytest.mark.full
def test_timesformer(tmp_path: Path) -> None:
    model = loaded("timesformer_b", published.timesformer(), tmp_path)
    check(model(published.clip(8, 224, 224)).logits, TIMESFORMER)


@torch.no_grad()
@pytest.mark.full
@pytest.mark.parametrize("values", ["original", "projected"])
def test_motionformer(values: str, tmp_path: Path) -> None:
    """An image's patch embedding, which clips do not pass, is the only part of the file that is not used."""
    unused = ("patch_embed.proj.bias", "patch_embed.proj.weight")
    model = loaded("motionformer_b", published.motionformer(), tmp_path, unused, values=values)
    check(model(published.clip(16, 224, 224)).logits, MOTIONFORMER[values])


@pytest.fixture(scope="module")
def swin_t(tmp_path_factory: pytest.TempPathFactory) -> PViT:
    return loaded("swin3d_t", published.video_swin(), tmp_path_factory.mktemp("swin"), container="state_dict")


@torch.no_grad()
@pytest.mark.parametrize("size", SWIN_T)
def test_video_swin(swin_t: PViT, size: tuple[int, int, int]) -> None:
    check(swin_t(published.clip(*size)).logits, SWIN_T[size])
