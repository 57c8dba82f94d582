"""Label selectors in both notations."""

import pytest

from knet.api.objects import LabelSelector, SelectorRequirement
from knet.api.selectors import from_label_selector, from_labels, parse

WEB = {"app": "web", "tier": "front"}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app=db", False),
        ("app!=db", True),
        ("owner!=me", True),
        ("app=web,tier=front", True),
        ("app=web,tier=back", False),
        ("app in (web, db)", True),
        ("app notin (web,db)", False),
        ("owner notin (me)", True),
        ("tier", True),
        ("owner", False),
        ("!owner", True),
        ("!tier", False),
        ("app in (web,db),!owner,tier!=back", True),
    ],
)
def test_query_strings(text: str, matches: bool) -> None:
    assert parse(text).matches(WEB) is matches


@pytest.mark.parametrize("text", ["a b", "in (x)", "app in web", "=", "a=b=c", "app in (x"])
def test_what_cannot_be_parsed_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="unable to parse requirement"):
        parse(text)


def test_spec_selectors_need_all_of_both_parts() -> None:
    selector = LabelSelector(
        matchLabels={"app": "web"}, matchExpressions=(SelectorRequirement(key="tier", operator="Exists"),)
    )
    assert from_label_selector(selector).matches(WEB)
    assert not from_label_selector(selector).matches({"app": "web"})


def test_absent_and_empty_selectors_differ() -> None:
    assert not from_label_selector(None).matches(WEB)
    assert from_label_selector(LabelSelector()).matches(WEB)
    assert not from_labels({}).matches(WEB)
