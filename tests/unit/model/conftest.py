"""One training for all tests of models; each test that spoils a bundle gets a copy."""

from pathlib import Path

import pytest

from tests.support.bundles import Kit, copied, make_kit


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Kit:
    """A good bundle; not to be touched."""
    return make_kit(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def kit(trained: Kit, tmp_path: Path) -> Kit:
    """A copy of the good bundle, with the same keys and an empty cache."""
    return copied(trained, tmp_path)
