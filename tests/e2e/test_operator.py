"""``tandem operator`` as a process, by what it does to an API server; and ``tandem fetch``."""

from __future__ import annotations

import base64
import http.server
import json
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from tests.kubernetes_api import ApiServer, served
from tests.secured import free_ports
from tests.sedna_guide import GUIDE

NAME = "helmet-detection-inference-example"
DEPLOYMENTS = {f"{NAME}-{part}" for part in ("deployment-edge", "deployment-cloud", "broker")}

NAMELESS = """
import pwd

def unknown(uid):
    raise KeyError(uid)

pwd.getpwuid = unknown
"""
"""As in a pod, whose user's number has no name."""


@contextmanager
def operator(url: str, folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """An operator of this cluster."""
    named = {"name": "here", "cluster": {"server": url}}
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "here", "clusters": [named],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        "users": [{"name": "me", "user": {"token": "t"}}],
    }  # fmt: skip
    (folder / "kubeconfig").write_text(yaml.safe_dump(config))
    (folder / "sitecustomize.py").write_text(NAMELESS)
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline", "operator", "--image", "tandem:test", *options],
        cwd=ROOT, env={"KUBECONFIG": str(folder / "kubeconfig"), "PATH": "/usr/bin:/bin", "HOME": str(folder),
                       "PYTHONPATH": str(folder)},
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until(process: subprocess.Popen[str], holds: Callable[[], bool]) -> None:
    """Wait for what an API server's other clients see only by looking."""
    until_s = time.monotonic() + 60
    while not holds():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until_s
        time.sleep(0.1)


def put_guide(api: ApiServer) -> None:
    for item in yaml.safe_load_all(GUIDE):
        item["metadata"] |= {"uid": f"uid-of-{item['metadata']['name']}", "generation": 1}
        api.put(item)


def call(url: str, method: str, path: str, body: object = None) -> None:
    """As kubectl does it: what watches see."""
    headers = {"Content-Type": "application/merge-patch+json"}
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url + path, data, headers, method=method)  # noqa: S310 - http
    with urllib.request.urlopen(request, timeout=60):  # noqa: S310 - http
        pass


def miner(api: ApiServer) -> str | None:
    deployment = api.found("Deployment", "default", f"{NAME}-deployment-edge")
    variables = deployment["spec"]["template"]["spec"]["containers"][0]["env"] if deployment else ()
    return {one["name"]: one.get("value") for one in variables}.get("HEM_NAME")


@pytest.mark.mosquitto
@pytest.mark.usefixtures("mosquitto")
def test_it_runs_what_is_there_and_follows_what_changes_until_sigterm(tmp_path: Path) -> None:
    services = "/apis/sedna.io/v1alpha1/namespaces/default/jointinferenceservices"
    deployments = "/apis/apps/v1/namespaces/default/deployments"
    (port,) = free_ports(1)
    with served() as (api, url):
        put_guide(api)
        with operator(url, tmp_path, "--http", f"127.0.0.1:{port}") as process:
            until(process, lambda: api.named("Deployment").keys() == DEPLOYMENTS)
            call(f"http://127.0.0.1:{port}", "GET", "/healthz")
            until(process, lambda: "status" in (api.found("JointInferenceService", "default", NAME) or {}))
            change = {"spec": {"edgeWorker": {"hardExampleMining": {"name": "CloudOnly", "parameters": None}}}}
            call(url, "PATCH", f"{services}/{NAME}", change)
            until(process, lambda: miner(api) == "CloudOnly")
            call(url, "DELETE", f"{deployments}/{NAME}-deployment-edge")
            until(process, lambda: miner(api) == "CloudOnly")
            process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=60)
            assert process.returncode == 0
            assert "/healthz" not in said  # probes ask every few seconds
        service = api.found("JointInferenceService", "default", NAME)
        assert service is not None
        assert service["status"]["phase"] == "Pending"
        assert not service["metadata"].get("finalizers")
        secret = api.named("Secret")[f"{NAME}-broker"]
        assert base64.b64decode(secret["data"]["passwords"]).startswith(b"tandem:$7$")


def test_without_a_cluster_it_says_so(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipeline", "operator", "--image", "tandem:test"]
    environment = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.startswith("error: KUBECONFIG: no cluster is named here")) == (2, True)


class Files(http.server.BaseHTTPRequestHandler):
    """One file, and one that breaks off."""

    def do_GET(self) -> None:
        self.send_response(404 if self.path == "/none" else 200)
        self.send_header("Content-Length", "10" if self.path == "/broken" else "5")
        self.end_headers()
        self.wfile.write(b"model")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        pass


@pytest.mark.parametrize(
    ("path", "code", "words"),
    [("/model", 0, ""), ("/none", 2, "the server says 404"), ("/broken", 1, "broke off after 5 of 10 bytes")],
)
def test_a_model_is_fetched_whole_or_not_at_all(tmp_path: Path, path: str, code: int, words: str) -> None:
    with http.server.HTTPServer(("127.0.0.1", 0), Files) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}{path}"
        command = [sys.executable, "-m", "pipeline", "fetch", url, str(tmp_path / "a.onnx")]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert [file.read_bytes() for file in tmp_path.iterdir()] == ([b"model"] if code == 0 else [])
