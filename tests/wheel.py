"""Builds the wheel, installs it into an environment of its own outside the tree, and places a call with it.

A file that is missing from the wheel is found by every import here and in no other test, as those run in the tree.
Run by `make wheel`.
"""

import os
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

_ROOT = Path(__file__).parent.parent

_CALL = """
import asyncio, json, pkgutil, importlib, sys, tempfile
from pathlib import Path
import numpy as np
import audio_codecs, gateway
for package in (gateway, audio_codecs):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith(("__main__", "picows_transport")):  # the latter wants the extra `fast`
            importlib.import_module(module.name)
    assert Path(package.__file__).is_relative_to(sys.prefix), package.__file__
    assert (Path(package.__file__).parent / "py.typed").exists(), package
from gateway import Gateway, Settings
from gateway.config import Address
from gateway.simulator.simulator import Simulator

async def main(data):
    async with Simulator(Address("127.0.0.1", 0)) as simulator:
        settings = Settings(
            media_listen="127.0.0.1:0", http_listen="127.0.0.1:0", agent="echo", data_dir=data, api_key="k" * 20,
            telnyx_api_key="k", telnyx_public_key=simulator.public_key, telnyx_base_url=simulator.rest_url,
        )
        async with Gateway(settings) as service:
            call = simulator.place_call(
                from_="+15550100001", to="+15550100002", speech=(np.arange(4000) % 800).astype(np.int16),
                webhook_url=service.http_url + "/webhooks/telnyx",
            )
            await asyncio.wait_for(call.wait_finished(), 20)
    (sidecar,) = Path(data).glob("recordings/*/recording.json")
    assert json.loads(sidecar.read_text())["complete"], sidecar.read_text()

with tempfile.TemporaryDirectory() as data:
    asyncio.run(main(data))
"""

_PLUGIN_TEST = """
def test_the_plugin_is_found_and_the_scripts_are_there(telnyx_simulator):
    call = telnyx_simulator.call("hears_an_echo", webhook_url="http://127.0.0.1:9", gives_up_after=0.1)
    assert "did not answer" in call.failure
"""


def main() -> int:
    """Build, install, call; then the same from a test of somebody else's."""
    with tempfile.TemporaryDirectory(prefix="wheel test ") as name:
        folder = Path(name)
        _run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), cwd=_ROOT)
        (wheel,) = folder.glob("*.whl")
        venv.create(folder / "venv", with_pip=True)
        python = str(folder / "venv" / "bin" / "python")
        _run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", str(wheel), cwd=folder)
        _run(python, "-c", _CALL, cwd=folder)
        _run(python, "-m", "gateway", "--help", cwd=folder)
        _run(str(folder / "venv" / "bin" / "telnyx-gateway"), "serve", "--help", cwd=folder)
        _run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "pytest>=9,<10", cwd=folder)
        (folder / "test_plugin.py").write_text(_PLUGIN_TEST)
        _run(python, "-m", "pytest", "-q", "test_plugin.py", cwd=folder)
        print(f"{wheel.name}: installed outside the tree, placed a call")
    return 0


def _run(*command: str, cwd: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    result = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False)
    if result.returncode:
        sys.exit(f"{' '.join(command)[:300]}\n{result.stdout[-4000:]}\n{result.stderr[-4000:]}")


if __name__ == "__main__":
    sys.exit(main())
