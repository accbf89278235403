"""Judges the manifests on standard input by the schemas of a version of Kubernetes: manifests.py VERSION."""

import sys

import kubernetes_validate
import yaml

documents = [document for document in yaml.safe_load_all(sys.stdin) if document]
for document in documents:
    kubernetes_validate.validate(document, sys.argv[1], strict=True)
    print(document["kind"], document["metadata"]["name"])
