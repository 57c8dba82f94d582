"""What Go's JSON decoder says of texts that are no JSON (encoding/json/scanner.go)."""

import doctest

import pytest

from knet.api import go_text
from knet.api.go_text import syntax_error


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "unexpected end of JSON input"),
        ('{"a":', "unexpected end of JSON input"),
        ('{"a":"b', "unexpected end of JSON input"),
        ("nul", "unexpected end of JSON input"),
        ("x", "invalid character 'x' looking for beginning of value"),
        ("[1,]", "invalid character ']' looking for beginning of value"),
        ("{'a'}", "invalid character '\\'' looking for beginning of object key string"),
        ('{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        ('{"a" 1}', "invalid character '1' after object key"),
        ('{"a[":1 "b"}', "invalid character '\"' after object key:value pair"),
        ('{"a":[1 2]}', "invalid character '2' after array element"),
        ("{} {}", "invalid character '{' after top-level value"),
        ('{"a":trx}', "invalid character 'x' in literal true (expecting 'u')"),
        ('{"a":"\x01"}', "invalid character '\\x01' in string literal"),
        ('{"a":"\\q"}', "invalid character 'q' in string escape code"),
        ('{"a":"\\u12x4"}', "invalid character 'x' in \\u hexadecimal character escape"),
        ("[" * 100_000, "exceeded max depth"),
    ],
)
def test_texts_that_are_no_json(text: str, complaint: str) -> None:
    assert syntax_error(text.encode()) == complaint


def test_what_only_one_decoder_minds_is_told_in_its_words() -> None:
    assert syntax_error(b"NaN", "so it is") == "so it is"
    assert doctest.testmod(go_text).failed == 0
