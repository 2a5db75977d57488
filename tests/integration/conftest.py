"""What the tests of this folder have: the fixtures and hooks of all tests on real PostgreSQL."""

from tests.integration.fixtures import (
    new_cluster,
    probe,
    pytest_generate_tests,
    pytest_report_header,
    pytest_runtest_makereport,
    short_folder,
)

__all__ = (
    "new_cluster",
    "probe",
    "pytest_generate_tests",
    "pytest_report_header",
    "pytest_runtest_makereport",
    "short_folder",
)
