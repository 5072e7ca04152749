"""What people are told: sizes, counts, the nearest name, the first problem of a configuration."""

import doctest
import time

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pvit_data import words


class Optim(BaseModel):
    model_config = ConfigDict(extra="forbid")

    lr: float = Field(default=1e-4, gt=0)
    betas: tuple[float, float] = (0.9, 0.999)


class Config(BaseModel):
    model_config = ConfigDict(extra="forbid")

    optim: Optim = Optim()


def test_the_examples_run() -> None:
    assert doctest.testmod(words).failed == 0


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"optim": {"lr": -1}}, "'optim.lr' = -1: input should be greater than 0"),
        ({"optim": {"rate": 1}}, "unknown key 'optim.rate'"),
        ({"optim": {"betas": [1]}}, "'optim.betas.1': field required"),
    ],
)  # fmt: skip
def test_a_validation_error_is_one_sentence(values: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Config.model_validate(values)
    assert words.first_problem(caught.value) == sentence


def test_long_values_are_cut() -> None:
    assert len(words.short("x" * 1000)) == 120


def test_a_name_unlike_all_others_has_no_neighbour() -> None:
    assert words.nearest("zebra", ["depth", "normal"]) is None
    assert words.did_you_mean("zebra", ["depth"]) == ""
    assert words.did_you_mean("norml", ["depth", "normal"]) == "; did you mean 'normal'?"


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("https://me:se@cret@host:80/a/b@2: no", "https://host:80/a/b@2: no"),
        ("cannot open 's3://bucket/key?X-Amz-Signature=1&x=2'", "cannot open 's3://bucket/key'"),
        ("hf://datasets/me/set@main/x", "hf://datasets/me/set@main/x"),
        ("https://me:pass/word?@host/x", "https://host/x"),
        ("http://[::1]:80/a#token", "http://[::1]:80/a"),
        ("'https:/me:secret@host/w.pth?x=1' does not exist", "'https:/host/w.pth' does not exist"),
        ("C:/Users/me@home/x", "C:/Users/me@home/x"),
        ("abfs://data@account.dfs.core.windows.net/x?sig=1", "abfs://data@account.dfs.core.windows.net/x"),
        ("see 'https://me:se'cr\"e<t@host/x'.", "see 'https://host/x'."),
        ("7https://me:secret@host", "7https://host"),
        ("https://a/b,https://me:secret@c/d,s3://key:secret@e?f", "https://a/b,https://c/d,s3://e"),
        ("simplecache::https://me:secret@host/x", "simplecache::https://host/x"),
        ("no address", "no address"),
    ],
)
def test_addresses_are_told_without_secrets(text: str, plain: str) -> None:
    assert words.plain_url(text) == plain


@pytest.mark.parametrize("part", ["a", "a.", "a:", "a:/", "a://", "://", "a@", "a://@", "'a://", "a://a@", "?", ","])
def test_long_words_cost_little(part: str) -> None:
    begun = time.process_time()
    words.plain_url((part * 300_000)[:300_000])
    assert time.process_time() - begun < 5
