"""The page of a comparison: self-contained, accessible, escaped, and small."""

import base64
import itertools
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from agents.compare.api import compare
from agents.compare.page.animations import LARGEST
from agents.compare.page.page import page_of
from qrl.common.trust import Trust
from tests.support.compared_runs import saved_group, saved_run

VOID = {"meta", "img", "br", "hr", "input", "link"}
SCORES = [[float(seed + task) for task in range(20)] for seed in range(5)]
SCRIPT = "<script>alert(1)</script>"
GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")


class Page(HTMLParser):
    """Elements of a page, with their attributes, and its text; fails for elements that are not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.text = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def all(self, *tags):
        return [attributes for tag, attributes in self.elements if tag in tags]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Three groups of five seeds, one with a real circuit and one with a hostile name; and an animation."""
    folder = tmp_path_factory.mktemp("study")
    circuit = {"model_options": {"n_wires": 4, "n_layers": 3}, "policy": POLICY, "options": REAL_OPTIONS}
    saved_group(folder, "a", SCORES, model="reuploading", **circuit)
    saved_group(folder, "b", SCORES, model="mlp", returns=[float(i) for i in range(300)])
    saved_group(folder, "c", SCORES, model=SCRIPT, config={"commit": SCRIPT}, references={"oracle": [0.0, 30.0]})
    (folder / "b-seed1" / "adaptation.gif").write_bytes(GIF)
    return folder


REAL_OPTIONS = {"epochs": 3}
POLICY = {
    "n_parameters": 64,
    "groups": {"angles": 28},
    "circuits": [{"count": 1, "n_wires": 4, "depth": 25}],
    "n_projected": 0,
    "engine": "torch, exact",
}


@pytest.fixture(scope="module")
def text(study):
    return page_of(compare(study), Trust())


def test_page_requests_nothing(text):
    page = Page(text)
    for attributes in (attributes for _, attributes in page.elements):
        for name, value in attributes.items():
            if name in ("src", "href", "xlink:href", "data", "action", "srcset", "poster"):
                assert value.startswith(("data:", "#")), value
    assert re.findall(r"url\((?!#)", text) == [] and "@import" not in text
    assert not page.all("script", "link", "iframe", "object", "embed", "base", "form")
    assert len(text.encode()) < 2_000_000
    (policy,) = [each["content"] for each in page.all("meta") if "http-equiv" in each]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'; img-src data:", "the browser enforces it, too"


def test_ids_are_unique_and_references_lead_to_them(text):
    page = Page(text)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids)) > 100
    used = {*re.findall(r'href="#([^"]+)"', text), *re.findall(r"url\(#([^)]+)\)", text)}
    assert used <= {*ids} and used


def test_every_picture_has_a_text_alternative(text):
    page = Page(text)
    assert len(page.all("svg")) >= 12
    assert all(len(each["aria-label"]) > 20 and each["role"] == "img" for each in page.all("svg"))
    assert [each["alt"] for each in page.all("img")] == [
        "Animation of mlp in a test task, before and after adaptation."
    ]
    assert "mlp from 0.00 to 11.50" in next(each["aria-label"] for each in page.all("svg"))


def test_headings_are_in_order(text):
    page = Page(text)
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    assert ("html", {"lang": "en"}) in page.elements


def test_texts_from_files_are_text(text):
    page = Page(text)
    assert "<script" not in text
    assert SCRIPT in "".join(page.text)
    assert any(SCRIPT in each["aria-label"] for each in page.all("svg")), "also in attributes"


def test_page_shows_tables_configuration_commands_and_versions(text):
    words = "".join(Page(text).text)
    for part in ("P(better than reuploading)", "model.n-wires", "run.py train --seed 3", "3.11.7", "few seeds: 5"):
        assert part in words
    assert "run.py compare " in words


def test_rules_of_size_and_contrast_are_in_the_style(text):
    """Text and background of both schemes have a contrast of 4.5 or more (WCAG AA)."""
    names = ("paper", "ink", "quiet", "accent", "alert", "alert-paper")
    schemes = list(zip(*(re.findall(rf"--{name}: (#\w{{6}});", text) for name in names), strict=True))
    assert len(schemes) == 2
    for paper, ink, quiet, accent, alert, alert_paper in schemes:
        for fore, back in ((ink, paper), (quiet, paper), (accent, paper), (alert, alert_paper), (ink, alert_paper)):
            assert contrast(fore, back) >= 4.5
    assert ".scroll { overflow-x: auto" in text


def contrast(one, other):
    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts]
        return sum(weight * each for weight, each in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def test_circuits_of_code_that_is_not_trusted_are_left_out(tmp_path):
    code = tmp_path / "theirs.py"
    code.write_text("raise SystemExit('executed')\n")
    spec = {"spec": {"model": str(code)}}
    run = saved_run(tmp_path / "run", 0, [[0.0, 1.0], [0.0, 2.0]], model="theirs", policy=POLICY, config=spec)
    text = page_of(compare(run), Trust())
    assert "no circuit of maml, theirs is drawn" in text and "is code outside this library" in text


def test_animations_that_are_too_large_or_no_gif_are_left_out(study, tmp_path):
    run = saved_run(tmp_path / "run", 0, [[0.0, 1.0], [0.0, 2.0]])
    (run / "adaptation.gif").write_bytes(b"GIF89a" + bytes(LARGEST))
    text = page_of(compare(run), Trust())
    assert "bytes are too many for this page" in text and "<img" not in text
    (run / "adaptation.gif").write_bytes(b"<svg onload=alert(1)>")
    assert "not a GIF file" in page_of(compare(run), Trust())
    assert page_of(compare(run), Trust(), GIF).count("<img") == 1


def test_page_of_one_run_shows_tasks_before_and_after(tmp_path):
    run = saved_run(tmp_path / "run", 0, [[0.0, 1.0], [0.0, 2.0], [3.0, 1.0]])
    text = page_of(compare(run), Trust())
    assert "Report of a run" in text and "2 of 3 tasks are above the diagonal" in text
    assert "Seed by seed" not in text and "run.py report" in text
    assert "a single seed says nothing about other seeds" in text
    for words in ("averaged over seeds", "Where curves cross", "same for all groups", "seeds × tasks"):
        assert words not in text


def test_equal_circuits_are_drawn_once(tmp_path):
    circuit = {"model_options": {"n_wires": 4, "n_layers": 3}, "policy": POLICY, "model": "reuploading"}
    saved_group(tmp_path, "a", SCORES[:1], **circuit, options={"epochs": 3})
    saved_group(tmp_path, "b", SCORES[:1], **circuit, options={"epochs": 4})
    smaller = circuit | {"model_options": {"n_wires": 4, "n_layers": 2}}
    saved_group(tmp_path, "c", SCORES[:1], **smaller, options={"epochs": 3})
    drawings = [each["aria-label"] for each in Page(page_of(compare(tmp_path), Trust())).all("svg")]
    drawings = [label for label in drawings if label.startswith("Circuit of ")]
    assert [label.partition(":")[0] for label in drawings] == [
        "Circuit of epochs 3, n-layers 3; epochs 4, n-layers 3",
        "Circuit of epochs 3, n-layers 2",
    ]


def test_commands_tell_of_later_changes(tmp_path):
    history = [{"iteration": 2, "changed": {"agent_config.lr": {"from": 0.1, "to": 0.5}}}]
    run = saved_run(tmp_path / "run", 0, [[0.0, 1.0]] * 2, options={"lr": 0.5}, config={"history": history})
    text = page_of(compare(run), Trust())
    assert "# then resumed after iteration 2 with --agent.lr 0.5 instead of 0.1" in text
    assert "0.1 to iteration 2, then 0.5" in text


def test_several_environments_have_headings_of_their_own(tmp_path):
    saved_group(tmp_path, "n", SCORES)
    saved_group(tmp_path, "b", SCORES, env="bandit")
    text = page_of(compare(tmp_path), Trust())
    page = Page(text)
    assert "Comparison on 2 environments" in text
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_page_of_many_tasks_is_small(tmp_path):
    returns = np.random.default_rng(0).normal(size=(2, 20_000, 2))
    for seed, per_task in enumerate(returns.tolist()):
        saved_run(tmp_path / "study" / f"a-seed{seed}", seed, per_task, agent="maml")
        saved_run(tmp_path / "study" / f"b-seed{seed}", seed, per_task, agent="finetune")
    compare(tmp_path / "study").save(tmp_path / "page.html")
    assert 50_000 < (tmp_path / "page.html").stat().st_size < 2_000_000
