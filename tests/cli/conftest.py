"""A small model file for the commands."""

from __future__ import annotations

import pytest

from tests.models_for_tests import tiny_moe


@pytest.fixture(scope="session")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_moe(tmp_path_factory.mktemp("model") / "tiny.gguf"))
