"""What every struct of an action builds on.

Rule: scalars have the bounds the server's own types have; a text in an action is kept as sent.
"""

from typing import Annotated, Final

import msgspec

U64_MAX: Final = 2**64 - 1
U32 = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
U64 = Annotated[int, msgspec.Meta(ge=0)]
"""Its upper bound is beyond what msgspec can check."""
I64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Number = Annotated[str, msgspec.Meta(pattern=r"^-?[0-9]{1,18}(\.[0-9]{1,18})?\Z")]
"""Decimal text; no exponent, no space."""
Cloid = Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-fA-F]{32}\Z")]
Address = Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-fA-F]{40}\Z")]


class Part(msgspec.Struct, frozen=True, omit_defaults=True):
    """Part of an action."""


class ActionBase(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type"):
    """An action; its tag is its wire type."""
