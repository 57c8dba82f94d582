"""The label selectors of query strings: ``a=b,c!=d,e in (x,y),f,!g,h>5``.

A parser rather than a few patterns, because what it says about a mistake has to be what upstream's parser says
(apimachinery/pkg/labels): what it found, and what it expected.  Whether keys and values are well formed is the API
server's question.
"""

import re

from knet.api.selectors import EVERYTHING, Requirement, Selector

_TOKEN = re.compile(r"[ \t\r\n]*(==|!=|[=!(),<>]|[^=!(),<> \t\r\n]+|$)")
_END = ""
_SYMBOLS = frozenset(("==", "!=", "=", "!", "(", ")", ",", "<", ">", _END))
#: binary operators → those of `Requirement`
_OPERATORS = {"in": "In", "notin": "NotIn", "=": "In", "==": "In", "!=": "NotIn", ">": "Gt", "<": "Lt"}
_EXPECTED_OPERATORS = "in, notin, =, ==, !=, gt, lt"


def parse(text: str) -> Selector:
    """The selector; ValueError in upstream's words."""
    return _Parser(text).selector() if text else EVERYTHING


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = _TOKEN.findall(text)
        self._position = 0

    def selector(self) -> Selector:
        requirements = []
        while (token := self._next()) != _END:
            if token in _SYMBOLS and token != "!":
                raise ValueError(f"found '{token}', expected: !, identifier, or 'end of string'")
            try:
                requirements.append(self._requirement())
            except ValueError as error:
                raise ValueError(f"unable to parse requirement: {error}") from None
            token = self._take()
            if token == _END:
                break
            if token != ",":
                raise ValueError(f"found '{token}', expected: ',' or 'end of string'")
            if (token := self._next()) in _SYMBOLS and token != "!":
                raise ValueError(f"found '{token}', expected: identifier after ','")
        return Selector(tuple(requirements))

    def _next(self) -> str:
        return self._tokens[self._position] if self._position < len(self._tokens) else _END

    def _take(self) -> str:
        token = self._next()
        self._position += 1
        return token

    def _requirement(self) -> Requirement:
        absent = self._next() == "!"
        if absent:
            self._take()
        key = self._take()
        if key in _SYMBOLS:
            raise ValueError(f"found '{key}', expected: identifier")
        if absent or self._next() in (_END, ","):
            return Requirement(key, "DoesNotExist" if absent else "Exists")
        sign = self._take()
        operator = _OPERATORS.get(sign)
        if operator is None:
            raise ValueError(f"found '{sign}', expected: {_EXPECTED_OPERATORS}")
        values = self._values() if sign in ("in", "notin") else self._value()
        return Requirement(key, operator, tuple(sorted(values)))

    def _value(self) -> set[str]:
        if self._next() in (_END, ","):
            return {""}
        token = self._take()
        if token in _SYMBOLS:
            raise ValueError(f"found '{token}', expected: identifier")
        return {token}

    def _values(self) -> set[str]:
        """``(a,b)``; where nothing stands between commas and parentheses, that is the empty value."""
        token = self._take()
        if token != "(":
            raise ValueError(f"found '{token}' expected: '('")
        if (token := self._next()) in _SYMBOLS and token not in (",", ")"):
            raise ValueError(f"found '{token}', expected: ',', ')' or identifier")
        values: set[str] = set()
        after_value = False
        while (token := self._take()) != ")":
            if token == ",":
                if not after_value:
                    values.add("")
                after_value = False
            elif after_value:
                raise ValueError(f"found '{token}', expected: ',' or ')'")
            elif token in _SYMBOLS:
                raise ValueError(f"found '{token}', expected: ',', or identifier")
            else:
                values.add(token)
                after_value = True
        if not after_value:
            values.add("")
        return values
