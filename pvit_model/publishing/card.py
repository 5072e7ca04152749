"""`README.md` of a published model: what it was trained on, how, what it reached, under which licence, how it is used.

All of it from what the run recorded; the owner's own words stay, as in the cards of datasets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pvit_data.publishing.card import FIRST, LAST, RIGHTS, own_words, sealed
from pvit_data.storage.files import utf8
from pvit_data.words import counted, shown
from pvit_model.network.inference import Inference
from pvit_model.publishing.facts import RunFacts
from pvit_model.publishing.licences import strictest
from pvit_model.publishing.results import Measured
from pvit_model.runs.learned import Rights
from pvit_model.tasks import ACTION, get_task

HUB = "hf://datasets/"
USE = """```bash
pip install "pvit-toolkit[train]"
pvit predict video.mp4 --model REPO --out out
```
```python
from pvit_model import load_model, predict
model, inference = load_model("REPO")  # the network, and how its clips are made
found = predict("video.mp4", "REPO")
for answer in found.actions:
    print(f"{answer.name}: {answer.probability:.0%}")
```
"""


@dataclass(frozen=True)
class About:
    """What a card is about.

    Args:
        repo: owner/name.
        backbone: the network's.
        inference: how it is used.
        facts: how it was made.
        results: what it reached.
        step: optimiser steps done; None: not known.
        has_heads: whether it predicts more than actions.
        confirmed: sentences about rights.
    """

    repo: str
    backbone: str
    inference: Inference
    facts: RunFacts
    results: Sequence[Measured]
    step: int | None
    has_heads: bool
    confirmed: Sequence[str] = ()


def write_card(about: About, before: str = "") -> bytes:
    """The card, as UTF-8 Markdown with a YAML head; the same for the same arguments.

    Args:
        before: the card that is there now, whose own words stay.
    """
    named = about.facts.config.name if about.facts.config is not None else about.inference.recipe
    parts = [
        f"---\n{_head(about)}---\n\n# {_line(about.repo.partition('/')[2])}\n",
        f"A PViT (video transformer with task prompts) of backbone {_line(about.backbone)}, "
        f"recipe {_line(named) or 'unknown'}. {_outputs(about)}\n",
        f"{FIRST}\n{own_words(before)}{LAST}\n",
        "## Use\n",
        USE.replace("REPO", about.repo),
        *_data(about),
        *_recipe(about),
        *_results(about),
        *_licence(about),
        *_limits(about),
        *(
            [f"\n{RIGHTS}\n", *(f"- {_line(each)}" for each in about.confirmed)]
            if about.confirmed
            else []
        ),
    ]
    return utf8(sealed("\n".join(parts)))


def _head(about: About) -> str:
    """The YAML head, which the Hub's client writes and reads."""
    from huggingface_hub import EvalResult, ModelCardData

    urls = [source.url for source in about.facts.learned.all_sources if source.url.startswith(HUB)]
    results = [
        EvalResult(
            task_type=get_task(each.target).on_hub,
            dataset_type=each.source,
            dataset_name=each.source,
            dataset_split=each.split or None,
            dataset_args=each.scored or None,
            metric_type=each.metric,
            metric_name=f"{each.target} {each.metric}, {each.protocol}",
            metric_value=each.value,
        )
        for each in about.results
    ]
    head: dict[str, Any] = {
        **strictest(about.facts.learned.rights),
        "library_name": "pvit-toolkit",
        "tags": ["video", "pvit", about.backbone],
    }
    if about.inference.action is not None:
        head["pipeline_tag"] = get_task(ACTION).on_hub
    if urls:
        head["datasets"] = sorted({"/".join(url.removeprefix(HUB).split("/")[:2]) for url in urls})
    if results:
        head |= {"model_name": about.repo.partition("/")[2], "eval_results": results}
    if not about.facts.learned.rights:
        head |= {"license": "other", "license_name": "unknown", "license_link": "README.md"}
    return str(ModelCardData(**head).to_yaml()) + "\n"


def _line(text: str) -> str:
    """A text of somebody else, within a line or a table's cell of Markdown."""
    return " ".join(shown(text).split()).replace("|", "\\|").replace("<", "&lt;")


def _outputs(about: About) -> str:
    """What it predicts."""
    inference = about.inference
    actions = f"{len(inference.action.classes):,} action classes" if inference.action else ""
    tasks = ", ".join(inference.tasks) if about.has_heads else ""
    said = " and ".join(filter(None, [actions, tasks]))
    heads = "" if about.has_heads else " Its auxiliary heads were left out, its prompts are there."
    clip = inference.clip
    size = f"{clip.num_frames} frames of {clip.size[0]} x {clip.size[1]} pixels"
    return f"It predicts {said or 'nothing by itself'}, from clips of {size}.{heads}"


def _data(about: About) -> list[str]:
    lines = ["\n## Trained on\n"]
    learned = about.facts.learned
    if not learned.sources:
        return [*lines, "Unknown: the model's folder does not say."]
    lines += ["| source | layer | clips | tasks | licence |", "| --- | --- | ---: | --- | --- |"]
    config = about.facts.config
    tasks = config.clip.tasks if config is not None else {}
    for number, source in enumerate(learned.all_sources):
        name = source.name
        shown_name = _line(name) + ("" if number < len(learned.sources) else " (earlier data)")
        clips = "unknown" if source.train is None else f"{source.train:,}"
        told = ", ".join(task for task in tasks.get(name, ()) if task not in source.without)
        own = [each.licence for each in source.rights or [Rights(name=name)] if each.name == name]
        licence = _line("; ".join(text or "unknown" for text in own))  # of a protocol its labels'
        lines.append(f"| {shown_name} | | {clips} | {told} | {licence} |")
        lines += [
            f"| {shown_name} | {_line(each.name)} | | | {_line(each.licence) or 'unknown'} |"
            for each in source.rights
            if each.name != name
        ]
    return lines


def _recipe(about: About) -> list[str]:
    config, code = about.facts.config, about.facts.code
    if config is None:
        return ["\n## Recipe\n", "Unknown: the model's folder does not say."]
    optim = config.optim
    starts = [
        f"{_line(each.name)} ({_line(', '.join(filter(None, [each.title, each.licence])) or 'licence unknown')})"
        for each in about.facts.learned.starts
    ]
    commit = f", commit {_line(code['commit'])}" if code.get("commit") else ""
    lines = [
        f"- recipe: {_line(config.name)}" + (f": {_line(config.about)}" if config.about else ""),
        f"- backbone: {_line(about.backbone)}, variant {config.model.variant}",
        f"- starting weights: {', '.join(starts) or 'random'}",
        f"- optimiser: {optim.name}, learning rate {optim.lr:g}, weight decay {optim.weight_decay:g}",
        f"- batch: {config.mixture.batch_size} clips; seed {config.run.seed}",
        *([f"- steps: {about.step:,}"] if about.step is not None else []),
        f"- code: pvit-toolkit {_line(code.get('pvit-toolkit', 'unknown'))}{commit}",
    ]
    return ["\n## Recipe\n", *lines]


def _results(about: About) -> list[str]:
    if not about.results:
        return ["\n## Results\n", "None are recorded for these weights."]
    rows = [
        f"| {_line(each.source)} | {_line(each.split) or 'held out'} | {_line(each.target)} | {_line(each.metric)} "
        f"| {each.value:.4g} | {_line(each.protocol)} |"
        for each in about.results
    ]
    head = [
        "| source | split | target | metric | value | protocol |",
        "| --- | --- | --- | --- | ---: | --- |",
    ]
    return ["\n## Results\n", *head, *rows]


def _licence(about: About) -> list[str]:
    rights = about.facts.learned.rights
    if not rights:
        return ["\n## Licence\n", "Unknown: nothing tells what these weights were made from."]
    code = "The strictest of the code's (Apache-2.0) and of what the weights were made from:\n"
    lines = [
        f"- {_line(each.title or each.name)}{' (starting weights)' if each.is_weights else ''}: "
        f"{_line(each.licence) or 'unknown'}"
        for each in rights
    ]
    return ["\n## Licence\n", code, *lines]


def _limits(about: About) -> list[str]:
    """What it cannot do, as far as that follows from what is known."""
    said = [
        "It knows the sources above, and was measured on nothing but what stands under Results."
    ]
    if about.inference.action is not None:
        number = counted(len(about.inference.action.classes), "class", "classes")
        said.append(f"Every video is given one of its {number}, also one that shows none of them.")
    if about.has_heads and about.inference.tasks:
        said.append("Depth, joints and boxes are as the labels of its sources are, in their units.")
    return ["\n## Limits\n", *(f"- {each}" for each in said)]
