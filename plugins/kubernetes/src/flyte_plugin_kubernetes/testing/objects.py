"""What the API does with objects: create, read, update, patch, delete, as the real server would."""

from __future__ import annotations

import base64
import copy
import json
import random
import uuid
from typing import Any

from flyte_plugin_kubernetes.testing import crd_schema, job_rules, metadata_rules, model_fields, patches, pod_rules
from flyte_plugin_kubernetes.testing.deletion import Deletion, now_text
from flyte_plugin_kubernetes.testing.kinds import (
    BUILT_IN,
    CONFIG_MAP,
    CRD,
    EVENT,
    JOB,
    NAMESPACE,
    POD,
    SECRET,
    SERVICE_ACCOUNT,
    Kind,
    kinds_of_definition,
)
from flyte_plugin_kubernetes.testing.object_store import ObjectStore
from flyte_plugin_kubernetes.testing.refusals import (
    FieldFault,
    Refusal,
    already_exists,
    bad_request,
    conflict,
    forbidden,
    forbidden_field,
    invalid,
    invalid_object,
    not_found,
    wrong_kind,
)

Json = dict[str, Any]

#: The letters of generated names: no vowels, so no words.
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_SERVER_KEPT = ("uid", "creationTimestamp", "generation", "selfLink", "deletionTimestamp", "deletionGracePeriodSeconds")
_PATCHES = {
    "application/json-patch+json": patches.json_patch,
    "application/merge-patch+json": patches.merge_patch,
    "application/strategic-merge-patch+json": patches.strategic_merge_patch,
}


class Objects:
    """The resources of one server and what may be done with them. Every method may raise :class:`Refusal`.

    Args:
        store: where they are kept.
        collects: see :class:`Deletion`.
    """

    def __init__(self, store: ObjectStore, *, collects: bool = True) -> None:
        self.store = store
        self._kinds: dict[tuple[str, str, str], Kind] = {}
        self.deletion = Deletion(store, self.kind_of_resource, collects=collects)
        self.forget_definitions()

    def forget_definitions(self) -> None:
        """Only the built-in resources are left."""
        self._kinds = {(kind.group, kind.version, kind.plural): kind for kind in BUILT_IN}

    def kind(self, group: str, version: str, plural: str) -> Kind | None:
        """The resource at a path."""
        return self._kinds.get((group, version, plural))

    def kinds(self) -> list[Kind]:
        """Every resource that is served."""
        return list(self._kinds.values())

    def kind_of_resource(self, resource: str) -> Kind | None:
        """One of the versions of a resource."""
        return next((kind for kind in self._kinds.values() if kind.resource == resource), None)

    def get(self, kind: Kind, namespace: str, name: str) -> Json:
        """The object."""
        found = self.store.get(kind.resource, namespace, name)
        if found is None:
            raise not_found(kind.plural, kind.group, name)
        return self.shown(kind, found)

    def shown(self, kind: Kind, found: Json) -> Json:
        """An object as a version of its resource shows it: custom resources are converted by name alone."""
        return {"apiVersion": kind.api_version, "kind": kind.kind} | found | {"apiVersion": kind.api_version}

    def create(
        self, kind: Kind, namespace: str, body: Json, *, dry_run: bool = False, validation: str = "Warn"
    ) -> tuple[Json, list[str]]:
        """A new object, and what the server warns of."""
        with self.store.changed:
            item, warnings = self._read(kind, body, validation)
            metadata: Json = dict(item.get("metadata") or {})
            if metadata.get("resourceVersion"):
                raise Refusal(500, "InternalError", "resourceVersion should not be set on objects to be created")
            self._place(kind, namespace, metadata)
            if not metadata.get("name") and metadata.get("generateName"):
                suffix = "".join(random.choices(_LETTERS, k=5))
                metadata["name"] = f"{metadata['generateName'][:58]}{suffix}"
            for name in _SERVER_KEPT:
                metadata.pop(name, None)
            metadata |= {"uid": str(uuid.uuid4()), "creationTimestamp": now_text()}
            if "spec" in item or kind.custom:
                metadata["generation"] = 1
            item["metadata"] = metadata
            if kind.has_status:
                item.pop("status", None)
            self._check_namespace(kind, metadata)
            item = self._with_defaults(kind, item)
            self._admit_account(kind, item)
            self._check(kind, item, None)
            if self.store.get(kind.resource, metadata.get("namespace", ""), metadata["name"]) is not None:
                raise already_exists(kind.plural, kind.group, metadata["name"])
            if dry_run:
                return item | {"metadata": item["metadata"] | {"resourceVersion": ""}}, warnings
            made = self.store.put(kind.resource, item)
            self._after_create(kind, made)
            return self.shown(kind, made), warnings

    def _read(self, kind: Kind, body: Any, validation: str) -> tuple[Json, list[str]]:
        if not isinstance(body, dict):
            raise bad_request(f"json: cannot unmarshal {type(body).__name__} into Go value of type {kind.kind}")
        if kind.custom and not body.get("kind"):
            raise bad_request(f"Object 'Kind' is missing in '{json.dumps(body)[:200]}'")
        found = (body.get("apiVersion", kind.api_version), body.get("kind", kind.kind))
        if found[0] != kind.api_version:
            text = f"the API version in the data ({found[0]}) does not match the expected API version"
            raise bad_request(f"{text} ({kind.api_version})")
        if found[1] != kind.kind:
            raise wrong_kind(kind, found[1], str((body.get("metadata") or {}).get("name") or ""))
        body = copy.deepcopy(body) | {"apiVersion": kind.api_version, "kind": kind.kind}
        if kind.custom:
            metadata, unknown = model_fields.decode("V1ObjectMeta", kind.kind, body.get("metadata") or {})
            unknown = [f"metadata.{name}" for name in unknown]
            item, more = crd_schema.prune(kind.schema or {}, body | {"metadata": metadata})
            unknown += more
        else:
            item, unknown = model_fields.decode(kind.model, kind.kind, body)
        words = [f'unknown field "{name}"' for name in unknown]
        if words and validation == "Strict":
            prefix = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: '
            raise bad_request(f"{'' if kind.custom else prefix}strict decoding error: {', '.join(words)}")
        return item, words if validation == "Warn" else []

    def _place(self, kind: Kind, namespace: str, metadata: Json) -> None:
        if kind.namespaced:
            if metadata.setdefault("namespace", namespace) != namespace:
                text = "the namespace of the provided object does not match the namespace sent on the request"
                raise bad_request(text)
        else:
            metadata.pop("namespace", None)

    def _check_namespace(self, kind: Kind, metadata: Json) -> None:
        if not kind.namespaced:
            return
        namespace = self.store.get(NAMESPACE.resource, "", metadata["namespace"])
        if namespace is None:
            raise not_found("namespaces", "", metadata["namespace"])
        if "deletionTimestamp" in namespace["metadata"]:
            text = f"unable to create new content in namespace {metadata['namespace']} because it is being terminated"
            refusal = forbidden(kind.plural, kind.group, metadata.get("name", ""), text)
            cause = {"reason": "NamespaceTerminating", "field": "metadata.namespace"}
            cause["message"] = f"namespace {metadata['namespace']} is being terminated"
            refusal.details["causes"] = [cause]
            raise refusal

    def _with_defaults(self, kind: Kind, item: Json) -> Json:
        if kind.custom:
            found: Json = crd_schema.with_defaults(kind.schema or {}, item)
            return found
        if kind is POD:
            spec = pod_rules.with_pod_defaults(item.get("spec") or {})
            status = {"phase": "Pending", "qosClass": pod_rules.quality_of_service(spec)}
            return item | {"spec": spec, "status": status}
        if kind is JOB:
            return job_rules.with_job_defaults(item) | {"status": {}}
        if kind is NAMESPACE:
            name = {"kubernetes.io/metadata.name": item["metadata"].get("name", "")}
            metadata = item["metadata"] | {"labels": (item["metadata"].get("labels") or {}) | name}
            return item | {"metadata": metadata, "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}}
        if kind is SECRET:
            plain = item.pop("stringData", None) or {}
            data = {name: base64.b64encode(value.encode()).decode() for name, value in plain.items()}
            return {"type": "Opaque"} | item | {"data": (item.get("data") or {}) | data}
        if kind is CRD:
            names = item.get("spec", {}).get("names", {})
            conditions = [
                {"type": name, "status": "True", "reason": reason, "lastTransitionTime": now_text()}
                for name, reason in (("NamesAccepted", "NoConflicts"), ("Established", "InitialNamesAccepted"))
            ]
            return item | {"status": {"conditions": conditions, "acceptedNames": names, "storedVersions": []}}
        return item

    def _admit_account(self, kind: Kind, item: Json) -> None:
        if kind is not POD:
            return
        spec, metadata = item["spec"], item["metadata"]
        account = spec.setdefault("serviceAccountName", "default")
        spec.setdefault("serviceAccount", account)
        if self.store.get(SERVICE_ACCOUNT.resource, metadata["namespace"], account) is None:
            text = f"error looking up service account {metadata['namespace']}/{account}: "
            text += f'serviceaccount "{account}" not found'
            raise forbidden("pods", "", metadata.get("name", ""), text)
        known = spec.setdefault("tolerations", [])
        for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
            if not any(toleration.get("key") in (key, None) for toleration in known):
                known.append({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300})

    def _check(self, kind: Kind, item: Json, before: Json | None) -> None:
        faults = metadata_rules.metadata_faults(item["metadata"], label_name=kind is NAMESPACE)
        if kind.custom:
            faults += crd_schema.schema_faults(kind.schema or {}, item)
        elif kind is POD:
            faults += pod_rules.pod_faults(item["spec"])
            if before is not None:
                faults += pod_rules.pod_change_faults(before["spec"], item["spec"])
        elif kind is JOB:
            faults += job_rules.job_faults(item)
            if before is not None:
                faults += job_rules.job_change_faults(before, item)
        elif kind is EVENT:
            about = (item.get("involvedObject") or {}).get("namespace", "")
            if about != item["metadata"]["namespace"] and (about or item["metadata"]["namespace"] != "default"):
                faults.append(invalid("involvedObject.namespace", about, "does not match event.namespace"))
        elif kind in (SECRET, CONFIG_MAP):
            faults += _data_faults(item, before)
        if faults:
            raise invalid_object(kind.kind, kind.group, item["metadata"].get("name", ""), faults)

    def _after_create(self, kind: Kind, made: Json) -> None:
        if kind is NAMESPACE:
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}
            self.create(SERVICE_ACCOUNT, made["metadata"]["name"], account)
        elif kind is CRD:
            self.define(made)
        self.deletion.collect_if_orphaned(kind, made)

    def define(self, definition: Json) -> None:
        """Serves the resources of a CustomResourceDefinition."""
        for kind in kinds_of_definition(definition):
            self._kinds[kind.group, kind.version, kind.plural] = kind

    def update(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        body: Json,
        *,
        part: str = "",
        dry_run: bool = False,
        validation: str = "Warn",
    ) -> tuple[Json, list[str]]:
        """Replaces an object, or its ``status``."""
        with self.store.changed:
            before = self.store.get(kind.resource, namespace, name)
            if before is None:
                raise not_found(kind.plural, kind.group, name)
            item, warnings = self._read(kind, body, validation)
            metadata: Json = dict(item.get("metadata") or {})
            self._place(kind, namespace, metadata)
            if metadata.setdefault("name", name) != name:
                text = f"the name of the object ({metadata['name']}) does not match the name on the URL ({name})"
                raise bad_request(text)
            version = metadata.get("resourceVersion") or before["metadata"]["resourceVersion"]
            old_uid, uid = before["metadata"]["uid"], metadata.get("uid") or before["metadata"]["uid"]
            if uid != old_uid:
                text = f"Precondition failed: UID in precondition: {uid}, UID in object meta: {old_uid}"
                raise conflict(kind.plural, kind.group, name, text)
            if version != before["metadata"]["resourceVersion"]:
                text = "the object has been modified; please apply your changes to the latest version and try again"
                raise conflict(kind.plural, kind.group, name, text)
            after = self._changed(kind, before, item | {"metadata": metadata}, part)
            if part != "status" or kind.custom:
                self._check(kind, after, before)
            if dry_run:
                return self.shown(kind, after), warnings
            if after == before:
                return self.shown(kind, before), warnings
            made = self.store.put(kind.resource, after)
            if kind is CRD:
                self.define(made)
            if "deletionTimestamp" in made["metadata"]:
                made, _ = self.deletion.settle(kind, made)
            return self.shown(kind, made), warnings

    def _changed(self, kind: Kind, before: Json, item: Json, part: str) -> Json:
        old: Json = before["metadata"]
        kept = {name: old[name] for name in (*_SERVER_KEPT, "resourceVersion") if name in old}
        metadata = {name: value for name, value in item["metadata"].items() if name not in kept} | kept
        for name in ("deletionTimestamp", "deletionGracePeriodSeconds"):
            if name not in old:
                metadata.pop(name, None)
        added = set(metadata.get("finalizers") or ()) - set(old.get("finalizers") or ())
        if "deletionTimestamp" in old and added:
            text = (
                f"no new finalizers can be added if the object is being deleted, found new finalizers {sorted(added)}"
            )
            raise invalid_object(kind.kind, kind.group, old["name"], [forbidden_field("metadata.finalizers", text)])
        if part == "status":
            kept_metadata = (
                old
                if kind.custom
                else old | {name: metadata[name] for name in ("labels", "annotations") if name in metadata}
            )
            status = {"status": item["status"]} if item.get("status") is not None else {}
            return {k: v for k, v in before.items() if k != "status"} | {"metadata": kept_metadata} | status
        if part == "finalize":
            return before | {"spec": item.get("spec") or {}}
        after = item | {"metadata": metadata}
        if kind.has_status:
            after.pop("status", None)
            if "status" in before:
                after["status"] = before["status"]
        if kind.custom:
            after = crd_schema.with_defaults(kind.schema or {}, after)
        elif kind is POD:
            after["spec"] = pod_rules.with_pod_defaults(after.get("spec") or {})
            for name in ("nodeName", "serviceAccountName", "serviceAccount"):
                if name in before["spec"]:
                    after["spec"].setdefault(name, before["spec"][name])
        elif kind is JOB:
            after["spec"] = before["spec"] | (after.get("spec") or {})
        elif kind is SECRET:
            after = self._with_defaults(kind, after)
        without = ("metadata", "status") if kind.has_status else ("metadata",)
        differs = kind.custom and any(before.get(name) != after.get(name) for name in {*before, *after} - set(without))
        if "generation" in old and (differs or (not kind.custom and before.get("spec") != after.get("spec"))):
            after["metadata"] = metadata | {"generation": old["generation"] + 1}
        return after

    def patch(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        body: Any,
        content_type: str,
        *,
        part: str = "",
        dry_run: bool = False,
        validation: str = "Warn",
    ) -> tuple[Json, list[str]]:
        """Changes an object by a patch."""
        apply = _PATCHES.get(content_type)
        if apply is None or (kind.custom and content_type == "application/strategic-merge-patch+json"):
            text = "the body of the request was in an unknown format - accepted media types include: "
            text += "application/json-patch+json, application/merge-patch+json"
            raise Refusal(415, "UnsupportedMediaType", text)
        with self.store.changed:
            before = self.get(kind, namespace, name)
            after = apply(before, body)
            if not isinstance(after, dict):
                raise bad_request("the patch leaves no object")
            return self.update(kind, namespace, name, after, part=part, dry_run=dry_run, validation=validation)

    def delete(self, kind: Kind, namespace: str, name: str, options: Json, *, dry_run: bool = False) -> Json:
        """Deletes an object or begins to; what the answer shows."""
        with self.store.changed:
            found = self.store.get(kind.resource, namespace, name)
            if found is None:
                raise not_found(kind.plural, kind.group, name)
            if dry_run:
                last, gone = found, True
            else:
                last, gone = self.deletion.delete(kind, found, options)
            if gone and kind is CRD:
                self._undefine(last)
            if not gone or kind is POD:
                return self.shown(kind, last)
            details = {"name": name, "kind": kind.plural, "uid": last["metadata"]["uid"]}
            if kind.group:
                details["group"] = kind.group
            return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}

    def _undefine(self, definition: Json) -> None:
        for kind in kinds_of_definition(definition):
            for item in self.store.all(kind.resource):
                self.store.remove(kind.resource, item)
            self._kinds.pop((kind.group, kind.version, kind.plural), None)


def _data_faults(item: Json, before: Json | None) -> list[FieldFault]:
    faults: list[FieldFault] = []
    data: Json = item.get("data") or {}
    for key in data:
        if len(key) > 253 or not all(letter.isalnum() or letter in "-_." for letter in key) or key in ("", ".", ".."):
            words = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
            faults.append(invalid(f"data[{key}]", key, words))
    if sum(len(str(value)) for value in data.values()) > 1024 * 1024 * 4 // 3:
        faults.append(FieldFault("data", "FieldValueTooLong", "Too long: may not be more than 1048576 bytes"))
    if before is not None and before.get("immutable") and data != (before.get("data") or {}):
        faults.append(forbidden_field("data", "field is immutable when `immutable` is set"))
    return faults
