"""The manifests: what Kubernetes accepts, and what they have to agree in with the code."""

from typing import Any

import kubernetes_validate
import pytest

from gateway.settings import Settings as GatewaySettings
from tests.architecture.settings_page import SERVICES
from tests.deploy.kustomize import FOLDERS, KUBERNETES, Manifest, build, find

OLDEST, NEWEST = "1.30", kubernetes_validate.latest_version()


def built() -> list[Manifest]:
    return [one for folder in FOLDERS for one in build(KUBERNETES / folder)]


def templates(manifests: list[Manifest]) -> list[dict[str, Any]]:
    """Return those of pods, of which there are some."""
    found = [one["spec"]["template"] for one in manifests if "template" in one.get("spec", {})]
    assert found
    return found


def container(service: str, folder: str = "base") -> dict[str, Any]:
    deployment = find(build(KUBERNETES / folder), "Deployment", service)
    (only,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(only)


def environment(service: str) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container(service)["env"]}


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("folder", FOLDERS)
def test_kubernetes_accepts_them(folder: str, version: str) -> None:
    """Every manifest of every folder is what the API of old and new clusters calls valid."""
    known = [one for one in build(KUBERNETES / folder) if "keda.sh/" not in one["apiVersion"]]
    assert known
    for manifest in known:
        kubernetes_validate.validate(manifest, version, strict=True)  # Raises if it is not.


def test_containers_may_do_little() -> None:
    """Every container runs as nobody in particular, on files it cannot change, with no rights."""
    for pod in (template["spec"] for template in templates(built())):
        assert pod["securityContext"]["runAsNonRoot"]
        assert not pod["automountServiceAccountToken"]
        for one in pod["containers"]:
            allowed = one["securityContext"]
            assert allowed["readOnlyRootFilesystem"]
            assert not allowed["allowPrivilegeEscalation"]
            assert allowed["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize("service", ["gateway", "transcriber"])
def test_variables_are_settings(service: str) -> None:
    """No manifest sets a variable that the service does not read."""
    settings = {
        f"{one.model_config.get('env_prefix', '')}{name}".upper()
        for one in SERVICES.values()
        for name in one.model_fields
    }
    assert environment(service).keys() <= settings | {"GATEWAY_SECRETS_DIR", "CUDA_CACHE_PATH"}


def test_a_drain_is_longer_than_the_longest_video() -> None:
    """Kubernetes waits for a transcriber's drain, which waits for the longest attempt."""
    transcriber = find(build(KUBERNETES / "base"), "Deployment", "transcriber")
    patience = transcriber["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    drain = int(environment("transcriber")["TRANSCRIBER_DRAIN_GRACE_SECONDS"])
    assert int(environment("gateway")["GATEWAY_ITEM_TIMEOUT_SECONDS"]) <= drain < patience


def test_a_gateway_is_given_time_to_drain() -> None:
    """Kubernetes waits longer than a gateway does."""
    gateway = find(build(KUBERNETES / "base"), "Deployment", "gateway")
    patience = gateway["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    assert patience > 2 * GatewaySettings.model_fields["drain_grace_seconds"].default


def test_a_transcriber_has_one_gpu() -> None:
    """The overlay for GPUs asks for one, and leaves no other limit out."""
    limits = container("transcriber", "gpu")["resources"]["limits"]
    assert limits == container("transcriber")["resources"]["limits"] | {"nvidia.com/gpu": "1"}


def test_nobody_reaches_a_transcriber_but_gateways() -> None:
    """What is not listed is refused; calls come from gateways only, and none go to private nets."""
    manifests = build(KUBERNETES / "base")
    nothing = find(manifests, "NetworkPolicy", "nothing")["spec"]
    assert nothing == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    policy = find(manifests, "NetworkPolicy", "transcriber")["spec"]
    callers = [rule["from"] for rule in policy["ingress"] if rule["ports"][0]["port"] == 50061]
    assert callers == [[{"podSelector": {"matchLabels": {"app": "gateway"}}}]]
    for target in (target for rule in policy["egress"] for target in rule["to"]):
        block = target["ipBlock"]
        assert block["cidr"] != "0.0.0.0/0" or {"10.0.0.0/8", "169.254.0.0/16"} < {*block["except"]}


def test_services_select_pods_that_listen_there() -> None:
    """Every port of a service is open in the pods behind it."""
    manifests = [*build(KUBERNETES / "base"), *build(KUBERNETES / "redis")]
    services = [one for one in manifests if one["kind"] == "Service"]
    assert services
    for service in services:
        (behind,) = [
            template["spec"]
            for template in templates(manifests)
            if template["metadata"]["labels"] == service["spec"]["selector"]
        ]
        listening = {port["containerPort"] for one in behind["containers"] for port in one["ports"]}
        assert {port["port"] for port in service["spec"]["ports"]} <= listening


def test_scaling_goes_to_zero_and_back() -> None:
    """KEDA reads the gateway's route: any audio wakes a transcriber, none lets the last one go."""
    manifests = build(KUBERNETES / "keda")
    scaled = find(manifests, "ScaledObject", "transcriber")["spec"]
    (trigger,) = scaled["triggers"]
    assert scaled["minReplicaCount"] == 0
    assert trigger["metadata"]["activationTargetValue"] == "0"
    assert trigger["metadata"]["valueLocation"] == "audio_seconds"
    assert trigger["metadata"]["url"].endswith(":8080/api/v1/queue")
    assert trigger["authenticationRef"]["name"] == "gateway-key"
    assert "replicas" not in find(manifests, "Deployment", "transcriber")["spec"]
