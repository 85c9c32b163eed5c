#!/usr/bin/env python3
"""Renders and checks the Helm chart without a cluster.

    scripts/chart.py render [VALUES.yaml]   prints what would be installed
    scripts/chart.py check                  renders the chart with each file of k8s/fowergram/ci, validates every
                                            object against the schemas of Kubernetes and by checkov, and shows that
                                            wrong values and objects are refused

`make chart` installs what it needs: helm-sdkpy (Helm itself, as a library), kubernetes-validate, checkov and PyYAML. Helm
can only install; it is given an API server that accepts everything and keeps it.
"""

import asyncio
import base64
import copy
import gzip
import http.server
import json
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import helm_sdkpy as helm
import kubernetes_validate
import yaml

ROOT = Path(__file__).resolve().parent.parent
CHART = ROOT / "k8s" / "fowergram"
# The oldest release that Chart.yaml allows and the newest that is known.
OLDEST = re.search(r"^kubeVersion: \">=(\d+\.\d+)", (CHART / "Chart.yaml").read_text(), re.MULTILINE).group(1)
KUBERNETES = [OLDEST, kubernetes_validate.latest_version()]
# Kinds by group and version.
KINDS = {
    "v1": ["ConfigMap", "Pod", "Secret", "Service", "ServiceAccount"],
    "apps/v1": ["Deployment", "StatefulSet"],
    "autoscaling/v2": ["HorizontalPodAutoscaler"],
    "batch/v1": ["Job"],
    "external-secrets.io/v1": ["ExternalSecret"],
    "gateway.networking.k8s.io/v1": ["HTTPRoute"],
    "monitoring.coreos.com/v1": ["PodMonitor", "PrometheusRule"],
    "networking.k8s.io/v1": ["Ingress", "NetworkPolicy"],
    "policy/v1": ["PodDisruptionBudget"],
}
# Of operators: they have no schema in Kubernetes.
FOREIGN = ("external-secrets.io/", "gateway.networking.k8s.io/", "monitoring.coreos.com/")

# What checkov need not mind: the check, a pattern of the resources, and why.
LOCAL = "(shard-[0-9]+|redis|nats|storage|bucket)"
EXCEPTIONS = [
    ("CKV_K8S_8", r"-test$", "it ends by itself"),
    ("CKV_K8S_9", r"-test$", "it ends by itself"),
    ("CKV_K8S_11", "", "a process whose CPU is throttled answers late"),
    ("CKV_K8S_15", "", "the tag of a release does not move, and pods start while the registry is away"),
    ("CKV_K8S_35", "", "the program takes its settings from the environment"),
    ("CKV_K8S_40", rf"-{LOCAL}$", "the users of these images"),
    ("CKV_K8S_43", "", "a release has a tag; who wants a digest sets image.tag to it"),
    ("CKV2_K8S_6", "", "who may connect is not known before networkPolicy is set"),
]


def plural(kind):
    lower = kind.lower()
    return lower[:-1] + "ies" if lower.endswith("y") else lower + ("es" if lower.endswith("s") else "s")


class ApiServer(http.server.BaseHTTPRequestHandler):
    """Accepts every object. A job is complete at once, and a secret of elsewhere is there."""

    protocol_version = "HTTP/1.1"
    # What is there, by path, and all that was made.
    objects = {}
    made = []
    release = {}

    def log_message(self, *_):
        pass

    def answer(self, body, status=200, kind="application/json"):
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def missing(self):
        self.answer({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}, 404)

    def do_GET(self):
        path = self.path.split("?")[0].strip("/")
        if path == "version":
            return self.answer({"major": "1", "minor": "31", "gitVersion": "v1.31.0"})
        if path == "api":
            return self.answer({"kind": "APIVersions", "versions": ["v1"]})
        if path == "apis":
            versions = [{"groupVersion": both, "version": both.split("/")[1]} for both in KINDS if "/" in both]
            groups = [{"name": version["groupVersion"].split("/")[0], "versions": [version],
                       "preferredVersion": version} for version in versions]
            return self.answer({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
        for version, kinds in KINDS.items():
            if path == ("api/v1" if version == "v1" else f"apis/{version}"):
                resources = [{"name": plural(kind), "singularName": kind.lower(), "namespaced": True, "kind": kind,
                              "verbs": ["create", "get", "list", "watch", "patch", "delete"]} for kind in kinds]
                return self.answer({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version,
                                    "resources": resources})
        if path == "openapi/v2":
            # A document with nothing in it, so that Helm does not validate: kubernetes-validate does.
            return self.answer(b"", kind="application/com.github.proto-openapi.spec.v2.v1.0+protobuf")
        if path in self.objects:
            return self.answer(self.objects[path])
        for version, kind in (("batch/v1", "Job"), ("external-secrets.io/v1", "ExternalSecret")):
            if path.endswith(f"/{plural(kind)}"):
                items = [item for at, item in self.objects.items() if at.startswith(path + "/")]
                if "watch=" in self.path:
                    return self.watch(version, kind, items)
                return self.answer({"kind": f"{kind}List", "apiVersion": version, "metadata": {"resourceVersion": "1"},
                                    "items": items})
        return self.missing()

    def watch(self, version, kind, items):
        # All that there is, and the mark that ends it; nothing happens later.
        events = [{"type": "ADDED", "object": item} for item in items]
        end = {"resourceVersion": "1", "annotations": {"k8s.io/initial-events-end": "true"}}
        events.append({"type": "BOOKMARK", "object": {"kind": kind, "apiVersion": version, "metadata": end}})
        self.answer("".join(json.dumps(event) + "\n" for event in events).encode())

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if body.startswith(b"k8s\0"):
            # Helm's record of the release, in Protocol Buffers; a text in it has all of the release as JSON.
            if packed := re.search(rb"H4sI[A-Za-z0-9+/=]+", body):
                ApiServer.release = json.loads(gzip.decompress(base64.b64decode(packed[0])))
            return self.answer({"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "release"}}, 201)
        item = json.loads(body)
        item["metadata"].setdefault("resourceVersion", "1")
        if item["kind"] == "Job":
            item["status"] = {"succeeded": 1, "startTime": "2026-01-01T00:00:00Z",
                              "completionTime": "2026-01-01T00:00:01Z",
                              "conditions": [{"type": "Complete", "status": "True"}]}
        if item["kind"] == "ExternalSecret":
            item["status"] = {"conditions": [{"type": "Ready", "status": "True"}]}
        path = self.path.split("?")[0].strip("/")
        self.objects[f"{path}/{item['metadata']['name']}"] = item
        self.made.append(item)
        self.answer(item, 201)

    do_PUT = do_POST

    def do_DELETE(self):
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        item = self.objects.pop(self.path.split("?")[0].strip("/"), None)
        self.answer(item) if item else self.missing()


def render(values):
    """The objects that an installation with these values makes; raises what Helm says against it."""
    ApiServer.objects, ApiServer.made = {}, []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), ApiServer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    config = {
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "clusters": [{"name": "here", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}],
        "users": [{"name": "here", "user": {}}],
        "contexts": [{"name": "here", "context": {"cluster": "here", "user": "here"}}],
    }
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(config, file)
        file.flush()
        configuration = helm.Configuration(namespace="photos", kubeconfig=file.name)
        asyncio.run(helm.Install(configuration).run("release", str(CHART), values=values, wait=False, timeout=120))
    server.shutdown()
    # Tests are not installed.
    tests = [yaml.safe_load(hook["manifest"]) for hook in ApiServer.release.get("hooks", []) if hook["events"] == ["test"]]
    objects = ApiServer.made + tests
    for item in objects:
        item.pop("status", None)
        item["metadata"].pop("resourceVersion", None)
    return objects


def pod(item):
    if item["kind"] == "Pod":
        return item["spec"]
    return item["spec"]["template"]["spec"] if item["kind"] in ("Deployment", "Job", "StatefulSet") else None


def of_program(item):
    """Whether it runs the program itself, with its settings."""
    return pod(item) is not None and pod(item)["containers"][0]["name"] == "fowergram"


def faults(objects):
    """What is wrong with the objects, as texts."""
    found = []
    for item in objects:
        name = f"{item['kind']} {item['metadata']['name']}"
        if not item["apiVersion"].startswith(FOREIGN):
            for version in KUBERNETES:
                try:
                    kubernetes_validate.validate(item, version, strict=True)
                except kubernetes_validate.ValidationError as error:
                    found.append(f"{name} in Kubernetes {version}: {error.message}")
        if (spec := pod(item)) is None:
            continue
        # The « restricted » profile of the Pod Security Standards, and what keeps a node alive.
        around = spec["securityContext"]
        if not (around.get("runAsNonRoot") and around["seccompProfile"]["type"] == "RuntimeDefault"):
            found.append(f"{name} is not confined")
        if spec.get("automountServiceAccountToken") is not False:
            found.append(f"{name} is given a token of the cluster")
        if set(spec) & {"hostNetwork", "hostPID", "hostIPC"} or any("hostPath" in volume for volume in spec.get("volumes", [])):
            found.append(f"{name} reaches the node")
        for container in spec.get("initContainers", []) + spec["containers"]:
            confined = container["securityContext"]
            if not (confined.get("readOnlyRootFilesystem") and confined.get("allowPrivilegeEscalation") is False
                    and confined["capabilities"] == {"drop": ["ALL"]}):
                found.append(f"{name} is not confined")
            if "memory" not in container["resources"].get("limits", {}) or "cpu" not in container["resources"]["requests"]:
                found.append(f"{name} has no bounds")
            names = [entry["name"] for entry in container.get("env", [])]
            if len(names) != len(set(names)):
                found.append(f"{name} sets a variable twice")
    selected = {json.dumps(item["spec"]["selector"].get("matchLabels", item["spec"]["selector"]), sort_keys=True)
                for item in objects if item["kind"] in ("Service", "PodDisruptionBudget", "PodMonitor")}
    sets = [item for item in objects if item["kind"] in ("Deployment", "StatefulSet")]
    labels = [item["spec"]["template"]["metadata"]["labels"].items() for item in sets]
    for selector in selected:
        if sum(json.loads(selector).items() <= pod_labels for pod_labels in labels) != 1:
            found.append(f"{selector} selects not exactly one deployment")
    return found + policies(objects)


def policies(objects):
    """What checkov has against them."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump_all(objects, file)
        file.flush()
        checkov = Path(sys.executable).parent / "checkov"
        command = [checkov, "--framework", "kubernetes", "--compact", "--file", file.name, "--output", "json"]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode not in (0, 1):
        return [f"checkov: {ended.stderr}"]
    report = json.loads(ended.stdout)
    if not report["summary"]["passed"]:
        return ["checkov has checked nothing"]
    # With policies for some pods, there must be some for all.
    closed = any(item["kind"] == "NetworkPolicy" for item in objects)
    exceptions = [(check, resources) for check, resources, _ in EXCEPTIONS if not (closed and check == "CKV2_K8S_6")]
    return [f"{result['resource']}: {result['check_id']} {result['check_name']}"
            for result in report["results"]["failed_checks"]
            if not any(result["check_id"] == check and re.search(resources, result["resource"])
                       for check, resources in exceptions)]


def settings():
    """The names of all settings."""
    return set(re.findall(r"^#?([A-Z0-9_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))


def canonical(value):
    return json.dumps(value, sort_keys=True)


def check():
    failed = False

    def fail(what):
        nonlocal failed
        failed = True
        print(f"FAILED  {what}")

    rendered = {}
    for file in sorted(CHART.glob("ci/*-values.yaml")):
        values = yaml.safe_load(file.read_text()) or {}
        objects = render(values)
        rendered[file.name] = values, objects
        wrong = faults(objects)
        wrong += [f"{name} is no setting" for name in set(values.get("config", {})) - settings()]
        for fault in wrong:
            fail(f"{file.name}: {fault}")
        kinds = sorted({item["kind"] for item in objects})
        if not wrong:
            print(f"ok      {file.name}: {len(objects)} objects, {', '.join(kinds)}")

    full, objects = rendered["full-values.yaml"]
    kinds = {kind for kinds in KINDS.values() for kind in kinds}
    if missing := kinds - {item["kind"] for _, objects in rendered.values() for item in objects}:
        fail(f"no values make a {missing}")
    given = {name: str(value) for name, value in full["config"].items()}
    for item in filter(of_program, objects):
        taken = {entry["name"]: entry["value"] for entry in pod(item)["containers"][0]["env"]}
        if not given.items() <= taken.items():
            fail(f"{item['metadata']['name']} has other settings than the values: {taken}")
    rules = [item["spec"] for item in objects if item["kind"] == "PrometheusRule"]
    files = [yaml.safe_load(file.read_text()) for file in sorted((ROOT / "monitoring/prometheus/rules").glob("*.yml"))]
    if sorted(map(canonical, rules)) != sorted(map(canonical, files)):
        fail("the rules are not those of monitoring/prometheus/rules")
    boards = {name: text for item in objects if item["kind"] == "ConfigMap" for name, text in item["data"].items()}
    files = (ROOT / "monitoring/grafana/dashboards").glob("*.json")
    if {name: json.loads(text) for name, text in boards.items()} != {
            file.name: json.loads(file.read_text()) for file in files}:
        fail("the dashboards are not those of monitoring/grafana/dashboards")

    # What must not pass: it shows that the checks can fail.
    for what, values in {
        "a value of the wrong type": {"api": {"replicas": "two"}},
        "a value that is not there": {"api": {"replica": 2}},
        "a secret among the settings": {"config": {"S3_SECRET_ACCESS_KEY": "x"}},
        "a setting that is no name": {"config": {"s3-bucket": "x"}},
        "an ingress without a host": {"ingress": {"enabled": True}},
        "a route without a gateway": {"gateway": {"enabled": True}},
        "external secrets without a store": {"secrets": {"external": {"enabled": True}}},
        "a port that is none": {"networkPolicy": {"egressPorts": [0]}},
        "no name of a secret": {"secrets": {"settings": ""}},
        "a negative number": {"api": {"maxUnavailable": -1}},
    }.items():
        try:
            render(values)
            fail(f"{what} is accepted")
        except helm.InstallError as error:
            print(f"ok      {what} is refused: {str(error).splitlines()[-1].strip()}")
    def first(item):
        return pod(item)["containers"][0]

    for what, kind, change in [
        ("a field that is not there", "Deployment", lambda item: item["spec"].update(replica=2)),
        ("a writable root", "Deployment", lambda item: first(item)["securityContext"].pop("readOnlyRootFilesystem")),
        ("a privileged container", "Deployment", lambda item: first(item)["securityContext"].update(privileged=True)),
        ("an image without a tag", "Deployment", lambda item: first(item).update(image="fowergram")),
        ("no limit of memory", "Deployment", lambda item: first(item)["resources"].pop("limits")),
        ("no probe", "Deployment", lambda item: first(item).pop("livenessProbe")),
        ("a folder of the node", "Deployment",
         lambda item: pod(item)["volumes"].append({"name": "node", "hostPath": {"path": "/"}})),
        ("other labels", "Deployment", lambda item: item["spec"]["template"]["metadata"]["labels"].update(
            {"app.kubernetes.io/component": "other"})),
        ("a set without its service", "StatefulSet", lambda item: item["spec"].pop("serviceName")),
        ("pods without a policy", "NetworkPolicy", lambda item: item["spec"]["podSelector"]["matchLabels"].update(
            {"app.kubernetes.io/name": "other"})),
    ]:
        _, whole = next(found for found in rendered.values() if any(item["kind"] == kind for item in found[1]))
        broken = copy.deepcopy(whole)
        for item in broken:
            if item["kind"] == kind:
                change(item)
        if faults(broken):
            print(f"ok      {what} is found")
        else:
            fail(f"{what} is not found")
    sys.exit(failed)


def main(arguments):
    if arguments == ["check"]:
        check()
    elif arguments[:1] == ["render"] and len(arguments) <= 2:
        values = yaml.safe_load(Path(arguments[1]).read_text()) if arguments[1:] else None
        print(yaml.safe_dump_all(render(values), sort_keys=False), end="")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
