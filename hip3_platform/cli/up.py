"""`hip3 up`: venue, sidecar and Dagster on this machine: history judged, a rotation accepted, trades made and audited.

Rule 1: every stage is the program a user would start himself, as a child process; nothing here knows their insides.
Rule 2: everything that was started is ended, and verified gone, however we leave.
"""

import argparse

HELP = "start venue, sidecar and Dagster, judge two weeks of history, trade on the simulated venue; until Ctrl-C"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options; the defaults need no key, no network and no configuration."""
    parser.add_argument("--once", action="store_true", help="flatten, audit and end once there are enough trades")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    parser.add_argument("--days", type=int, default=14, help="closed days of history (default 14: what it takes)")
    parser.add_argument("--seed", type=int, default=7, help="seed of the simulated markets (default 7)")
    parser.add_argument("--scenario", default="drill", help="of the live venue (default drill; history is demo)")
    parser.add_argument("--trades", type=int, default=100, metavar="N", help="wait for so many (100); 0 trades nothing")
    parser.add_argument("--root", default=None, help="checkout with workspace.yaml (default: here or above)")
    parser.add_argument("--warehouse", default=None, help="default: <root>/warehouse")
    parser.add_argument("--dagster-home", default=None, help="default: <root>/dagster_home")
    parser.add_argument("--venue-port", type=int, default=8010)
    parser.add_argument("--control-port", type=int, default=8787)
    parser.add_argument("--dagster-port", type=int, default=3000)
    parser.add_argument("--timeout-s", type=float, default=900.0, help="longest wait for the rotation, and for trades")


def run(args: argparse.Namespace) -> int:
    """Run the loop; 0 when every stage showed what it must, 1 when one failed, 6 when a port is occupied."""
    from hip3_platform.cli.loop import Loop
    from hip3_platform.cli.plan import Plan

    return Loop(Plan.of(args)).run()
