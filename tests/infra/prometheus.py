"""A real Prometheus that scrapes what a test gives it, once a second."""

import json
import urllib.parse
import urllib.request

import yaml

from processes import Process, clean_environment, free_port
from tools import ROOT, tool
from waiting import eventually

RULES = ROOT / "deploy/prometheus/rules.yml"


class Prometheus:
    """Its data and its log are in `folder`."""

    def __init__(self, folder, targets):
        self.port = free_port()
        job = {"job_name": "iam-user-controller", "static_configs": [{"targets": targets}]}
        configuration = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(RULES)],
            "scrape_configs": [job],
        }
        file = folder / "prometheus.yml"
        file.write_text(yaml.safe_dump(configuration))
        command = [
            tool("prometheus"),
            f"--config.file={file}",
            f"--storage.tsdb.path={folder / 'tsdb'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
        ]
        self.process = Process(command, clean_environment({}), folder / "prometheus.log")
        eventually(self._ready, 30, "Prometheus is ready")

    def _ready(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=5) as answer:
                return answer.status == 200
        except OSError:
            return False

    def _get(self, path, **parameters):
        url = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            said = json.load(answer)
        assert said["status"] == "success" and not said.get("warnings"), said
        return said["data"]

    def over(self, query, start, end, step):
        """[(labels, [(time, value)])] of a query over a span; values that are not numbers are left out."""
        found = []
        for series in self._get("query_range", query=query, start=start, end=end, step=step)["result"]:
            values = [(at, float(value)) for at, value in series["values"] if value not in ("NaN", "+Inf", "-Inf")]
            if values:
                found.append((series["metric"], values))
        return found

    def targets_up(self):
        return sum(target["health"] == "up" for target in self._get("targets")["activeTargets"])

    def rules(self):
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def stop(self):
        self.process.kill()
