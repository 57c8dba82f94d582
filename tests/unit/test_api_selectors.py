"""Label selectors in both notations."""

import re

import pytest

from knet.api.label_selector import parse
from knet.api.objects import LabelSelector, SelectorRequirement
from knet.api.selectors import from_label_selector, from_labels

WEB = {"app": "web", "tier": "front", "size": "3"}


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
        ("app in (,db)", False),
        ("tier in ()", False),
        (" app = web , tier == front ", True),
        ("in", False),
        ("in=notin", False),
        ("size>2", True),
        ("size<2,size", False),
        ("app>2", False),
        ("app=", False),
    ],
)
def test_query_strings(text: str, matches: bool) -> None:
    assert parse(text).matches(WEB) is matches


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("=", "found '=', expected: !, identifier, or 'end of string'"),
        (",a", "found ',', expected: !, identifier, or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
        ("a,=b", "found '=', expected: identifier after ','"),
        ("a=b=c", "found '=', expected: ',' or 'end of string'"),
        ("!a=b", "found '=', expected: ',' or 'end of string'"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("in (x)", "unable to parse requirement: found '(', expected: in, notin, =, ==, !=, gt, lt"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("a==!", "unable to parse requirement: found '!', expected: identifier"),
        ("app in web", "unable to parse requirement: found 'web' expected: '('"),
        ("app in (=)", "unable to parse requirement: found '=', expected: ',', ')' or identifier"),
        ("app in (x", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("app in (x y)", "unable to parse requirement: found 'y', expected: ',' or ')'"),
        ("app in (x,", "unable to parse requirement: found '', expected: ',', or identifier"),
    ],
)
def test_what_cannot_be_parsed_is_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message) + "$"):
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
