"""`python -m millpond.local --data DIR --port N`: the endpoint as a process, started by the CLI.

SIGTERM and SIGINT end it in order. Its log goes to stderr; the last line before it serves is `ready`.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from millpond.errors import MillpondError

MOCK_CONFIG = "SFN_MOCK_CONFIG"
"""The variable that Step Functions Local reads the place of its mock configuration file from."""


def main() -> int:
    """Serve until told to stop. Exit codes: 0 stopped in order, 2 cannot start (the reason is on stderr)."""
    arguments = argparse.ArgumentParser(prog="python -m millpond.local")
    arguments.add_argument("--data", type=Path, required=True)
    arguments.add_argument("--port", type=int, default=4566)
    arguments.add_argument("--time-scale", type=float, default=1.0)
    arguments.add_argument("--mock-config", type=Path, default=os.environ.get(MOCK_CONFIG) or None)
    chosen = arguments.parse_args()
    os.umask(0o077)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for noisy in ("botocore", "boto3", "urllib3", "uvicorn", "werkzeug"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    from millpond.local.server import Server

    try:
        server = Server(chosen.data, port=chosen.port, time_scale=chosen.time_scale, mock_config=chosen.mock_config)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: server.stop())
        threading.Thread(target=_announce, args=(server,), daemon=True).start()
        server.run()
    except MillpondError as error:
        print(f"millpond: {error.message}", file=sys.stderr)
        if error.help:
            print(f"  {error.help}", file=sys.stderr)
        return 2
    finally:
        with contextlib.suppress(FileNotFoundError):
            (chosen.data / "endpoint.json").unlink()
    return 0


def _announce(server: Any) -> None:
    """Write endpoint.json (pid, port, started) once requests are answered: what `millpond status` reads."""
    from millpond.engine import YOUNG_OBJECTS

    server.ready.wait()
    if server.failure:
        return
    # What is there by now stays. Without this, a large Map has Python search all of it for garbage again and again: a
    # quarter of the engine's time.
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 20)
    path = server.data / "endpoint.json"
    staged = path.with_suffix(".new")
    staged.write_text(json.dumps({"pid": os.getpid(), "port": server.port, "started": server.started}), "utf-8")
    os.replace(staged, path)
    logging.getLogger("millpond.local").info("ready on http://127.0.0.1:%d", server.port)


if __name__ == "__main__":
    code = main()
    logging.shutdown()
    sys.stderr.flush()
    # Threads may still wait for callers that are gone (a long poll); the store is closed, nothing is left to do.
    os._exit(code)
