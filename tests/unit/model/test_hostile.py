"""Hostile models (F39, B39): signed by mistake or theft, they are refused, and none of their payloads ever runs."""

import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import skops.io
import treelite.sklearn
from skl2onnx import to_onnx
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression

from shared.adapters import skops as adapter
from shared.core.bundle import RuntimeName
from shared.core.errors import ModelRefused
from tests.support.bundles import Kit

X = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64)


class Payload:
    """Touches the canary when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.canary}",)


def node(loader: str, module: str, name: str, **more: Any) -> dict[str, Any]:
    """One node of a skops schema."""
    return {"__class__": name, "__module__": module, "__loader__": loader, "__id__": 1, **more}


def archive(schema: Any, members: dict[str, bytes] | None = None) -> bytes:
    """A skops archive with this schema."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("schema.json", json.dumps({"protocol": 2, "_skops_version": "0.16.0", **schema}))
        for name, content in (members or {}).items():
            file.writestr(name, content)
    return out.getvalue()


def shell(canary: Path) -> dict[str, Any]:
    """A schema that calls `os.system` when it is constructed, and lists the types it wants trusted."""
    command = node("JsonNode", "builtins", "str", content=json.dumps(f"touch {canary}"), is_json=True)
    args = node("TupleNode", "builtins", "tuple", content=[command])
    system = node("FunctionNode", "posix", "system", content={"module_path": "posix", "function": "system"})
    kwargs = node(
        "DictNode", "builtins", "dict", content={}, key_types=node("ListNode", "builtins", "list", content=[])
    )
    partial = {"func": system, "args": args, "kwds": kwargs, "namespace": kwargs}
    return node("PartialNode", "functools", "partial", content=partial, trusted=["posix.system"], trusted_types=["*"])


def reduced(canary: Path) -> dict[str, Any]:
    """A schema with a reduce node, skops' nearest relative of pickle."""
    return node("ConstructorFromReduceNode", "posix", "system", content=shell(canary), constructor=shell(canary))


def old_function() -> dict[str, Any]:
    """A function node that says one name where we look, and another where skops' first protocol looks."""
    other = {"module_path": "posix", "function": "system"}
    return node("FunctionNode", "sklearn.utils.validation", "check_array", content=other)


def _zipped(schema: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        file.writestr("schema.json", schema)
    return out.getvalue()


def _joblib(canary: Path) -> bytes:
    out = io.BytesIO()
    joblib.dump(Payload(canary), out)
    return out.getvalue()


def _object_array(canary: Path) -> bytes:
    out = io.BytesIO()
    np.save(out, np.array([Payload(canary)], dtype=object), allow_pickle=True)
    return out.getvalue()


PAYLOADS: dict[str, Callable[[Path], bytes]] = {
    "pickle": lambda canary: pickle.dumps(Payload(canary)),
    "joblib": _joblib,
    "pickle in zip": lambda canary: archive({}, {"1.npy": pickle.dumps(Payload(canary))}),
    "object array": lambda canary: archive(
        node("NdArrayNode", "numpy", "ndarray", type="numpy", file="1.npy"), {"1.npy": _object_array(canary)}
    ),
    "own trust list": lambda canary: archive(shell(canary)),
    "old protocol": lambda _: archive(old_function() | {"protocol": 0}),
    "reduce": lambda canary: archive(reduced(canary)),
    "operator": lambda _: archive(node("OperatorFuncNode", "operator", "attrgetter", content={})),
    "method": lambda _: archive(node("MethodNode", "builtins", "method", content={"func": "system", "obj": {}})),
    "unknown type": lambda _: archive(node("ObjectNode", "subprocess", "Popen", content={})),
    "type in another node": lambda _: archive(node("TypeNode", "os", "system")),
    "escaping member": lambda _: archive(node("DictNode", "builtins", "dict"), {"../../evil.npy": b"x"}),
    "bomb": lambda _: archive(node("DictNode", "builtins", "dict"), {"1.npy": bytes(50_000_000)}),
    "deep": lambda _: _zipped(b"[" * 200_000),
    "no archive": lambda _: b"\x80\x04.",
}


def test_the_canary_sings(tmp_path: Path) -> None:
    """The payload does run where it is unpickled, so an untouched canary means something."""
    pickle.loads(PAYLOADS["pickle"](tmp_path / "canary"))  # noqa: S301 - our own payload, to see that it works
    assert (tmp_path / "canary").exists()


@pytest.mark.parametrize("name", sorted(PAYLOADS))
def test_f39_b39_payload_as_skops(tmp_path: Path, name: str) -> None:
    """F39, B39: no payload under the name of a skops file is loaded, and the canary is never touched."""
    canary, path = tmp_path / "canary", tmp_path / "model.skops"
    path.write_bytes(PAYLOADS[name](canary))
    with pytest.raises(ModelRefused):
        adapter.load(path)
    assert not canary.exists()


@pytest.mark.parametrize("runtime", ["onnx", "treelite", "sklearn"])
@pytest.mark.parametrize("name", ["pickle", "own trust list"])
def test_f39_signed_payload_in_a_bundle(kit: Kit, tmp_path: Path, runtime: RuntimeName, name: str) -> None:
    """F39: even where the bundle is signed, the child process refuses the payload and it does not run."""
    canary = tmp_path / "canary"
    ref = kit.with_model(runtime, PAYLOADS[name](canary))
    with pytest.raises(ModelRefused, match=r"^(model|types|files|size): "):
        kit.store().get(ref)
    assert not canary.exists()


def test_own_list_refuses_what_skops_would_trust(tmp_path: Path) -> None:
    """A type of scikit-learn that skops trusts by itself, but our list does not name, is refused by its name."""
    from sklearn.neighbors import KNeighborsClassifier  # noqa: PLC0415 - only here

    path = tmp_path / "model.skops"
    skops.io.dump(KNeighborsClassifier().fit(X, Y), path)
    with pytest.raises(ModelRefused, match=r"types: .*KNeighborsClassifier.* is not on our list"):
        adapter.load(path)


def test_onnx_that_refers_to_another_file(kit: Kit) -> None:
    """An ONNX model whose weights lie in another file would read a path of its own choice: refused."""
    ref = kit.with_model("onnx", b"\x0a\x08location\x12\x0b/etc/passwd")
    with pytest.raises(ModelRefused, match="refers to another file"):
        kit.store().get(ref)


def test_f38_nan_out(kit: Kit) -> None:
    """F38: a model that answers NaN is refused."""
    model = LogisticRegression().fit(X, Y)
    model.coef_ = np.full_like(model.coef_, np.nan)
    content = to_onnx(model, X[:1], options={id(model): {"zipmap": False}}).SerializeToString()
    with pytest.raises(ModelRefused, match=r"^scores: the model gives NaN"):
        kit.store().get(kit.with_model("onnx", content))


def test_b40_regressor_for_a_classifier(kit: Kit) -> None:
    """B40: a regressor inside a classifier's bundle gives another number of values, and is refused for it."""
    model = HistGradientBoostingRegressor(max_iter=2).fit(X, Y)
    content = treelite.sklearn.import_model(model).serialize_bytes()
    with pytest.raises(ModelRefused, match=r"^scores: the model gives 1 values a record, expected are 2"):
        kit.store().get(kit.with_model("treelite", content))


def test_a_crash_while_loading_ends_the_child_only(kit: Kit) -> None:
    """A file that crashes its library ends the child process, and is refused in words."""
    good = (kit.folder / "model.treelite").read_bytes()
    with pytest.raises(ModelRefused, match=r"^(model|scores|timeout): "):
        kit.store().get(kit.with_model("treelite", good[:200] + b"\xff" * 400 + good[600:]))


def test_the_scorer_imports_no_training_library(kit: Kit) -> None:
    """A scorer with a treelite model never imports scikit-learn, pandas, MLflow or skops."""
    code = (
        "import sys, msgspec, pathlib\n"
        "from services.scorer.models import ModelStore\n"
        "from shared.core.metrics import NullMetrics\n"
        "from shared.core.pipeline_file import decode\n"
        "from shared.core.records import BundleRef\n"
        "from shared.runtime.clock import SystemClock\n"
        "from shared.runtime.settings import Settings\n"
        "from tests.support.spec import make_spec\n"
        f"ref = BundleRef({kit.ref.version!r}, {kit.ref.uri!r}, {kit.ref.digest!r})\n"
        f"state = pathlib.Path({str(kit.state)!r})\n"
        "store = ModelStore(make_spec(), Settings(), NullMetrics(), SystemClock(), state=state)\n"
        "store.get(ref)\n"
        "print(sorted({'sklearn', 'pandas', 'mlflow', 'skops', 'pyarrow', 'onnxruntime'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
