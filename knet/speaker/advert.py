"""What a holder says on the link, several times a second; in JSON, so that tcpdump -A shows it."""

import msgspec

#: UDP; MetalLB's speakers use the same number for their gossip
PORT = 7946
#: bytes that are looked at
LARGEST = 8192


class Advert(msgspec.Struct, frozen=True, omit_defaults=True):
    """``holds``: address → the sender's place for it; ``released`` it has given up, ``yielded`` to somebody better."""

    node: str
    holds: dict[str, int] = {}
    released: tuple[str, ...] = ()
    yielded: tuple[str, ...] = ()


_decoder = msgspec.json.Decoder(Advert)


def encode(advert: Advert) -> bytes:
    return msgspec.json.encode(advert)


def decode(data: bytes) -> Advert | None:
    """None for what is none: anybody on the link may send to the port."""
    try:
        return _decoder.decode(data)
    except msgspec.DecodeError:
        return None
