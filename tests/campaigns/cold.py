"""A service in an interpreter of its own, which imports everything: a true cold start. Takes its order as an argument."""

from __future__ import annotations

import json
import sys

from tests.campaigns.life import Order, live

if __name__ == "__main__":
    live(Order(**json.loads(sys.argv[1])))
