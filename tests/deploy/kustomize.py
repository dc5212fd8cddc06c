"""What ``kubectl kustomize`` makes of our folders, as far as they use it: resources and patches."""

from pathlib import Path
from typing import Any

import jsonpatch
import yaml

KUBERNETES = Path(__file__).parents[2] / "deploy" / "kubernetes"
FOLDERS = sorted(path.parent.name for path in KUBERNETES.glob("*/kustomization.yaml"))

Manifest = dict[str, Any]


def build(folder: Path) -> list[Manifest]:
    """Return the manifests of a folder; raises LookupError if a patch fits none."""
    plan = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert plan.keys() <= {"apiVersion", "kind", "namespace", "resources", "patches"}
    manifests = [one for name in plan["resources"] for one in _resource(folder / name)]
    for patch in plan.get("patches", ()):
        _apply(patch, manifests)
    return manifests


def find(manifests: list[Manifest], kind: str, name: str) -> Manifest:
    """Return the one manifest of this kind and name."""
    for one in manifests:
        if (one["kind"], one["metadata"]["name"]) == (kind, name):
            return one
    raise LookupError(f"there is no {kind} {name}")


def _resource(path: Path) -> list[Manifest]:
    return build(path) if path.is_dir() else list(yaml.safe_load_all(path.read_text()))


def _apply(patch: dict[str, Any], manifests: list[Manifest]) -> None:
    target = find(manifests, **patch["target"])
    jsonpatch.apply_patch(target, yaml.safe_load(patch["patch"]), in_place=True)
