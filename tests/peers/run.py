"""Programs that nobody here wrote, against the simulator: each in an environment of its own.

    make test-peers                             all of them
    .venv/bin/python tests/peers/run.py NAME    one

A peer is a folder with `requirements.txt`, pinned, and `peer.py`, a program that ends with status 0 if the other
side behaved. It is given a running simulator by its environment: TELNYX_BASE_URL, TELNYX_PUBLIC_KEY, TELNYX_API_KEY,
and SIMULATOR_URL for what Telnyx has no API for. The environments are kept in `.venv/peers` until the pins change.
"""

import hashlib
import os
import secrets
import subprocess
import sys
import venv
from pathlib import Path

PEERS = Path(__file__).resolve().parent
ROOT = PEERS.parents[1]
ENVIRONMENTS = ROOT / ".venv" / "peers"
TIMEOUT = 300.0


def environment(peer: Path) -> Path:
    """The Python of a peer's environment, which is made if it is not there or not up to date."""
    folder = ENVIRONMENTS / peer.name
    python, stamp = folder / "bin" / "python", folder / "requirements.sha256"
    requirements = peer / "requirements.txt"
    wanted = hashlib.sha256(requirements.read_bytes() + sys.version.encode()).hexdigest()
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"{peer.name}: setting up its environment (once)", flush=True)
        venv.create(folder, clear=True, with_pip=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", str(requirements)]
        subprocess.run(pip, check=True)
        stamp.write_text(wanted)
    return python


def run(peer: Path) -> bool:
    """Run one peer against a simulator of its own; returns whether all was right."""
    python = environment(peer)
    key = secrets.token_urlsafe(24)
    command = [sys.executable, "-m", "gateway", "simulate", "--listen", "127.0.0.1:0", "--api-key", key]
    with (ENVIRONMENTS / f"{peer.name}.log").open("wb") as log:
        simulator = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert simulator.stdout is not None
        ready = dict(word.split("=", 1) for word in simulator.stdout.readline().split()[1:])
        settings = {
            "TELNYX_BASE_URL": ready["rest"],
            "TELNYX_PUBLIC_KEY": ready["public_key"],
            "TELNYX_API_KEY": key,
            "SIMULATOR_URL": ready["rest"].removesuffix("/v2") + "/sim",
        }
        done = subprocess.run(
            [str(python), str(peer / "peer.py")], env=os.environ | settings, check=False, timeout=TIMEOUT
        )
    finally:
        simulator.terminate()
        simulator.communicate(timeout=10)
    return done.returncode == 0


def main() -> int:
    """Run the peers that are named, or all."""
    peers = [PEERS / name for name in sys.argv[1:]] or sorted(path.parent for path in PEERS.glob("*/peer.py"))
    results = {peer.name: run(peer) for peer in peers}
    for name, right in results.items():
        print(f"{name}: {'ok' if right else 'FAILED'}")
    return 0 if all(results.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
