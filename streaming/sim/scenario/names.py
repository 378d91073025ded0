"""Names that drawn markets may have: underlyings of real HIP-3 markets with their kind and a rounded price level."""

from typing import NamedTuple

from streaming.sim.scenario.universe import Session


class Name(NamedTuple):
    """One underlying."""

    text: str
    session: Session
    px: float


def _names(session: Session, text: str) -> tuple[Name, ...]:
    pairs = (word.split("=") for word in text.split())
    return tuple(Name(name, session, float(px)) for name, px in pairs)


NAMES = (
    *_names(Session.EQUITY, "TSLA=326 NVDA=216 HOOD=93 INTC=98 PLTR=160 COIN=151 META=589 AAPL=310 MSFT=490 ORCL=145"),
    *_names(Session.EQUITY, "GOOGL=379 AMZN=278 AMD=240 MU=390 MSTR=155 NFLX=92 COST=960 LLY=1040 BABA=168 TSM=330"),
    *_names(Session.EQUITY, "RIVN=16.5 SNDK=410 CRCL=78 RDDT=230 GME=21 USAR=17 SMSN=95 SKHX=410 HYUNDAI=310 URNM=61"),
    *_names(Session.EQUITY, "BX=148 ARM=120 AVGO=345 DKNG=33 SOFTBANK=27 NIO=5.1 F=13.4 SNAP=8.2 DIS=112 BIDU=140"),
    *_names(Session.INDEX, "XYZ100=25700 SP500=6900 JP225=53000 KR200=690 VIX=16.4 DXY=98.6"),
    *_names(Session.METAL, "GOLD=4073 SILVER=81 COPPER=5.8 PLATINUM=2150 PALLADIUM=1750 ALUMINIUM=3100"),
    *_names(Session.ENERGY, "CL=61 BRENTOIL=66 NATGAS=3.4 TTF=31"),
    *_names(Session.FX, "EUR=1.17 JPY=157 GBP=1.34 CHF=0.79"),
    *_names(Session.CRYPTO, "BTCD=59.4 TOTAL2=1410 OTHERS=213"),
    *_names(Session.PRE_IPO, "OAI=880 ANTH=420 SPACEX=610 STRIPE=118 XAI=236 DATABRICKS=132 CANVA=41 REVOLUT=76"),
)
