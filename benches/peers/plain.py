"""An event of workload W for stores that leave decoding to the application.

By the same library as ours, so that the stores are compared and not the codecs.
"""

import msgspec


class ItemReserved(msgspec.Struct, frozen=True):
    """An event, decoded."""

    order: str
    customer: str
    note: str


decode = msgspec.json.Decoder(ItemReserved).decode
encode = msgspec.json.Encoder().encode
