#!/usr/bin/env python3
"""`./dev bench [name]`: measures, and prints tables that docs/proof.md takes."""
import sys

import at_rest
import edge_instructions
import edge_requests
import restart
import returns
from programs import where

BENCHES = {"edge": edge_requests.main, "edge-instructions": edge_instructions.main, "rest": at_rest.main,
           "restart": restart.main, "returns": returns.main}


def main():
    names = sys.argv[1:] or list(BENCHES)
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"there is no bench '{unknown[0]}'\n  try: ./dev bench {' | '.join(BENCHES)}", file=sys.stderr)
        return 2
    print(where())
    for name in names:
        BENCHES[name]()
    return 0


if __name__ == "__main__":
    sys.exit(main())
