"""Which kind of underlying a market has: the venue does not say it, so a table of the names seen on it does.

Rule 1: a market of the validator dex (no prefix) is crypto; elsewhere the name after the dex decides, on any dex.
Rule 2: a name that is not in the table counts as an equity. Most new listings are one. PRE_IPO, never open, would keep
each of them out without a word; CRYPTO, always open, would trade a book against its own mean all weekend. For a future
the guess adds the pause of an hour or three a day, for a private company it is wrong all week: `is_known` says so.
Rule 3: a name whose exchange keeps hours that no kind has (Seoul, Tokyo, Hong Kong, ...) has the nearest kind and is
not known: what the calendar says about it may be wrong either way.
"""

from streaming.core.calendar import SessionKind, is_hour_open

_NAMES = {
    SessionKind.EQUITY: """
        AAOI AAPL AMAT AMD AMZN ARM ASML AVGO BABA BB BE BIDU BX COHR COIN COST CRCL CRDO CRWV DELL DIS DKNG EBAY F GLW
        GME GOOGL HOOD IBM INTC IREN LITE LLY LRCX META MRVL MSFT MSTR MU NBIS NFLX NIO NOK NOW NVDA ORCL PLTR QCOM
        RDDT RIVN RKLB SKHY SNAP SNDK STRC STX TER TSLA TSM USAR VST WDC ZM
        BIOTECH DEFENSE DRAM ENERGY EWJ EWT EWY EWZ GLDMINE GOLDJM INFOTECH MAG7 NUCLEAR ROBOT SEMI SEMIS SILVERJM SMH
        TLT URNM USENERGY USOIL XLE
        HYUNDAI KIOXIA SKHX SMSN SOFTBANK CXMT GIGADEV MINIMAX ZHIPU
    """
    "HIMS",  # codespell:ignore hims
    SessionKind.INDEX: "DXY IBOV JP225 KR200 NIFTY SMALL2000 SP500 US500 USA500 USTECH VIX XYZ100",
    SessionKind.METAL: "ALUMINIUM COPPER GOLD PALLADIUM PLATINUM SILVER",
    SessionKind.ENERGY: "BRENTOIL CL GAS NATGAS OIL TTF WTIOIL",
    SessionKind.FX: "CHF EUR GBP JPY",
    SessionKind.CRYPTO: """
        ADA BCH BNB BTC BTCD DOGE ENA ETH FARTCOIN HYPE IP LIGHTER LINK LIT LTC OTHERS PUMP SOL SUI TOTAL2 USDE XMR XPL
        XRP ZEC
    """,
    SessionKind.PRE_IPO: "ANTH ANTHROPIC CANVA DATABRICKS OAI OPENAI REVOLUT SPACEX STRIPE UNITREE XAI",
}
"""Names of xyz, flx, vntl, hyna, km, cash, para, mkts and io in 2026; funds on US exchanges are equities."""

_KINDS = {name: kind for kind, names in _NAMES.items() for name in names.split()}
_OTHER_HOURS = frozenset(
    {
        *("HYUNDAI", "KR200", "SKHX", "SMSN"),
        *("KIOXIA", "SOFTBANK"),
        *("CXMT", "GIGADEV", "MINIMAX", "ZHIPU"),
        *("IBOV", "NIFTY", "TTF"),
    }
)
"""Rule 3: Seoul; Tokyo; Hong Kong and mainland China; São Paulo, Mumbai and Amsterdam."""


def session_kind_of(coin: str) -> SessionKind:
    """Return the kind of a market's underlying; an unknown name counts as an equity (Rule 2).

    Args:
        coin: The venue's full name, `xyz:NVDA`.
    """
    dex, _, name = coin.rpartition(":")
    return _KINDS.get(name, SessionKind.EQUITY) if dex else SessionKind.CRYPTO


def is_known_closed(coin: str, utc_hour: int) -> bool:
    """Tell whether the market of the underlying is known to be closed in an hour of UTC, counted since 1970."""
    return is_known(coin) and not is_hour_open(session_kind_of(coin), utc_hour)


def is_known(coin: str) -> bool:
    """Tell whether the hours of `session_kind_of(coin)` are those of the underlying, as far as the table knows."""
    dex, _, name = coin.rpartition(":")
    return not dex or (name in _KINDS and name not in _OTHER_HOURS)
