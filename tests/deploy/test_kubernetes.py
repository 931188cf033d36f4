"""The manifests run the same eight processes without privileges, and each can reach only its required servers."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from services.common.settings import Settings
from tests.deploy.files import DEPLOY, KEEPERS, PROCESSES, compose, manifests, objects, read

DEPLOYMENTS = objects("Deployment")
POLICIES = objects("NetworkPolicy")
[SETUP] = objects("Job").values()
PODS = {**{name: found["spec"]["template"] for name, found in DEPLOYMENTS.items()}, "setup": SETUP["spec"]["template"]}
NAMES = {f"FIREWEED_{name.upper()}" for name in Settings.model_fields}
each_process = pytest.mark.parametrize("name", PROCESSES)
each_pod = pytest.mark.parametrize("name", PODS)

Labels = Mapping[str, str]


def pod(name: str) -> Any:
    return PODS[name]["spec"]


def containers(name: str) -> list[Any]:
    return [*pod(name)["containers"], *pod(name).get("initContainers", [])]


def labels(name: str) -> Labels:
    return dict(PODS[name]["metadata"]["labels"])


def variables(container: Any) -> dict[str, Any]:
    maps = objects("ConfigMap")
    given: dict[str, Any] = {}
    for source in container.get("envFrom", []):
        given |= maps[source["configMapRef"]["name"]]["data"]
    return given | {variable["name"]: variable for variable in container.get("env", [])}


def test_the_kustomization_lists_every_file() -> None:
    kinds = {found["kind"] for found in manifests()}
    assert {"Deployment", "Service", "NetworkPolicy", "PodDisruptionBudget", "Ingress", "Job"} <= kinds
    listed = set(re.findall(r"^  - ([\w.]+\.yaml)$", read("kubernetes/kustomization.yaml"), re.MULTILINE))
    assert listed | {"kustomization.yaml"} == {path.name for path in (DEPLOY / "kubernetes").iterdir()}


def test_there_is_a_deployment_for_each_process_and_no_other() -> None:
    assert sorted(DEPLOYMENTS) == sorted(PROCESSES)


@each_process
def test_a_process_is_started_as_compose_starts_it(name: str) -> None:
    [container] = containers(name)
    assert container["args"] == compose()["services"][name]["command"]
    assert container["image"] == compose()["services"][name]["image"]
    assert "command" not in container


@each_process
def test_process_has_liveness_and_readiness_probes(name: str) -> None:
    service = name.split("-", maxsplit=1)[0]
    [container] = containers(name)
    assert container["ports"] == [{"name": "http", "containerPort": 8080}]
    expected = {"startupProbe": "live", "livenessProbe": "live", "readinessProbe": "ready"}
    for probe, kind in expected.items():
        assert container[probe]["httpGet"] == {"path": f"/{service}/health/{kind}", "port": "http"}


@each_pod
def test_pod_is_unprivileged_with_a_read_only_file_system(name: str) -> None:
    context = pod(name)["securityContext"]
    assert context["runAsNonRoot"] is True
    assert f"USER {context['runAsUser']}:{context['runAsGroup']}" in read("Dockerfile")
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod(name)["automountServiceAccountToken"] is False
    # Otherwise a Service that happened to be called `fireweed` would add FIREWEED_ variables of its own.
    assert pod(name)["enableServiceLinks"] is False
    for container in containers(name):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert set(container["resources"]) == {"requests", "limits"}
        for amounts in container["resources"].values():
            assert set(amounts) == {"cpu", "memory"}


@each_process
def test_one_at_a_time_may_be_taken_away(name: str) -> None:
    budget = objects("PodDisruptionBudget")[name]["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"] == DEPLOYMENTS[name]["spec"]["selector"]
    assert budget["selector"]["matchLabels"] == labels(name)
    assert DEPLOYMENTS[name]["spec"]["replicas"] == 2


def test_the_labels_tell_the_processes_apart() -> None:
    assert len({tuple(sorted(labels(name).items())) for name in PODS}) == len(PODS)


@pytest.mark.parametrize("service", ["intake", "consent", "referral", "reporting"])
def test_a_service_leads_to_its_api_only(service: str) -> None:
    found = objects("Service")[f"{service}-api"]["spec"]
    assert [name for name in PODS if _fits(found["selector"], labels(name))] == [f"{service}-api"]
    assert found["ports"] == [{"name": "http", "port": 8080, "targetPort": "http"}]


@each_pod
def test_variables_are_settings_and_secrets_only_referenced(name: str) -> None:
    for container in containers(name):
        given = variables(container)
        assert {word for word in given if word.startswith("FIREWEED_")} <= NAMES
        if "FIREWEED_DATABASE_URL" in given:
            assert list(given["FIREWEED_DATABASE_URL"]["valueFrom"]) == ["secretKeyRef"]


def test_no_secret_is_written() -> None:
    assert "Secret" not in {found["kind"] for found in manifests()}
    for path in (DEPLOY / "kubernetes").iterdir():
        assert not re.search(r"postgresql://|password\s*:", path.read_text("utf-8"), re.IGNORECASE)


@each_process
def test_process_has_database_and_keys_of_its_own_service(name: str) -> None:
    service, role = name.split("-")
    [container] = containers(name)
    given = variables(container)
    secret = given["FIREWEED_DATABASE_URL"]["valueFrom"]["secretKeyRef"]["name"]
    assert secret == f"fireweed-{service}-database"
    assert ("FIREWEED_KAFKA" in given) == (role == "worker")
    claims = [
        volume["persistentVolumeClaim"]["claimName"]
        for volume in pod(name)["volumes"]
        if "name" in volume and "persistentVolumeClaim" in volume
    ]
    keeps = name in KEEPERS.get(service, set())
    assert claims == ([f"fireweed-{service}-keys"] if keeps else [])
    assert ({"name": "keys", "mountPath": "/keys"} in container["volumeMounts"]) == keeps
    assert set(claims) <= set(objects("PersistentVolumeClaim"))


def test_setup_migrates_each_database_by_its_role_no_keys() -> None:
    first = pod("setup")["initContainers"]
    assert [container["args"] for container in first] == [
        ["migrate", name] for name in ("intake", "consent", "referral", "reporting")
    ]
    for container in first:
        secret = variables(container)["FIREWEED_DATABASE_URL"]["valueFrom"]["secretKeyRef"]["name"]
        assert secret == f"fireweed-{container['args'][1]}-database"
    assert [container["args"] for container in pod("setup")["containers"]] == [["topics", "sync"]]
    assert "volumes" not in pod("setup")


# Computes who can reach whom as a cluster does: a policy that selects a pod closes its direction, and then a rule of any such
# policy must allow the other side.

PROXY: Labels = {"fireweed-proxy": "true"}
OTHERS = {name: {"app.kubernetes.io/name": name} for name in ("kafka", "postgres", "collector", "stranger")}
EVERYBODY: dict[str, Labels] = {**{name: labels(name) for name in PODS}, **OTHERS}
SERVERS = {"kafka": 9092, "postgres": 5432, "collector": 4318}


def _fits(selector: Labels, found: Labels) -> bool:
    return all(found.get(word) == value for word, value in selector.items())


def _rules(direction: str, found: Labels) -> Iterator[Any]:
    """Return the rules for a pod in a direction; an empty list if nothing may pass."""
    for policy in POLICIES.values():
        spec = policy["spec"]
        if direction.capitalize() in spec["policyTypes"] and _fits(spec["podSelector"].get("matchLabels", {}), found):
            yield from spec.get(direction) or []


def _passes(rule: Any, word: str, peer: Labels, namespace: Labels | None, port: int) -> bool:
    if "ports" in rule and port not in {entry["port"] for entry in rule["ports"]}:
        return False
    for who in rule[word]:
        if "podSelector" in who and namespace is None and _fits(who["podSelector"]["matchLabels"], peer):
            return True
        if "namespaceSelector" in who and namespace is not None:
            return _fits(who["namespaceSelector"]["matchLabels"], namespace)
    return False


def let_out(source: str, target: str) -> bool:
    port = SERVERS.get(target, 8080)
    return any(_passes(rule, "to", EVERYBODY[target], None, port) for rule in _rules("egress", EVERYBODY[source]))


def let_in(source: str, target: str) -> bool:
    port = SERVERS.get(target, 8080)
    return any(_passes(rule, "from", EVERYBODY[source], None, port) for rule in _rules("ingress", EVERYBODY[target]))


def reaching(target: str) -> set[str]:
    """Return who can reach a pod: the policies of both sides must allow it, so that one mistake opens nothing."""
    out = {name for name in EVERYBODY if let_out(name, target)}
    assert {name for name in EVERYBODY if let_in(name, target)} == out
    return out


def reached_from(namespace: Labels, target: str) -> bool:
    rules = _rules("ingress", EVERYBODY[target])
    return any(_passes(rule, "from", {}, namespace, SERVERS.get(target, 8080)) for rule in rules)


def test_everything_is_closed_before_anything_is_opened() -> None:
    spec = POLICIES["nothing"]["spec"]
    assert spec == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def test_only_intake_reaches_consent_from_inside() -> None:
    assert reaching("consent-api") == {"intake-api"}


def test_only_workers_and_the_set_up_reach_kafka() -> None:
    # Its own nodes may reach each other.
    assert reaching("kafka") - {"kafka"} == {"setup", *(name for name in PROCESSES if name.endswith("-worker"))}


def test_only_the_hub_reaches_its_database_and_its_collector() -> None:
    for server in ("postgres", "collector"):
        assert reaching(server) == set(PODS)


def test_only_those_who_check_tokens_reach_intake_from_inside() -> None:
    assert reaching("intake-api") == {"consent-api", "referral-api"}


@pytest.mark.parametrize("target", ["referral-api", "reporting-api", *(n for n in PROCESSES if n.endswith("worker"))])
def test_nobody_inside_reaches_the_rest(target: str) -> None:
    assert reaching(target) == set()


def test_only_the_proxy_enters_and_reaches_only_the_apis() -> None:
    apis = [name for name in PROCESSES if name.endswith("-api")]
    assert [name for name in EVERYBODY if reached_from(PROXY, name)] == apis
    assert [name for name in EVERYBODY if reached_from({"team": "another"}, name)] == []


def test_page_for_operators_names_every_referenced_secret() -> None:
    page = Path(DEPLOY / "README.md").read_text("utf-8")
    text = "".join(read(f"kubernetes/{path.name}") for path in (DEPLOY / "kubernetes").iterdir())
    for secret in set(re.findall(r"secretKeyRef: \{name: (\S+),", text)) | set(re.findall(r"secretName: (\S+)", text)):
        assert secret in page or re.sub(r"-(intake|consent|referral|reporting)-", "-$service-", secret) in page
