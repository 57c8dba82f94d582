"""Resource quantities: ``100m``, ``1.5``, ``128Mi``, ``1e3``.

Grammar: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

import re
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Decimal
from functools import lru_cache

_SUFFIXES = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}
#: what is more counts as this, as upstream
MOST = Decimal((1 << 63) - 1)
_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([numkMGTPE]|[KMGTPE]i)?)")


def parse_quantity(text: str | int | float) -> Decimal:
    """The value in base units (cores, bytes, pieces); ValueError with upstream's wording if it is none."""
    return _parse(text) if isinstance(text, str) and len(text) < 32 else _parse.__wrapped__(text)


@lru_cache(maxsize=4096)
def _parse(text: str | int | float) -> Decimal:
    match = _QUANTITY.fullmatch(str(text))
    if match is None:
        raise ValueError("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
    number, exponent, suffix = match.groups()
    if exponent and len(exponent) > 6 and number.strip("+-0."):
        return Decimal(0) if "-" in exponent else MOST.copy_sign(Decimal(number))
    amount = Decimal(number + (exponent or "")) * _SUFFIXES[suffix or ""]
    return amount if abs(amount) <= MOST else MOST.copy_sign(amount)


def render(amount: Decimal, binary: bool) -> str:
    """In canonical form, as upstream stores it, in powers of 1024 or of 1000.

    >>> render(Decimal("0.5"), False), render(Decimal(1536 * 2**20), True), render(Decimal(2000), False)
    ('500m', '1536Mi', '2k')
    """
    if binary and abs(amount) >= 1024 and amount == amount.to_integral_value():
        for power, suffix in ((6, "Ei"), (5, "Pi"), (4, "Ti"), (3, "Gi"), (2, "Mi"), (1, "Ki"), (0, "")):
            if amount % 1024**power == 0:
                return f"{int(amount) // 1024**power}{suffix}"
    for exponent, suffix in zip(range(18, -9, -3), ("E", "P", "T", "G", "M", "k", "", "m", "u"), strict=True):
        scaled = amount / Decimal(10) ** exponent
        if scaled == scaled.to_integral_value() and (amount or exponent == 0):
            return f"{int(scaled)}{suffix}"
    return f"{int((amount * 10**9).to_integral_value('ROUND_CEILING'))}n"


@dataclass(frozen=True, slots=True)
class Quantity:
    """An amount to reckon with that remembers its notation, as upstream's does: 1Gi + 512Mi is 1536Mi, not 1610612736.

    Compared by amount.
    """

    amount: Decimal
    binary: bool = field(default=False, compare=False)

    def __add__(self, other: "Quantity") -> "Quantity":
        return Quantity(self.amount + other.amount, self.binary if self.amount else other.binary)

    def __sub__(self, other: "Quantity") -> "Quantity":
        return Quantity(self.amount - other.amount, self.binary if self.amount else other.binary)

    def __lt__(self, other: "Quantity") -> bool:
        return self.amount < other.amount

    def __bool__(self) -> bool:
        return bool(self.amount)

    def __str__(self) -> str:
        return render(self.amount, self.binary)


@lru_cache(maxsize=4096)
def quantity(text: str | int | float) -> Quantity:
    """The quantity of a text; ValueError if it is none."""
    return Quantity(parse_quantity(text), str(text).endswith("i"))


def _ceiling(value: Decimal) -> int:
    return int(value.to_integral_value(ROUND_CEILING))


def milli(text: str | int | float) -> int:
    """Thousandths, rounded up: CPU in millicores."""
    return _ceiling(parse_quantity(text) * 1000)


def whole(text: str | int | float) -> int:
    """Whole units, rounded up: bytes, pods."""
    return _ceiling(parse_quantity(text))
