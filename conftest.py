"""Fixtures shared by the tests."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of third-party data beside the checkout, or skip."""
    folder = Path(os.environ.get("LENSMILL_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(
            f"third-party data not at {folder}; set LENSMILL_SHARED_DATA to test against it"
        )
    return folder


@pytest.fixture(scope="session")
def shared_cases() -> Path:
    """Return the folder of collected inputs that once failed, or skip."""
    folder = ROOT.parent / "shared" / "cases"
    if not folder.is_dir():
        pytest.skip(f"there are no collected cases at {folder}")
    return folder
