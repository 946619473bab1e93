# SPDX-License-Identifier: Apache-2.0
"""Small audits, each run once."""

from __future__ import annotations

import pytest

from offroad_seg_train.audit.audit import AuditOptions, run_audit
from tests.helpers.planted import plant_everything, write_clean


@pytest.fixture(scope="session")
def clean_folder(tmp_path_factory):
    return write_clean(tmp_path_factory.mktemp("clean"))


@pytest.fixture(scope="session")
def planted_folder(tmp_path_factory):
    return plant_everything(tmp_path_factory.mktemp("planted"))


@pytest.fixture(scope="session")
def clean_audit(clean_folder):
    return run_audit(AuditOptions(clean_folder, show_progress=False))


@pytest.fixture(scope="session")
def planted_audit(planted_folder):
    return run_audit(AuditOptions(planted_folder, show_progress=False))
