"""A translated page is the page: the same sections, code, formulas and pictures, in the same order."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted((DOCS / "ja").glob("*.md"))

FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
DISPLAYED = re.compile(r"^\$\$.*?^\$\$$", re.MULTILINE | re.DOTALL)


def without_words(formula):
    """What `\\text` holds is translated."""
    return re.sub(r"\\text\{[^}]*\}", r"\\text{}", formula)


def without_caption(block):
    """Code as it is; of a picture what draws it."""
    return re.sub(r"^:alt: .*", "", block, flags=re.MULTILINE)


def sections(page):
    """Yield the depth of each section's heading, its code and pictures, and its formulas.

    Formulas within a sentence come in another order in another language, and as often as it needs them.
    """
    text = page.read_text()
    blocks = iter(FENCED.findall(text))
    for section in re.split(r"^(?=#+ )", FENCED.sub("\0", text), flags=re.MULTILINE)[1:]:
        own = [without_caption(next(blocks)) for _ in range(section.count("\0"))]
        displayed = [without_words(formula) for formula in DISPLAYED.findall(section)]
        in_sentences = re.findall(r"\$[^$]+\$", DISPLAYED.sub("", section))
        yield section.index(" "), own, displayed, set(map(without_words, in_sentences))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_translation_is_of_the_page(page):
    for here, there in zip(sections(page), sections(DOCS / page.name), strict=True):
        assert here == there


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)", page.read_text())
    assert links and [link for link in links if not (page.parent / link).exists()] == []
